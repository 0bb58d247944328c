-- Ends the presence of connections of one node, each unless another connection counts by now.
-- KEYS  1 owners  2 presence of the releasing node  3 last_seen  4 changes
-- ARGV  1 node_id  then of each, no orchestrator twice: orchestrator_id, epoch
-- Returns of each 1 if it was the one that counted, else 0.
local ids, released, ended = {}, {}, {}
for at = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[at] end
for at, owner in ipairs(redis.call('HMGET', KEYS[1], unpack(ids))) do
  released[at] = owner == ARGV[at * 2 + 1] .. ' ' .. ARGV[1] and 1 or 0
  if released[at] == 1 then
    ended[#ended + 1] = ids[at]
    redis.call('XADD', KEYS[4], '*', 'id', ids[at])
  end
end
if #ended > 0 then
  redis.call('HDEL', KEYS[1], unpack(ended))
  redis.call('HDEL', KEYS[2], unpack(ended))
  redis.call('ZREM', KEYS[3], unpack(ended))
end
return released
