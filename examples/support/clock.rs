//! Instants as seconds since 1970-01-01 UTC, and the names CloudTrail derives from them.
//!
//! In: seconds, or the RFC 3339 text the story is written in. Out: event times, and S3 keys with their date folders and
//! delivery slots (AWS CloudTrail User Guide, "Finding your CloudTrail log files"). No clock is read here: an archive
//! must be the same on every run.

/// Seconds in a day.
pub(crate) const DAY: i64 = 86_400;

/// Year, month, day of a count of days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// Seconds of `2025-10-16T02:41:08Z`. The texts are constants of the generators; a wrong one gives 1970.
pub(crate) fn instant(text: &str) -> i64 {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<i64>().ok()).unwrap_or(0);
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * shifted_month + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    days * DAY + number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19)
}

fn push_number(value: i64, width: u32, out: &mut String) {
    for place in (0..width).rev() {
        let digit = (value / 10_i64.pow(place)).rem_euclid(10);
        out.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
    }
}

/// Appends `2025-10-16T02:41:08Z`.
pub(crate) fn push_time(seconds: i64, out: &mut String) {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    for (value, width, after) in [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (second / 3_600, 2, ':'),
        (second / 60 % 60, 2, ':'),
        (second % 60, 2, 'Z'),
    ] {
        push_number(value, width, out);
        out.push(after);
    }
}

/// The S3 key of a log file that is delivered in the five-minute slot starting at `slot`. An organization trail has a
/// level of its own, an account's trail has none; `ending` is `.json` or `.json.gz`.
pub(crate) fn log_key(
    organization: Option<&str>,
    place: (&str, &str),
    slot: i64,
    unique: &str,
    ending: &str,
) -> String {
    let (account, region) = place;
    let (year, month, day) = civil(slot.div_euclid(DAY));
    let minute = slot.rem_euclid(DAY) / 60;
    let level = organization.map(|id| format!("{id}/")).unwrap_or_default();
    format!(
        "AWSLogs/{level}{account}/CloudTrail/{region}/{year:04}/{month:02}/{day:02}/\
         {account}_CloudTrail_{region}_{year:04}{month:02}{day:02}T{:02}{:02}Z_{unique}{ending}",
        minute / 60,
        minute % 60
    )
}
