-- read.lua: what a lane's log has from a seq on, and the numbering it belongs to, at one moment.
-- KEYS  1 state  2 log        ARGV  1 from this seq  2 at most so many  3 "1": and the last batch of every node
local st = redis.call('HMGET', KEYS[1], 'e', 's')
local nodes = {}
if ARGV[3] == '1' then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'n:' then
      nodes[#nodes + 1] = string.sub(all[i], 3)
      nodes[#nodes + 1] = string.match(all[i + 1], '^%d+') or '0'
    end
  end
end
return {st[1] or '', st[2] or '0', redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2]), nodes}
