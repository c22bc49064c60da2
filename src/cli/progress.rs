//! Progress on stderr, when that is a terminal.
//!
//! In: counts as they grow. Out: one line with bytes, files, events, rate and remaining time. Nothing is printed when stderr
//! is a pipe or `--quiet` was given.

use super::config::Display;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use keytrail::pipeline::{InputRow, Totals};

/// A bar over the bytes of all inputs.
pub(crate) struct Progress {
    bar: ProgressBar,
    totals: Totals,
    shown: u64,
}

impl Progress {
    /// A bar for `bytes` bytes; it shows nothing unless `display` wants progress.
    pub(crate) fn new(display: Display, bytes: u64) -> Progress {
        let bar = if display.progress { ProgressBar::new(bytes) } else { ProgressBar::hidden() };
        let template = "{elapsed_precise} {bar:24} {bytes}/{total_bytes} {binary_bytes_per_sec} eta {eta} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress { bar, totals: Totals::default(), shown: 0 }
    }

    /// Counts one input.
    pub(crate) fn input(&mut self, input: &InputRow) {
        self.totals.add(input);
        // A redraw per small file would cost more than reading it.
        if self.totals.files - self.shown >= 64 || self.totals.bytes.saturating_sub(self.bar.position()) > 4 << 20 {
            self.shown = self.totals.files;
            self.bar.set_position(self.totals.bytes);
            let (files, kms) = (HumanCount(self.totals.files), HumanCount(self.totals.kms));
            self.bar.set_message(format!("{files} files, {kms} KMS events"));
        }
    }

    /// Replaces the bar by what is being done now.
    pub(crate) fn stage(&self, stage: &'static str) {
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {msg}") {
            self.bar.set_style(style);
        }
        self.bar.set_message(stage);
        self.bar.tick();
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
