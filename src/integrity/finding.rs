//! Findings, few enough to be read.
//!
//! In: one problem at a time. Out: [`Finding`]s in a total order, worst first. Where one cause makes thousands of problems of
//! one kind in one place, the first hundred stand alone and the rest are one finding with their number and time.

use std::collections::BTreeMap;

use super::code::Code;
use crate::severity::Severity;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// True when it shows that something is not as CloudTrail delivered it.
    pub is_tampering: bool,
    /// Account, empty when it has none.
    pub account: String,
    /// Region, empty when it has none.
    pub region: String,
    /// Trail, empty when it has none.
    pub trail: String,
    /// The time it is about, microseconds since 1970-01-01 UTC.
    pub first_time: Option<i64>,
    /// See `first_time`.
    pub last_time: Option<i64>,
    /// The file, if it is on hand.
    pub path: Option<String>,
    /// The object's key, if it is known.
    pub key: Option<String>,
    /// Files or digests concerned.
    pub count: u64,
    /// One sentence.
    pub summary: String,
    /// What it proves.
    pub proves: &'static str,
    /// What it does not prove.
    pub does_not_prove: &'static str,
}

impl Finding {
    /// A finding about one thing, as bad as its code.
    pub fn new(code: Code, (account, region, trail): (&str, &str, &str), summary: String) -> Finding {
        Finding {
            code,
            severity: code.severity(),
            is_tampering: code.is_tampering(),
            account: account.to_owned(),
            region: region.to_owned(),
            trail: trail.to_owned(),
            first_time: None,
            last_time: None,
            path: None,
            key: None,
            count: 1,
            summary,
            proves: code.proves(),
            does_not_prove: code.does_not_prove(),
        }
    }

    /// The time it is about.
    #[must_use]
    pub fn at(mut self, first: Option<i64>, last: Option<i64>) -> Finding {
        self.first_time = first;
        self.last_time = last;
        self
    }

    /// The file it is about.
    #[must_use]
    pub fn file(mut self, path: String) -> Finding {
        self.path = Some(path);
        self
    }

    /// The object it is about.
    #[must_use]
    pub fn object(mut self, key: &str) -> Finding {
        self.key = Some(key.to_owned());
        self
    }

    fn order(&self) -> impl Ord + use<> {
        (
            std::cmp::Reverse(self.severity),
            self.first_time.unwrap_or(i64::MAX),
            self.code,
            self.path.clone(),
            self.key.clone(),
            (self.account.clone(), self.region.clone(), self.trail.clone()),
            self.summary.clone(),
        )
    }
}

/// Findings of one code in one place that stand alone.
const ALONE: u64 = 100;

/// A code, and the account, Region and trail it is about.
type Group = (Code, String, String, String);

/// Collects findings.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    /// How many there were of each group, and those beyond [`ALONE`] as one.
    rest: BTreeMap<Group, (u64, Option<Finding>)>,
}

impl Findings {
    /// Adds one. `make` is called only when it will be shown; beyond a hundred of its code and place only `time` is kept.
    pub fn add(&mut self, code: Code, place: (&str, &str, &str), time: Option<i64>, make: impl FnOnce() -> Finding) {
        let (account, region, trail) = place;
        let group = (code, account.to_owned(), region.to_owned(), trail.to_owned());
        let (count, rest) = self.rest.entry(group).or_default();
        *count += 1;
        if *count <= ALONE {
            self.list.push(make());
            return;
        }
        let rest = rest.get_or_insert_with(|| {
            let mut rest = Finding::new(code, place, String::new()).at(time, time);
            rest.count = 0;
            rest
        });
        rest.count += 1;
        rest.first_time = rest.first_time.zip(time).map(|(one, other)| one.min(other)).or(rest.first_time).or(time);
        rest.last_time = rest.last_time.max(time);
    }

    /// Adds one that is never counted together with others.
    pub fn push(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// All of them, worst first.
    pub fn finish(mut self) -> Vec<Finding> {
        for (_, rest) in std::mem::take(&mut self.rest).into_values() {
            if let Some(mut rest) = rest {
                rest.summary = format!("{} more of this kind: the table of files names them", rest.count);
                self.list.push(rest);
            }
        }
        self.list.sort_by_cached_key(Finding::order);
        self.list
    }
}
