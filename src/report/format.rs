//! How numbers, times and names are written in the report.
//!
//! In: values. Out: text. Times are UTC to the second, which stands at the top of the report once.

use crate::time::{DAY, MICROS, format_date, format_timestamp};

/// `1234567` as `1,234,567`.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        out.push('-');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things.
pub(super) fn size(number: usize) -> String {
    count(i64::try_from(number).unwrap_or(i64::MAX))
}

/// `1 key`, `2 keys`.
pub(super) fn many(number: i64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Microseconds since 1970-01-01 UTC as `2024-03-05 10:14:07`.
pub(super) fn when(micros: i64) -> String {
    let whole = micros - micros.rem_euclid(MICROS);
    format_timestamp(whole).trim_end_matches('Z').replace('T', " ")
}

/// Seconds since 1970-01-01 UTC as `2024-03-05`.
pub(super) fn day(epoch: i64) -> String {
    format_date(i32::try_from(epoch.div_euclid(DAY)).unwrap_or_default())
}

/// From and to, the day of the second left out when it is that of the first.
pub(super) fn span(first: Option<i64>, last: Option<i64>) -> String {
    match (first, last) {
        (Some(first), Some(last)) if first == last => when(first),
        (Some(first), Some(last)) => {
            let (from, to) = (when(first), when(last));
            let same_day = from.get(..10) == to.get(..10);
            let to = if same_day { to.get(11..).unwrap_or_default() } else { &to };
            format!("{from} to {to}")
        }
        (Some(one), None) | (None, Some(one)) => when(one),
        (None, None) => "an unknown time".to_owned(),
    }
}

/// A key or principal without the beginning that all of them share.
pub(super) fn short(arn: &str) -> &str {
    arn.strip_prefix("arn:aws:kms:").or_else(|| arn.strip_prefix("arn:aws:iam::")).unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_times_and_names_are_written_for_people() {
        assert_eq!((count(0), count(999), count(-1_234_567)), ("0".into(), "999".into(), "-1,234,567".into()));
        assert_eq!((many(1, "key"), many(2, "key")), ("1 key".to_owned(), "2 keys".to_owned()));
        assert_eq!(when(1_700_000_000_123_456), "2023-11-14 22:13:20");
        assert_eq!(when(-1), "1969-12-31 23:59:59");
        assert_eq!(day(1_700_000_000), "2023-11-14");
        assert_eq!(short("arn:aws:iam::111122223333:role/app"), "111122223333:role/app");
        assert_eq!(short("arn:aws-cn:iam::111122223333:role/app"), "arn:aws-cn:iam::111122223333:role/app");
    }

    #[test]
    fn a_span_within_a_day_names_the_day_once() {
        let second = 1_000_000;
        assert_eq!(span(Some(0), Some(60 * second)), "1970-01-01 00:00:00 to 00:01:00");
        assert_eq!(span(Some(0), Some(90_000 * second)), "1970-01-01 00:00:00 to 1970-01-02 01:00:00");
        assert_eq!(span(Some(0), Some(0)), "1970-01-01 00:00:00");
        assert_eq!(span(None, None), "an unknown time");
    }
}
