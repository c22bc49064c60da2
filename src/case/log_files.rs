//! `tables/log_files.parquet`: every log file, and every member of an archive, with its place and time.
//!
//! In: the inputs in source order, while the extraction runs; of an extended case its old rows first. Out: the table, from
//! which coverage, gaps and the list of log objects that CloudTrail names are told. What a name says and what the records
//! say can differ, because exports are renamed and made anonymous: the account is that of the records.

use crate::case::cells::CellTable;
use crate::case::existing::read_table;
use crate::discover::{Folder, parse_key};
use crate::error::{Error, Result};
use crate::output::Cell;
use crate::pipeline::InputRow;
use crate::pipeline::texts::TextFacts;
use crate::schema::{Column, Kind};
use crate::time::MICROS;
use std::borrow::Cow;
use std::path::Path;

macro_rules! columns {
    ($(($name:ident, $kind:ident, $doc:literal),)*) => {
        /// The columns of `log_files`.
        pub const LOG_FILE_COLUMNS: &[Column] =
            &[$(Column { group: "coverage", name: stringify!($name), kind: Kind::$kind, doc: $doc },)*];
    };
}
columns!(
    (
        path,
        Text,
        "The file, as in `inputs`; with `!` and the member's name inside an archive, as in `events.source_file`."
    ),
    (
        object_id,
        Text,
        "Region, delivery slot and random part of the name that CloudTrail gave the log object, in lower case: what survives when accounts are renamed. NULL when the file has another name."
    ),
    (folder, Text, "`[organization/]account/CloudTrail/Region`, as far as the path has these folders."),
    (account_id, Text, "Account that received its records; when they name none or several, that of its name."),
    (region, Text, "Region of its name, else that of its records when they have one in common."),
    (delivery_time, Timestamp, "Delivery time in its name: five-minute slots."),
    (delivery_epoch, Integer, "`delivery_time` in seconds."),
    (
        hour_epoch,
        Integer,
        "Start of the hour it counts in, seconds: of its delivery, else of the latest record looked at."
    ),
    (records, Integer, "Records found."),
    (kms_records, Integer, "KMS records that became rows, repeated deliveries among them."),
    (adjacent_records, Integer, "Records of other services that became rows, repeated deliveries among them."),
    (
        first_time,
        Timestamp,
        "Earliest record looked at: those that became rows, those that filters left out, and the first one."
    ),
    (last_time, Timestamp, "Latest record looked at."),
    (first_epoch, Integer, "`first_time` in seconds."),
    (last_epoch, Integer, "`last_time` in seconds."),
);

/// The table's place in a case.
pub const LOG_FILES: &str = "tables/log_files.parquet";

/// The table being written.
pub struct LogFiles {
    table: CellTable,
}

impl LogFiles {
    /// Begins the table of the case in `folder`, with the rows of the case being extended.
    ///
    /// # Errors
    /// When it cannot be written, or the old case has no such table.
    pub fn create(folder: &Path, extended: Option<&Path>) -> Result<LogFiles> {
        let mut table = CellTable::create(&folder.join(LOG_FILES), LOG_FILE_COLUMNS)?;
        if let Some(old) = extended {
            let path = old.join(LOG_FILES);
            if !path.is_file() {
                let shown = path.display();
                return Err(Error::Usage(format!(
                    "{shown} is missing: the case was made by another version; analyze its evidence again"
                )));
            }
            read_table(&path, |batch| table.append(&batch))?;
        }
        Ok(LogFiles { table })
    }

    /// Adds the texts of one input.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub fn push(&mut self, input: &InputRow) -> Result<()> {
        for text in &input.texts {
            self.table.push(&cells(&input.path, text))?;
        }
        Ok(())
    }

    /// Ends the table.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<()> {
        self.table.finish()
    }
}

fn text(text: Option<&str>) -> Cell<'_> {
    text.map_or(Cell::Null, |text| Cell::Text(text.into()))
}

fn time(micros: Option<i64>) -> Cell<'static> {
    micros.map_or(Cell::Null, Cell::Timestamp)
}

fn seconds(micros: Option<i64>) -> Cell<'static> {
    micros.map_or(Cell::Null, |micros| Cell::Integer(micros.div_euclid(MICROS)))
}

fn count(count: u64) -> Cell<'static> {
    Cell::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn cells<'t>(path: &'t str, facts: &'t TextFacts) -> Vec<Cell<'t>> {
    // A member's path inside its archive tells, not the archive's own.
    let own = facts.member.as_deref().unwrap_or(path);
    let path = match &facts.member {
        Some(member) => Cow::Owned(format!("{path}!{member}")),
        None => Cow::Borrowed(path),
    };
    let key = parse_key(own);
    let file = key.as_ref().and_then(|key| key.file).filter(|file| file.folder.holds_records());
    let delivery = file.map(|file| file.delivery);
    let counted = delivery.or(facts.last).map(|micros| micros.div_euclid(MICROS));
    let named = key.as_ref();
    vec![
        Cell::Text(path),
        file.and_then(|_| object_id(own)).map_or(Cell::Null, |id| Cell::Text(id.into())),
        folder(own).map_or(Cell::Null, |folder| Cell::Text(folder.into())),
        text(facts.account.one().or_else(|| named.and_then(|key| key.account))),
        text(named.and_then(|key| key.region).or_else(|| facts.region.one())),
        time(delivery),
        seconds(delivery),
        counted.map_or(Cell::Null, |epoch| Cell::Integer(epoch - epoch.rem_euclid(3600))),
        count(facts.records),
        count(facts.kms),
        count(facts.adjacent),
        time(facts.first),
        time(facts.last),
        seconds(facts.first),
        seconds(facts.last),
    ]
}

/// `us-east-2_20150801t0210z_mu0ksohth1ar15zz` of a path whose file name follows CloudTrail's grammar.
fn object_id(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let id = name.splitn(3, '_').nth(2)?;
    Some(id.split('.').next()?.to_ascii_lowercase())
}

/// `o-exampleorgid/111122223333/CloudTrail/us-east-2` of a path that has these folders.
fn folder(path: &str) -> Option<String> {
    let key = parse_key(path)?;
    if key.folder != Folder::CloudTrail {
        return None;
    }
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts.iter().rposition(|part| *part == "CloudTrail")?;
    let region = parts.get(at + 1).filter(|region| key.region == Some(region))?;
    let account = parts.get(at.checked_sub(1)?)?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let above = at.checked_sub(2).and_then(|at| parts.get(at)).filter(|above| above.starts_with("o-"));
    let organization = above.map(|organization| format!("{organization}/")).unwrap_or_default();
    is_account.then(|| format!("{organization}{account}/CloudTrail/{region}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::texts::Common;

    const NAME: &str = "111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz";

    fn row(path: &str, facts: &TextFacts) -> String {
        cells(path, facts).iter().skip(1).take(7).map(|cell| cell.to_text().into_owned()).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn names_and_records_tell_together_where_a_file_belongs() {
        let facts = TextFacts {
            account: Common::One("444455556666".to_owned()),
            region: Common::One("us-east-1".to_owned()),
            last: Some(7_199 * MICROS),
            ..TextFacts::default()
        };
        let member = TextFacts { member: Some(format!("x/{NAME}")), ..facts.clone() };
        let slot = "us-east-2_20150801t0210z_mu0ksohth1ar15zz";
        for (path, facts, expected) in [
            (
                format!("o-12345/111122223333/CloudTrail/us-east-2/2015/08/01/{NAME}"),
                &TextFacts::default(),
                format!(
                    "{slot}|o-12345/111122223333/CloudTrail/us-east-2|111122223333|us-east-2|2015-08-01T02:10:00Z|1438395000|1438394400"
                ),
            ),
            // Made anonymous: the records know their account, the name knows the Region the file was made in.
            (
                NAME.to_owned(),
                &facts,
                format!("{slot}||444455556666|us-east-2|2015-08-01T02:10:00Z|1438395000|1438394400"),
            ),
            (
                "all.zip".to_owned(),
                &member,
                format!("{slot}||444455556666|us-east-2|2015-08-01T02:10:00Z|1438395000|1438394400"),
            ),
            ("renamed.json".to_owned(), &facts, "||444455556666|us-east-1|||3600".to_owned()),
            ("renamed.json".to_owned(), &TextFacts::default(), "||||||".to_owned()),
            ("CloudTrail/notes.json".to_owned(), &TextFacts::default(), "||||||".to_owned()),
        ] {
            assert_eq!(row(&path, facts), expected, "{path}");
        }
    }
}
