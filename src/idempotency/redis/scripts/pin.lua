-- ARGV: 1 = do not forget, 0 = forget in time
if not record then return {'absent'} end
record.pin = ARGV[1] == '1'
update(record)
return {'done'}
