//! What the tests of the command line share: running the binary, reading what it wrote, packing archives.
//!
//! In: arguments and bytes. Out: exit code, streams, rows. The program is only ever used from outside, as an analyst would;
//! its output is read back with the Parquet and JSON readers and never with the program's own modules, so that an error
//! cannot hide in both. A failing run prints its command line and both streams.

#![allow(dead_code, reason = "every test binary includes this module and uses its own part of it")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

pub(crate) mod corpus;
pub(crate) mod pack;
pub(crate) mod sample;
pub(crate) mod scene;
pub(crate) mod trail;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// A run that takes longer than this hangs: the slowest case takes some seconds unoptimised, and a busy machine may be many times slower.
const PATIENCE: Duration = Duration::from_secs(300);

/// This run of the tests. Some test runners give each test a process of its own and name the run (cargo-nextest); else the
/// process is the run, and its number alone may have been another's.
static RUN: LazyLock<String> = LazyLock::new(|| {
    let own = || format!("{} {:?}", std::process::id(), SystemTime::now());
    std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| own())
});

/// A folder under `target/tmp` that many tests read, filled by the first of a run that asks for it. On Linux processes wait
/// for one another; elsewhere tests need to share a process.
pub(crate) fn shared(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let lock = fs::File::create(folder.with_extension("lock")).unwrap();
    #[cfg(target_os = "linux")]
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let filled = folder.with_extension("run");
    if fs::read_to_string(&filled).unwrap_or_default() != *RUN {
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir(&folder).unwrap();
        fill(&folder);
        fs::write(&filled, &*RUN).unwrap();
    }
    drop(lock);
    folder
}

/// One row of a table: column to value, NULL as `None`, everything else as text.
pub(crate) type Row = BTreeMap<String, Option<String>>;

/// A finished run of the program.
pub(crate) struct Run {
    command: String,
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// The largest resident set seen, in bytes; 0 where `/proc` does not tell.
    pub(crate) peak: u64,
}

impl Run {
    /// Fails with both streams unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n{}", self.report());
        self
    }

    /// Everything a reader of a failed test wants to know.
    pub(crate) fn report(&self) -> String {
        let stdout: String = String::from_utf8_lossy(&self.stdout).chars().take(2_000).collect();
        let stderr: String = self.stderr.chars().take(6_000).collect();
        format!("command: {}\nexit: {}\nstdout:\n{stdout}\nstderr:\n{stderr}", self.command, self.code)
    }

    /// Stdout as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Stdout as one JSON object per line.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<Map<String, Value>> {
        let text = self.text();
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(Value::Object(row)) => row,
            other => panic!("not a row: {other:?}: {line:.200}\n{}", self.report()),
        };
        text.lines().map(parse).collect()
    }

    /// The event ids on stdout, in order.
    #[track_caller]
    pub(crate) fn ids(&self) -> Vec<String> {
        self.rows().iter().map(|row| text(row, "event_id")).collect()
    }

    /// The byte offsets that stderr names on lines with this file.
    pub(crate) fn places(&self, file: &str) -> Vec<u64> {
        let mut places = Vec::new();
        for line in self.stderr.lines().filter(|line| line.contains(file)) {
            for (at, word) in line.match_indices("byte ") {
                let digits: String =
                    line.get(at + word.len()..).unwrap().chars().take_while(char::is_ascii_digit).collect();
                places.extend(digits.parse::<u64>());
            }
        }
        places
    }
}

/// The value of a text column of a JSON row; empty when it is NULL.
pub(crate) fn text(row: &Map<String, Value>, column: &str) -> String {
    match row.get(column) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Runs the program.
#[track_caller]
pub(crate) fn keytrail<I: AsRef<OsStr>>(arguments: &[I]) -> Run {
    keytrail_with(arguments, Some(b""))
}

/// Runs the program with this on stdin; `None` leaves stdin open and silent, so that a program which reads it hangs.
#[track_caller]
pub(crate) fn keytrail_with<I: AsRef<OsStr>>(arguments: &[I], stdin: Option<&[u8]>) -> Run {
    let mut command = command(arguments);
    let described = format!("{command:?}");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let feeder = stdin.map(<[u8]>::to_vec);
    let held = thread::spawn(move || match feeder {
        // The program may well refuse before it reads: then the pipe is closed, which is no fault.
        Some(bytes) => drop(input.write_all(&bytes)),
        None => thread::sleep(PATIENCE + Duration::from_secs(60)),
    });
    let (code, peak) = wait(&mut child, &described);
    drop(held);
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
    let run = Run { command: described, code, stdout: stdout.join().unwrap(), stderr, peak };
    assert!(!run.stderr.contains("panicked"), "a panic\n{}", run.report());
    run
}

/// The program with these arguments and without settings from outside.
pub(crate) fn command<I: AsRef<OsStr>>(arguments: &[I]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keytrail"));
    command.args(arguments).env_remove("KEYTRAIL_JOBS").env_remove("KEYTRAIL_MEMORY").env("NO_COLOR", "1");
    command
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Waits for the end; kills a run that hangs. The exit code, and the peak memory.
fn wait(child: &mut Child, command: &str) -> (i32, u64) {
    let start = Instant::now();
    let mut peak = 0;
    loop {
        peak = peak.max(resident_peak(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            let Some(code) = status.code() else { panic!("killed by a signal: {status}: {command}") };
            return (code, peak);
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("hung for {PATIENCE:?}: {command}");
        }
        thread::sleep(Duration::from_millis(3));
    }
}

/// `VmHWM` of a live process.
fn resident_peak(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().map_or(0, |kib| kib * 1024)
}

/// Extracts to NDJSON on stdout.
#[track_caller]
pub(crate) fn extract(path: &Path, options: &[&str]) -> Run {
    let path = path.to_str().unwrap();
    keytrail(&[&["extract", path, "-o", "-", "--format", "ndjson"], options].concat())
}

/// Makes a case.
#[track_caller]
pub(crate) fn analyze(path: &Path, case: &Path, options: &[&str]) -> Run {
    let (path, case) = (path.to_str().unwrap(), case.to_str().unwrap());
    keytrail(&[&["analyze", path, "--out", case], options].concat())
}

/// Asks a case with SQL.
#[track_caller]
pub(crate) fn query(case: &Path, sql: &str) -> Vec<Map<String, Value>> {
    let case = case.to_str().unwrap();
    keytrail_with(&["query", "--case", case, "--format", "ndjson", "-"], Some(sql.as_bytes())).code(0).rows()
}

/// The columns that say where a row was found rather than what it is.
pub(crate) const PROVENANCE: [&str; 2] = ["source_file", "record_no"];

/// Rows without some columns.
pub(crate) fn without(mut rows: Vec<Map<String, Value>>, columns: &[&str]) -> Vec<Map<String, Value>> {
    for row in &mut rows {
        row.retain(|column, _| !columns.contains(&column.as_str()));
    }
    rows
}

/// Fails with the first column that differs.
#[track_caller]
pub(crate) fn same_rows(left: &[Map<String, Value>], right: &[Map<String, Value>], what: &str) {
    for (left, right) in left.iter().zip(right) {
        let id = text(left, "event_id");
        for (column, value) in left {
            assert_eq!(Some(value), right.get(column), "{what}: event {id}, column {column}");
        }
        assert_eq!(left.len(), right.len(), "{what}: event {id}: number of columns");
    }
    assert_eq!(left.len(), right.len(), "{what}: number of rows");
}

/// All rows of a Parquet file.
#[track_caller]
pub(crate) fn parquet_rows(path: &Path) -> Vec<Row> {
    let file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reader = SerializedFileReader::new(file).unwrap();
    let value = |field: &Field| match field {
        Field::Null => None,
        Field::Str(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()).collect()
}

/// The text of a column; empty when it is NULL.
#[track_caller]
pub(crate) fn cell<'a>(row: &'a Row, column: &str) -> &'a str {
    let value = row.get(column).unwrap_or_else(|| panic!("no column {column} in {:?}", row.keys()));
    value.as_deref().unwrap_or_default()
}

/// The sum of a number column.
#[track_caller]
pub(crate) fn total(rows: &[Row], column: &str) -> i64 {
    rows.iter().map(|row| cell(row, column).parse::<i64>().unwrap_or(0)).sum()
}

/// The rows of all event partitions of a case.
#[track_caller]
pub(crate) fn case_events(case: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for path in tree(&case.join("events")).into_keys().filter(|path| path.extension() == Some(OsStr::new("parquet"))) {
        rows.extend(parquet_rows(&case.join("events").join(path)));
    }
    rows
}

/// The event ids of a case.
pub(crate) fn case_ids(case: &Path) -> BTreeSet<String> {
    case_events(case).iter().map(|row| cell(row, "event_id").to_owned()).collect()
}

/// Every file under a folder, relative, with its bytes.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, out);
            } else {
                let bytes = fs::read(&path).unwrap_or_default();
                out.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(folder, folder, &mut out);
    out
}

/// Fails with the first file that differs.
#[track_caller]
pub(crate) fn same_tree(left: &BTreeMap<PathBuf, Vec<u8>>, right: &BTreeMap<PathBuf, Vec<u8>>, what: &str) {
    let names = |tree: &BTreeMap<PathBuf, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(left), names(right), "{what}: files");
    for (path, bytes) in left {
        assert!(right.get(path) == Some(bytes), "{what}: {} differs", path.display());
    }
}

/// The names in a folder, hidden ones too, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Writes a file and the folders above it.
pub(crate) fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The fields of a CSV text, quotes undone.
pub(crate) fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    rows
}
