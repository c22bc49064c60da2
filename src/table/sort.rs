//! Sorting and deduplicating any number of rows in bounded memory.
//!
//! In: rows in any order, from any number of threads ([`Rows`], one per thread). Out: one stream in the order of the events
//! table without repeated deliveries ([`merge`]). Rows that exceed the memory bound are written to disk as sorted runs and
//! merged, at most `FAN_IN` at a time. The answer does not depend on which thread had which rows, because the order is
//! total and ends in the provenance.

use crate::error::{Error, Result};
use crate::schema::Event;
use crate::table::repeat::Repeats;
use crate::table::row::{Row, encode_into};
use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Runs merged at once: far below the usual limit of 1,024 open files.
const FAN_IN: usize = 200;
/// Bytes read ahead of each run.
const READ_AHEAD: usize = 32 << 10;

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: i64,
    /// The first eight bytes of the event id, so that most comparisons stay in the index.
    id_prefix: u64,
    start: u64,
    end: u64,
}

/// Rows in memory, in the order they came until [`Rows::sort`].
#[derive(Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    index: Vec<Entry>,
    /// Where texts stand in `bytes`; made with the first row.
    repeats: Option<Repeats>,
}

fn prefix(id: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(id) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

impl Rows {
    /// Adds one event, whose `event_id` and `event_time` must be set.
    pub fn push(&mut self, event: &Event<'_>) {
        let start = self.bytes.len();
        encode_into(event, &mut self.bytes, Some(self.repeats.get_or_insert_with(Repeats::new)));
        let row = Row::plain(self.bytes.get(start..).unwrap_or_default());
        let (time, id_prefix) = (row.event_time(), prefix(row.event_id()));
        self.index.push(Entry { time, id_prefix, start: start as u64, end: self.bytes.len() as u64 });
    }

    /// Makes room for `bytes` bytes of rows.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes);
        self.index.reserve_exact(bytes / 1024);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True when there are no rows.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes held in memory.
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.index.len() * size_of::<Entry>()
    }

    fn entry_row(&self, entry: &Entry) -> Row<'_> {
        Row::within(self.bytes.get(entry.start as usize..entry.end as usize).unwrap_or_default(), &self.bytes)
    }

    /// The rows in their present order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.index.iter().map(|entry| self.entry_row(entry))
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
        if let Some(repeats) = &mut self.repeats {
            repeats.clear();
        }
    }

    /// Brings the rows into the order of the events table.
    pub fn sort(&mut self) {
        let mut index = std::mem::take(&mut self.index);
        index.sort_unstable_by(|a, b| {
            (a.time, a.id_prefix)
                .cmp(&(b.time, b.id_prefix))
                .then_with(|| self.entry_row(a).compare(&self.entry_row(b)))
        });
        self.index = index;
    }
}

/// Where sorted runs are kept until they are merged: a folder that is removed with the unfinished case.
#[derive(Debug)]
pub struct Spill {
    folder: PathBuf,
    next: AtomicU64,
    keeps: bool,
}

impl Spill {
    /// Runs will be written into `folder`, which is created when the first one is.
    pub fn new(folder: PathBuf) -> Spill {
        Spill { folder, next: AtomicU64::new(0), keeps: false }
    }

    /// The same, but runs stay until the folder is removed: an interrupted job can go on with them.
    pub fn keeping(folder: PathBuf) -> Spill {
        Spill { keeps: true, ..Spill::new(folder) }
    }

    /// Removes every run that is not in `kept`, by file name, and numbers new ones after those that are.
    ///
    /// # Errors
    /// When the folder cannot be listed or a file not be removed.
    pub fn remove_all_but(&self, kept: &BTreeSet<String>) -> Result<()> {
        let fail = |error| Error::file(&self.folder, "clear the spill folder", error);
        for entry in std::fs::read_dir(&self.folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(number) = name.strip_prefix("run-").and_then(|number| number.parse::<u64>().ok()) else {
                continue;
            };
            self.next.fetch_max(number + 1, Relaxed);
            if !kept.contains(&name) {
                std::fs::remove_file(entry.path()).map_err(fail)?;
            }
        }
        Ok(())
    }

    /// The folder, for other files that are needed only until the merge is over.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn create(&self) -> Result<RunWriter> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| Error::file(&self.folder, "create the spill folder", error))?;
        let path = self.folder.join(format!("run-{}", self.next.fetch_add(1, Relaxed)));
        let file = File::create(&path).map_err(|error| Error::file(&path, "create a sorted run", error))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(RunWriter { path, file, row: Vec::new(), rows: 0, bytes: 0, keeps: self.keeps })
    }

    /// Sorts `rows`, writes them as one run and empties them.
    ///
    /// # Errors
    /// When the run cannot be written, for example on a full disk.
    pub fn write(&self, rows: &mut Rows) -> Result<Run> {
        rows.sort();
        let mut writer = self.create()?;
        for row in rows.iter() {
            writer.push(row)?;
        }
        rows.clear();
        writer.finish()
    }
}

struct RunWriter {
    path: PathBuf,
    file: BufWriter<File>,
    row: Vec<u8>,
    rows: u64,
    bytes: u64,
    keeps: bool,
}

impl RunWriter {
    fn push(&mut self, row: Row<'_>) -> Result<()> {
        self.row.clear();
        row.write_plain(&mut self.row);
        let length = u32::try_from(self.row.len()).unwrap_or(u32::MAX);
        self.rows += 1;
        self.bytes += self.row.len() as u64 + 4;
        self.file
            .write_all(&length.to_le_bytes())
            .and_then(|()| self.file.write_all(&self.row))
            .map_err(|error| Error::file(&self.path, "write a sorted run", error))
    }

    fn finish(mut self) -> Result<Run> {
        self.file.flush().map_err(|error| Error::file(&self.path, "write a sorted run", error))?;
        Ok(Run { path: self.path, rows: self.rows, bytes: self.bytes, keeps: self.keeps })
    }
}

/// A sorted run on disk. Its file is removed when it is dropped, unless it is kept for a job that may be interrupted.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    rows: u64,
    bytes: u64,
    keeps: bool,
}

impl Run {
    /// A run that an interrupted job left behind; it stays when it is dropped.
    pub fn kept(path: PathBuf, rows: u64, bytes: u64) -> Run {
        Run { path, rows, bytes, keeps: true }
    }

    /// Its file's name, rows and bytes.
    pub fn facts(&self) -> (String, u64, u64) {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        (name, self.rows, self.bytes)
    }

    /// Tells the event time of each row, microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When the run cannot be read.
    pub fn for_each_time(&self, mut each: impl FnMut(i64)) -> Result<()> {
        let mut cursor = Cursor::open(self)?;
        while cursor.advance()? {
            each(cursor.row().event_time());
        }
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.keeps {
            return;
        }
        // The folder is removed with the unfinished case anyway: failing to remove the run early only costs space.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One sorted sequence being merged: rows in memory, or a run on disk.
enum Cursor<'r> {
    Memory {
        rows: &'r Rows,
        at: usize,
    },
    /// `left` rows are still to come: a run that has fewer was cut after it was written, and the lost rows must not go
    /// unnoticed.
    Disk {
        file: BufReader<File>,
        path: &'r Path,
        row: Vec<u8>,
        left: u64,
    },
}

impl<'r> Cursor<'r> {
    fn open(run: &'r Run) -> Result<Cursor<'r>> {
        let file = File::open(&run.path).map_err(|error| Error::file(&run.path, "read a sorted run", error))?;
        let file = BufReader::with_capacity(READ_AHEAD, file);
        Ok(Cursor::Disk { file, path: &run.path, row: Vec::new(), left: run.rows })
    }

    /// Moves to the next row; false at the end.
    fn advance(&mut self) -> Result<bool> {
        match self {
            Cursor::Memory { rows, at } => {
                *at += 1;
                Ok(*at <= rows.len())
            }
            Cursor::Disk { left: 0, .. } => Ok(false),
            Cursor::Disk { file, path, row, left } => {
                let fail = |error| Error::file(path, "read a sorted run", error);
                *left -= 1;
                let mut length = [0; 4];
                file.read_exact(&mut length).map_err(fail)?;
                row.resize(u32::from_le_bytes(length) as usize, 0);
                file.read_exact(row).map_err(fail)?;
                Ok(true)
            }
        }
    }

    fn row(&self) -> Row<'_> {
        match self {
            Cursor::Memory { rows, at } => match rows.index.get(at.wrapping_sub(1)) {
                Some(entry) => rows.entry_row(entry),
                None => Row::plain(&[]),
            },
            Cursor::Disk { row, .. } => Row::plain(row),
        }
    }
}

struct Head<'r> {
    time: i64,
    id_prefix: u64,
    cursor: Cursor<'r>,
}

impl<'r> Head<'r> {
    fn new(mut cursor: Cursor<'r>) -> Result<Option<Head<'r>>> {
        Ok(cursor.advance()?.then(|| Head { time: 0, id_prefix: 0, cursor }.refreshed()))
    }

    fn refreshed(mut self) -> Self {
        self.time = self.cursor.row().event_time();
        self.id_prefix = prefix(self.cursor.row().event_id());
        self
    }
}

impl Ord for Head<'_> {
    /// Reversed: the heap gives its greatest element, and the smallest row is wanted.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.id_prefix)
            .cmp(&(self.time, self.id_prefix))
            .then_with(|| other.cursor.row().compare(&self.cursor.row()))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head<'_> {}

/// What became of a row in the merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The first delivery of a record: it becomes a row of the events table.
    Kept,
    /// A further delivery of the record kept before it.
    Duplicate,
    /// Kept too, although its id was seen at the same time with other content.
    Conflict,
}

/// Tells what becomes of each row, in the order of the events table.
#[derive(Debug, Default)]
struct Judge {
    kept: Option<(i64, i64)>,
    kept_id: Vec<u8>,
}

impl Judge {
    fn fate(&mut self, row: Row<'_>) -> Fate {
        let (time, content) = (row.event_time(), row.content_hash());
        let fate = match self.kept {
            Some((kept_time, _)) if kept_time != time || self.kept_id != row.event_id() => Fate::Kept,
            Some((_, kept_content)) if kept_content == content => Fate::Duplicate,
            Some(_) => Fate::Conflict,
            None => Fate::Kept,
        };
        if fate != Fate::Duplicate {
            self.kept = Some((time, content));
            self.kept_id.clear();
            self.kept_id.extend_from_slice(row.event_id());
        }
        fate
    }
}

/// Hands all rows to `each` in the order of the events table, with their fate. `rows` must be sorted.
///
/// # Errors
/// When a run cannot be read or written, and whatever `each` returns.
pub fn merge(
    rows: &[Rows],
    mut runs: Vec<Run>,
    spill: &Spill,
    mut each: impl FnMut(Row<'_>, Fate) -> Result<()>,
) -> Result<()> {
    while runs.len() > FAN_IN {
        let group: Vec<Run> = runs.drain(..FAN_IN).collect();
        let mut writer = spill.create()?;
        let cursors = group.iter().map(Cursor::open).collect::<Result<Vec<_>>>()?;
        merge_cursors(cursors, |row| writer.push(row))?;
        runs.push(writer.finish()?);
    }
    let mut cursors: Vec<Cursor<'_>> = rows.iter().map(|rows| Cursor::Memory { rows, at: 0 }).collect();
    for run in &runs {
        cursors.push(Cursor::open(run)?);
    }
    let mut judge = Judge::default();
    merge_cursors(cursors, |row| each(row, judge.fate(row)))
}

/// The same for rows that are all in memory and sorted: `each` may keep the rows it is given.
///
/// # Errors
/// Whatever `each` returns.
pub fn merge_in_memory<'r>(rows: &'r [Rows], mut each: impl FnMut(Row<'r>, Fate) -> Result<()>) -> Result<()> {
    let mut heads: Vec<std::iter::Peekable<_>> =
        rows.iter().map(|rows| rows.index.iter().map(|entry| (entry, rows.entry_row(entry))).peekable()).collect();
    let mut judge = Judge::default();
    // There are as many sequences as threads: looking at each head is as fast as a heap.
    loop {
        let mut smallest: Option<(usize, Entry, Row<'r>)> = None;
        for (number, head) in heads.iter_mut().enumerate() {
            let Some((entry, row)) = head.peek() else { continue };
            let is_smaller = smallest.as_ref().is_none_or(|(_, least, least_row)| {
                (entry.time, entry.id_prefix).cmp(&(least.time, least.id_prefix)).then_with(|| row.compare(least_row))
                    == Ordering::Less
            });
            if is_smaller {
                smallest = Some((number, **entry, *row));
            }
        }
        let Some((number, _, row)) = smallest else { return Ok(()) };
        if let Some(head) = heads.get_mut(number) {
            head.next();
        }
        each(row, judge.fate(row))?;
    }
}

fn merge_cursors(cursors: Vec<Cursor<'_>>, mut each: impl FnMut(Row<'_>) -> Result<()>) -> Result<()> {
    let mut heap = BinaryHeap::with_capacity(cursors.len());
    for cursor in cursors {
        heap.extend(Head::new(cursor)?);
    }
    while let Some(mut head) = heap.pop() {
        // Rows of one source often follow each other: stay with it while it is still the smallest.
        loop {
            each(head.cursor.row())?;
            if !head.cursor.advance()? {
                break;
            }
            head = head.refreshed();
            if heap.peek().is_some_and(|other| *other > head) {
                heap.push(head);
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(rows: &mut Rows, time: i64, id: &str, hash: i64, file: &str) {
        let event = Event {
            event_id: Some(id.into()),
            event_time: Some(time),
            content_hash: Some(hash),
            source_file: Some(file.into()),
            ..Event::default()
        };
        rows.push(&event);
    }

    fn collect(rows: &mut [Rows], runs: Vec<Run>, spill: &Spill) -> Vec<(i64, String, String, Fate)> {
        rows.iter_mut().for_each(Rows::sort);
        let mut out = Vec::new();
        merge(rows, runs, spill, |row, fate| {
            let event = row.decode();
            out.push((
                row.event_time(),
                String::from_utf8_lossy(row.event_id()).into(),
                event.source_file.unwrap().into(),
                fate,
            ));
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn a_row_has_one_size_with_references_and_without() {
        let mut rows = Rows::default();
        for id in ["e1", "e2", "e3"] {
            push(&mut rows, 1, id, 7, &"long".repeat(100));
        }
        let sizes: Vec<usize> = rows.iter().map(|row| row.size()).collect();
        let mut plain = Vec::new();
        for row in rows.iter() {
            plain.clear();
            row.write_plain(&mut plain);
            assert_eq!((plain.len(), Row::plain(&plain).size()), (row.size(), row.size()));
        }
        assert!(sizes.iter().all(|size| *size == sizes[0]) && rows.memory() < 3 * sizes[0], "{sizes:?}");
    }

    #[test]
    fn one_record_delivered_twice_is_kept_once_whoever_had_it() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::new(folder.path().join("spill"));
        let (mut a, mut b) = (Rows::default(), Rows::default());
        push(&mut a, 2, "e2", 7, "b.json");
        push(&mut a, 1, "e1", 7, "b.json");
        push(&mut b, 1, "e1", 7, "a.json");
        push(&mut b, 2, "e2", 8, "c.json");
        let mut rows = [a, b];
        let in_memory = collect(&mut rows, Vec::new(), &spill);
        let expected = vec![
            (1, "e1".to_owned(), "a.json".to_owned(), Fate::Kept),
            (1, "e1".to_owned(), "b.json".to_owned(), Fate::Duplicate),
            (2, "e2".to_owned(), "b.json".to_owned(), Fate::Kept),
            (2, "e2".to_owned(), "c.json".to_owned(), Fate::Conflict),
        ];
        assert_eq!(in_memory, expected);
        let mut again = Vec::new();
        merge_in_memory(&rows, |row, fate| {
            again.push((row.event_time(), fate));
            Ok(())
        })
        .unwrap();
        assert_eq!(again, expected.iter().map(|(time, _, _, fate)| (*time, *fate)).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_that_was_cut_is_an_error_and_not_a_shorter_run() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::new(folder.path().join("spill"));
        let mut rows = Rows::default();
        push(&mut rows, 1, "e1", 1, "f");
        push(&mut rows, 2, "e2", 1, "f");
        let run = spill.write(&mut rows).unwrap();
        let bytes = std::fs::read(&run.path).unwrap();
        std::fs::write(&run.path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(merge(&[], vec![run], &spill, |_, _| Ok(())).is_err());
    }

    #[test]
    fn more_runs_than_can_be_open_at_once_give_the_order_of_one_sort() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::new(folder.path().join("spill"));
        let mut all = Rows::default();
        let mut runs = Vec::new();
        for run in 0..(FAN_IN as i64 + 50) {
            let mut rows = Rows::default();
            for i in 0..7 {
                let time = (run * 31 + i * 17) % 101;
                push(&mut rows, time, &format!("e{run}-{i}"), run, "f");
                push(&mut all, time, &format!("e{run}-{i}"), run, "f");
            }
            runs.push(spill.write(&mut rows).unwrap());
        }
        let spilled = collect(&mut [], runs, &spill);
        assert_eq!(spilled, collect(&mut [all], Vec::new(), &spill));
        assert_eq!(spilled.len(), (FAN_IN + 50) * 7);
    }
}
