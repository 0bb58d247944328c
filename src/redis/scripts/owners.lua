-- Looks up the connections that count for orchestrators.
-- KEYS  1 owners  2 nodes
-- ARGV  orchestrator_id ...
-- Returns for each `{epoch} {node_id}` if that node's lease holds, else "".
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local live = {}
for _, node in ipairs(redis.call('ZRANGE', KEYS[2], now, '+inf', 'BYSCORE')) do live[node] = true end
local found = {}
for at, id in ipairs(ARGV) do
  local owner = redis.call('HGET', KEYS[1], id)
  if owner and live[string.match(owner, '^%d+ (.+)$')] then found[at] = owner else found[at] = '' end
end
return found
