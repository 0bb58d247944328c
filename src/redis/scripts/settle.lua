-- Ends the time in which presence may lack somebody, if every one of these nodes has registered with this server.
-- KEYS  1 incomplete  2 server  3 node ...
-- Returns 1 if it has ended, else 0.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
if redis.call('GET', KEYS[2]) ~= server then return 0 end
for at = 3, #KEYS do
  if redis.call('HGET', KEYS[at], 'registered') ~= server then return 0 end
end
redis.call('DEL', KEYS[1])
return 1
