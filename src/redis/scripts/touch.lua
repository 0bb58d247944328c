-- Sets the last heartbeat of orchestrators that are present, and counts the heartbeats.
-- KEYS  1 last_seen  2 beats of this bucket  3 changes
-- ARGV  1 number of heartbeats  then pairs: ms, orchestrator_id
redis.call('INCRBY', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], 120000)
for at = 2, #ARGV, 200 do
  redis.call('ZADD', KEYS[1], 'XX', 'GT', unpack(ARGV, at, math.min(at + 199, #ARGV)))
end
redis.call('XADD', KEYS[3], '*', 'seen', table.concat(ARGV, ' ', 2))
