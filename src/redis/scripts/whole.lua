-- Looks whether the presence holds everybody who is connected.
-- KEYS  1 born  2 incomplete  3 server
-- Returns 1 if it does, 0 while this data set is new, or goes on with another server, and may lack some of them.
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
if redis.call('GET', KEYS[3]) ~= server then return 0 end
return 1
