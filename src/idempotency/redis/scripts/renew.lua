-- ARGV: nonce, lease
if not is_owned() or not held(record) then return {'fenced'} end
record.ld = now + ARGV[2]
update(record)
return {'done'}
