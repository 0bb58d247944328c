-- Makes a connection the one that counts for its orchestrator, unless a newer one does.
-- KEYS  1 owners  2 presence of the claiming node  3 last_seen  4 parked frames of the orchestrator  5 nodes
--       6 changes
-- ARGV  1 orchestrator_id  2 epoch  3 node_id  4 entry as JSON  5 last_seen ms  6 prefix of presence keys
-- Returns { 1, previous owner or "", parked frame ... } or { 0, owner } where a newer epoch counts.
local owner = redis.call('HGET', KEYS[1], ARGV[1])
if owner then
  local epoch, node = string.match(owner, '^(%d+) (.+)$')
  if tonumber(epoch) > tonumber(ARGV[2]) then return { 0, owner } end
  if node ~= ARGV[3] then redis.call('HDEL', ARGV[6] .. node, ARGV[1]) end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
-- A node that was cleared and is back has no place until it renews: dead rather than unknown, the sweep finds it.
redis.call('ZADD', KEYS[5], 'NX', 0, ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
redis.call('XADD', KEYS[6], '*', 'id', ARGV[1])
local reply = redis.call('LRANGE', KEYS[4], 0, -1)
redis.call('DEL', KEYS[4])
table.insert(reply, 1, owner or '')
table.insert(reply, 1, 1)
return reply
