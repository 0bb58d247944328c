-- Makes connections of one node those that count for their orchestrators, each unless a newer one does.
-- KEYS  1 owners  2 presence of the claiming node  3 last_seen  4 nodes  5 changes
--       6 parked frames of the first orchestrator ...
-- ARGV  1 node_id  2 prefix of presence keys  then of each, no orchestrator twice: orchestrator_id, epoch, entry as JSON,
--       last_seen ms
-- Returns of each { 1, previous owner or "", parked frame ... } or { 0, owner } where a newer epoch counts.
local ids = {}
for at = 3, #ARGV, 4 do ids[#ids + 1] = ARGV[at] end
local owned = redis.call('HMGET', KEYS[1], unpack(ids))
local isParked = redis.call('EXISTS', unpack(KEYS, 6)) > 0
local replies, owners, entries, scores = {}, {}, {}, {}
for at, id in ipairs(ids) do
  local _, claimed, entry, seen = unpack(ARGV, at * 4 - 1, at * 4 + 2)
  local owner = owned[at]
  local epoch, node
  if owner then epoch, node = string.match(owner, '^(%d+) (.+)$') end
  if owner and tonumber(epoch) > tonumber(claimed) then
    replies[at] = { 0, owner }
  else
    if owner and node ~= ARGV[1] then redis.call('HDEL', ARGV[2] .. node, id) end
    owners[#owners + 1] = id
    owners[#owners + 1] = claimed .. ' ' .. ARGV[1]
    entries[#entries + 1] = id
    entries[#entries + 1] = entry
    scores[#scores + 1] = seen
    scores[#scores + 1] = id
    redis.call('XADD', KEYS[5], '*', 'id', id)
    local reply = { 1, owner or '' }
    if isParked then
      for _, frame in ipairs(redis.call('LRANGE', KEYS[at + 5], 0, -1)) do reply[#reply + 1] = frame end
      redis.call('DEL', KEYS[at + 5])
    end
    replies[at] = reply
  end
end
if #owners > 0 then
  redis.call('HSET', KEYS[1], unpack(owners))
  redis.call('HSET', KEYS[2], unpack(entries))
  redis.call('ZADD', KEYS[3], unpack(scores))
end
-- A node that was cleared and is back has no place until it renews: dead rather than unknown, the sweep finds it.
redis.call('ZADD', KEYS[4], 'NX', 0, ARGV[1])
return replies
