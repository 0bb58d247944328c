-- Decides on a frame that the replica it was routed to cannot emit.
-- KEYS  1 owners  2 nodes  3 parked frames of the orchestrator  4 incomplete  5 born  6 server
-- ARGV  1 orchestrator_id  2 frame as JSON  3 ms until its deadline  4 node_id of its sender
--       5 epoch up to which the owner is known to be gone, though its entry may still be there
-- Returns "sender" if the frame's sender lives, which sends it again by itself, or may live: a data set that is new, or
-- goes on with another server, does not know of everybody yet. Else the owner, if the orchestrator has one on a live node; else "", and the frame is parked.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function lives(node)
  local ends = redis.call('ZSCORE', KEYS[2], node)
  return ends and tonumber(ends) >= now
end
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
if redis.call('GET', KEYS[6]) ~= server then return 'sender' end
if lives(ARGV[4]) or redis.call('EXISTS', KEYS[4]) == 1 or redis.call('EXISTS', KEYS[5]) == 0 then return 'sender' end
local owner = redis.call('HGET', KEYS[1], ARGV[1])
if owner then
  local epoch, node = string.match(owner, '^(%d+) (.+)$')
  if tonumber(epoch) > tonumber(ARGV[5]) and lives(node) then return owner end
end
redis.call('RPUSH', KEYS[3], ARGV[2])
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[3], ARGV[3]) end
return ''
