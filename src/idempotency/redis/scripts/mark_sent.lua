-- ARGV: nonce, lease
if not is_owned() then return {'fenced'} end
if record.st == 'C' then
  record.st, record.ld = 'S', now + ARGV[2]
  update(record)
elseif record.st ~= 'S' then
  return {'fenced'}
end
-- In SENT the answer to this very report was lost.
return {'done'}
