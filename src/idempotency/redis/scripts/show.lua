-- Changes nothing.
if not record then return {'absent'} end
local r = record
local rest = redis.call('HMGET', KEY, 'route', 'rs', 'hd', 'bd')
return {
  'record', r.st, r.fp, r.nonce, r.fence, r.att, r.ct, as_bit(r.amb), as_bit(r.pin), r.ld, r.exp,
  rest[1] or '', rest[2], rest[3], rest[4],
}
