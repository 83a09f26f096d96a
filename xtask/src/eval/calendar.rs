//! Days and hours of the simulated desk. Day 0 is a Monday; times are milliseconds since 1970, UTC.

/// Milliseconds in a second.
pub const SECOND: u64 = 1000;
/// Milliseconds in an hour.
pub const HOUR: u64 = 3600 * SECOND;
/// Milliseconds in a day.
pub const DAY: u64 = 24 * HOUR;
/// Day 0: Monday, 1 January 2024.
const BEGIN: u64 = 1_704_067_200 * SECOND;

/// When a day begins.
pub fn begin(day: u32) -> u64 {
    BEGIN + u64::from(day) * DAY
}

/// The day of a time; 0 for whatever is earlier than day 0.
pub fn day(time: u64) -> u32 {
    u32::try_from(time.saturating_sub(BEGIN) / DAY).unwrap_or(u32::MAX)
}

/// Monday is 0.
pub fn weekday(day: u32) -> usize {
    (day % 7) as usize
}

/// Saturday or Sunday.
pub fn is_weekend(day: u32) -> bool {
    weekday(day) >= 5
}

/// A time as RFC 3339 writes it, in milliseconds since 1970. `None` when it is something else.
pub fn rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !text.is_ascii() {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, date) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    let rest = &text[19..];
    let digits = rest.strip_prefix('.').map_or("", |rest| {
        &rest[..rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len())]
    });
    let mut milliseconds = 0;
    for (digit, weight) in digits.bytes().zip([100, 10, 1]) {
        milliseconds += u64::from(digit - b'0') * weight;
    }
    let zone = rest.trim_start_matches('.').trim_start_matches(digits);
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days since 1970 by the civil calendar, March first.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted / 400;
    let of_era = shifted % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + date - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let time = ((days * 24 + hour) * 60 + minute) * 60 + second;
    (time * SECOND + milliseconds).checked_add_signed(-offset * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_and_day_0_is_a_monday() {
        assert_eq!(rfc3339("2024-01-01T00:00:00Z"), Some(begin(0)));
        assert_eq!(rfc3339("2024-03-01T00:00:00.5Z"), Some(begin(60) + 500));
        assert_eq!(day(begin(60)), 60);
        assert_eq!(day(begin(60) - 1), 59);
        assert!(is_weekend(5) && is_weekend(6) && !is_weekend(7));
    }

    #[test]
    fn times_are_read_with_their_zone() {
        assert_eq!(
            rfc3339("2024-02-29T13:34:56.789+01:00"),
            Some(1_709_210_096_789)
        );
        assert_eq!(rfc3339("2024-02-29"), None);
        assert_eq!(rfc3339("yesterday, about noon"), None);
    }
}
