//! The account of every byte of one text.
//!
//! In: what the walk over the text decides, in order. Out: records and skips to the sink, and the totals. All bytes go
//! through here exactly once, so that the totals add up by construction; skips that touch each other become one.

use super::{ContentKind, RawRecord, Sink, Skip, Summary, Verdict};
use crate::error::ProblemKind;
use memchr::memmem;

/// The totals of one text, and the skip that may still grow.
#[derive(Default)]
pub(super) struct Ledger {
    /// Everything before this offset is in the totals.
    accounted: u64,
    records: u64,
    in_records: u64,
    skipped: u64,
    envelope: u64,
    pending: Option<Skip>,
    /// What the first record said of itself.
    first: Option<ContentKind>,
    /// What was seen besides records.
    pub(super) seen: Seen,
}

/// Marks of what a text without records may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// Only white space.
    #[default]
    Nothing,
    /// Text that says nothing.
    Text,
    /// An envelope, with or without elements that are no records.
    Other,
    /// An envelope that holds only records.
    Envelope,
    /// A field that only digests have.
    Digest,
}

impl Ledger {
    pub(super) fn accounted(&self) -> u64 {
        self.accounted
    }

    /// Notes a mark; the strongest one stays.
    pub(super) fn saw(&mut self, seen: Seen) {
        self.seen = self.seen.max(seen);
    }

    fn envelope_until(&mut self, offset: u64) {
        self.envelope += offset.saturating_sub(self.accounted);
        self.accounted = self.accounted.max(offset);
    }

    /// Hands over the record that covers `start..end` of the text. The bytes are in the totals afterwards, unless the
    /// sink finds them malformed.
    pub(super) fn record(&mut self, bytes: &[u8], start: u64, end: u64, sink: &mut dyn Sink) -> Verdict {
        self.flush(sink);
        let verdict = sink.record(RawRecord { bytes, offset: start, number: self.records });
        if verdict == Verdict::Accepted {
            if self.records == 0 {
                self.first = Some(content_of(bytes));
            }
            self.records += 1;
            self.envelope_until(start);
            self.in_records += end - start;
            self.accounted = end;
        }
        verdict
    }

    /// Counts `start..end` as skipped. An empty stretch is noted only by `missing`.
    pub(super) fn skip(&mut self, start: u64, end: u64, kind: ProblemKind, message: &str, sink: &mut dyn Sink) {
        if start >= end {
            return;
        }
        self.envelope_until(start);
        self.skipped += end - start;
        self.accounted = end;
        self.saw(Seen::Text);
        match &mut self.pending {
            Some(pending) if pending.kind == kind && pending.offset + pending.length == start => {
                pending.length += end - start;
            }
            _ => {
                self.flush(sink);
                self.pending = Some(Skip { kind, offset: start, length: end - start, message: message.to_owned() });
            }
        }
    }

    /// Notes that something is missing at `offset`.
    pub(super) fn missing(&mut self, offset: u64, message: &str, sink: &mut dyn Sink) {
        self.flush(sink);
        sink.skip(Skip { kind: ProblemKind::CutRecord, offset, length: 0, message: message.to_owned() });
    }

    fn flush(&mut self, sink: &mut dyn Sink) {
        if let Some(skip) = self.pending.take() {
            sink.skip(skip);
        }
    }

    /// Closes the account of a text of `total` bytes.
    pub(super) fn close(&mut self, total: u64, sink: &mut dyn Sink) -> Summary {
        self.flush(sink);
        self.envelope_until(total);
        let kind = match (self.first, self.seen) {
            (Some(first), _) => first,
            (None, Seen::Nothing) => ContentKind::Empty,
            (None, Seen::Text) => ContentKind::Unrecognized,
            (None, Seen::Other) => ContentKind::Other,
            (None, Seen::Envelope) => ContentKind::Records,
            (None, Seen::Digest) => ContentKind::Digest,
        };
        Summary {
            records: self.records,
            bytes_total: total,
            bytes_in_records: self.in_records,
            bytes_skipped: self.skipped,
            bytes_envelope: self.envelope,
            kind,
        }
    }
}

/// What the first record says of its file. Trails deliver Insights and aggregated events to files of their own.
fn content_of(record: &[u8]) -> ContentKind {
    let has = |needle: &[u8]| memmem::find(record, needle).is_some();
    if has(b"AwsCloudTrailInsight") {
        ContentKind::Insight
    } else if has(b"AwsAggregatedEvent") {
        ContentKind::Aggregated
    } else {
        ContentKind::Records
    }
}
