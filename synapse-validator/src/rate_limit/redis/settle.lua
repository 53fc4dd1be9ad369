-- Gives back what a reservation did not use, once: a reservation that is not there was settled, or is too old, or was
-- made before Redis lost what it had.
--
-- KEYS: the reservation, an account each.
-- ARGV: how long (ms) a reservation that is not there stays called off, 0 where it was made for sure; requests, tokens;
--       of each account the number of its windows, and the kind of each.

local taken = redis.call('GET', KEYS[1])
if not taken then
    if ARGV[1] ~= '0' then redis.call('SET', KEYS[1], '', 'PX', ARGV[1]) end
    return 0
end
-- Called off already: it stays so, in case what asked for it is still under way.
if taken == '' then return 0 end
redis.call('DEL', KEYS[1])

local function number(x) return string.format('%.0f', x) end

local function divide(x, y)
    local whole = math.floor(x / y)
    return whole, x - whole * y
end

local function month_of(day)
    local shifted = day + 719468
    local era, of_era = divide(shifted, 146097)
    local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524)
        - math.floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    return (era * 400 + year) * 12 + math.floor((5 * of_year + 2) / 153) + 2 - 1970 * 12
end

local day = math.floor(taken / 86400e6)
local numbers = { [4] = day, [5] = month_of(day) }
local costs = { [0] = tonumber(ARGV[2]), tonumber(ARGV[3]) }
local at = 4
for account = 2, #KEYS do
    for _ = 1, tonumber(ARGV[at]) do
        local kind = tonumber(ARGV[at + 1])
        at = at + 1
        local cost = costs[math.floor(kind / 6)]
        local slot = cost > 0 and redis.call('HGET', KEYS[account], kind)
        if slot then
            local amount, units, parts, stamp = string.match(slot, '^(%d+) (%d+) (%d+) (%d+)$')
            -- A budget of another day or month gets nothing back.
            local other = numbers[kind % 6] and numbers[kind % 6] ~= tonumber(stamp)
            if not other then
                units = units - cost
                if units < 0 then units, parts = 0, 0 end
                redis.call('HSET', KEYS[account], kind,
                    amount .. ' ' .. number(units) .. ' ' .. number(parts) .. ' ' .. stamp)
            end
        end
    end
    at = at + 1
end
return 1
