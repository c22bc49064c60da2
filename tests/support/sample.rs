//! Cases that several tests of a binary read: the sample logs, and a small one with hostile names.
//!
//! In: `sample-logs/`, or a few records. Out: case folders under `target/tmp`, each made when the first test asks for it.

use super::corpus::{Call, KEY_A, KEY_B, decrypt};
use super::pack::trail;
use super::{analyze, put, shared, text};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub(crate) type Json = Map<String, Value>;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A case of the sample logs, made once per run of the tests.
#[track_caller]
pub(crate) fn sample(name: &str, options: &[&str]) -> PathBuf {
    let folder = shared(&format!("review_compare/{name}"), |folder| {
        analyze(&root().join("sample-logs"), &folder.join(name), &[&["--quiet"], options].concat()).code(0);
    });
    folder.join(name)
}

/// The whole story.
pub(crate) static WHOLE: LazyLock<PathBuf> = LazyLock::new(|| sample("whole", &["--jobs", "4"]));

/// The quiet days before it.
pub(crate) static BEFORE: LazyLock<PathBuf> = LazyLock::new(|| sample("before", &["--until", "2025-10-15"]));

/// The rows of one of the case's NDJSON files.
pub(crate) fn lines(case: &Path, name: &str) -> Vec<Json> {
    let file = fs::read_to_string(case.join(name)).unwrap();
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn number(row: &Json, column: &str) -> i64 {
    row[column].as_i64().unwrap()
}

/// A column that holds a JSON array of texts.
#[track_caller]
pub(crate) fn list(row: &Json, column: &str) -> Vec<String> {
    serde_json::from_str(&text(row, column)).unwrap()
}

/// A caller whose name begins a formula, clears the screen and turns text round; an alias that renames the window.
const HOSTILE: &str = "{\"type\":\"IAMUser\",\"principalId\":\"AIDAEVIL\",\"arn\":\"=HYPERLINK(\\\"http://192.0.2.1\\\")\\u001b[2J\\u202egpj\",\
                       \"accountId\":\"111122223333\",\"accessKeyId\":\"AKIAEVIL\",\"userName\":\"evil\"}";

fn doomed(call: Call, key: &'static str, time: &str) -> Call {
    let request = format!("{{\"keyId\":\"{key}\",\"pendingWindowInDays\":7}}");
    call.named("ScheduleKeyDeletion").at(time).writes().on(&[key]).asks(&request)
}

/// What the hostile caller did: use, an alias, and a deletion that rules find.
pub(crate) fn hostile_calls() -> [Call; 3] {
    let alias = format!("{{\"aliasName\":\"alias/pay\\u001b]0;x\\u0007\",\"targetKeyId\":\"{KEY_A}\"}}");
    let hostile = |n: u32| decrypt(n).by(HOSTILE);
    [
        hostile(5).at("2024-05-03T12:00:00Z"),
        hostile(6).named("CreateAlias").at("2024-05-03T12:01:00Z").writes().asks(&alias),
        doomed(hostile(7), KEY_A, "2024-05-03T12:02:00Z"),
    ]
}

/// Three cases of evidence that grows: a quiet call; a deletion; and the same deletion once more, beside what the hostile
/// caller did.
pub(crate) static SMALL: LazyLock<[PathBuf; 3]> = LazyLock::new(|| {
    let root = shared("review_compare/small", |root| {
        let grow = |name: &str, calls: &[Call]| {
            let records: Vec<String> = calls.iter().map(Call::text).collect();
            put(&root.join("in").join(format!("{name}.json")), trail(&records));
            analyze(&root.join("in"), &root.join(name), &["--quiet"]).code(0);
        };
        grow("quiet", &[decrypt(1).at("2024-05-01T09:00:00Z")]);
        grow("once", &[doomed(decrypt(2), KEY_B, "2024-05-01T10:00:00Z")]);
        let more = [
            decrypt(3).named("CancelKeyDeletion").at("2024-05-01T11:00:00Z").writes().on(&[KEY_B]),
            doomed(decrypt(4), KEY_B, "2024-05-03T10:00:00Z"),
        ];
        grow("twice", &[&more[..], &hostile_calls()[..]].concat());
    });
    ["quiet", "once", "twice"].map(|name| root.join(name))
});
