//! Instants as microseconds since 1970-01-01 UTC, and the texts CloudTrail writes them in.
//!
//! In: `2024-03-05T10:14:07Z`, AWS's locale dates inside parameters, dates given on the command line. Out: integers, and
//! RFC 3339 text again. There is no clock in here: nothing that is written into a table may depend on when it was made.

/// Microseconds in a second.
pub const MICROS: i64 = 1_000_000;
/// Seconds in a day.
pub const DAY: i64 = 86_400;

/// Days since 1970-01-01 of a proleptic Gregorian date; `None` when there is no such day.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> Option<i64> {
    chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
        .map(|date| date.signed_duration_since(chrono::NaiveDate::default()).num_days())
}

fn digits(bytes: &[u8], start: usize, length: usize) -> Option<u32> {
    let mut value = 0;
    for byte in bytes.get(start..start + length)? {
        value = value * 10 + u32::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    Some(value)
}

/// Parses RFC 3339 (`2024-03-05T10:14:07Z`, fractions, offsets, a space for the `T`, a missing zone meaning UTC) and plain
/// dates, which mean midnight UTC. Gives microseconds since 1970-01-01 UTC.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    let bytes = text.as_bytes();
    let (year, month, day) = (digits(bytes, 0, 4)?, digits(bytes, 5, 2)?, digits(bytes, 8, 2)?);
    if bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let days = days_from_civil(i64::from(year), month, day)?;
    if bytes.len() == 10 {
        return Some(days * DAY * MICROS);
    }
    if !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (hour, minute) = (digits(bytes, 11, 2)?, digits(bytes, 14, 2)?);
    let second = digits(bytes, 17, 2)?;
    if bytes.get(13) != Some(&b':') || bytes.get(16) != Some(&b':') || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if matches!(bytes.get(at), Some(b'.' | b',')) {
        at += 1;
        let mut scale = 100_000;
        let start = at;
        while let Some(digit) = bytes.get(at).and_then(|byte| byte.checked_sub(b'0')).filter(|digit| *digit < 10) {
            micros += i64::from(digit) * scale;
            scale /= 10;
            at += 1;
        }
        if at == start {
            return None;
        }
    }
    let offset = match bytes.get(at) {
        None => 0,
        Some(b'Z' | b'z') if bytes.len() == at + 1 => 0,
        Some(sign @ (b'+' | b'-')) => {
            let hours = digits(bytes, at + 1, 2)?;
            let colon = usize::from(bytes.get(at + 3) == Some(&b':'));
            let minutes = if bytes.len() == at + 3 { 0 } else { digits(bytes, at + 3 + colon, 2)? };
            let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        Some(_) => return None,
    };
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some((days * DAY + seconds - offset) * MICROS + micros)
}

/// Writes microseconds since 1970-01-01 UTC as `2024-03-05T10:14:07Z`, with six fraction digits only when needed.
pub fn format_timestamp(micros: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(time) if micros.rem_euclid(MICROS) == 0 => time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        None => micros.to_string(),
    }
}

/// Writes days since 1970-01-01 as `2024-03-05`.
pub fn format_date(days: i32) -> String {
    let date = chrono::NaiveDate::default() + chrono::Duration::days(i64::from(days));
    date.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_a_round_trip() {
        for text in ["2024-03-05T10:14:07Z", "1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(format_timestamp(parse_timestamp(text).unwrap()), text);
        }
        assert_eq!(parse_timestamp("2024-03-05T10:14:07.250Z"), Some(1_709_633_647_250_000));
        assert_eq!(parse_timestamp("2021-11-18T09:41:02-08:00"), parse_timestamp("2021-11-18T17:41:02Z"));
        assert_eq!(parse_timestamp("2024-03-05"), parse_timestamp("2024-03-05T00:00:00Z"));
        assert_eq!(parse_timestamp("2024-03-05 10:14:07.000"), parse_timestamp("2024-03-05T10:14:07Z"));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2024",
            "2024-13-01",
            "2023-02-29",
            "2024-03-05T25:00:00Z",
            "2024-03-05T10:14:07X",
            "yesterday",
            "2024-03-05T10:14",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
