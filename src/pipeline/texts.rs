//! What one text shows of the evidence's coverage: a file, or a member of an archive.
//!
//! In: the account, Region and time of records, as they pass. Out: [`TextFacts`]. Looked at are the first record of each
//! text, whatever service it is of, and every record that may become a row; parsing the rest would cost more than all else.

use crate::json::Value;
use crate::time::parse_timestamp;
use serde::{Deserialize, Serialize};

/// A value that the records of a text may have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Common {
    /// No record said it.
    #[default]
    Unsaid,
    /// All records that said it said this.
    One(String),
    /// They differ.
    Several,
}

impl Common {
    fn add(&mut self, value: Option<&str>) {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return };
        match self {
            Common::Unsaid => *self = Common::One(value.to_owned()),
            Common::One(known) if known != value => *self = Common::Several,
            Common::One(_) | Common::Several => {}
        }
    }

    /// The value, when there is one.
    pub fn one(&self) -> Option<&str> {
        match self {
            Common::One(value) => Some(value),
            Common::Unsaid | Common::Several => None,
        }
    }
}

/// What is known of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFacts {
    /// The member of an archive; `None` for a file that is none.
    pub member: Option<String>,
    /// Records found.
    pub records: u64,
    /// KMS records that became rows, before deduplication.
    pub kms: u64,
    /// Other records that became rows, before deduplication.
    pub adjacent: u64,
    /// The account that received the records that were looked at.
    pub account: Common,
    /// Their Region.
    pub region: Common,
    /// Time of the earliest of them, microseconds since 1970-01-01 UTC.
    pub first: Option<i64>,
    /// Time of the latest of them.
    pub last: Option<i64>,
}

impl TextFacts {
    /// Looks at one record's place and time (microseconds since 1970-01-01 UTC).
    pub fn see(&mut self, account: Option<&str>, region: Option<&str>, time: Option<i64>) {
        self.account.add(account);
        self.region.add(region);
        if let Some(time) = time {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
    }

    /// Looks at a record that has no row.
    pub fn see_record(&mut self, record: &Value<'_>) {
        let time = record.get("eventTime").as_str().and_then(parse_timestamp);
        self.see(record.get("recipientAccountId").as_str(), record.get("awsRegion").as_str(), time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_two_accounts_have_no_account_in_common() {
        let mut facts = TextFacts::default();
        facts.see(Some("111122223333"), Some("us-east-1"), Some(5));
        facts.see(None, Some("us-east-1"), Some(2));
        assert_eq!((facts.account.one(), facts.region.one()), (Some("111122223333"), Some("us-east-1")));
        facts.see(Some("444455556666"), Some(""), None);
        facts.see(Some("111122223333"), None, Some(3));
        assert_eq!((facts.account, facts.region.one()), (Common::Several, Some("us-east-1")));
        assert_eq!((facts.first, facts.last), (Some(2), Some(5)));
    }
}
