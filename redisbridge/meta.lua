-- meta.lua writes back the agreement of the nodes: how they divide the rooms into lanes. Of two agreements the older one holds.
-- Of two versions of the same agreement the later one holds.
-- KEYS  1 meta
-- ARGV  1 the agreement that this node knows
-- Returns the agreement that now holds
local function read(text)
  local version, lanes, key = string.match(text, '^v(%d+) lanes=(%d+) key=(%x+)')
  return tonumber(version), lanes, key, tonumber(string.match(text, ' at=(%d+)') or '0')
end
local there = redis.call('GET', KEYS[1])
if there then
  local version, lanes, key, at = read(there)
  local ourVersion, ourLanes, ourKey, ourAt = read(ARGV[1])
  if not version then
    return there
  end
  if key == ourKey and lanes == ourLanes then
    if version >= ourVersion then
      return there
    end
  elseif at < ourAt or at == ourAt and key < ourKey then
    return there
  end
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
