//! The `.test` file beside a query.
//!
//! In: text such as
//!
//! ```text
//! params: min_window_days = 30
//! + the plain case
//! {"eventName":"ScheduleKeyDeletion","requestParameters":{"pendingWindowInDays":7}}
//! - refused by IAM: nothing was lost
//! {"eventName":"ScheduleKeyDeletion","errorCode":"AccessDenied"}
//! ----
//! first_time,severity,event_ids
//! 2024-05-01T10:00:01Z,high,e1
//! ```
//!
//! Out: the records, which are patches over one whole KMS record so that a test shows only what matters, and the expected
//! rows. All blocks are loaded together and are each other's noise. In a patch `null` removes a member, `"_repeat": 50` and
//! `"_every": 2` make copies at an interval in seconds, and `%n` in a text is the number of the copy, from 1. Record n has
//! the id `e<n>`, and the time of [`BASE_TIME`] plus n seconds, unless given; an id that is given must be none of these. `"_file": "NAME"` says which file delivers a record: with `%n` one file
//! per copy, and `%t` stands for the delivery slot of the record's time. There is no magic beside: what a record says it says
//! in the patch.

use super::params::{Param, parse_list};
use crate::error::Error;
use crate::time::{MICROS, format_timestamp, parse_timestamp};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// 2024-05-01T10:00:00Z: records without a time come one second after the other from here.
pub const BASE_TIME: i64 = 1_714_557_600;

/// What every record is before its patch.
const TEMPLATE: &str = r#"{
  "eventVersion": "1.11",
  "userIdentity": {
    "type": "AssumedRole",
    "principalId": "AROAEXAMPLE:session",
    "arn": "arn:aws:sts::111122223333:assumed-role/app/session",
    "accountId": "111122223333",
    "accessKeyId": "ASIAEXAMPLE",
    "sessionContext": {
      "sessionIssuer": {
        "type": "Role",
        "principalId": "AROAEXAMPLE",
        "arn": "arn:aws:iam::111122223333:role/app",
        "accountId": "111122223333",
        "userName": "app"
      },
      "attributes": {"mfaAuthenticated": "false", "creationDate": "2024-05-01T09:00:00Z"}
    }
  },
  "eventSource": "kms.amazonaws.com",
  "eventName": "Decrypt",
  "awsRegion": "us-east-1",
  "sourceIPAddress": "192.0.2.10",
  "userAgent": "aws-cli/2.15.0",
  "requestParameters": {"encryptionAlgorithm": "SYMMETRIC_DEFAULT"},
  "responseElements": null,
  "requestID": "00000000-0000-4000-8000-000000000000",
  "readOnly": true,
  "resources": [
    {
      "accountId": "111122223333",
      "type": "AWS::KMS::Key",
      "ARN": "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-4333-8444-555555555555"
    }
  ],
  "eventType": "AwsApiCall",
  "managementEvent": true,
  "recipientAccountId": "111122223333",
  "eventCategory": "Management"
}"#;

/// Members of a patch that are not the record's.
const OWN_MEMBERS: [&str; 3] = ["_repeat", "_every", "_file"];

/// Copies of one patch at most: more would be a mistake.
const MAX_REPEAT: u64 = 100_000;

/// A group of records with the reason why they must or must not be found.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// They must be found.
    pub is_hit: bool,
    /// Why.
    pub reason: String,
    /// The line of the reason, from 1.
    pub line: u64,
    /// Their event ids.
    pub event_ids: Vec<String>,
}

/// The rows after `----`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The columns that are compared.
    pub columns: Vec<String>,
    /// Their values as text.
    pub rows: Vec<Vec<String>>,
    /// The line of the columns, from 1.
    pub line: u64,
}

/// A test file.
#[derive(Clone, Debug, PartialEq)]
pub struct TestFile {
    /// Parameters that differ from the query's defaults.
    pub params: Vec<Param>,
    /// The home accounts, when they are not those of the records.
    pub home_accounts: Vec<String>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The records of all blocks, in order.
    pub records: Vec<Value>,
    /// The expected rows, when there are any lines for them.
    pub expected: Option<Expected>,
}

/// Reads a test file; `name` is for the messages.
///
/// # Errors
/// Every line that is none of the format.
pub fn parse(name: &str, text: &str) -> Result<TestFile, Vec<Error>> {
    let mut faults = Vec::new();
    let mut complain = |line: u64, message: String| faults.push(Error::Query { query: name.to_owned(), line, message });
    let mut file = TestFile {
        params: Vec::new(),
        home_accounts: Vec::new(),
        blocks: Vec::new(),
        records: Vec::new(),
        expected: None,
    };
    let mut lines = text.lines().zip(1u64..);
    let mut number = 0;
    let mut ids = Ids::default();
    for (line, at) in lines.by_ref() {
        let line = line.trim_end();
        if line == "----" {
            break;
        } else if let Some(reason) = line.strip_prefix("+ ").or_else(|| line.strip_prefix("- ")) {
            let reason = reason.trim().to_owned();
            file.blocks.push(Block { is_hit: line.starts_with('+'), reason, line: at, event_ids: Vec::new() });
        } else if let Some(list) = line.strip_prefix("params:") {
            match parse_list(list) {
                Ok(params) => file.params = params,
                Err(message) => complain(at, message),
            }
        } else if let Some(list) = line.strip_prefix("home:") {
            file.home_accounts = list.split(',').map(|account| account.trim().to_owned()).collect();
        } else if line.starts_with('{') {
            match (serde_json::from_str::<Map<String, Value>>(line), file.blocks.last_mut()) {
                (Ok(patch), Some(block)) => {
                    let is_given = patch.get("eventID").is_some_and(|id| !id.is_null());
                    match records_of(patch, &mut number) {
                        Ok(records) => {
                            let fresh: Vec<String> = records.iter().map(event_id).collect();
                            ids.add(&fresh, is_given, at);
                            block.event_ids.extend(fresh);
                            file.records.extend(records);
                        }
                        Err(message) => complain(at, message),
                    }
                }
                (Ok(_), None) => complain(at, "a record before the first `+ reason` or `- reason`".to_owned()),
                (Err(error), _) => complain(at, format!("the record is no JSON object: {error}")),
            }
        } else if !line.is_empty() {
            complain(
                at,
                "write `+ reason`, `- reason`, a JSON record on one line, `params:`, `home:` or `----`".to_owned(),
            );
        }
    }
    for (at, message) in ids.collisions() {
        complain(at, message);
    }
    file.expected = expected(lines, &mut complain);
    for block in &file.blocks {
        if block.event_ids.is_empty() {
            complain(block.line, "no record follows this reason".to_owned());
        }
    }
    if faults.is_empty() { Ok(file) } else { Err(faults) }
}

/// The lines of the event ids. That two records say the same id is a second delivery or a conflict; that one says what
/// another has by its number is a slip, and would be reported at the wrong block.
#[derive(Default)]
struct Ids {
    given: BTreeMap<String, u64>,
    numbered: BTreeMap<String, u64>,
}

impl Ids {
    fn add(&mut self, ids: &[String], is_given: bool, line: u64) {
        let lines = if is_given { &mut self.given } else { &mut self.numbered };
        for id in ids {
            lines.entry(id.clone()).or_insert(line);
        }
    }

    fn collisions(&self) -> Vec<(u64, String)> {
        let collisions = self.given.iter().filter_map(|(id, at)| {
            let other = self.numbered.get(id)?;
            let message = format!(
                "the id `{id}` is also that of a record of line {other}, which has it by its number: write another, such as `x{id}`"
            );
            Some((*at, message))
        });
        collisions.collect()
    }
}

fn event_id(record: &Value) -> String {
    record.get("eventID").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn expected<'t>(
    lines: impl Iterator<Item = (&'t str, u64)>,
    complain: &mut impl FnMut(u64, String),
) -> Option<Expected> {
    let mut expected: Option<Expected> = None;
    for (line, at) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        let cells = csv_cells(line);
        match &mut expected {
            None => expected = Some(Expected { columns: cells, rows: Vec::new(), line: at }),
            Some(table) if cells.len() == table.columns.len() => table.rows.push(cells),
            Some(table) => complain(at, format!("{} values for {} columns", cells.len(), table.columns.len())),
        }
    }
    expected
}

/// The cells of a CSV line. A cell that begins with `[` is a JSON array and goes to its end.
fn csv_cells(line: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let (cell, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_cell(quoted)
        } else {
            let end = if rest.starts_with('[') { rest.find(']').unwrap_or(0) } else { 0 };
            let end = rest.get(end..).and_then(|tail| tail.find(',')).map_or(rest.len(), |comma| end + comma);
            let (cell, after) = rest.split_at(end);
            (cell.to_owned(), after)
        };
        cells.push(list_cell(cell));
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return cells,
        }
    }
}

fn quoted_cell(text: &str) -> (String, &str) {
    let mut cell = String::new();
    let mut rest = text;
    while let Some((part, after)) = rest.split_once('"') {
        cell.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => return (cell, after),
        }
    }
    cell.push_str(rest);
    (cell, "")
}

/// A JSON array of texts as the comma list that lists are compared as.
fn list_cell(cell: String) -> String {
    match serde_json::from_str::<Vec<String>>(&cell) {
        Ok(items) if cell.starts_with('[') => items.join(","),
        _ => cell,
    }
}

/// The records that one patch makes. `number` counts them over the whole file.
fn records_of(patch: Map<String, Value>, number: &mut i64) -> Result<Vec<Value>, String> {
    let count = match patch.get("_repeat") {
        None => 1,
        Some(value) => match value.as_u64() {
            Some(count) if (1..=MAX_REPEAT).contains(&count) => count,
            _ => return Err(format!("`_repeat` is {value} and must be 1 to {MAX_REPEAT}")),
        },
    };
    let every = match patch.get("_every") {
        None => 1.0,
        Some(value) => value.as_f64().ok_or(format!("`_every` is {value} and must be a number of seconds"))?,
    };
    let start = match patch.get("eventTime") {
        None => (BASE_TIME + *number + 1) * MICROS,
        Some(value) => value.as_str().and_then(parse_timestamp).ok_or(format!("`eventTime` {value} is no time"))?,
    };
    if let Some(name) = patch.keys().find(|name| name.starts_with('_') && !OWN_MEMBERS.contains(&name.as_str())) {
        return Err(format!("`{name}` is none of {}", OWN_MEMBERS.join(", ")));
    }
    let mut records = Vec::new();
    for copy in 0..count {
        *number += 1;
        let mut record: Value = serde_json::from_str(TEMPLATE).map_err(|error| error.to_string())?;
        merge(&mut record, Value::Object(patch.clone()), copy + 1);
        let time = start + ((copy as f64) * every * (MICROS as f64)) as i64;
        if let Value::Object(members) = &mut record {
            members.insert("eventTime".to_owned(), format_timestamp(time).into());
            members.entry("eventID").or_insert_with(|| format!("e{number}").into());
            if let Some(file) = patch.get("_file").and_then(Value::as_str) {
                let file = file.replace("%n", &(copy + 1).to_string()).replace("%t", &delivery_slot(time));
                members.insert("_file".to_owned(), file.into());
            }
        }
        records.push(record);
    }
    Ok(records)
}

/// The five-minute slot in which a record of this time is delivered, as names of log files have it: `20240501T1005Z`.
fn delivery_slot(time: i64) -> String {
    const SLOT: i64 = 300 * MICROS;
    let slot = (time.div_euclid(SLOT) + 1) * SLOT;
    let text: String = format_timestamp(slot).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    text.replace("00Z", "Z")
}

/// Puts a patch over a value: objects are merged, `null` removes, all else replaces.
fn merge(value: &mut Value, patch: Value, copy: u64) {
    match patch {
        Value::Object(members) => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            let Value::Object(target) = value else { return };
            for (name, patch) in members {
                match patch {
                    Value::Null => {
                        target.remove(&name);
                    }
                    _ if name.starts_with('_') => {}
                    patch => merge(target.entry(name).or_insert(Value::Null), patch, copy),
                }
            }
        }
        Value::String(text) => *value = text.replace("%n", &copy.to_string()).into(),
        Value::Array(items) => {
            let fresh = items.into_iter().map(|item| {
                let mut value = Value::Null;
                merge(&mut value, item, copy);
                value
            });
            *value = Value::Array(fresh.collect());
        }
        other => *value = other,
    }
}

/// The file's text with other expected rows.
pub fn with_expected(text: &str, columns: &[String], rows: &[Vec<String>]) -> String {
    let body: Vec<&str> = text.lines().take_while(|line| line.trim_end() != "----").collect();
    let line = |cells: &[String]| cells.iter().map(|cell| csv_cell(cell)).collect::<Vec<_>>().join(",");
    let mut out = body.join("\n");
    out.push_str("\n----\n");
    for row in std::iter::once(columns).chain(rows.iter().map(Vec::as_slice)) {
        out.push_str(&line(row));
        out.push('\n');
    }
    out
}

fn csv_cell(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) || cell.starts_with('[') {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let text = "+ why\n{\"eventName\":\"CreateGrant\",\"userIdentity\":{\"arn\":null},\"requestParameters\":{\"a\":{\"b\":\"x%n\"}}}\n";
        let file = parse("t", text).unwrap();
        let record = &file.records[0];
        assert_eq!(record["eventName"], "CreateGrant");
        assert_eq!(record["userIdentity"].get("arn"), None);
        assert_eq!(record["userIdentity"]["accountId"], "111122223333");
        assert_eq!(record["requestParameters"]["a"]["b"], "x1");
        assert_eq!(record["eventID"], "e1");
        assert_eq!(record["eventTime"], "2024-05-01T10:00:01Z");
    }

    #[test]
    fn files_are_named_after_their_delivery() {
        let text =
            "+ many\n{\"_repeat\":2,\"_every\":3600,\"eventTime\":\"2024-05-01T10:00:00Z\",\"_file\":\"a_%t_%n\"}\n";
        let file = parse("t", text).unwrap();
        let names: Vec<&str> = file.records.iter().map(|record| record["_file"].as_str().unwrap()).collect();
        assert_eq!(names, ["a_20240501T1005Z_1", "a_20240501T1105Z_2"]);
    }

    #[test]
    fn copies_are_numbered_and_spaced() {
        let text = "+ many\n{\"_repeat\":3,\"_every\":2,\"userAgent\":\"a%n\"}\n- one\n{\"eventID\":\"mine\"}\n";
        let file = parse("t", text).unwrap();
        let column = |name: &str| file.records.iter().map(|record| record[name].to_string()).collect::<Vec<_>>();
        assert_eq!(column("eventID"), [r#""e1""#, r#""e2""#, r#""e3""#, r#""mine""#]);
        assert_eq!(column("userAgent")[..3], [r#""a1""#, r#""a2""#, r#""a3""#]);
        let times: Vec<String> = column("eventTime").iter().map(|time| time[18..20].to_owned()).collect();
        assert_eq!(times, ["01", "03", "05", "04"]);
        assert_eq!(file.blocks[1].event_ids, ["mine"]);
        assert!(!file.blocks[1].is_hit && file.blocks[0].is_hit);
    }

    #[test]
    fn expected_rows_are_csv_with_json_lists() {
        let text = "+ x\n{}\n----\na,b,c\n1,\"x, \"\"y\"\"\",[\"e1\",\"e2\"]\n2,,\"e1,e2\"\n";
        let expected = parse("t", text).unwrap().expected.unwrap();
        assert_eq!(expected.columns, ["a", "b", "c"]);
        assert_eq!(expected.rows, [["1", "x, \"y\"", "e1,e2"], ["2", "", "e1,e2"]]);
        let rewritten = with_expected(text, &expected.columns, &expected.rows);
        assert_eq!(parse("t", &rewritten).unwrap().expected.unwrap().rows, expected.rows);
        assert!(rewritten.starts_with("+ x\n{}\n----\na,b,c\n"));
    }

    #[test]
    fn a_given_id_is_not_that_of_another_record() {
        let text =
            "+ a\n{\"eventID\":\"e3\"}\n{\"eventID\":\"twice\"}\n- b\n{\"_repeat\":2}\n{\"eventID\":\"twice\"}\n";
        let faults = parse("t", text).unwrap_err();
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("t, line 2: the id `e3` is also that of a record of line 5"), "{faults:?}");
        assert!(parse("t", &text.replace("e3", "e2")).is_ok(), "record 2 has an id of its own");
        assert!(parse("t", "+ a\n{\"eventID\":\"e%n\",\"_repeat\":2}\n- b\n{\"eventID\":null}\n").is_ok());
    }

    #[test]
    fn every_wrong_line_is_reported() {
        let text = "{}\n+ a\nnonsense\n{\"_repeat\":0}\n{\"_often\":1}\n{broken\nparams: x\n- b\n----\na,b\n1\n";
        let faults = parse("t", text).unwrap_err();
        assert_eq!(faults.len(), 9, "{faults:?}");
    }

    #[test]
    fn parameters_and_home_accounts_may_be_set() {
        let file = parse("t", "params: n = 3\nhome: 111122223333, 444455556666\n+ a\n{}\n").unwrap();
        assert_eq!(file.params[0].name, "n");
        assert_eq!(file.home_accounts.len(), 2);
        assert_eq!(file.expected, None);
    }
}
