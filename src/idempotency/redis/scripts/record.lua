-- The record of one idempotency key, as a hash. Every script here begins with this file. The transitions are those of
-- src/reliability/idempotency/machine.rs, with which the tests compare them step by step.
--
--   st          C claimed, S sent, D complete, U unknown, R retryable
--   fp, nonce   16 bytes each
--   fence, att  counters
--   ct          what the upstream promises: 0 opaque, 1 atomic_5xx, 2 dedupes; the smaller permits less
--   amb, pin    0 or 1
--   ld, exp     until when the lease and the record last: milliseconds since 1970 on this server's clock
--   route       of the first claim, for people
--   rs, hd, bd  status, fields and body of the stored answer
local KEY = KEYS[1]
local DEDUPES = 2
local FENCE_MAX, ATTEMPT_MAX = 4294967295, 65535
-- Redis forgets by its own reading of the clock, which must not come before ours.
local SLACK = 1000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Lua prints large numbers with an exponent.
local function whole(number) return string.format('%.0f', number) end

local function as_bit(flag) return flag and 1 or 0 end

local function load()
  local v = redis.call('HMGET', KEY, 'st', 'fp', 'nonce', 'fence', 'att', 'ct', 'amb', 'pin', 'ld', 'exp')
  local found = 0
  for i = 1, 10 do
    if v[i] then found = found + 1 end
  end
  if found == 0 then return nil end
  local n = {}
  for i = 4, 10 do
    n[i] = tonumber(v[i])
    if not n[i] then error('the record is damaged') end
  end
  local state = v[1] and #v[1] == 1 and string.find('CSDUR', v[1], 1, true)
  if not state or not v[2] or not v[3] then error('the record is damaged') end
  return {
    st = v[1], fp = v[2], nonce = v[3], fence = n[4], att = n[5], ct = n[6],
    amb = n[7] == 1, pin = n[8] == 1, ld = n[9], exp = n[10],
  }
end

-- Somebody is at it.
local function held(r) return r.st == 'C' or r.st == 'S' end

-- It was sent, and its owner knows no end or is gone.
local function lose_sight(r)
  r.amb = true
  if r.ct == DEDUPES then r.st = 'R' else r.st = 'U' end
end

-- What time alone has changed.
local function by_time(r)
  if r.st == 'S' and r.ld < now then lose_sight(r) end
  if r.pin or (held(r) and now <= r.ld) or now < r.exp then return r end
  return nil
end

local stored = load()
local record = stored and by_time(stored)

local function write(r)
  redis.call('HSET', KEY, 'st', r.st, 'fp', r.fp, 'nonce', r.nonce, 'fence', whole(r.fence), 'att', whole(r.att),
    'ct', whole(r.ct), 'amb', as_bit(r.amb), 'pin', as_bit(r.pin), 'ld', whole(r.ld), 'exp', whole(r.exp))
end

-- Returns whether there is still something to keep.
local function set_expiry(r)
  if r.pin then
    redis.call('PERSIST', KEY)
    return true
  end
  local last = r.exp
  if held(r) then last = math.max(last, r.ld) end
  if last < now then
    redis.call('DEL', KEY)
    return false
  end
  redis.call('PEXPIREAT', KEY, whole(last + SLACK))
  return true
end

-- A record that exists comes to its end even when memory is short: Redis always permits to set an expiry, and never
-- stops a script that has written. (Had HSET come first, it would be refused.)
local function update(r)
  if set_expiry(r) then write(r) end
end

-- Free again, as far as what happened before permits.
local function let_go(r)
  if r.amb then
    lose_sight(r)
    update(r)
  elseif r.pin then
    r.st = 'R'
    update(r)
  else
    redis.call('DEL', KEY)
  end
end

-- ARGV[1] of everything that only the owner may do is its nonce.
local function is_owned() return record and record.nonce == ARGV[1] end

-- Only an operator can tell whether there was an effect.
local function is_open_question(r)
  return r.st == 'U' or ((r.st == 'D' or r.st == 'R') and r.amb)
end

-- ARGV from `at` on: nothing, or status and fields, or status, fields and body. Bodies are what fills the memory, so
-- that theirs is the write that Redis may refuse; nothing has changed then.
local function store_answer(at)
  local status, fields, body = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if body then redis.call('HSET', KEY, 'bd', body) else redis.call('HDEL', KEY, 'bd') end
  if status then redis.call('HSET', KEY, 'rs', status, 'hd', fields) else redis.call('HDEL', KEY, 'rs', 'hd') end
end

local function complete(r, ambiguous, keep, answer_at)
  store_answer(answer_at)
  r.st, r.amb, r.exp = 'D', ambiguous, now + keep
  update(r)
end

local function looked_up(r, fp, ct)
  if r.fp ~= fp then return {'mismatch'} end
  local left = math.max(r.ld - now, 0)
  if r.st == 'C' then
    if r.ld < now then return {'absent'} end
    return {'busy', left, 0}
  elseif r.st == 'S' then
    return {'busy', left, 1}
  elseif r.st == 'D' then
    local answer = redis.call('HMGET', KEY, 'rs', 'hd', 'bd')
    return {'replay', as_bit(r.amb), answer[1], answer[2], answer[3]}
  elseif r.st == 'U' or (r.amb and ct ~= DEDUPES) then
    return {'unknown'}
  end
  return {'absent'}
end

