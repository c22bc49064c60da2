//! Adds integrity digests to a corpus, as a trail with log file validation would have written them.
//!
//! In: a folder of logs in the layout of S3, such as `make_corpus` writes. Out: beside the logs a digest for every hour of each
//! account and Region from its first log to its last, chained and signed with a throw-away key; `keys.json` and
//! `signatures.json` in the folder `--out`. The same logs give the same bytes. Deliberately absent: tampering, which is what
//! the tests are for.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example stops at the first surprise and says what it did"
)]

#[path = "../tests/support/trail.rs"]
mod trail;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use trail::{Delivered, Key, Objects, TRAIL, Trail, gunzip, iso, key_entry, sha256, signatures};

const HELP: &str = "\
Adds integrity digests to a corpus.

cargo run --release --example make_digests -- CORPUS_DIR OUT_DIR

  CORPUS_DIR   a folder that contains AWSLogs/; digests are written into it
  OUT_DIR      gets keys.json and signatures.json
";

/// Seconds after the hour at which intervals begin and end.
const OFFSET: i64 = 91;
const HOUR: i64 = 3600;

/// Logs of one account and Region: delivery slot and file.
type Logs = Vec<(i64, PathBuf)>;

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

/// Account, Region and delivery slot in a log's name.
fn claims(path: &Path) -> Option<((String, String), i64)> {
    let name = path.file_name()?.to_str()?;
    let mut parts = name.split('_');
    let (account, kind, region, slot) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let slot = chrono::NaiveDateTime::parse_from_str(slot, "%Y%m%dT%H%MZ").ok()?;
    (kind == "CloudTrail").then(|| ((account.to_owned(), region.to_owned()), slot.and_utc().timestamp()))
}

/// The entry of a log in its digest.
fn entry(root: &Path, path: &Path) -> Value {
    let text = gunzip(&fs::read(path).unwrap());
    let records: Value = serde_json::from_slice(&text).unwrap();
    let times = || {
        records
            .get("Records")
            .and_then(Value::as_array)
            .unwrap()
            .iter()
            .map(|record| record.get("eventTime").and_then(Value::as_str).unwrap())
    };
    json!({
        "s3Bucket": TRAIL.bucket, "s3Object": path.strip_prefix(root).unwrap().to_str().unwrap(),
        "hashValue": sha256(&text), "hashAlgorithm": "SHA-256",
        "newestEventTime": times().max(), "oldestEventTime": times().min(),
    })
}

/// Writes the digests of one account and Region.
fn chain(root: &Path, trail: &Trail, key: &Key, logs: &Logs, objects: &mut Objects) {
    // A slot is delivered some minutes later: in the interval that begins before the slot and ends after it.
    let hour = |slot: i64| (slot - OFFSET).div_euclid(HOUR);
    let (first, last) = (hour(logs.first().unwrap().0), hour(logs.last().unwrap().0));
    let mut rest = logs.iter().peekable();
    let mut previous: Option<Delivered> = None;
    for now in first..=last {
        let mut entries = Vec::new();
        while let Some((_, path)) = rest.next_if(|(slot, _)| hour(*slot) == now) {
            entries.push(entry(root, path));
        }
        let interval = (now * HOUR + OFFSET, (now + 1) * HOUR + OFFSET);
        previous = Some(trail.digest(objects, key, interval, &entries, previous.as_ref(), ""));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [corpus, out] = arguments.as_slice() else {
        println!("{HELP}");
        return;
    };
    let (root, out) = (Path::new(corpus), Path::new(out));
    let mut paths = Vec::new();
    files(&root.join("AWSLogs"), &mut paths);
    let mut chains: BTreeMap<(String, String), Logs> = BTreeMap::new();
    for path in paths {
        if let Some((place, slot)) = claims(&path) {
            chains.entry(place).or_default().push((slot, path));
        }
    }
    let key = Key::new(0);
    let (mut sidecar, mut digests, mut listed) = (serde_json::Map::new(), 0, 0);
    let (mut from, mut until) = (i64::MAX, i64::MIN);
    for ((account, region), mut logs) in chains {
        logs.sort();
        (from, until) = (from.min(logs.first().unwrap().0), until.max(logs.last().unwrap().0));
        // Names live as long as the program.
        let (account, region): (&'static str, &'static str) = (account.leak(), region.leak());
        let trail = Trail { account, region, home: "us-east-1", ..TRAIL };
        let mut objects = Objects::new();
        chain(root, &trail, &key, &logs, &mut objects);
        trail::sync(&objects, root);
        (digests, listed) = (digests + objects.len(), listed + logs.len());
        if let Value::Object(named) = signatures(TRAIL.bucket, &objects) {
            sidecar.extend(named);
        }
    }
    fs::create_dir_all(out).unwrap();
    let keys = json!({ "PublicKeyList": [key_entry(&key, from - 24 * HOUR, until + 24 * HOUR)] });
    fs::write(out.join("keys.json"), keys.to_string()).unwrap();
    fs::write(out.join("signatures.json"), Value::from(sidecar).to_string()).unwrap();
    println!("{digests} digests list {listed} logs from {} until {}", iso(from), iso(until));
}
