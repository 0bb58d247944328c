-- Looks what has changed in the presence since somebody read it.
-- KEYS  1 born  2 incomplete  3 server  4 nodes  5 changes
-- ARGV  1 id of the change up to which the reader knows everything, "" for none  2 changes at the most
--       3 prefix of presence keys
-- Returns { 1 if the presence holds everybody, as in whole.lua, else 0; run id of this server; id of the newest change;
-- { live node_id ... }; how many are present through them; the changes behind ARGV 1, oldest first, as XRANGE gives
-- them, or nothing where they are not known or too many: everything must be read }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
local whole = redis.call('EXISTS', KEYS[1]) == 1 and redis.call('EXISTS', KEYS[2]) == 0
whole = whole and redis.call('GET', KEYS[3]) == server

local live = redis.call('ZRANGE', KEYS[4], now, '+inf', 'BYSCORE')
local present = 0
for _, node in ipairs(live) do present = present + redis.call('HLEN', ARGV[3] .. node) end

local newest = ''
if redis.call('EXISTS', KEYS[5]) == 1 then
  local stream = redis.call('XINFO', 'STREAM', KEYS[5])
  for at = 1, #stream, 2 do
    if stream[at] == 'last-generated-id' then newest = stream[at + 1] end
  end
end
local changes = false
if newest ~= '' and newest == ARGV[1] then
  changes = {}
elseif newest ~= '' and ARGV[1] ~= '' then
  local found = redis.call('XRANGE', KEYS[5], ARGV[1], '+', 'COUNT', ARGV[2])
  -- Where the last one that is known is gone, others behind it may be as well: trimmed, or lost with a server.
  if found[1] and found[1][1] == ARGV[1] and #found < tonumber(ARGV[2]) then
    table.remove(found, 1)
    changes = found
  end
end
return { whole and 1 or 0, server, newest, live, present, changes }
