-- Ends a connection's presence, unless another connection counts by now.
-- KEYS  1 owners  2 presence of the releasing node  3 last_seen  4 changes
-- ARGV  1 orchestrator_id  2 epoch  3 node_id
-- Returns 1 if it was the one that counted, else 0.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] .. ' ' .. ARGV[3] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[4], '*', 'id', ARGV[1])
return 1
