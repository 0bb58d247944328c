-- Appends lines to the log ring and caps it.
-- KEYS  1 logs
-- ARGV  1 lines the ring keeps  then the lines
for at = 2, #ARGV do redis.call('XADD', KEYS[1], '*', 'line', ARGV[at]) end
redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', ARGV[1])
