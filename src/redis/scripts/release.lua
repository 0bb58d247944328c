-- Ends the presence of connections of one node, each unless another connection counts by now.
-- KEYS  1 owners  2 presence of the releasing node  3 last_seen  4 changes
-- ARGV  1 node_id  then of each: orchestrator_id, epoch
-- Returns of each 1 if it was the one that counted, else 0.
local released = {}
for at = 2, #ARGV, 2 do
  local id = ARGV[at]
  if redis.call('HGET', KEYS[1], id) == ARGV[at + 1] .. ' ' .. ARGV[1] then
    redis.call('HDEL', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
    redis.call('XADD', KEYS[4], '*', 'id', id)
    released[#released + 1] = 1
  else
    released[#released + 1] = 0
  end
end
return released
