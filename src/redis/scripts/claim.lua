-- Makes connections of one node those that count for their orchestrators, each unless a newer one does.
-- KEYS  1 owners  2 presence of the claiming node  3 last_seen  4 nodes  5 changes
--       6 parked frames of the first orchestrator ...
-- ARGV  1 node_id  2 prefix of presence keys  then of each: orchestrator_id, epoch, entry as JSON, last_seen ms
-- Returns of each { 1, previous owner or "", parked frame ... } or { 0, owner } where a newer epoch counts.
local replies = {}
for at = 6, #KEYS do
  local id, claimed, entry, seen = unpack(ARGV, (at - 6) * 4 + 3, (at - 6) * 4 + 6)
  local owner = redis.call('HGET', KEYS[1], id)
  local epoch, node
  if owner then epoch, node = string.match(owner, '^(%d+) (.+)$') end
  if owner and tonumber(epoch) > tonumber(claimed) then
    replies[#replies + 1] = { 0, owner }
  else
    if owner and node ~= ARGV[1] then redis.call('HDEL', ARGV[2] .. node, id) end
    redis.call('HSET', KEYS[1], id, claimed .. ' ' .. ARGV[1])
    redis.call('HSET', KEYS[2], id, entry)
    redis.call('ZADD', KEYS[3], seen, id)
    redis.call('XADD', KEYS[5], '*', 'id', id)
    local reply = redis.call('LRANGE', KEYS[at], 0, -1)
    if #reply > 0 then redis.call('DEL', KEYS[at]) end
    table.insert(reply, 1, owner or '')
    table.insert(reply, 1, 1)
    replies[#replies + 1] = reply
  end
end
-- A node that was cleared and is back has no place until it renews: dead rather than unknown, the sweep finds it.
redis.call('ZADD', KEYS[4], 'NX', 0, ARGV[1])
return replies
