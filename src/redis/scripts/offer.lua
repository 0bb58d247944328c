-- Appends frames to the queues of those who own their orchestrators, where they are who the sender takes them for.
-- KEYS  1 owners  2 nodes
-- ARGV  1 prefix of queue keys  2 ms after which what stands in a queue is of no use to anybody
--       then for each orchestrator: its id, the owner as `{epoch} {node_id}` or "", how many frames, each as JSON
-- Returns for each the owner that counts, if its node's lease holds, else "". Nothing is appended where that is another.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local live = {}
for _, node in ipairs(redis.call('ZRANGE', KEYS[2], now, '+inf', 'BYSCORE')) do live[node] = true end
local found = {}
local queues = {}
local at = 3
while at <= #ARGV do
  local frames = tonumber(ARGV[at + 2])
  local owner = redis.call('HGET', KEYS[1], ARGV[at])
  local node = owner and string.match(owner, '^%d+ (.+)$')
  if not (node and live[node]) then owner = '' end
  if owner == ARGV[at + 1] and frames > 0 then
    local queue = ARGV[1] .. node
    for nth = at + 3, at + 2 + frames do redis.call('XADD', queue, '*', 'frame', ARGV[nth]) end
    queues[queue] = true
  end
  found[#found + 1] = owner
  at = at + 3 + frames
end
for queue in pairs(queues) do redis.call('PEXPIRE', queue, ARGV[2]) end
return found
