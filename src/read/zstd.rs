//! Zstandard: all frames of a file, as a stream.
//!
//! In: stored bytes. Out: inflated text up to the block that is cut or damaged. The decoder is fed exactly what it asks for,
//! one block at a time: in a call that fails it keeps what it had already decoded to itself. A frame may ask for a window of
//! up to 128 MiB, the decoder's own bound; it is allocated only then.

use zstd::stream::raw::{Decoder, Operation};

use super::input::Input;
use super::magic;
use super::text::{Tear, Text};

/// All frames, as a stream.
pub(super) struct Unzstd<'a, 'b> {
    input: &'a mut Input<'b>,
    decoder: Option<Decoder<'static>>,
    /// Bytes the decoder asks for; 0 between frames.
    wanted: usize,
    members: u64,
    length: u64,
    first_end: Option<(u64, u64)>,
    tear: Option<Tear>,
    is_lost: bool,
}

impl<'a, 'b> Unzstd<'a, 'b> {
    pub(super) fn new(input: &'a mut Input<'b>) -> Unzstd<'a, 'b> {
        let (decoder, tear) = match Decoder::new() {
            Ok(decoder) => (Some(decoder), None),
            Err(error) => (None, Some(Tear { offset: 0, message: error.to_string() })),
        };
        let is_lost = tear.is_some();
        Unzstd { input, decoder, wanted: 0, members: 0, length: 0, first_end: None, tear, is_lost }
    }

    fn torn(&mut self, message: String) {
        let message = self.input.failure().map_or(message, str::to_owned);
        self.tear.get_or_insert(Tear { offset: self.input.offset(), message });
        self.decoder = None;
        self.is_lost = true;
    }
}

impl Text for Unzstd<'_, '_> {
    fn next(&mut self, out: &mut [u8]) -> usize {
        while let Some(decoder) = &mut self.decoder {
            let more = self.input.ensure(1);
            if self.wanted == 0 {
                self.input.ensure(4);
                if !magic::is_zstd(self.input.available()) {
                    // The end, or bytes that are no frame: the caller looks.
                    self.decoder = None;
                    break;
                }
                self.wanted = 4;
            }
            let bytes = self.input.available();
            let feed = bytes.get(..self.wanted).unwrap_or(bytes);
            match decoder.run_on_buffers(feed, out) {
                Ok(status) => {
                    self.input.consume(status.bytes_read);
                    self.wanted = status.remaining;
                    self.members += u64::from(status.remaining == 0);
                    self.length += status.bytes_written as u64;
                    if status.remaining == 0 && self.first_end.is_none() {
                        self.first_end = Some((self.length, self.input.offset()));
                    }
                    if status.bytes_written > 0 || out.is_empty() {
                        return status.bytes_written;
                    }
                    if status.bytes_read == 0 && status.remaining > 0 {
                        let message =
                            if more { "the zstd data cannot be followed" } else { "the zstd data ends early" };
                        self.torn(message.to_owned());
                    }
                }
                Err(error) => self.torn(format!("the zstd data is damaged: {error}")),
            }
        }
        0
    }

    fn tear(&mut self) -> Option<Tear> {
        self.tear.take()
    }

    fn is_finished(&self) -> bool {
        self.decoder.is_none() && !self.is_lost
    }

    fn members(&self) -> u64 {
        self.members
    }

    fn first_end(&self) -> Option<(u64, u64)> {
        self.first_end.filter(|_| self.members > 1)
    }
}
