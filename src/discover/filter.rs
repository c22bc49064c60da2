//! The filters that can be decided from a file's name, so that what cannot matter is never opened.
//!
//! In: `--since`, `--until`, `--account`, `--region` as typed, and what a path claims ([`S3Key`]). Out: [`Filters`], and for
//! one path the reason why it is left out, if any. The time in a name is the time of delivery, so both ends get a margin;
//! records are filtered exactly later ([`Filters::admits`]). A name that does not follow CloudTrail's grammar is never a
//! reason to leave a file out. But a name that does is believed: exports whose files were renamed to another account (there
//! is a published one) answer to the account in the name, and the count of pruned files is what shows it.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::discover::s3_key::S3Key;
use crate::error::{Error, Result};
use crate::time::{DAY, MICROS, parse_timestamp};

/// How long after an event its file may still be delivered: 24 hours. Deliveries come within about five minutes on average;
/// the CloudTrail user guide promises no upper bound, and service outages have delayed some by hours.
pub const LATE_DELIVERY: i64 = DAY * MICROS;

/// Clock slack for files delivered before `--since`: one hour. A file cannot hold events later than its delivery.
pub const CLOCK_SLACK: i64 = 3600 * MICROS;

/// Until 22 November 2021 a trail outside us-east-1 could also deliver events of global services, which carry the region
/// us-east-1 ("Global service events" in the CloudTrail user guide); two days are added for late files.
const GLOBAL_SERVICES_MOVED: i64 = (18_953 + 2) * DAY * MICROS;

/// The regions that events of global services carry, one for each partition.
const GLOBAL_REGIONS: [&str; 3] = ["us-east-1", "us-gov-west-1", "cn-north-1"];

/// What to read and what to leave out.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Events at or after this instant, microseconds since 1970-01-01 UTC.
    pub since: Option<i64>,
    /// Events at or before this instant, microseconds since 1970-01-01 UTC.
    pub until: Option<i64>,
    /// Accounts, as globs.
    pub accounts: Option<GlobSet>,
    /// Regions, as globs.
    pub regions: Option<GlobSet>,
    /// True to list digest files and whatever digests may list as sources, too; they are set apart otherwise.
    pub digests: bool,
    /// True when no size is needed: the files of a walked directory are then not looked at one by one, and most sources have
    /// size 0.
    pub skips_sizes: bool,
}

/// Why a file was left out unopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// The name's account matches no `--account`.
    Account,
    /// The name's region matches no `--region`.
    Region,
    /// Delivered before `--since`.
    TooOld,
    /// Delivered long after `--until`.
    TooNew,
}

impl Filters {
    /// Reads filters as typed: RFC 3339 instants or dates (a date as `until` means its whole day), and globs.
    ///
    /// # Errors
    /// [`Error::Usage`] names the text that is no instant or no glob, or says that the window is empty.
    pub fn new(since: Option<&str>, until: Option<&str>, accounts: &[String], regions: &[String]) -> Result<Filters> {
        let instant = |flag: &str, text: &str| {
            parse_timestamp(text).ok_or_else(|| {
                Error::Usage(format!("--{flag} {text}: not a date or time; write 2024-03-05 or 2024-03-05T10:14:07Z"))
            })
        };
        let since = since.map(|text| instant("since", text)).transpose()?;
        let until = match until {
            Some(text) if text.trim().len() == "2024-03-05".len() => Some(instant("until", text)? + DAY * MICROS - 1),
            Some(text) => Some(instant("until", text)?),
            None => None,
        };
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return Err(Error::Usage("--since is later than --until: no event can match".to_owned()));
        }
        let (accounts, regions) = (globs("account", accounts)?, globs("region", regions)?);
        Ok(Filters { since, until, accounts, regions, ..Filters::default() })
    }

    /// Why the file of this key need not be opened; `None` when it must be, which is always so when its name does not
    /// follow the grammar, or when folder and name disagree and one of them matches.
    pub fn prune(&self, key: &S3Key<'_>) -> Option<Pruned> {
        let file = key.file?;
        let misses = |globs: &GlobSet, folder: Option<&str>, name: &str| {
            !globs.is_match(name) && !folder.is_some_and(|folder| globs.is_match(folder))
        };
        if self.since.is_some_and(|since| file.delivery < since.saturating_sub(CLOCK_SLACK)) {
            return Some(Pruned::TooOld);
        }
        if self.until.is_some_and(|until| file.delivery > until.saturating_add(LATE_DELIVERY)) {
            return Some(Pruned::TooNew);
        }
        if self.accounts.as_ref().is_some_and(|globs| misses(globs, key.account, file.account)) {
            return Some(Pruned::Account);
        }
        let regions = self.regions.as_ref()?;
        let may_be_global =
            file.delivery < GLOBAL_SERVICES_MOVED && GLOBAL_REGIONS.iter().any(|region| regions.is_match(region));
        (!may_be_global && misses(regions, key.region, file.region)).then_some(Pruned::Region)
    }

    /// The exact test on one record: its time in microseconds, its account (`recipientAccountId`) and its region. A record
    /// without account or region does not match a filter on it.
    pub fn admits(&self, time: i64, account: Option<&str>, region: Option<&str>) -> bool {
        let matches = |globs: &Option<GlobSet>, text: Option<&str>| {
            globs.as_ref().is_none_or(|globs| text.is_some_and(|text| globs.is_match(text)))
        };
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time <= until)
            && matches(&self.accounts, account)
            && matches(&self.regions, region)
    }
}

fn globs(flag: &str, texts: &[String]) -> Result<Option<GlobSet>> {
    if texts.is_empty() {
        return Ok(None);
    }
    let refused = |text: &str, error: globset::Error| Error::Usage(format!("--{flag} {text}: {}", error.kind()));
    let mut set = GlobSetBuilder::new();
    for text in texts {
        set.add(Glob::new(text).map_err(|error| refused(text, error))?);
    }
    set.build().map(Some).map_err(|error| refused(&texts.join(" "), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::s3_key::parse_key;

    fn filters(since: &str, until: &str, account: &str, region: &str) -> Filters {
        let list = |text: &str| text.split(' ').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Filters::new(text(since).as_deref(), text(until).as_deref(), &list(account), &list(region)).unwrap()
    }

    /// A log of account 111122223333 in eu-west-1, delivered at `slot`.
    fn pruned(filters: &Filters, slot: &str) -> Option<Pruned> {
        let name = format!("111122223333_CloudTrail_eu-west-1_{slot}_Mu0KsOhtH1ar15ZZ.json.gz");
        filters.prune(&parse_key(&name).unwrap())
    }

    #[test]
    fn delivery_times_are_pruned_with_margins_on_both_ends() {
        let day = filters("2024-03-05", "2024-03-05", "", "");
        for (slot, expected) in [
            ("20240304T2255Z", Some(Pruned::TooOld)),
            ("20240304T2300Z", None),
            ("20240305T0000Z", None),
            ("20240305T2355Z", None),
            ("20240306T2355Z", None),
            ("20240307T0000Z", Some(Pruned::TooNew)),
        ] {
            assert_eq!(pruned(&day, slot), expected, "{slot}");
        }
    }

    #[test]
    fn accounts_and_regions_are_pruned_by_glob() {
        for (account, region, expected) in [
            ("111122223333", "", None),
            ("1111*", "eu-*", None),
            ("444455556666", "", Some(Pruned::Account)),
            ("444455556666 111122223333", "", None),
            ("", "us-east-1", Some(Pruned::Region)),
            ("", "us-east-1 eu-west-?", None),
        ] {
            assert_eq!(pruned(&filters("", "", account, region), "20240305T1015Z"), expected, "{account} {region}");
        }
    }

    #[test]
    fn what_has_no_grammatical_name_is_never_pruned() {
        let strict = filters("2024-03-05", "2024-03-05", "444455556666", "us-east-1");
        let key = parse_key("AWSLogs/111122223333/CloudTrail/eu-west-1/2020/01/01/copy.json.gz").unwrap();
        assert_eq!(strict.prune(&key), None);
    }

    #[test]
    fn a_name_that_disagrees_with_its_folder_is_read_when_either_matches() {
        let path = "AWSLogs/444455556666/CloudTrail/us-east-1/2024/03/05/\
                    111122223333_CloudTrail_eu-west-1_20240305T1015Z_Mu0KsOhtH1ar15ZZ.json.gz";
        let key = parse_key(path).unwrap();
        for account in ["444455556666", "111122223333"] {
            assert_eq!(filters("", "", account, "").prune(&key), None);
        }
        assert_eq!(filters("", "", "123456789012", "").prune(&key), Some(Pruned::Account));
    }

    #[test]
    fn old_files_of_any_region_may_hold_events_of_global_services() {
        let global = filters("", "", "", "us-east-1");
        assert_eq!(pruned(&global, "20211123T0000Z"), None);
        assert_eq!(pruned(&global, "20211125T0000Z"), Some(Pruned::Region));
        assert_eq!(pruned(&filters("", "", "", "us-west-2"), "20211101T0000Z"), Some(Pruned::Region));
        assert_eq!(crate::time::format_timestamp(GLOBAL_SERVICES_MOVED), "2021-11-24T00:00:00Z");
    }

    #[test]
    fn records_are_tested_exactly() {
        let window = filters("2024-03-05T10:00:00Z", "2024-03-05T11:00:00Z", "1111*", "eu-*");
        let at = |text: &str| parse_timestamp(text).unwrap();
        let account = Some("111122223333");
        assert!(window.admits(at("2024-03-05T10:00:00Z"), account, Some("eu-west-1")));
        assert!(window.admits(at("2024-03-05T11:00:00Z"), account, Some("eu-west-1")));
        assert!(!window.admits(at("2024-03-05T11:00:01Z"), account, Some("eu-west-1")));
        assert!(!window.admits(at("2024-03-05T10:30:00Z"), None, Some("eu-west-1")));
        assert!(!window.admits(at("2024-03-05T10:30:00Z"), account, Some("us-east-1")));
        let day = filters("", "2024-03-05", "", "");
        assert!(day.admits(at("2024-03-05T23:59:59.999999Z"), None, None));
        assert!(!day.admits(at("2024-03-06"), None, None));
    }

    #[test]
    fn what_cannot_be_a_filter_is_refused_with_its_text() {
        let none: [String; 0] = [];
        let text = Filters::new(Some("yesterday"), None, &none, &none).unwrap_err().to_string();
        assert!(text.starts_with("--since yesterday: "), "{text}");
        let text = Filters::new(None, None, &["[".to_owned()], &none).unwrap_err().to_string();
        assert!(text.starts_with("--account [: "), "{text}");
        let text = Filters::new(Some("2024-03-06"), Some("2024-03-05"), &none, &none).unwrap_err().to_string();
        assert!(text.contains("later than"), "{text}");
    }
}
