-- Takes a request's cost from all windows of all its accounts, or from none.
--
-- KEYS: the clock, the reservation, an account each.
-- ARGV: how long the reservation is kept (ms), requests, tokens; of each account the number of its windows, and of each
--       window its kind and amount.
-- Returns: 1 where it was taken, 0 where it was not, -1 where the reservation had been called off before; the time
--       (µs since 1970); the calendar's time; of each window what was used before: units and parts of a unit.
--
-- A number in Lua is a double, exact below 2^53. So what is used of a window that refills is kept as whole units and as
-- parts of one, of which there are as many in a unit as its period has microseconds: `amount` parts come back each.

local MINUTE, HOUR, DAY = 60e6, 3600e6, 86400e6
local PERIODS = { [0] = 1e6, MINUTE, HOUR, DAY }
-- By period: how long (ms) what was taken can matter.
local KEPT = { [0] = 2e3, 61e3, 3601e3, 86401e3, 86401e3, 31 * 86400e3 + 1e3 }
local CLOCK_KEPT = 40 * 86400e3

local function number(x) return string.format('%.0f', x) end

-- x / y, whole and rest, for x below 2^53.
local function divide(x, y)
    local whole = math.floor(x / y)
    local rest = x - whole * y
    if rest < 0 then return whole - 1, rest + y end
    if rest >= y then return whole + 1, rest - y end
    return whole, rest
end

-- time × amount / period, whole and rest, by the digits of the amount (15 bits each), for time < period < 2^37.
local function came_back(time, amount, period)
    local units, parts = 0, 0
    for place = 3, 0, -1 do
        local digit = math.floor(amount / 32768 ^ place) % 32768
        local more
        more, parts = divide(parts * 32768 + time * digit, period)
        units = units * 32768 + more
    end
    return units, parts
end

-- The month since January 1970 (Howard Hinnant, chrono-compatible low-level date algorithms).
local function month_of(day)
    local shifted = day + 719468
    local era, of_era = divide(shifted, 146097)
    local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
        - math.floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    return (era * 400 + year) * 12 + math.floor((5 * of_year + 2) / 153) + 2 - 1970 * 12
end

-- Time goes on by what Redis' clock does, and stands while that runs back; the calendar waits until it is there again.
local time = redis.call('TIME')
local raw = time[1] * 1e6 + time[2]
local clock = redis.call('HMGET', KEYS[1], 'now', 'raw', 'calendar')
local now, calendar = raw, raw
if clock[1] then
    now = clock[1] + math.max(0, raw - clock[2])
    calendar = math.max(raw, tonumber(clock[3]))
end
redis.call('HSET', KEYS[1], 'now', number(now), 'raw', number(raw), 'calendar', number(calendar))
redis.call('PEXPIRE', KEYS[1], CLOCK_KEPT)
if redis.call('EXISTS', KEYS[2]) == 1 then return { -1, raw, calendar } end

local day = math.floor(calendar / DAY)
local numbers = { [4] = day, [5] = month_of(day) }

-- What is used of a slot now: units and parts.
local function level(slot, period)
    if period > 3 then
        if slot.stamp ~= numbers[period] then return 0, 0 end
        return slot.units, 0
    end
    local passed = now - slot.stamp
    if passed >= PERIODS[period] then return 0, 0 end
    local units, parts = came_back(passed, slot.amount, PERIODS[period])
    units, parts = slot.units - units, slot.parts - parts
    if parts < 0 then units, parts = units - 1, parts + PERIODS[period] end
    if units < 0 then return 0, 0 end
    return units, parts
end

local costs = { [0] = tonumber(ARGV[2]), tonumber(ARGV[3]) }
local fits, reply, writes, begun, at = true, { 0, raw, calendar }, {}, {}, 4
for account = 3, #KEYS do
    local slots, kept, is_used = {}, 0, false
    local stored = redis.call('HGETALL', KEYS[account])
    for field = 1, #stored, 2 do
        local kind = tonumber(stored[field])
        local amount, units, parts, stamp = string.match(stored[field + 1], '^(%d+) (%d+) (%d+) (%d+)$')
        slots[kind] = {
            amount = tonumber(amount), units = tonumber(units), parts = tonumber(parts), stamp = tonumber(stamp),
        }
        local whole, rest = level(slots[kind], kind % 6)
        is_used = is_used or whole + rest > 0
        kept = math.max(kept, KEPT[kind % 6])
    end
    -- An account of which nothing is used is as good as none, whether it has expired yet or not.
    if not is_used then slots, kept = {}, 0 end
    local write = { 'HSET', KEYS[account] }
    for _ = 1, tonumber(ARGV[at]) do
        local kind, amount = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
        at = at + 2
        local period, cost = kind % 6, costs[math.floor(kind / 6)]
        local units, parts = 0, 0
        if slots[kind] then
            units, parts = level(slots[kind], period)
            if period < 4 and units >= amount then units, parts = amount, 0 end
        elseif period < 4 then
            -- One that was not there begins with what the others of its unit have in use.
            for other, slot in pairs(slots) do
                if math.floor(other / 6) == math.floor(kind / 6) and other % 6 < 4 then
                    local used, rest = level(slot, other % 6)
                    if rest > 0 then used = used + 1 end
                    units = math.max(units, math.min(used, amount))
                end
            end
            if is_used then
                begun[#begun + 1] = { 'HSET', KEYS[account], kind,
                    number(amount) .. ' ' .. number(units) .. ' 0 ' .. number(now) }
            end
        end
        local after = units + cost
        if after > amount or (after == amount and parts > 0) then fits = false end
        kept = math.max(kept, KEPT[period])
        reply[#reply + 1] = units
        reply[#reply + 1] = parts
        write[#write + 1] = kind
        write[#write + 1] = number(amount) .. ' ' .. number(after) .. ' ' .. number(parts) .. ' '
            .. number(numbers[period] or now)
    end
    at = at + 1
    writes[#writes + 1] = { write, KEYS[account], kept, not is_used }
end
if not fits then
    -- So that a window that was not there before drains from now on.
    for _, one in ipairs(begun) do redis.call(unpack(one)) end
    return reply
end
for _, one in ipairs(writes) do
    if one[4] then redis.call('DEL', one[2]) end
    redis.call(unpack(one[1]))
    redis.call('PEXPIRE', one[2], one[3])
end
redis.call('SET', KEYS[2], number(calendar), 'PX', ARGV[1])
reply[1] = 1
return reply
