//! Durations, sizes and dates as people write them.

use std::time::Duration;

use super::error::Problem;
use crate::time::Timestamp;

/// A duration: `25ms`, `10s`, `15m`, `2h`.
pub(super) fn duration(text: &toml::Spanned<String>) -> Result<Duration, Problem> {
    let problem = || {
        Problem::new(
            text.span(),
            format!("`{}` is no duration", text.get_ref()),
            "write a number and a unit: \"25ms\", \"10s\", \"15m\", \"2h\" or \"1d\"",
        )
    };
    let value = text.get_ref().trim();
    let split = value
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(problem)?;
    let number: u64 = value[..split].parse().map_err(|_| problem())?;
    let nanos = match value[split..].trim() {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000u64,
        _ => return Err(problem()),
    };
    number
        .checked_mul(nanos)
        .map(Duration::from_nanos)
        .ok_or_else(problem)
}

/// A duration of a command line.
pub fn duration_of(text: &str) -> Option<Duration> {
    duration(&toml::Spanned::new(0..0, text.to_owned())).ok()
}

/// A duration within bounds.
pub(super) fn duration_within(
    text: &toml::Spanned<String>,
    least: Duration,
    most: Duration,
) -> Result<Duration, Problem> {
    let value = duration(text)?;
    if value < least || value > most {
        return Err(Problem::new(
            text.span(),
            format!("`{}` is out of range", text.get_ref()),
            format!("allowed: {} to {}", short(least), short(most)),
        ));
    }
    Ok(value)
}

/// A bound as one would write it.
fn short(duration: Duration) -> String {
    match duration.as_secs() {
        s if s >= 86_400 && s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s >= 3_600 && s % 3_600 == 0 => format!("{}h", s / 3_600),
        _ => format!("{duration:?}"),
    }
}

/// A size in bytes: `500`, `64KiB`, `8MiB`, `1GB`.
pub(super) fn bytes(text: &toml::Spanned<String>) -> Result<u64, Problem> {
    let problem = || {
        Problem::new(
            text.span(),
            format!("`{}` is no size", text.get_ref()),
            "write a number and a unit: \"64KiB\", \"8MiB\", \"2GiB\" (or kB, MB, GB)",
        )
    };
    let value = text.get_ref().trim();
    let split = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let number: u64 = value[..split].parse().map_err(|_| problem())?;
    let unit = match value[split..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(problem()),
    };
    number.checked_mul(unit).ok_or_else(problem)
}

/// A date or date and time of RFC 3339; a date alone means its end, times without an offset are UTC.
pub(super) fn moment(value: &toml::Spanned<toml::value::Datetime>) -> Result<Timestamp, Problem> {
    let problem = || {
        Problem::new(
            value.span(),
            format!("`{}` is no date", value.get_ref()),
            "write a date or a date and time: 2027-03-31 or 2027-03-31T18:00:00Z",
        )
    };
    let date = value.get_ref().date.ok_or_else(problem)?;
    let days = days_from_civil(
        i64::from(date.year),
        i64::from(date.month),
        i64::from(date.day),
    );
    let seconds = match value.get_ref().time {
        Some(time) => {
            i64::from(time.hour) * 3600
                + i64::from(time.minute) * 60
                + i64::from(time.second.unwrap_or(0))
        }
        None => 86_400,
    };
    let offset = match value.get_ref().offset {
        Some(toml::value::Offset::Custom { minutes }) => i64::from(minutes) * 60,
        _ => 0,
    };
    let unix = days * 86_400 + seconds - offset;
    u64::try_from(unix)
        .ok()
        .and_then(|unix| unix.checked_mul(1_000_000_000))
        .map(Timestamp)
        .ok_or_else(problem)
}

/// A date and time of RFC 3339 (a blank for the `T` will do), UTC when it has no offset; to the nanosecond.
pub fn rfc3339(text: &str) -> Option<Timestamp> {
    let parsed: toml::value::Datetime = text.trim().parse().ok()?;
    let (date, time) = (parsed.date?, parsed.time?);
    let days = days_from_civil(
        i64::from(date.year),
        i64::from(date.month),
        i64::from(date.day),
    );
    let offset = match parsed.offset {
        Some(toml::value::Offset::Custom { minutes }) => i64::from(minutes) * 60,
        _ => 0,
    };
    let seconds = days * 86_400
        + i64::from(time.hour) * 3600
        + i64::from(time.minute) * 60
        + i64::from(time.second.unwrap_or(0))
        - offset;
    u64::try_from(seconds)
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(u64::from(time.nanosecond.unwrap_or(0)))
        .map(Timestamp)
}

/// A time as people write it on a command line: RFC 3339, a date (its begin, UTC), or how long ago (`90m`, `12h`, `7d`).
pub fn when(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(ago) = duration_of(text) {
        return Some(now - ago);
    }
    rfc3339(text).or_else(|| rfc3339(&format!("{text}T00:00:00Z")))
}

/// Days since 1970-01-01 (Howard Hinnant's `days_from_civil`, public domain).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_command_line() {
        let now = Timestamp(1_709_210_096_000_000_000);
        for (text, expected) in [
            ("2024-02-29", "2024-02-29T00:00:00.000Z"),
            ("2024-02-29T10:00:00+02:00", "2024-02-29T08:00:00.000Z"),
            ("1d", "2024-02-28T12:34:56.000Z"),
            ("90m", "2024-02-29T11:04:56.000Z"),
        ] {
            let found = when(text, now).map(|time| time.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
        assert_eq!(when("yesterday", now), None);
        assert_eq!(when("", now), None);
    }

    #[test]
    fn days() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2024, 2, 29), 19_782);
    }
}
