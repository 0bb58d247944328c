-- Lists the nodes by lease.
-- KEYS  1 nodes  2 born
-- Returns { age of the data set in ms (-1 if unknown), { live node_id ... }, { dead node_id ... } }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local born = redis.call('GET', KEYS[2])
local age = -1
if born then age = now - born end
local live = redis.call('ZRANGE', KEYS[1], now, '+inf', 'BYSCORE')
local dead = redis.call('ZRANGE', KEYS[1], '-inf', '(' .. now, 'BYSCORE')
return { age, live, dead }
