-- Keeps a frame for an orchestrator that is between two connections, unless it has one on a live node.
-- KEYS  1 owners  2 nodes  3 parked frames of the orchestrator
-- ARGV  1 orchestrator_id  2 frame as JSON  3 ms until its deadline
-- Returns the owner, or "" when the frame was parked.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owner = redis.call('HGET', KEYS[1], ARGV[1])
if owner then
  local ends = redis.call('ZSCORE', KEYS[2], string.match(owner, '^%d+ (.+)$'))
  if ends and tonumber(ends) >= now then return owner end
end
redis.call('RPUSH', KEYS[3], ARGV[2])
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[3], ARGV[3]) end
return ''
