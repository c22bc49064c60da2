//! The only place with threads: sources in, rows out.
//!
//! In: sources and a configuration. Out: rows (in memory or in sorted runs on disk) and one [`InputRow`] per file, in the
//! order of the sources. [`ordered`] is the one way work is spread: workers return values, the calling thread takes them in
//! the order the work was handed out, so nothing that is written depends on the number of threads. [`mod@file`] is what one
//! worker does with one file.

pub mod checkpoint;
pub mod file;
pub mod filter;
pub mod texts;
pub mod verify;

use crate::discover::Source;
use crate::error::{Error, Result};
use crate::integrity::Witness;
use crate::read::{Hashing, Limits, Reader};
use crate::schema::Event;
use crate::table::sort::{Rows, Run, Spill};
use checkpoint::{Journal, Resumed};
pub use file::{InputRow, InputStatus};
use filter::RecordFilter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// What the extraction is told.
#[derive(Debug)]
pub struct Config {
    /// Worker threads, at least 1.
    pub jobs: usize,
    /// Bounds on one input file.
    pub limits: Limits,
    /// Which records become rows.
    pub filter: RecordFilter,
    /// Largest record, bytes.
    pub max_record: usize,
    /// Bytes of rows that all workers together may hold before they are written to disk.
    pub memory: usize,
    /// Texts are hashed and digests kept, to be compared afterwards.
    pub validates: bool,
    /// What each text shows of coverage is noted.
    pub surveys: bool,
}

/// What a job that may be interrupted does besides.
#[derive(Debug, Default)]
pub struct Job {
    /// Checkpoints are written, so that an interrupted job can go on.
    pub has_checkpoints: bool,
    /// What an earlier run of the job had done.
    pub resumed: Resumed,
}

/// What was seen, over all files.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Files read for records.
    pub files: u64,
    /// Files whose content showed that they hold no records, and not their folder: digests under other names, prose.
    pub set_apart: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// Bytes after inflation.
    pub inflated: u64,
    /// Records found.
    pub records: u64,
    /// Records of KMS that passed the filters, before deduplication.
    pub kms: u64,
    /// Other records that passed the filters, before deduplication.
    pub adjacent: u64,
    /// Relevant records that the filters left out.
    pub filtered: u64,
    /// Files with a problem.
    pub files_with_problems: u64,
    /// Problems, over all files.
    pub problems: u64,
    /// Bytes in skipped stretches.
    pub bytes_skipped: u64,
}

impl Totals {
    /// Adds one file.
    pub fn add(&mut self, input: &InputRow) {
        let is_apart = input.status == InputStatus::SetApart;
        self.files += u64::from(!is_apart);
        self.set_apart += u64::from(is_apart && !input.is_named_apart());
        self.bytes += input.size;
        self.inflated += input.inflated;
        self.records += input.records;
        self.kms += input.kms;
        self.adjacent += input.adjacent;
        self.filtered += input.filtered;
        self.problems += input.problem_count;
        self.files_with_problems += u64::from(input.problem_count > 0);
        self.bytes_skipped += input.bytes_skipped;
    }
}

/// The extraction's result: all rows, still to be merged.
#[derive(Debug, Default)]
pub struct Extraction {
    /// Rows that stayed in memory, one buffer per worker.
    pub rows: Vec<Rows>,
    /// Sorted runs on disk.
    pub runs: Vec<Run>,
    /// Accounts that received records: the home accounts unless others are given.
    pub recipients: BTreeSet<String>,
}

/// One worker's rows: in memory up to a bound, then as sorted runs on disk, also in the middle of a file.
#[derive(Debug, Default)]
pub struct RowBuffer<'s> {
    /// Rows in memory.
    pub rows: Rows,
    runs: Vec<Run>,
    /// Of the runs, those that stand in the journal.
    journaled: usize,
    bounded: Option<(usize, &'s Spill)>,
    failed: Option<Error>,
}

/// 256 MiB: more is not reserved at once, because systems may refuse what nobody has asked for.
const MAX_RESERVED: usize = 256 << 20;

impl<'s> RowBuffer<'s> {
    /// A buffer that goes to `spill` whenever its rows take `bound` bytes.
    pub fn bounded(bound: usize, spill: &'s Spill) -> RowBuffer<'s> {
        let mut buffer = RowBuffer { bounded: Some((bound, spill)), ..RowBuffer::default() };
        // Address space costs nothing until it is written to; growing by steps would copy rows, or split large pages.
        buffer.rows.reserve(bound.min(MAX_RESERVED));
        buffer
    }

    /// Appends one event. A failure to write a run is kept for `RowBuffer::check`, because the scanner that calls this
    /// cannot fail.
    pub fn push(&mut self, event: &Event<'_>) {
        self.rows.push(event);
        if self.bounded.is_some_and(|(bound, _)| self.rows.memory() >= bound.saturating_add(bound / 8)) {
            self.spill();
        }
    }

    fn spill(&mut self) {
        let Some((_, spill)) = self.bounded else { return };
        match spill.write(&mut self.rows) {
            Ok(run) => self.runs.push(run),
            Err(error) => {
                self.rows.clear();
                self.failed.get_or_insert(error);
            }
        }
    }

    /// Called between files: writes the rows to disk when they are many, or when a part of them went there in the middle of
    /// a file, so that the runs hold whole files. True when the runs hold all rows so far.
    fn settle(&mut self) -> bool {
        let is_full = self.bounded.is_some_and(|(bound, _)| self.rows.memory() >= bound);
        if !is_full && self.runs.len() == self.journaled {
            return false;
        }
        if !self.rows.is_empty() {
            self.spill();
        }
        true
    }

    /// The failure to write a run, if there was one.
    ///
    /// # Errors
    /// That failure, once.
    pub fn check(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl Extraction {
    /// Adds all rows of a buffer.
    pub fn add(&mut self, buffer: RowBuffer<'_>) {
        self.runs.extend(buffer.runs);
        if !buffer.rows.is_empty() {
            self.rows.push(buffer.rows);
        }
    }
}

/// One worker's belongings.
struct Worker<'s> {
    reader: Reader,
    files: file::FileWorker,
    buffer: RowBuffer<'s>,
    checkpoints: Option<Checkpoints>,
}

/// What a worker notes for its next checkpoint.
#[derive(Default)]
struct Checkpoints {
    journal: Option<Journal>,
    /// Files read since the last one.
    inputs: Vec<InputRow>,
    /// Accounts that received the records of all files before.
    recipients: BTreeSet<String>,
}

impl Worker<'_> {
    fn read(&mut self, source: &Source) -> Result<InputRow> {
        let Worker { reader, files, buffer, .. } = self;
        let input = files.read(reader, source, buffer);
        buffer.check()?;
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.inputs.push(input.clone());
        }
        Ok(input)
    }

    /// After each file: makes a checkpoint when rows have to go to disk anyway.
    fn checkpoint(&mut self, spill: &Spill) -> Result<()> {
        let Some(checkpoints) = &mut self.checkpoints else { return Ok(()) };
        if !self.buffer.settle() {
            return Ok(());
        }
        self.buffer.check()?;
        let journal = match &mut checkpoints.journal {
            Some(journal) => journal,
            None => checkpoints.journal.insert(Journal::open(spill)?),
        };
        let runs = self.buffer.runs.get(self.buffer.journaled..).unwrap_or_default();
        // Only the accounts of these files: a checkpoint that is dropped later must take its accounts with it.
        let recipients = std::mem::take(&mut self.files.recipients);
        journal.append(runs, &checkpoints.inputs, &recipients)?;
        checkpoints.recipients.extend(recipients);
        checkpoints.inputs.clear();
        self.buffer.journaled = self.buffer.runs.len();
        Ok(())
    }
}

/// Reads `sources` and returns their rows. `each` gets one [`InputRow`] per source, in order, on the calling thread. What
/// `job` has of an earlier run is not read again.
///
/// # Errors
/// When rows cannot be written to disk, and whatever `each` returns. Trouble with an input is no error: it stands in its
/// [`InputRow`].
pub fn extract(
    sources: &[Source],
    config: &Config,
    spill: &Spill,
    job: Job,
    mut each: impl FnMut(InputRow) -> Result<()>,
) -> Result<Extraction> {
    let Job { has_checkpoints, resumed } = job;
    let known = &resumed.inputs;
    let jobs = config.jobs.max(1);
    let hashing = if config.validates { Hashing::StoredAndText } else { Hashing::Stored };
    let new_worker = || Worker {
        reader: Reader::new(config.limits).hashing(hashing),
        files: file::FileWorker::new(config.max_record, &config.filter)
            .witnessed(config.validates.then(|| Witness::new(true)))
            .surveying(config.surveys),
        buffer: RowBuffer::bounded(config.memory / jobs, spill),
        checkpoints: has_checkpoints.then(Checkpoints::default),
    };
    let work = |worker: &mut Worker<'_>, chunk: &[Source]| {
        let mut inputs = Vec::with_capacity(chunk.len());
        for source in chunk {
            if !known.is_empty()
                && let Some(input) = known.get(&source.name())
            {
                inputs.push(input.clone());
                continue;
            }
            inputs.push(worker.read(source)?);
            worker.checkpoint(spill)?;
        }
        Ok(inputs)
    };
    let consume = |inputs: Vec<InputRow>| inputs.into_iter().try_for_each(&mut each);
    let workers = ordered(jobs, new_worker, work, consume, |submit| {
        for chunk in chunks(sources) {
            submit(chunk)?;
        }
        Ok(())
    })?;
    let mut extraction = Extraction { rows: Vec::new(), runs: resumed.runs, recipients: resumed.recipients };
    for worker in workers {
        extraction.recipients.extend(worker.files.recipients);
        extraction.recipients.extend(worker.checkpoints.unwrap_or_default().recipients);
        extraction.add(worker.buffer);
    }
    Ok(extraction)
}

/// Bytes of stored files handed out at once: enough that handing out costs nothing, little enough that no worker idles.
const CHUNK_BYTES: u64 = 1 << 20;
/// Files handed out at once at most.
const CHUNK_FILES: usize = 64;

/// Cuts the sources into pieces of work.
pub(crate) fn chunks(sources: &[Source]) -> impl Iterator<Item = &[Source]> {
    let mut rest = sources;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let mut length = 0;
        for source in rest.iter().take(CHUNK_FILES) {
            if length > 0 && bytes + source.size > CHUNK_BYTES {
                break;
            }
            bytes += source.size;
            length += 1;
        }
        let (chunk, others) = rest.split_at(length);
        rest = others;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Spreads work over threads and takes the results in order.
///
/// `feed` is given a function that submits one task; `work` runs on one of `jobs` threads, each with a state of its own
/// made by `new_state`; `consume` runs on the calling thread, in the order of submission. At most a few tasks per thread
/// are under way, so memory stays bounded however fast tasks are submitted. Returns the states.
///
/// # Errors
/// The first error, in order of submission, of `work`, `consume` or `feed`.
pub fn ordered<T, S, U>(
    jobs: usize,
    new_state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) -> Result<U> + Sync,
    mut consume: impl FnMut(U) -> Result<()>,
    feed: impl FnOnce(&mut dyn FnMut(T) -> Result<()>) -> Result<()>,
) -> Result<Vec<S>>
where
    T: Send,
    S: Send,
    U: Send,
{
    if jobs <= 1 {
        let mut state = new_state();
        feed(&mut |task| consume(work(&mut state, task)?))?;
        return Ok(vec![state]);
    }
    let (tasks, queue) = channel::<(u64, T)>();
    let (answers, results) = channel::<(u64, Result<U>)>();
    let queue = Mutex::new(queue);
    let (queue, new_state, work) = (&queue, &new_state, &work);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs)
            .map(|_| {
                let answers = answers.clone();
                scope.spawn(move || run_worker(queue, &answers, new_state(), work))
            })
            .collect();
        drop(answers);
        let mut window =
            Window { tasks, results, pending: BTreeMap::new(), submitted: 0, consumed: 0, bound: 2 * jobs as u64 };
        let outcome = feed(&mut |task| window.submit(task, &mut consume)).and_then(|()| window.drain(&mut consume));
        // The queue must close before the threads are joined, or they would wait for work for ever.
        drop(window);
        let states: Vec<S> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        outcome.map(|()| states)
    })
}

fn run_worker<T, S, U>(
    queue: &Mutex<Receiver<(u64, T)>>,
    answers: &Sender<(u64, Result<U>)>,
    mut state: S,
    work: &impl Fn(&mut S, T) -> Result<U>,
) -> S {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, task)) = next else { return state };
        let watch = Watch { answers, number };
        let answer = work(&mut state, task);
        drop(watch);
        if answers.send((number, answer)).is_err() {
            return state;
        }
    }
}

/// Answers for a task in which a worker panicked: the others wait for work, so nobody else would end the run. What was said
/// in the panic is passed on when the thread is joined.
struct Watch<'a, U> {
    answers: &'a Sender<(u64, Result<U>)>,
    number: u64,
}

impl<U> Drop for Watch<'_, U> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.answers.send((self.number, Err(Error::Usage("a worker thread stopped".to_owned()))));
        }
    }
}

/// The tasks under way, seen from the calling thread.
struct Window<T, U> {
    tasks: Sender<(u64, T)>,
    results: Receiver<(u64, Result<U>)>,
    pending: BTreeMap<u64, Result<U>>,
    submitted: u64,
    consumed: u64,
    bound: u64,
}

impl<T, U> Window<T, U> {
    fn submit(&mut self, task: T, consume: &mut impl FnMut(U) -> Result<()>) -> Result<()> {
        while self.submitted - self.consumed >= self.bound {
            self.take(consume)?;
        }
        // Sending fails only when every worker has died of a panic, which joining them reports.
        let _ = self.tasks.send((self.submitted, task));
        self.submitted += 1;
        Ok(())
    }

    fn drain(&mut self, consume: &mut impl FnMut(U) -> Result<()>) -> Result<()> {
        while self.consumed < self.submitted {
            self.take(consume)?;
        }
        Ok(())
    }

    /// Waits for the next result in order and consumes it.
    fn take(&mut self, consume: &mut impl FnMut(U) -> Result<()>) -> Result<()> {
        loop {
            if let Some(result) = self.pending.remove(&self.consumed) {
                self.consumed += 1;
                return consume(result?);
            }
            match self.results.recv() {
                Ok((number, result)) => self.pending.insert(number, result),
                // All workers are gone: a panic, which joining them reports.
                Err(_) => {
                    self.consumed = self.submitted;
                    return Ok(());
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(jobs: usize) -> Vec<u64> {
        let mut out = Vec::new();
        ordered(
            jobs,
            || (),
            |(), n: u64| {
                std::thread::sleep(std::time::Duration::from_micros((n * 7) % 50));
                Ok(n * n)
            },
            |square| {
                out.push(square);
                Ok(())
            },
            |submit| (0..500).try_for_each(submit),
        )
        .unwrap();
        out
    }

    #[test]
    fn results_come_in_order_for_any_number_of_threads() {
        assert_eq!(squares(1), squares(4));
        assert_eq!(squares(3).len(), 500);
    }

    #[test]
    fn a_panic_in_a_worker_ends_the_run() {
        for jobs in [1, 2, 4] {
            let run = || {
                let work = |(): &mut (), n: u64| if n == 20 { std::panic::panic_any("at task 20") } else { Ok(n) };
                ordered(jobs, || (), work, |_| Ok(()), |submit| (0..500).try_for_each(submit))
            };
            let panic = std::panic::catch_unwind(run).unwrap_err();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"at task 20"), "{jobs} threads");
        }
    }

    #[test]
    fn the_first_error_ends_the_run() {
        let fail = ordered(
            4,
            || (),
            |(), n: u64| if n == 7 { Err(Error::Usage("seven".into())) } else { Ok(n) },
            |_| Ok(()),
            |submit| (0..100_000).try_for_each(submit),
        );
        assert_eq!(fail.unwrap_err().to_string(), "seven");
    }
}
