-- ARGV: nonce, whether the answer leaves open if there was an effect, keep, then the answer
if not is_owned() or record.st == 'C' then return {'fenced'} end
-- A late answer heals what was given up. A repeated report of the same is no mistake; the first answer counts, because
-- somebody may have heard it.
if record.st ~= 'D' then complete(record, ARGV[2] == '1', ARGV[3], 4) end
return {'done'}
