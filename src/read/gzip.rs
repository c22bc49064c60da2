//! Gzip: a whole file in one call, or any file as a stream.
//!
//! In: stored bytes. Out: inflated text, from every member, up to the byte where a damaged file cannot be followed any
//! further, and the place where that is. A log delivered by CloudTrail is one member, which libdeflate inflates in half the
//! time of a streaming decoder; but it does not say where the member ended, and bytes after it are either the next member
//! (Firehose concatenates them) or a sign of tampering. So its answer counts only with the proof of [`is_single_member`];
//! for everything else the stream below starts over. The two are held together by a test.
//!
//! The stream is written on flate2's bare inflater and not on its `MultiGzDecoder`, which loses what it had inflated in the
//! call that meets the damage, ignores bytes after the last member and does not say where it stopped.

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::Decompressor;

use super::input::Input;
use super::text::{Tear, Text};

/// Room behind the text: libdeflate's fast loop stops short of the end of its output.
const SLACK: usize = 1024;

/// Inflates a file that is one sound member and nothing else, of at most `most` inflated bytes. `None` otherwise; what
/// `text` holds then is of no meaning.
pub(super) fn inflate_whole(
    inflater: &mut Decompressor,
    stored: &[u8],
    text: &mut Vec<u8>,
    most: usize,
) -> Option<usize> {
    let (_, trailer) = stored.split_last_chunk::<4>()?;
    let declared = usize::try_from(u32::from_le_bytes(*trailer)).ok().filter(|declared| *declared <= most)?;
    if text.len() < declared + SLACK {
        text.resize((declared + SLACK).next_power_of_two().min(most + SLACK), 0);
    }
    let length = inflater.gzip_decompress(stored, text).ok()?;
    (length == declared && is_single_member(stored, text.get(..length)?)).then_some(length)
}

/// Proves that the member libdeflate just inflated into `text` ends where the file ends. Its trailer (CRC-32 and length of
/// the text) was found right behind its compressed data; if those bytes occur only once in the file, at its very end, then
/// that is where the member ends. The length alone decides nearly always, and spares the second CRC.
fn is_single_member(stored: &[u8], text: &[u8]) -> bool {
    let Some(body) = stored.get(10..) else { return false };
    let Ok(length) = u32::try_from(text.len()) else { return false };
    let length = length.to_le_bytes();
    if memchr::memmem::find(body, &length).is_some_and(|at| at + 4 == body.len()) {
        return true;
    }
    let mut trailer = [0; 8];
    let (crc, isize) = trailer.split_at_mut(4);
    crc.copy_from_slice(&libdeflater::crc32(text).to_le_bytes());
    isize.copy_from_slice(&length);
    memchr::memmem::find(body, &trailer).is_some_and(|at| at + 8 == body.len())
}

/// Where in a member the stream is.
enum State {
    Header,
    Body,
    Ended,
}

/// All members, as a stream.
pub(super) struct Gunzip<'a, 'b> {
    input: &'a mut Input<'b>,
    inflate: &'a mut Decompress,
    state: State,
    crc: libdeflater::Crc,
    length: u64,
    members: u64,
    /// Length of the text of all members so far.
    total: u64,
    first_end: Option<(u64, u64)>,
    tear: Option<Tear>,
    is_lost: bool,
}

impl<'a, 'b> Gunzip<'a, 'b> {
    pub(super) fn new(input: &'a mut Input<'b>, inflate: &'a mut Decompress) -> Gunzip<'a, 'b> {
        let crc = libdeflater::Crc::new();
        Gunzip {
            input,
            inflate,
            state: State::Header,
            crc,
            length: 0,
            members: 0,
            total: 0,
            first_end: None,
            tear: None,
            is_lost: false,
        }
    }

    /// Ends the stream here.
    fn torn(&mut self, offset: u64, message: &str) {
        let message = self.input.failure().unwrap_or(message).to_owned();
        self.note(offset, message);
        self.is_lost = true;
        self.state = State::Ended;
    }

    /// Remembers a tear; the first one is the one that is told.
    fn note(&mut self, offset: u64, message: String) {
        self.tear.get_or_insert(Tear { offset, message });
    }

    fn header(&mut self) {
        let start = self.input.offset();
        self.input.ensure(2);
        if self.members > 0 && !self.input.available().starts_with(b"\x1f\x8b") {
            // The end, or bytes that are no member: the caller looks.
            self.state = State::Ended;
            return;
        }
        if self.members > 0 {
            self.first_end.get_or_insert((self.total, start));
        }
        match skip_header(self.input) {
            Ok(()) => {
                self.inflate.reset(false);
                self.crc = libdeflater::Crc::new();
                self.length = 0;
                self.state = State::Body;
            }
            Err(message) => self.torn(start, message),
        }
    }

    fn body(&mut self, out: &mut [u8]) -> usize {
        let more = self.input.ensure(1);
        let (consumed, produced) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(self.input.available(), out, FlushDecompress::None);
        // The totals count up to the damage, also when the answer is an error.
        let consumed = usize::try_from(self.inflate.total_in() - consumed).unwrap_or(usize::MAX);
        let produced = usize::try_from(self.inflate.total_out() - produced).unwrap_or(usize::MAX).min(out.len());
        self.input.consume(consumed);
        self.crc.update(out.get(..produced).unwrap_or_default());
        self.length += produced as u64;
        self.total += produced as u64;
        let here = self.input.offset();
        match status {
            Ok(Status::StreamEnd) => self.trailer(),
            Err(_) => self.torn(here, "the compressed data is damaged"),
            Ok(_) if consumed == 0 && produced == 0 => {
                let message = if more { "the compressed data cannot be followed" } else { "the gzip data ends early" };
                self.torn(here, message);
            }
            Ok(_) => {}
        }
        produced
    }

    fn trailer(&mut self) {
        let start = self.input.offset();
        if !self.input.ensure(8) {
            self.torn(start, "the gzip data ends before its checksum");
            return;
        }
        let expected = (u64::from(self.crc.sum()) | (self.length & 0xffff_ffff) << 32).to_le_bytes();
        if !self.input.available().starts_with(&expected) {
            // The text is complete as far as one can tell, and other members may follow.
            self.note(start, "the checksum does not match the text".to_owned());
        }
        self.input.consume(8);
        self.members += 1;
        self.state = State::Header;
    }
}

impl Text for Gunzip<'_, '_> {
    fn next(&mut self, out: &mut [u8]) -> usize {
        loop {
            match self.state {
                State::Header => self.header(),
                State::Body => {
                    let produced = self.body(out);
                    if produced > 0 || out.is_empty() {
                        return produced;
                    }
                }
                State::Ended => return 0,
            }
        }
    }

    fn tear(&mut self) -> Option<Tear> {
        self.tear.take()
    }

    fn is_finished(&self) -> bool {
        matches!(self.state, State::Ended) && !self.is_lost
    }

    fn members(&self) -> u64 {
        self.members
    }

    fn first_end(&self) -> Option<(u64, u64)> {
        self.first_end
    }
}

/// Consumes a member's header (RFC 1952). Its own checksum is not looked at, as libdeflate does not either.
fn skip_header(input: &mut Input<'_>) -> Result<(), &'static str> {
    const SHORT: &str = "the gzip data ends inside a header";
    if !input.ensure(10) {
        return Err(SHORT);
    }
    let [0x1f, 0x8b, method, flags, ..] = *input.available() else { return Err("not a gzip header") };
    if method != 8 || flags & 0xe0 != 0 {
        return Err("a gzip header of unknown method or flags");
    }
    input.consume(10);
    let has = |bit: u8| flags & (1 << bit) != 0;
    if has(2) {
        if !input.ensure(2) {
            return Err(SHORT);
        }
        let length = input.available().first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        if !input.skip(2 + u64::from(length)) {
            return Err(SHORT);
        }
    }
    for bit in [3, 4] {
        // File name and comment end with a zero.
        while has(bit) {
            if !input.ensure(1) {
                return Err(SHORT);
            }
            let bytes = input.available();
            let (count, ended) = memchr::memchr(0, bytes).map_or((bytes.len(), false), |at| (at + 1, true));
            input.consume(count);
            if ended {
                break;
            }
        }
    }
    if has(1) && !input.skip(2) {
        return Err(SHORT);
    }
    Ok(())
}
