-- Clears what a dead node left: its presence, its owners' entries, its place among the nodes.
-- KEYS  1 nodes  2 node  3 presence of the node  4 owners  5 last_seen  6 changes
-- ARGV  1 node_id
-- Returns nothing if its lease holds after all, else how many connections it had.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ends and tonumber(ends) >= now then return false end
local ids = redis.call('HKEYS', KEYS[3])
for _, id in ipairs(ids) do
  local owner = redis.call('HGET', KEYS[4], id)
  if owner and string.match(owner, '^%d+ (.+)$') == ARGV[1] then
    redis.call('HDEL', KEYS[4], id)
    redis.call('ZREM', KEYS[5], id)
  end
end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('ZREM', KEYS[1], ARGV[1])
if #ids > 0 then redis.call('XADD', KEYS[6], '*', 'all', ARGV[1]) end
return #ids
