//! How much a file may cost: memory per reader, and inflated bytes per file.
//!
//! In: the settings. Out: [`Limits`], and for one file a [`Budget`] that says how many more inflated bytes may be delivered.
//! The bound on a file is a number of bytes fixed by its size, not by how it was read, so that the whole-file path and the
//! streaming path stop at the same byte.

use std::cell::Cell;

/// Bounds on one reader. Memory: `whole_file` twice (file and archive member) and `whole_text` once, allocated as needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Inflated bytes of one file, all members together. 64 GiB: a CloudTrail file has at most 50 MB, which deflate, with its
    /// factor of at most 1,032, cannot bring past 52 GB; so no genuine file is ever cut. Never less than the file's own size.
    pub max_inflated: u64,
    /// Inflated bytes for each stored byte, applied above 64 MiB of inflated text. 2,000 is beyond what deflate can do, so
    /// it stops nested and zstd bombs only; a smaller number could be used to have a file of repetitive records skipped.
    pub max_ratio: u64,
    /// Stored bytes up to which a file is read whole, and a gzip file inflated in one call. Larger ones are streamed.
    pub whole_file: usize,
    /// Inflated bytes up to which that is done.
    pub whole_text: usize,
}

/// Inflated bytes that any file may have, whatever its ratio: 64 MiB.
const RATIO_FLOOR: u64 = 64 << 20;

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_inflated: 64 << 30, max_ratio: 2000, whole_file: 8 << 20, whole_text: 64 << 20 }
    }
}

impl Limits {
    /// The defaults for one of `jobs` readers, so that all of them together stay near 160 MiB.
    pub fn for_jobs(jobs: usize) -> Limits {
        let whole_text = ((128 << 20) / jobs.max(1)).clamp(4 << 20, 64 << 20);
        Limits { whole_file: whole_text / 8, whole_text, ..Limits::default() }
    }
}

/// What one file has left.
pub(super) struct Budget<'a> {
    limits: Limits,
    /// The file's size where it is known before the end, else 0.
    known: u64,
    /// Stored bytes read so far, kept by the file's input.
    read: &'a Cell<u64>,
    /// Inflated bytes delivered.
    pub(super) delivered: u64,
}

impl<'a> Budget<'a> {
    pub(super) fn new(limits: Limits, known: u64, read: &'a Cell<u64>) -> Budget<'a> {
        Budget { limits, known, read, delivered: 0 }
    }

    /// Inflated bytes the file may have altogether.
    pub(super) fn allowed(&self) -> u64 {
        let stored = self.known.max(self.read.get());
        let by_ratio = stored.saturating_mul(self.limits.max_ratio).max(RATIO_FLOOR);
        by_ratio.min(self.limits.max_inflated).max(stored)
    }

    /// How many of `length` bytes may be delivered; they count as delivered.
    pub(super) fn take(&mut self, length: usize) -> usize {
        let left = usize::try_from(self.allowed().saturating_sub(self.delivered)).unwrap_or(usize::MAX);
        let taken = length.min(left);
        self.delivered += taken as u64;
        taken
    }

    /// The text of the problem when the bound was reached.
    pub(super) fn message(&self) -> String {
        let stored = self.known.max(self.read.get());
        format!(
            "inflates past {} bytes from {stored} stored bytes; the rest was not read; raise --max-inflated if the file is \
             trusted",
            self.allowed()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_follows_size_ratio_and_maximum() {
        let read = Cell::new(0);
        let allowed = |max_inflated, max_ratio, known| {
            Budget::new(Limits { max_inflated, max_ratio, ..Limits::default() }, known, &read).allowed()
        };
        assert_eq!(allowed(64 << 30, 2000, 1), 64 << 20, "small files always have the floor");
        assert_eq!(allowed(64 << 30, 2000, 50_000_000), 64 << 30, "a full-size log reaches the maximum, not the ratio");
        assert_eq!(allowed(64 << 30, 2000, 1_000_000), 2_000_000_000);
        assert_eq!(allowed(1000, 2000, 1), 1000);
        assert_eq!(allowed(1000, 2000, 5000), 5000, "never less than the file itself");
    }

    #[test]
    fn many_readers_share_the_memory() {
        assert_eq!(Limits::for_jobs(1), Limits::default());
        assert_eq!(Limits::for_jobs(2), Limits::default());
        assert_eq!(Limits::for_jobs(8).whole_text, 16 << 20);
        assert_eq!(Limits::for_jobs(1000).whole_file, 512 << 10);
    }
}
