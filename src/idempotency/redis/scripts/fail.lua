-- ARGV: nonce, keep
if not is_owned() or record.st == 'C' or record.st == 'D' then return {'fenced'} end
if record.st == 'S' then
  record.exp = math.max(record.exp, now + ARGV[2])
  lose_sight(record)
  update(record)
end
return {'done'}
