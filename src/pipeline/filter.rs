//! Which records become rows.
//!
//! In: the common filters of the command line. Out: a yes or no for one event, on exact fields. File names were used before
//! to leave out whole files; they are only hints, so every record is asked again here.

use crate::error::{Error, Result};
use crate::schema::Event;
pub use globset::GlobSet;
use globset::{Glob, GlobSetBuilder};

/// A filter on records. Empty parts let everything pass.
#[derive(Debug, Default, Clone)]
pub struct RecordFilter {
    /// Earliest event time, microseconds since 1970-01-01 UTC, inclusive.
    pub since: Option<i64>,
    /// Latest event time, inclusive.
    pub until: Option<i64>,
    /// On `account_id`.
    pub accounts: Option<GlobSet>,
    /// On `region`.
    pub regions: Option<GlobSet>,
    /// On `key_arn`, `key_id`, `mrk_id`, `alias_name`, `key_ref` and `target_key_arn`. Adjacent records pass: they name
    /// no key.
    pub keys: Option<GlobSet>,
    /// On `principal`, `principal_arn`, `principal_id`, `session_name` and `access_key_id`.
    pub principals: Option<GlobSet>,
}

/// Makes one matcher of several patterns; `None` when there are none. A pattern without a slash also matches the last part
/// of an ARN.
///
/// # Errors
/// [`Error::Usage`] naming the pattern that is none.
pub fn globs(option: &str, patterns: &[String]) -> Result<Option<GlobSet>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob =
            |text: &str| Glob::new(text).map_err(|error| Error::Usage(format!("{option} {pattern}: {}", error.kind())));
        set.add(glob(pattern)?);
        if !pattern.starts_with("arn:") && !pattern.starts_with('*') {
            set.add(glob(&format!("*[:/]{pattern}"))?);
        }
    }
    set.build().map(Some).map_err(|error| Error::Usage(format!("{option}: {}", error.kind())))
}

fn passes(set: Option<&GlobSet>, values: &[&Option<std::borrow::Cow<'_, str>>]) -> bool {
    set.is_none_or(|set| values.iter().any(|value| value.as_deref().is_some_and(|text| set.is_match(text))))
}

impl RecordFilter {
    /// True when the event passes every part.
    pub fn accepts(&self, event: &Event<'_>) -> bool {
        let time = event.event_time.unwrap_or_default();
        let is_kms = event.event_source.as_deref() == Some("kms.amazonaws.com");
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time <= until)
            && passes(self.accounts.as_ref(), &[&event.account_id])
            && passes(self.regions.as_ref(), &[&event.region])
            && (!is_kms
                || passes(
                    self.keys.as_ref(),
                    &[
                        &event.key_arn,
                        &event.key_id,
                        &event.mrk_id,
                        &event.alias_name,
                        &event.key_ref,
                        &event.target_key_arn,
                    ],
                ))
            && passes(
                self.principals.as_ref(),
                &[
                    &event.principal,
                    &event.principal_arn,
                    &event.principal_id,
                    &event.session_name,
                    &event.access_key_id,
                ],
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event<'static> {
        Event {
            event_time: Some(100),
            event_source: Some("kms.amazonaws.com".into()),
            account_id: Some("111122223333".into()),
            region: Some("eu-west-1".into()),
            key_arn: Some("arn:aws:kms:eu-west-1:111122223333:key/abc".into()),
            key_id: Some("abc".into()),
            principal: Some("arn:aws:iam::111122223333:role/path/Admin".into()),
            ..Event::default()
        }
    }

    #[test]
    fn both_ends_belong_to_the_window() {
        let filter = |since, until| RecordFilter { since: Some(since), until: Some(until), ..RecordFilter::default() };
        assert!(filter(100, 100).accepts(&event()));
        assert!(!filter(0, 99).accepts(&event()));
        assert!(!filter(101, 200).accepts(&event()));
    }

    #[test]
    fn names_match_as_arn_as_id_and_by_pattern() {
        for (pattern, expected) in [("abc", true), ("ab", false), ("*:key/abc", true), ("a?c", true), ("abd", false)] {
            let keys = globs("--key", &[pattern.to_owned()]).unwrap();
            assert_eq!(RecordFilter { keys, ..RecordFilter::default() }.accepts(&event()), expected, "{pattern}");
        }
        for (pattern, expected) in [("Admin", true), ("role/path/*", true), ("dmin", false), ("*Admin", true)] {
            let principals = globs("--principal", &[pattern.to_owned()]).unwrap();
            assert_eq!(RecordFilter { principals, ..RecordFilter::default() }.accepts(&event()), expected, "{pattern}");
        }
    }

    #[test]
    fn a_bad_pattern_is_named() {
        assert!(globs("--key", &["a[".to_owned()]).unwrap_err().to_string().starts_with("--key a["));
    }
}
