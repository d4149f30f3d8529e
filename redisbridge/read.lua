-- read.lua returns the log of a lane from a seq on, with the lane's epoch and counter at the same moment. If the epoch of the
-- reader is over and the reader has not reached its end, it gets the log of that epoch first, and then those of later epochs.
-- KEYS  1 state  2 log
-- ARGV  1 seq of the first wanted entry  2 most entries to return  3 "1": also the last batch of every node
--       4 the epoch that the reader is in, or ''  5 "1": the reader has read the log of that epoch to the end
local st = redis.call('HMGET', KEYS[1], 'e', 's', 'h')
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
if ARGV[4] ~= '' and st[1] and st[1] ~= ARGV[4] and st[3] then
  for epoch in string.gmatch(st[3], '%x+') do -- in ascending order
    if epoch > ARGV[4] or epoch == ARGV[4] and ARGV[5] ~= '1' then
      local log = KEYS[2] .. ':' .. epoch
      local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
      if last then
        local from = epoch == ARGV[4] and ARGV[1] or '0'
        return {epoch, string.match(last[1], '^%d+'), redis.call('XRANGE', log, from .. '-0', '+', 'COUNT', ARGV[2]), nodes, 1}
      end
    end
  end
end
return {st[1] or '', st[2] or '0', redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2]), nodes, 0}
