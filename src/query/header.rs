//! Front matter: what a query file says about itself.
//!
//! In: the text of a query file. Out: a [`Header`], or every fault with its line. The header is the leading block of
//! `--` comments, so any SQL engine runs the file as it stands. A key nobody knows is an error, because a mistyped
//! `severty:` would otherwise be a finding without a severity. A line that starts with `--` and three spaces continues
//! the value above it; the first line that is no comment ends the header, so remarks may stand after an empty line.
//! There is no `rule:` key: the file name is the rule.

use super::params::{Param, parse_list};
use crate::error::Error;

use crate::severity::Severity;

/// What a query is for. The folder of its file decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueryKind {
    /// `views/NAME.sql`: a table of the case.
    View,
    /// `detect/GROUP/SLUG.sql`: findings.
    Detect,
    /// `review/SLUG.sql`: findings of the compliance review.
    Review,
    /// `timeline/NAME.sql`: one subject's chronology.
    Timeline,
    /// `investigate/NAME.sql`: a question to ask by hand.
    Investigate,
}

impl QueryKind {
    /// All of them, in the order they are listed.
    pub const ALL: [QueryKind; 5] =
        [QueryKind::View, QueryKind::Detect, QueryKind::Review, QueryKind::Timeline, QueryKind::Investigate];

    /// The folder of the library that holds this kind.
    pub fn folder(self) -> &'static str {
        match self {
            QueryKind::View => "views",
            QueryKind::Detect => "detect",
            QueryKind::Review => "review",
            QueryKind::Timeline => "timeline",
            QueryKind::Investigate => "investigate",
        }
    }

    /// The kind that lives in `folder`.
    pub fn of_folder(folder: &str) -> Option<QueryKind> {
        QueryKind::ALL.into_iter().find(|kind| kind.folder() == folder)
    }

    /// True when the rows are findings and have to meet their contract.
    pub fn gives_findings(self) -> bool {
        matches!(self, QueryKind::Detect | QueryKind::Review)
    }

    fn required(self) -> &'static [&'static str] {
        match self {
            QueryKind::Detect => {
                &["title", "severity", "attack", "description", "false-positives", "blind-spots", "reads"]
            }
            QueryKind::Review => &["title", "severity", "description", "false-positives", "blind-spots", "reads"],
            QueryKind::View | QueryKind::Timeline | QueryKind::Investigate => &["title", "description", "reads"],
        }
    }
}

/// How the engine may cut the events before it runs the query, so that its memory does not grow with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// At full hours: no row of the result may depend on events of two hours.
    Hour,
    /// At UTC midnights: no row of the result may depend on events of two days.
    Day,
    /// Between principals: no row of the result may depend on rows of two principals, in any table with that column.
    Principal,
    /// Between keys: no row of the result may depend on rows of two keys, in any table with the column `key_arn`.
    Key,
    /// Between resources that contexts name: no row of the result may depend on rows of two, in any table with the column
    /// `context_resource`.
    Resource,
    /// Between principals, and between the resources of one principal that has more rows than a piece may have: no row of the
    /// result may depend on rows of two principals or of two resources, in any table with both columns.
    PrincipalResource,
    /// The same with keys in place of resources.
    PrincipalKey,
    /// Between grants: no row of the result may depend on rows of two grants, in any table with the column `grant_id`.
    Grant,
}

impl Partition {
    /// The text columns whose values, in ascending order with NULL last, pieces are ranges of; the second one is for values
    /// of the first that are too many. None where pieces are something else.
    pub(super) fn ranges(self) -> &'static [&'static str] {
        match self {
            Partition::Principal => &["principal"],
            Partition::Key => &["key_arn"],
            Partition::PrincipalResource => &["principal", "context_resource"],
            Partition::PrincipalKey => &["principal", "key_arn"],
            Partition::Grant => &["grant_id"],
            Partition::Hour | Partition::Day | Partition::Resource => &[],
        }
    }
}

/// The meaning of one column of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDoc {
    /// The column.
    pub name: String,
    /// What it means.
    pub meaning: String,
}

/// What a query file says about itself. Absent texts are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// One line for lists.
    pub title: String,
    /// Severity unless a row says otherwise; `None` for queries that give no findings.
    pub severity: Option<Severity>,
    /// MITRE ATT&CK techniques, such as `T1485` or `T1562.008 / v19 T1685.002`.
    pub attack: String,
    /// What happened and why it matters.
    pub description: String,
    /// Who does this for good reasons.
    pub false_positives: String,
    /// What the query cannot see.
    pub blind_spots: String,
    /// The tables the query names, apart from `params`, `home_accounts` and `evidence`.
    pub reads: Vec<String>,
    /// Parameters and their defaults.
    pub params: Vec<Param>,
    /// The columns of a view.
    pub columns: Vec<ColumnDoc>,
    /// How the input may be cut.
    pub partition: Option<Partition>,
    /// The controls that a review gives evidence for, such as `CIS AWS Foundations 3.6`.
    pub controls: String,
}

/// One `key: value` with the line it starts on, from 1.
struct Entry {
    key: String,
    value: String,
    line: u64,
}

/// Reads the header of a query file of `kind`; `query` is its id, for the messages.
///
/// # Errors
/// Every fault of the header, in the order of its lines.
pub fn parse(query: &str, kind: QueryKind, text: &str) -> Result<Header, Vec<Error>> {
    let mut faults = Vec::new();
    let entries = entries(text, |line, message| faults.push(fault(query, line, message)));
    let header = read(&entries, |line, message| faults.push(fault(query, line, message)));
    for key in kind.required() {
        if !entries.iter().any(|entry| entry.key == *key && !entry.value.is_empty()) {
            faults.push(fault(query, 1, format!("the header has no `{key}:`, which a {kind:?} query needs")));
        }
    }
    if kind != QueryKind::Review
        && let Some(entry) = entries.iter().find(|entry| entry.key == "controls")
    {
        faults.push(fault(query, entry.line, "`controls:` belongs to reviews".to_owned()));
    }
    if faults.is_empty() { Ok(header) } else { Err(faults) }
}

/// Reads the header of a statement that somebody typed: nothing is required, and comments that are no header are let be.
///
/// # Errors
/// When it has a header and that is faulty.
pub fn parse_optional(query: &str, text: &str) -> Result<Header, Vec<Error>> {
    let is_header = text.lines().take_while(|line| line.starts_with("--")).any(|line| {
        line.trim_start_matches('-').trim_start().split_once(':').is_some_and(|(key, _)| KEYS.contains(&key.trim_end()))
    });
    if !is_header {
        return Ok(Header::default());
    }
    let mut faults = Vec::new();
    let entries = entries(text, |line, message| faults.push(fault(query, line, message)));
    let header = read(&entries, |line, message| faults.push(fault(query, line, message)));
    if faults.is_empty() { Ok(header) } else { Err(faults) }
}

const KEYS: [&str; 11] = [
    "title",
    "controls",
    "severity",
    "attack",
    "description",
    "false-positives",
    "blind-spots",
    "reads",
    "params",
    "column",
    "partition",
];

fn fault(query: &str, line: u64, message: String) -> Error {
    Error::Query { query: query.to_owned(), line, message }
}

fn entries(text: &str, mut complain: impl FnMut(u64, String)) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
        let Some(comment) = line.trim_end().strip_prefix("--") else { break };
        if let (Some(more), Some(last)) = (comment.strip_prefix("   "), entries.last_mut()) {
            if !last.value.is_empty() {
                last.value.push(' ');
            }
            last.value.push_str(more.trim());
            continue;
        }
        match comment.trim().split_once(':') {
            Some((key, value)) if KEYS.contains(&key.trim_end()) => {
                let key = key.trim_end();
                if key != "column" && entries.iter().any(|entry| entry.key == key) {
                    complain(number, format!("`{key}:` stands twice"));
                }
                entries.push(Entry { key: key.to_owned(), value: value.trim().to_owned(), line: number });
            }
            _ => complain(
                number,
                format!(
                    "`{}` is no header line: write `-- KEY: value` with one of {}, or `--    ` to continue a value; \
                     other remarks stand after an empty line",
                    comment.trim(),
                    KEYS.join(", ")
                ),
            ),
        }
    }
    entries
}

fn read(entries: &[Entry], mut complain: impl FnMut(u64, String)) -> Header {
    let mut header = Header::default();
    for Entry { key, value, line } in entries {
        let text = value.clone();
        match key.as_str() {
            "title" => header.title = text,
            "description" => header.description = text,
            "controls" => header.controls = text,
            "false-positives" => header.false_positives = text,
            "blind-spots" => header.blind_spots = text,
            "severity" => {
                header.severity = Severity::parse(value);
                if header.severity.is_none() {
                    complain(*line, format!("severity `{value}` is none of info, low, medium, high, critical"));
                }
            }
            "attack" => {
                if !is_attack(value) {
                    complain(*line, format!("attack `{value}` names no technique such as T1485 or T1562.008"));
                }
                header.attack = text;
            }
            "reads" => header.reads = value.split(',').map(|name| name.trim().to_owned()).collect(),
            "params" => match parse_list(value) {
                Ok(params) => header.params = params,
                Err(message) => complain(*line, message),
            },
            "partition" => {
                header.partition = match value.as_str() {
                    "hour" => Some(Partition::Hour),
                    "day" => Some(Partition::Day),
                    "principal" => Some(Partition::Principal),
                    "key" => Some(Partition::Key),
                    "resource" => Some(Partition::Resource),
                    "principal, resource" => Some(Partition::PrincipalResource),
                    "principal, key" => Some(Partition::PrincipalKey),
                    "grant" => Some(Partition::Grant),
                    _ => None,
                };
                if header.partition.is_none() {
                    complain(
                        *line,
                        format!(
                            "partition `{value}` is none of: hour; day; principal; key; resource; principal, resource; \
                             principal, key; grant"
                        ),
                    );
                }
            }
            _ => match value.split_once(':') {
                Some((name, meaning)) if !name.trim().is_empty() && !meaning.trim().is_empty() => {
                    header.columns.push(ColumnDoc { name: name.trim().to_owned(), meaning: meaning.trim().to_owned() });
                }
                _ => complain(*line, "write `-- column: NAME: what it means`".to_owned()),
            },
        }
    }
    header
}

/// True when the text consists of technique ids (ATT&CK, or AWS's own such as T1485.A003) and version marks.
fn is_attack(text: &str) -> bool {
    let is_technique = |word: &str| {
        let mut parts = word.split('.');
        let main = parts
            .next()
            .and_then(|main| main.strip_prefix('T'))
            .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        let sub = parts.next().is_none_or(|sub| {
            (3..=4).contains(&sub.len()) && sub.trim_start_matches('A').bytes().all(|byte| byte.is_ascii_digit())
        });
        main && sub && parts.next().is_none()
    };
    let is_version = |word: &str| word.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
    let words: Vec<&str> = text.split([',', '/', ' ']).filter(|word| !word.is_empty()).collect();
    words.iter().any(|word| is_technique(word)) && words.iter().all(|word| is_technique(word) || is_version(word))
}

#[cfg(test)]
mod tests {
    use super::super::params::ParamValue;
    use super::*;

    const GOOD: &str = "-- title: Key scheduled for deletion
-- severity: high
-- attack: T1485, T1562.008 / v19 T1685.002
-- description: A key will be gone.
--   Everything under it is lost.
-- false-positives: clean-up
-- blind-spots: deletions before the logs begin
-- reads: events, keys
-- params: min_window_days = 30, ratio = 1.5, name = 'a, b'

-- a remark
SELECT 1";

    #[track_caller]
    fn faults(kind: QueryKind, text: &str) -> Vec<String> {
        parse("q", kind, text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_whole_header_is_read() {
        let header = parse("q", QueryKind::Detect, GOOD).unwrap();
        assert_eq!(header.severity, Some(Severity::High));
        assert_eq!(header.description, "A key will be gone. Everything under it is lost.");
        assert_eq!(header.reads, ["events", "keys"]);
        let values: Vec<_> = header.params.iter().map(|param| param.value.clone()).collect();
        assert_eq!(values, [ParamValue::Integer(30), ParamValue::Decimal(1.5), ParamValue::Text("a, b".to_owned())]);
    }

    #[test]
    fn a_mistyped_key_is_an_error_with_its_line() {
        let text = GOOD.replace("-- severity", "-- severty");
        let faults = faults(QueryKind::Detect, &text);
        assert!(faults[0].starts_with("q, line 2: `severty: high` is no header line"), "{faults:?}");
        assert!(faults[1].contains("no `severity:`"), "{faults:?}");
    }

    #[test]
    fn all_faults_are_reported_together() {
        let text = "-- title: x\n-- title: y\n-- severity: bad\n-- attack: fire\n-- partition: week\n-- column: c\n";
        assert_eq!(faults(QueryKind::Detect, text).len(), 9);
    }

    #[test]
    fn a_view_documents_its_columns_and_needs_no_severity() {
        let text = "-- title: Keys\n-- description: One row per key.\n-- reads: events\n-- partition: hour\n\
                    -- column: key_arn: The key.\n-- column: state: Its state: enabled, disabled.\nSELECT 1";
        let header = parse("keys", QueryKind::View, text).unwrap();
        assert_eq!(header.partition, Some(Partition::Hour));
        assert_eq!(header.columns[1].meaning, "Its state: enabled, disabled.");
    }

    #[test]
    fn a_typed_statement_needs_no_header_but_a_faulty_one_is_told() {
        assert_eq!(parse_optional("-", "-- who was it: a remark\nSELECT 1").unwrap(), Header::default());
        assert!(parse_optional("-", "-- params: a = \nSELECT 1").is_err());
        assert_eq!(parse_optional("-", "-- params: a = 1\nSELECT 1").unwrap().params.len(), 1);
    }
}
