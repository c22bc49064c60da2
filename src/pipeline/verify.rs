//! Files read for their hashes alone, and signatures checked, on all threads.
//!
//! In: sources. Out: [`Evidence`] in the order of the sources, each file read once; and the state of each digest's signature.

use super::{CHUNK_FILES, ordered};
use crate::discover::Source;
use crate::error::{Problem, Result};
use crate::integrity::{Evidence, Names, Observation, SignatureState, Trial, Witness};
use crate::read::{End, Facts, Hashing, Limits, Reader, Visitor};

/// The names of files that are sources, in their order.
pub struct SourceNames<'a>(pub &'a [Source]);

impl SourceNames<'_> {
    fn source(&self, file: u32) -> Option<&Source> {
        self.0.get(usize::try_from(file).ok()?)
    }
}

impl Names for SourceNames<'_> {
    fn path(&self, file: u32) -> String {
        self.source(file).map(Source::path_text).unwrap_or_default()
    }

    fn shown(&self, file: u32) -> String {
        self.source(file).map(Source::name).unwrap_or_default()
    }
}

/// Hands the text to the witness, and remembers what went wrong.
struct Watch<'w> {
    witness: &'w mut Witness,
    problem: Option<Problem>,
}

impl Visitor for Watch<'_> {
    fn open(&mut self, member: Option<&str>) {
        self.witness.open(member);
    }

    fn data(&mut self, text: &[u8]) {
        self.witness.data(text);
    }

    fn close(&mut self, end: End) {
        let problem = end.problem(None, 0);
        self.problem = self.problem.take().or(problem);
    }

    fn problem(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }
}

/// What is told of each file while it is read.
pub struct Seen<'a> {
    /// Its source.
    pub source: &'a Source,
    /// What is known about it, or why it could not be read.
    pub facts: &'a Result<Facts, Problem>,
    /// What was not understood.
    pub problem: Option<&'a Problem>,
}

/// Reads `sources` with `jobs` threads. `each` is told of every file, in order, on the calling thread.
///
/// # Errors
/// None of its own: trouble with a file is in the evidence.
pub fn observe(sources: &[Source], jobs: usize, limits: Limits, mut each: impl FnMut(Seen<'_>)) -> Result<Evidence> {
    let mut evidence = Evidence::default();
    evidence.files.reserve(sources.len());
    let new_worker = || (Reader::new(limits).hashing(Hashing::Text), Witness::default());
    type Read = (String, Result<Facts, Problem>, Option<Problem>, Observation);
    let work = |(reader, witness): &mut (Reader, Witness), chunk: &[Source]| {
        let read = |source: &Source| -> Read {
            let path = source.path_text();
            witness.begin(&path);
            let mut watch = Watch { witness, problem: None };
            let facts = reader.read(source, &mut watch);
            let problem = watch.problem;
            let content = facts.as_ref().ok().and_then(|facts| facts.content.clone());
            (path, facts, problem, witness.finish(content))
        };
        Ok(chunk.iter().map(read).collect::<Vec<Read>>())
    };
    let mut all = sources.iter();
    let consume = |chunk: Vec<Read>| {
        for ((path, facts, problem, observation), source) in chunk.into_iter().zip(all.by_ref()) {
            each(Seen { source, facts: &facts, problem: problem.as_ref() });
            evidence.add(&path, observation);
        }
        Ok(())
    };
    // Sizes are not known: each thread is given many pieces, so that a few large files do not end up in one.
    let files = (sources.len() / (jobs.max(1) * 16)).clamp(1, CHUNK_FILES);
    ordered(jobs, new_worker, work, consume, |submit| sources.chunks(files).try_for_each(submit))?;
    Ok(evidence)
}

/// Signatures that one thread checks at once.
const BATCH: u32 = 64;

/// Checks the signatures of all digests.
///
/// # Errors
/// None of its own.
pub fn check_signatures(trial: &Trial<'_>, jobs: usize) -> Result<Vec<SignatureState>> {
    let count = u32::try_from(trial.evidence.digests.len()).unwrap_or(u32::MAX);
    let mut states = Vec::with_capacity(trial.evidence.digests.len());
    let work = |(): &mut (), first: u32| {
        let batch = first..first.saturating_add(BATCH).min(count);
        Ok(batch.map(|digest| trial.signature(digest)).collect::<Vec<_>>())
    };
    let consume = |batch: Vec<SignatureState>| {
        states.extend(batch);
        Ok(())
    };
    let starts = (0..count).step_by(BATCH as usize);
    ordered(jobs, || (), work, consume, |submit| starts.into_iter().try_for_each(submit))?;
    Ok(states)
}
