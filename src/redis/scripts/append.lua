-- Appends lines to the log ring and caps it; those of the audit are kept apart as well, where no others push them out.
-- KEYS  1 logs  2 audit  3 the newest write of this writer
-- ARGV  1 lines the ring keeps  2 lines of the audit that are kept  3 number of this write, higher than those of its
--       writer before it  then the lines
-- A write that was done, and answered too late, comes again under its number: it is not done twice. Known for ten minutes,
-- it is known for much longer than until that.
local before = redis.call('SET', KEYS[3], ARGV[3], 'PX', 600000, 'GET')
if before and tonumber(before) >= tonumber(ARGV[3]) then
  redis.call('SET', KEYS[3], before, 'PX', 600000)
  return
end
local audited = false
for at = 4, #ARGV do
  local id = redis.call('XADD', KEYS[1], '*', 'line', ARGV[at])
  -- It is JSON as the logger renders it: within a text these quotes would be escaped.
  if string.find(ARGV[at], '"event":"audit"', 1, true) then
    audited = true
    local added = redis.pcall('XADD', KEYS[2], id, 'line', ARGV[at])
    -- A ring that was lost alone, and a clock that went back: it is newer all the same.
    if type(added) == 'table' and added.err then redis.call('XADD', KEYS[2], '*', 'line', ARGV[at]) end
  end
end
redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', ARGV[1])
if audited then redis.call('XTRIM', KEYS[2], 'MAXLEN', '=', ARGV[2]) end
