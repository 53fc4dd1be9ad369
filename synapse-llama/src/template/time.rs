//! `strftime_now`, with which templates tell the model the date. In UTC: miners of one subnet should say the same.

use std::time::{SystemTime, UNIX_EPOCH};

use synapse_core::Date;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// The time now in a format of `strftime`'s: `%Y %y %m %d %e %B %b %A %a %H %I %M %S %p %j %F %T %%`.
pub(super) fn strftime_now(format: &str) -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    strftime(format, seconds)
}

fn strftime(format: &str, unix_seconds: u64) -> String {
    let (days, second_of_day) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let (year, month, day) = Date::of_unix_seconds(unix_seconds).civil();
    let year = u64::from(year);
    let name = |names: &[&'static str], index: u64| {
        usize::try_from(index)
            .ok()
            .and_then(|index| names.get(index).copied())
            .unwrap_or_default()
    };
    let (month_name, day_name) = (name(&MONTHS, u64::from(month) - 1), name(&DAYS, days % 7));
    let short = |name: &str| name.chars().take(3).collect::<String>();
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('Y') => text += &year.to_string(),
            Some('y') => text += &format!("{:02}", year % 100),
            Some('m') => text += &format!("{month:02}"),
            Some('d') => text += &format!("{day:02}"),
            Some('e') => text += &format!("{day:2}"),
            Some('B') => text += month_name,
            Some('b') => text += &short(month_name),
            Some('A') => text += day_name,
            Some('a') => text += &short(day_name),
            Some('H') => text += &format!("{hour:02}"),
            Some('I') => text += &format!("{:02}", (hour + 11) % 12 + 1),
            Some('M') => text += &format!("{minute:02}"),
            Some('S') => text += &format!("{second:02}"),
            Some('p') => text += if hour < 12 { "AM" } else { "PM" },
            Some('j') => text += &format!("{:03}", days - days_before(year) + 1),
            Some('F') => text += &format!("{year}-{month:02}-{day:02}"),
            Some('T') => text += &format!("{hour:02}:{minute:02}:{second:02}"),
            Some('%') | None => text.push('%'),
            Some(other) => text.extend(['%', other]),
        }
    }
    text
}

/// Days from 1970 to the first of a year.
fn days_before(year: u64) -> u64 {
    let past = year - 1;
    365 * (year - 1970) + (past / 4 - past / 100 + past / 400) - 477
}

#[cfg(test)]
mod tests {
    use super::strftime;

    #[test]
    fn dates_are_right() {
        let check = |seconds, format, text: &str| assert_eq!(strftime(format, seconds), text);
        check(
            0,
            "%A %d %B %Y %H:%M:%S %j",
            "Thursday 01 January 1970 00:00:00 001",
        );
        check(951_782_400, "%a %F %j", "Tue 2000-02-29 060");
        check(
            1_735_689_599,
            "%b %e %y %I:%M %p %T %j %%",
            "Dec 31 24 11:59 PM 23:59:59 366 %",
        );
        check(1_795_392_000, "%d %b %Y, %q%", "23 Nov 2026, %q%");
    }
}
