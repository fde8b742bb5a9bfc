-- ARGV: fingerprint. Changes nothing.
if not record then return {'absent'} end
return looked_up(record, ARGV[1], record.ct)
