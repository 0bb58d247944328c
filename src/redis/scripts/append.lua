-- Appends lines to the log ring and caps it; those of the audit are kept apart as well, where no others push them out.
-- KEYS  1 logs  2 audit
-- ARGV  1 lines the ring keeps  2 lines of the audit that are kept  then the lines
for at = 3, #ARGV do
  local id = redis.call('XADD', KEYS[1], '*', 'line', ARGV[at])
  -- It is JSON as the logger renders it: within a text these quotes would be escaped.
  if string.find(ARGV[at], '"event":"audit"', 1, true) then
    local added = redis.pcall('XADD', KEYS[2], id, 'line', ARGV[at])
    -- A ring that was lost alone, and a clock that went back: it is newer all the same.
    if type(added) == 'table' and added.err then redis.call('XADD', KEYS[2], '*', 'line', ARGV[at]) end
  end
end
redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', ARGV[1])
redis.call('XTRIM', KEYS[2], 'MAXLEN', '=', ARGV[2])
