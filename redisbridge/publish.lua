-- publish.lua gives a batch of a node its place in the order of its lane. One call has batches of one lane or of many.
-- KEYS  for each lane: state, log
-- ARGV  1 node  2 random  3 bytes and 4 seconds of a generation of the log  5 PUBLISH or SPUBLISH
--       6 deadline by this server's clock, in milliseconds; after it the call is refused
--       for each lane: channel, n, epoch and seq (the latest place that the node has seen), batch
-- Returns, for each lane: 1 taken, 0 taken before, 2 too late; epoch; seq, or the clock if it is too late; reason for a new epoch,
-- or ''
-- state e epoch, s seq; f first seq in the log, o when it came; p, t, b first seq, time, bytes of the log's younger generation;
--       n:NODE "n seq epoch time" of the node's last batch; h the last epochs before e, whose logs are at LOG:EPOCH
-- All checks of a lane come before its first write. When Redis is out of memory, it refuses the first write of the call; once it has
-- accepted the first, it refuses none of the others. So a call writes everything or nothing, unless a key has the wrong type.
local time = redis.call('TIME')
local now = tonumber(time[1])
local ms = now * 1000 + math.floor(tonumber(time[2]) / 1000)
local own, answers = 'n:' .. ARGV[1], {}

for i = 0, #KEYS / 2 - 1 do
  local state, log, channel = KEYS[2 * i + 1], KEYS[2 * i + 2], ARGV[5 * i + 7]
  local n, epoch, seq, batch = ARGV[5 * i + 8], ARGV[5 * i + 9], tonumber(ARGV[5 * i + 10]), ARGV[5 * i + 11]
  local st = redis.call('HMGET', state, 'e', 's', 'f', 'p', 't', 'b', 'o', own)
  local e, s, f, p, t, b = st[1], tonumber(st[2]) or 0, tonumber(st[3]) or 1, tonumber(st[4]) or 1, tonumber(st[5]) or 0, tonumber(st[6]) or 0
  local o = tonumber(st[7]) or t

  -- Was the batch taken before? A node repeats a call whose answer was lost.
  local last = st[8] and tonumber(string.match(st[8], '^%d+'))
  if last and tonumber(n) <= last then
    local seq, epoch = string.match(st[8], '^%d+ (%d+) (%x+)')
    answers[#answers + 1], answers[#answers + 2], answers[#answers + 3], answers[#answers + 4] = 0, epoch, seq, ''
  elseif ms > tonumber(ARGV[6]) then
    answers[#answers + 1], answers[#answers + 2], answers[#answers + 3], answers[#answers + 4] = 2, '', string.format('%.0f', ms), ''
  else
    -- Is everything intact? The counter must exist, must not be behind the place that the node has seen, and the log must have
    -- each number from f to s. (XADD takes only ids above the last one, so it is enough to count the entries.)
    local minted = ''
    local whole = e and #e == 16 and string.match(e, '^%x+$')
    if not whole or not st[2] then
      minted = 'no counter'
    elseif epoch > e or (epoch == e and seq > s) then
      minted = 'counter behind'
    elseif redis.call('XLEN', log) ~= s - f + 1 then
      minted = 'log lost'
    end

    -- If not, a new epoch begins: 11 digits of milliseconds, later than every epoch that is known here, and 5 random ones.
    local before = e
    if minted ~= '' then
      local later = ms
      for _, old in ipairs({e or '', epoch}) do
        local was = tonumber(string.sub(old, 1, 11), 16)
        if was and was >= later then later = was + 1 end
      end
      e = string.format('%011x', later) .. ARGV[2]
      s, f, p, t, b, o = 0, 1, 1, now, 0, now
    end

    -- The log has two generations. When the younger one is full or old, the older one is deleted.
    local trim = false
    if s >= p and (b + #batch > tonumber(ARGV[3]) or now - t >= tonumber(ARGV[4]) or now < t) then
      trim = f < p
      f, p, o, t, b = p, s + 1, t, now, 0
    end

    -- Usually only three fields change, so only these are written: each field costs as much as a small command.
    s = s + 1
    local number, bytes = string.format('%.0f', s), string.format('%.0f', b + #batch)
    local place = n .. ' ' .. number .. ' ' .. e .. ' ' .. time[1]
    if b > 0 and minted == '' then
      redis.call('HSET', state, 's', number, 'b', bytes, own, place)
    else
      redis.call('HSET', state, 'e', e, 's', number, 'f', string.format('%.0f', f), 'p', string.format('%.0f', p), 't', string.format('%.0f', t),
        'o', string.format('%.0f', o), 'b', bytes, own, place)
    end

    -- The log of the epoch that ends is kept for as long as a log reaches back: nodes that have not read it to its end do so
    -- first.
    if minted ~= '' then
      if whole and redis.call('EXISTS', log) == 1 then
        redis.call('RENAME', log, log .. ':' .. before)
        redis.call('EXPIRE', log .. ':' .. before, 2 * tonumber(ARGV[4]))
        redis.call('HSET', state, 'h', string.sub((redis.call('HGET', state, 'h') or '') .. ' ' .. before, -17 * 8))
      else
        redis.call('DEL', log)
      end
    end
    redis.call('XADD', log, number .. '-0', 'b', batch)
    if trim then
      redis.call('XTRIM', log, 'MINID', string.format('%.0f-0', f))
    end
    redis.call(ARGV[5], channel, e .. ' ' .. number .. ' ' .. batch)

    -- A new node removes nodes that have been silent for an hour, because no call is repeated after that long.
    if not st[8] and redis.call('HLEN', state) > 64 then
      local all = redis.call('HGETALL', state)
      for j = 1, #all, 2 do
        local last = string.sub(all[j], 1, 2) == 'n:' and tonumber(string.match(all[j + 1], ' (%d+)$'))
        if last and last < now - 3600 then redis.call('HDEL', state, all[j]) end
      end
    end
    answers[#answers + 1], answers[#answers + 2], answers[#answers + 3], answers[#answers + 4] = 1, e, number, minted
  end
end
return answers
