-- Renews a node's lease, or takes it anew.
-- KEYS  1 nodes  2 born  3 node  4 incomplete
-- ARGV  1 node_id  2 lease ms  3 started_at  4 draining (0 or 1)
-- Returns 1 if the lease was held without a gap, 0 if it had run out or Redis has lost it (or this is the first).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A data set that is new knows of nobody, until every replica has registered its presence.
if redis.call('SET', KEYS[2], now, 'NX') then redis.call('SET', KEYS[4], 1, 'PX', ARGV[2]) end
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
local held = ends and tonumber(ends) >= now
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], 'started_at', ARGV[3], 'draining', ARGV[4])
if not held then redis.call('HSET', KEYS[3], 'registered', 0) end
redis.call('PEXPIRE', KEYS[3], ARGV[2])
if held then return 1 end
return 0
