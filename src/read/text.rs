//! What decoders have in common: inflated text that comes in steps and may end in a tear.

use std::io::Read;

/// Where and why text ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tear {
    /// Byte of the stored data that could not be followed.
    pub(super) offset: u64,
    pub(super) message: String,
}

/// Inflated text. Decoders do not fail: they end, and say why.
pub(super) trait Text {
    /// Writes what comes next; 0 at the end.
    fn next(&mut self, out: &mut [u8]) -> usize;

    /// What happened, once the text has ended.
    fn tear(&mut self) -> Option<Tear>;

    /// True when the text was read to its end and the stored data followed to the end of its last member or frame.
    fn is_finished(&self) -> bool;

    /// Gzip members or zstd frames that were read to their ends.
    fn members(&self) -> u64;

    /// Where the first member ended, in the text and in the stored data, once a second one has begun.
    fn first_end(&self) -> Option<(u64, u64)>;
}

/// Fills `out` as far as the text goes.
pub(super) fn fill(text: &mut dyn Text, out: &mut [u8]) -> usize {
    let mut length = 0;
    while let Some(free) = out.get_mut(length..).filter(|free| !free.is_empty()) {
        match text.next(free) {
            0 => break,
            count => length += count,
        }
    }
    length
}

/// The text as a reader, for archives inside compressed files. It ends after `most` bytes.
pub(super) struct TextReader<'a> {
    pub(super) head: &'a [u8],
    pub(super) text: &'a mut dyn Text,
    pub(super) most: u64,
}

impl Read for TextReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let limit = usize::try_from(self.most).unwrap_or(usize::MAX).min(out.len());
        let out = out.get_mut(..limit).unwrap_or_default();
        let count = if self.head.is_empty() {
            if out.is_empty() { 0 } else { self.text.next(out) }
        } else {
            self.head.read(out)?
        };
        self.most -= count as u64;
        Ok(count)
    }
}
