-- Removes a queue that is empty.
-- KEYS  1 queue
-- Returns how many frames stand in it: with any, it stays.
local left = redis.call('XLEN', KEYS[1])
if left == 0 then redis.call('DEL', KEYS[1]) end
return left
