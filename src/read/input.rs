//! A file's bytes as stored, in order, hashed as they arrive.
//!
//! In: a buffer that holds the beginning of a file, and where the rest comes from, if there is any. Out: [`Input`], which
//! decoders look into and consume from; its SHA-256 covers what they leave, too. Reading that fails ends the input and is
//! remembered: what came before is kept.

use std::cell::Cell;
use std::io::{ErrorKind, Read};

use super::Hashing;
use super::fingerprint::NewlineHash;
use super::magic::{self, Magic};

/// Bytes of one step of streaming: 256 KiB.
pub(super) const CHUNK: usize = 256 << 10;

/// The beginning of a stream.
pub(super) struct Head {
    /// Bytes in the buffer.
    pub(super) length: usize,
    /// True when that is all.
    pub(super) whole: bool,
    /// Why it is all, if not for the end of the file.
    pub(super) failure: Option<String>,
}

/// Reads until the end or until `most` bytes, into a buffer that grows as needed and is kept for the next file. `hint` is
/// the expected size. A regular file costs two calls: the second says that the first was all.
pub(super) fn load(stream: &mut dyn Read, buffer: &mut Vec<u8>, hint: u64, most: usize) -> Head {
    let first = usize::try_from(hint).unwrap_or(usize::MAX).saturating_add(1).clamp(64 << 10, most.max(64 << 10));
    if buffer.len() < first {
        buffer.resize(first, 0);
    }
    let mut length = 0;
    loop {
        if length >= most {
            return Head { length, whole: false, failure: None };
        }
        if length == buffer.len() {
            buffer.resize((length * 2).min(most.max(1)), 0);
        }
        let end = buffer.len().min(most);
        match stream.read(buffer.get_mut(length..end).unwrap_or_default()) {
            Ok(0) => return Head { length, whole: true, failure: None },
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Head { length, whole: true, failure: Some(error.to_string()) },
        }
    }
}

/// Stored bytes, some in memory, the rest where they come from.
pub(super) struct Input<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
    end: usize,
    rest: Option<&'a mut dyn Read>,
    /// Where `start` is in the file.
    offset: u64,
    hash: Option<NewlineHash>,
    /// Counts bytes read, for the budget.
    read: Option<&'a Cell<u64>>,
    failure: Option<String>,
}

impl<'a> Input<'a> {
    /// An input whose `head` is in `buffer`.
    pub(super) fn new(buffer: &'a mut Vec<u8>, head: Head, rest: &'a mut dyn Read) -> Input<'a> {
        let rest = (!head.whole).then_some(rest);
        Input { buffer, start: 0, end: head.length, rest, offset: 0, hash: None, read: None, failure: head.failure }
    }

    /// Counts what is read, the head included, and hashes it where `hashing` says so: stored bytes, or only those that are
    /// the text.
    pub(super) fn watched(mut self, read: &'a Cell<u64>, hashing: Hashing) -> Input<'a> {
        let is_text = || magic::sniff(self.available()) == Magic::Plain;
        if hashing != Hashing::Text || is_text() {
            let mut hash = NewlineHash::new(hashing != Hashing::Stored && is_text());
            hash.update(self.available());
            self.hash = Some(hash);
        }
        read.set(self.end as u64);
        self.read = Some(read);
        self
    }

    /// What can be looked at now.
    pub(super) fn available(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// True when nothing is left to be read: what is available is everything.
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// Where the available bytes are in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Why reading failed, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// Makes `count` bytes available (at most [`CHUNK`]); false when the file has fewer.
    pub(super) fn ensure(&mut self, count: usize) -> bool {
        while self.end - self.start < count {
            if self.refill() == 0 {
                return false;
            }
        }
        true
    }

    /// Consumes `count` bytes; false when the file has fewer.
    pub(super) fn skip(&mut self, mut count: u64) -> bool {
        while count > 0 {
            if !self.ensure(1) {
                return false;
            }
            let step = self.available().len().min(usize::try_from(count).unwrap_or(usize::MAX));
            self.consume(step);
            count -= step as u64;
        }
        true
    }

    /// Appends what comes next.
    fn refill(&mut self) -> usize {
        let Some(rest) = &mut self.rest else { return 0 };
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < CHUNK {
            self.buffer.resize(CHUNK, 0);
        }
        let before = self.end;
        // The step is filled, so that pipes, which come in pieces, are cut where files are.
        while self.end < CHUNK {
            match rest.read(self.buffer.get_mut(self.end..CHUNK).unwrap_or_default()) {
                Ok(0) => {
                    self.rest = None;
                    break;
                }
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error.to_string());
                    self.rest = None;
                    break;
                }
            }
        }
        let added = self.buffer.get(before..self.end).unwrap_or_default();
        if let Some(hash) = &mut self.hash {
            hash.update(added);
        }
        if let Some(read) = self.read {
            read.set(read.get() + added.len() as u64);
        }
        added.len()
    }

    /// Keeps everything in memory if it is at most `most` bytes; false when it is more, and then the rest is still unread.
    pub(super) fn gather(&mut self, most: usize) -> bool {
        let Some(rest) = &mut self.rest else { return true };
        let before = self.end;
        let mut more = Vec::new();
        let room = most.saturating_sub(before) as u64;
        if let Err(error) = rest.take(room.saturating_add(1)).read_to_end(&mut more) {
            self.failure = Some(error.to_string());
        }
        if let Some(hash) = &mut self.hash {
            hash.update(&more);
        }
        if let Some(read) = self.read {
            read.set(read.get() + more.len() as u64);
        }
        self.buffer.truncate(before);
        self.buffer.extend_from_slice(&more);
        self.end = self.buffer.len();
        if more.len() as u64 > room {
            return false;
        }
        self.rest = None;
        true
    }

    /// Reads and hashes what nobody consumed. Gives the size of the file.
    pub(super) fn drain(&mut self) -> u64 {
        loop {
            self.consume(usize::MAX);
            if self.refill() == 0 {
                return self.offset;
            }
        }
    }

    /// The hash of everything read, and, when a text ends with a newline, of everything before that; zero when nothing was
    /// hashed.
    pub(super) fn sha256(&mut self) -> ([u8; 32], Option<[u8; 32]>) {
        self.hash.take().map(NewlineHash::finish).unwrap_or_default()
    }
}

impl Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.ensure(1);
        let bytes = self.available();
        let count = bytes.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}
