-- publish.lua: one batch of a node gets its place in the order of a lane.
-- KEYS  1 state  2 log  3 channel
-- ARGV  1 node  2 n  3 epoch and 4 seq: the latest place that the node has seen  5 random  6 batch
--       7 bytes and 8 seconds of a generation of the log  9 PUBLISH or SPUBLISH
-- state e epoch, s seq; f first seq in the log, o when it came; p, t, b first seq, time, bytes of the log's younger generation;
--       n:NODE "n seq epoch time" of the node's last batch
-- All checks come before the first write. The first write is one that Redis refuses when it is out of memory; so it writes
-- everything or nothing.
local st = redis.call('HMGET', KEYS[1], 'e', 's', 'f', 'p', 't', 'b', 'n:' .. ARGV[1], 'o')
local e, s, f, p, t, b = st[1], tonumber(st[2]) or 0, tonumber(st[3]) or 1, tonumber(st[4]) or 1, tonumber(st[5]) or 0, tonumber(st[6]) or 0
local o = tonumber(st[8]) or t

-- Was it applied before? A call that timed out is made again.
local last = st[7] and tonumber(string.match(st[7], '^%d+'))
if last and tonumber(ARGV[2]) <= last then
  local seq, epoch = string.match(st[7], '^%d+ (%d+) (%x+)')
  return {0, epoch, seq, ''}
end

-- Does everything fit? The counter must be there, must not be behind what the node has seen, and the log must have each
-- number from f to s. (XADD takes only ids above the last one, so that the count proves it.)
local time = redis.call('TIME')
local now = tonumber(time[1])
local len = redis.call('XLEN', KEYS[2])
local minted = ''
if not e then
  minted = 'no counter'
elseif ARGV[3] > e or (ARGV[3] == e and tonumber(ARGV[4]) > s) then
  minted = 'counter behind'
elseif len ~= s - f + 1 then
  minted = 'log lost'
end

-- If not, the numbering starts again in a new epoch: 11 digits of milliseconds, later than every epoch that is known here,
-- and 5 random ones.
if minted ~= '' then
  local later = now * 1000 + math.floor(tonumber(time[2]) / 1000)
  for _, old in ipairs({e or '', ARGV[3]}) do
    local before = tonumber(string.sub(old, 1, 11), 16)
    if before and before >= later then later = before + 1 end
  end
  e = string.format('%011x', later) .. ARGV[5]
  s, f, p, t, b, o = 0, 1, 1, now, 0, now
end

-- The log has two generations; when the younger is full or old, the older one goes.
local trim = false
if s >= p and (b + #ARGV[6] > tonumber(ARGV[7]) or now - t >= tonumber(ARGV[8]) or now < t) then
  trim = f < p
  f, p, o, t, b = p, s + 1, t, now, 0
end

-- Mostly three fields change, and each that is written costs as much as a small command.
s = s + 1
local seq, bytes = string.format('%.0f', s), string.format('%.0f', b + #ARGV[6])
local own, place = 'n:' .. ARGV[1], ARGV[2] .. ' ' .. seq .. ' ' .. e .. ' ' .. time[1]
if b > 0 and minted == '' then
  redis.call('HSET', KEYS[1], 's', seq, 'b', bytes, own, place)
else
  redis.call('HSET', KEYS[1], 'e', e, 's', seq, 'f', string.format('%.0f', f), 'p', string.format('%.0f', p), 't', string.format('%.0f', t),
    'o', string.format('%.0f', o), 'b', bytes, own, place)
end
if minted ~= '' then
  redis.call('DEL', KEYS[2])
end
redis.call('XADD', KEYS[2], seq .. '-0', 'b', ARGV[6])
if trim then
  redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f-0', f))
end
redis.call(ARGV[9], KEYS[3], e .. ' ' .. seq .. ' ' .. ARGV[6])

-- A new node sweeps out those that have been silent for an hour: nobody makes a call again after that.
if not st[7] and redis.call('HLEN', KEYS[1]) > 64 then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local last = string.sub(all[i], 1, 2) == 'n:' and tonumber(string.match(all[i + 1], ' (%d+)$'))
    if last and last < now - 3600 then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
return {1, e, seq, minted}
