-- Renews a node's lease, or takes it anew.
-- KEYS  1 nodes  2 born  3 node  4 incomplete  5 server  6 changes
-- ARGV  1 node_id  2 lease ms  3 started_at  4 draining (0 or 1)
--       5 ms for which changes are kept
-- Returns { 1 if the lease was held without a gap, 0 if it had run out or Redis has lost it (or this is the first);
-- 1 if the node has registered with this server, else 0; run id of this server }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
-- A data set that is new knows of nobody, and one that goes on with another server, as behind a failover, may lack what
-- was written last: until every replica has registered its presence.
local fresh = redis.call('SET', KEYS[2], now, 'NX')
if fresh or redis.call('GET', KEYS[5]) ~= server then
  redis.call('SET', KEYS[5], server)
  redis.call('SET', KEYS[4], 1, 'PX', ARGV[2])
end
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
local held = ends and tonumber(ends) >= now
local registered = held and redis.call('HGET', KEYS[3], 'registered') == server
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], 'started_at', ARGV[3], 'draining', ARGV[4])
if not registered then redis.call('HDEL', KEYS[3], 'registered') end
redis.call('PEXPIRE', KEYS[3], ARGV[2])
redis.call('XTRIM', KEYS[6], 'MINID', '~', now - ARGV[5])
return { held and 1 or 0, registered and 1 or 0, server }
