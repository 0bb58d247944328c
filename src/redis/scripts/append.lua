-- Appends lines to the log ring and caps it; those of the audit are kept apart as well, where no others push them out.
-- Lines are numbered one by one, and from the server's clock in microseconds on where the ring begins: numbers tell how
-- many lines came behind one, and those of a ring that was lost are lower. An entry holds many lines; its id is the number
-- of its last one, then that of the write: where a server goes on that did not have the newest lines, others get their
-- numbers. It is kept while one of them counts, and a little longer, which makes lone lines cheaper.
-- KEYS  1 logs  2 number of the newest line  3 audit  4 the newest write of this writer
-- ARGV  1 lines the ring keeps  2 lines of the audit that are kept  3 number of this write, higher than those of its
--       writer before it  then of each entry: how many lines it has; these lines, each with its line break; which of them are of the audit,
--       as in "1 7"
-- A write that was done, and answered too late, comes again under its number: it is not done twice. Known for ten minutes,
-- it is known for much longer than until that.
local done = redis.call('SET', KEYS[4], ARGV[3], 'PX', 600000, 'GET')
if done and tonumber(done) >= tonumber(ARGV[3]) then
  redis.call('SET', KEYS[4], done, 'PX', 600000)
  return
end

local added = 0
for at = 4, #ARGV, 3 do added = added + ARGV[at] end
local newest = redis.call('INCRBY', KEYS[2], added)
if newest == added then
  -- There was none. It may have been lost alone.
  local function last_of(key)
    if redis.call('EXISTS', key) == 0 then return nil end
    local stream = redis.call('XINFO', 'STREAM', key)
    for at = 1, #stream, 2 do
      if stream[at] == 'last-generated-id' then return tonumber(string.match(stream[at + 1], '^%d+')) end
    end
  end
  local time = redis.call('TIME')
  local begin = last_of(KEYS[1]) or time[1] * 1000000 + time[2]
  newest = added + math.max(begin, last_of(KEYS[3]) or 0)
  redis.call('SET', KEYS[2], string.format('%.0f', newest))
end

local last = newest - added
for at = 4, #ARGV, 3 do
  local before = last
  last = last + ARGV[at]
  local oldest = string.format('%.0f', last - ARGV[1] + 1)
  redis.call('XADD', KEYS[1], 'MINID', '~', oldest, string.format('%.0f-%s', last, ARGV[3]), 'lines', ARGV[at + 1])
  if ARGV[at + 2] ~= '' then
    local lines = {}
    for line in string.gmatch(ARGV[at + 1], '[^\n]+') do lines[#lines + 1] = line end
    for nth in string.gmatch(ARGV[at + 2], '%d+') do
      local id = string.format('%.0f-%s', before + nth, ARGV[3])
      redis.call('XADD', KEYS[3], 'MAXLEN', '=', ARGV[2], id, 'lines', lines[tonumber(nth)])
    end
  end
end
