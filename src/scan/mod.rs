//! Finds the CloudTrail records in inflated text, at several GB/s.
//!
//! In: the text of one file or archive member, in chunks of any size. Out: each record's bytes with its offset and
//! number, given to a [`Sink`], and each stretch that is no record, counted and located. A file given as one chunk is
//! scanned in place; between chunks only an unfinished record is kept, and no more than `max_record` bytes of it.
//! Envelopes are known by content, never by file name. Nothing here fails: what is not understood becomes a [`Skip`].
//! Deliberately absent: parsing. A record's brackets match and that is all; whether it is JSON is for the sink to say,
//! which parses only what [`prefilter::Prefilter`] lets through, and answers [`Verdict::Malformed`] when it is not.

mod embedded;
mod envelope;
mod ledger;
pub mod prefilter;
mod recovery;
pub mod relevance;
mod structural;
mod text;
pub mod twin;
mod walker;

#[cfg(test)]
mod tests;

use crate::error::ProblemKind;
use text::Window;
use walker::Walker;

/// The bound on one record unless set otherwise: 16 MiB. CloudTrail's own bounds are 256 KB for an event and 1 MB in an
/// event data store; pretty-printing and escapes can multiply that.
pub const MAX_RECORD: usize = 16 << 20;

/// One record as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// The record from `{` to `}`. A record that was embedded in a string is unescaped.
    pub bytes: &'a [u8],
    /// Where it starts in the inflated text of this file or member; of an embedded record, where its string starts.
    pub offset: u64,
    /// Its place among the records of this text, from 0.
    pub number: u64,
}

/// What the sink says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken, or of no interest.
    Accepted,
    /// Not JSON, although its brackets match. The scanner reports it as skipped and looks inside for others.
    Malformed,
}

/// A stretch of text that is part of no record and of no envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// What kind of trouble.
    pub kind: ProblemKind,
    /// Where the stretch starts in the inflated text.
    pub offset: u64,
    /// Its bytes. 0 when nothing is there although something should be, as in an array that is never closed.
    pub length: u64,
    /// What was expected and found.
    pub message: String,
}

/// Takes what the scanner finds, in the order of the text. Hostile text can hold a skip for every few bytes: a sink that
/// keeps skips must bound how many.
pub trait Sink {
    /// Takes a record.
    fn record(&mut self, record: RawRecord<'_>) -> Verdict;
    /// Takes note of a skipped stretch.
    fn skip(&mut self, skip: Skip);
}

/// What a text turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentKind {
    /// No text, or only white space.
    #[default]
    Empty,
    /// Records, or an envelope for them that is empty.
    Records,
    /// A digest file of CloudTrail's log file validation.
    Digest,
    /// Insights events. They are handed over as records; none is relevant.
    Insight,
    /// Aggregated events. They are handed over as records; none is relevant.
    Aggregated,
    /// A known envelope without CloudTrail records: control messages, other EventBridge events, other logs.
    Other,
    /// Nothing that is known.
    Unrecognized,
}

/// The account of one text. `bytes_total = bytes_in_records + bytes_skipped + bytes_envelope`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records that the sink accepted.
    pub records: u64,
    /// Bytes of text.
    pub bytes_total: u64,
    /// Bytes of accepted records; of embedded ones, their strings.
    pub bytes_in_records: u64,
    /// Bytes in skips.
    pub bytes_skipped: u64,
    /// Everything else: the envelope, separators, white space.
    pub bytes_envelope: u64,
    /// What the text turned out to be.
    pub kind: ContentKind,
}

/// Scans one text. Feed it in order, finish it, then reset it for the next one.
pub struct Scanner {
    walker: Walker,
    /// Text that was fed and is still needed.
    carry: Vec<u8>,
    /// Offset of the carried text.
    base: u64,
}

impl Scanner {
    /// A scanner that skips records larger than `max_record` bytes ([`MAX_RECORD`] unless there is a reason).
    pub fn new(max_record: usize) -> Scanner {
        Scanner { walker: Walker::new(max_record.max(64)), carry: Vec::new(), base: 0 }
    }

    /// Takes the next part of the text. Without carried text it is scanned where it lies.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut dyn Sink) {
        /// Enough for most records; doubled until the carried record is complete.
        const FIRST_PART: usize = 8 << 10;
        let mut rest = chunk;
        let mut part = FIRST_PART;
        while !self.carry.is_empty() && !rest.is_empty() {
            let (copied, behind) = rest.split_at_checked(part).unwrap_or((rest, &[]));
            self.carry.extend_from_slice(copied);
            let needed = self.run_carry(false, sink);
            let fresh = chunk.len() - behind.len();
            if needed <= fresh {
                // All that is needed lies in this chunk: go on there.
                rest = chunk.get(fresh - needed..).unwrap_or_default();
                self.base += (self.carry.len() - needed) as u64;
                self.carry.clear();
                break;
            }
            self.carry.drain(..self.carry.len() - needed);
            self.base = self.walker.hold();
            rest = behind;
            part *= 2;
        }
        if self.carry.is_empty() && !rest.is_empty() {
            let window = Window { bytes: rest, base: self.base, last: false };
            self.walker.run(&window, sink);
            let hold = self.walker.hold();
            self.carry.extend_from_slice(window.from(hold));
            self.base = hold;
        }
    }

    /// Scans the carried text; how many bytes at its end are still needed.
    fn run_carry(&mut self, last: bool, sink: &mut dyn Sink) -> usize {
        let window = Window { bytes: &self.carry, base: self.base, last };
        self.walker.run(&window, sink);
        window.from(self.walker.hold()).len()
    }

    /// Ends the text. `torn` says that the reader knows of a tear, and has reported it: then an envelope that is not
    /// closed is no news. A record cut by the end is a [`ProblemKind::CutRecord`] either way.
    pub fn finish(&mut self, torn: bool, sink: &mut dyn Sink) -> Summary {
        let window = Window { bytes: &self.carry, base: self.base, last: true };
        self.walker.finish(&window, torn, sink)
    }

    /// Makes the scanner ready for another text. Buffers are kept, but not large ones.
    pub fn reset(&mut self) {
        const KEPT: usize = 1 << 20;
        self.walker.reset();
        self.carry.clear();
        self.carry.shrink_to(KEPT);
        self.base = 0;
    }
}
