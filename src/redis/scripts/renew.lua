-- Renews a node's lease, or takes it anew.
-- KEYS  1 nodes  2 born  3 node
-- ARGV  1 node_id  2 lease ms  3 started_at  4 draining (0 or 1)
-- Returns 1 if the lease was held without a gap, 0 if it had run out or Redis has lost it (or this is the first).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], now, 'NX')
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], 'started_at', ARGV[3], 'draining', ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
if ends and tonumber(ends) >= now then return 1 end
return 0
