-- ARGV: fingerprint, nonce, lease, keep, contract, route
local fp, nonce, ct = ARGV[1], ARGV[2], tonumber(ARGV[5])
local leased, kept = now + ARGV[3], now + math.max(ARGV[3], ARGV[4])

-- New work, in contrast to `update`, is refused when memory is short: the first write is the one that may be.
local function grant(r)
  write(r)
  set_expiry(r)
  return {'granted', r.att, r.fence}
end

if not record then
  -- What is left of an expired record must not be taken for a part of the new one.
  if stored then redis.call('DEL', KEY) end
  redis.call('HSET', KEY, 'route', ARGV[6])
  return grant({
    st = 'C', fp = fp, nonce = nonce, fence = 1, att = 1, ct = ct, amb = false, pin = false, ld = leased, exp = kept,
  })
end
if record.nonce == nonce and record.st == 'C' then
  -- The first answer to this very claim was lost.
  return {'granted', record.att, record.fence}
end
-- Before everything else that a claim can be told: whoever asks is wrong about the key.
if record.fp ~= fp then return {'mismatch'} end

local contract = math.min(record.ct, ct)
local orphaned = record.st == 'C' and record.ld < now
local again = record.st == 'R' and (not record.amb or contract == DEDUPES)
if not orphaned and not again then return looked_up(record, fp, contract) end

record.st, record.nonce = 'C', nonce
record.fence = math.min(record.fence + 1, FENCE_MAX)
if again then record.att = math.min(record.att + 1, ATTEMPT_MAX) end
record.ct = record.amb and contract or ct
record.ld, record.exp = leased, math.max(record.exp, kept)
return grant(record)
