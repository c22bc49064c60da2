//! Reads a source: opens it, tells what it is by its bytes, inflates it, and hands the text to a [`Visitor`].
//!
//! In: one [`Source`]. Out: text in order, a word on how each text ended ([`End`]), and [`Facts`] with the SHA-256 of the
//! file as stored. A small file is read whole with four system calls and a small gzip file inflated by libdeflate in one
//! call; larger or damaged ones, several gzip members, zstd and archives are streamed with fixed buffers. A [`Reader`] keeps
//! its buffers from file to file; each thread has its own. What a damaged file still gives is always delivered.
//!
//! Evidence is opened for reading only and never mapped into memory, for a file that shrinks under a map ends the process.
//! Deliberately absent: any idea of what the text means, and archives inside archives (they are reported, not opened).

mod archive;
mod content;
mod fingerprint;
mod gzip;
mod input;
mod limits;
mod magic;
mod text;
mod zstd;

use std::cell::Cell;
use std::fs::File;
use std::io::Read;

use crate::discover::{Nearby, Source};
use crate::error::{Problem, ProblemKind};

pub use fingerprint::{Content, Form};
pub use limits::Limits;

/// How a text ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With its last byte.
    Complete,
    /// Early: the stored data is cut or damaged. All text before was delivered; after a wrong checksum, all text.
    Torn {
        /// Byte where the stored data could not be followed: in the file, or in the member of an archive.
        offset: u64,
        /// What was found there.
        message: String,
    },
    /// At a bound of [`Limits`]. The text up to the bound was delivered; of an archive, no further member is read.
    Bomb {
        /// The bound, and how to raise it.
        message: String,
    },
}

impl End {
    /// The problem that this end is, if it is one. `offset` of a bomb is `delivered`, the length of the text.
    pub fn problem(self, member: Option<&str>, delivered: u64) -> Option<Problem> {
        let (kind, offset, message) = match self {
            End::Complete => return None,
            End::Torn { offset, message } => (ProblemKind::Torn, offset, message),
            End::Bomb { message } => (ProblemKind::Bomb, delivered, message),
        };
        Some(Problem { kind, member: member.map(str::to_owned), offset, length: 0, message })
    }
}

/// Whoever wants the text. For each text: `open`, any number of `data`, `close`; an archive has one text for each member.
pub trait Visitor {
    /// A text begins. `member` is its name in the archive; hostile, like all text.
    fn open(&mut self, member: Option<&str>);
    /// The next bytes of the text: a whole text at once where it fits, else about 1 MiB.
    fn data(&mut self, text: &[u8]);
    /// The text ends.
    fn close(&mut self, end: End);
    /// Trouble that is no end of a text: bytes after the last gzip member, an archive that cannot be listed. Offsets count
    /// stored bytes.
    fn problem(&mut self, problem: Problem);
}

/// What a file was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Text, or anything that is nothing else.
    Plain,
    /// Gzip, one member or more.
    Gzip,
    /// Zstandard.
    Zstd,
    /// A zip archive.
    Zip,
    /// A tar archive.
    Tar,
    /// A tar archive in gzip.
    TarGzip,
    /// A tar archive in zstd.
    TarZstd,
    /// A known format that is not opened; a problem says so.
    Foreign(&'static str),
}

impl Container {
    /// The name used in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Container::Plain => "plain",
            Container::Gzip => "gzip",
            Container::Zstd => "zstd",
            Container::Zip => "zip",
            Container::Tar => "tar",
            Container::TarGzip => "tar.gz",
            Container::TarZstd => "tar.zst",
            Container::Foreign(name) => name,
        }
    }
}

/// What is hashed while a file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hashing {
    /// The bytes as stored.
    #[default]
    Stored,
    /// The bytes as stored, and the text: what CloudTrail's digests vouch for.
    StoredAndText,
    /// Only the text. [`Facts::sha256`] is then zero, except for plain files, where both are the same.
    Text,
}

/// What is known about a file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Bytes as stored.
    pub size: u64,
    /// Of the bytes as stored; of those that could be read when reading failed, which a problem or a torn end says.
    pub sha256: [u8; 32],
    /// Bytes of text delivered.
    pub inflated: u64,
    /// What the first bytes said.
    pub container: Container,
    /// Members of an archive, gzip members or zstd frames that were read; 1 for plain text.
    pub members: u64,
    /// Members of an archive that are placeholders such as `.DS_Store` and were not delivered.
    pub set_apart: u64,
    /// The text's hash and the soundness of what it was packed in, if [`Hashing`] asks for it.
    pub content: Option<Content>,
}

/// Reads sources, one after another. See [`Limits`] for its memory.
pub struct Reader {
    limits: Limits,
    hashing: Hashing,
    inflater: libdeflater::Decompressor,
    inflate: Option<flate2::Decompress>,
    nearby: Nearby,
    file: Vec<u8>,
    member: Vec<u8>,
    text: Vec<u8>,
}

impl Reader {
    /// A reader with these bounds.
    pub fn new(limits: Limits) -> Reader {
        Reader {
            limits,
            hashing: Hashing::Stored,
            inflater: libdeflater::Decompressor::new(),
            inflate: None,
            nearby: Nearby::default(),
            file: Vec::new(),
            member: Vec::new(),
            text: Vec::new(),
        }
    }

    /// The same reader, hashing something else than stored bytes only.
    pub fn hashing(mut self, hashing: Hashing) -> Reader {
        self.hashing = hashing;
        self
    }

    /// Reads a source to its end.
    ///
    /// # Errors
    /// A [`ProblemKind::Unreadable`] problem when the file cannot be opened; nothing was visited then. Whatever happens
    /// later is told to the visitor.
    pub fn read(&mut self, source: &Source, visitor: &mut dyn Visitor) -> Result<Facts, Problem> {
        if source.is_stdin() {
            let mut stdin = std::io::stdin().lock();
            return Ok(self.read_stream(&mut stdin, None, 0, visitor));
        }
        let unreadable = |error: std::io::Error| {
            let asked = || std::fs::metadata(source.path()).map_or(0, |metadata| metadata.len());
            let length = if source.size > 0 { source.size } else { asked() };
            Problem { kind: ProblemKind::Unreadable, member: None, offset: 0, length, message: error.to_string() }
        };
        let file = self.nearby.open(source).map_err(unreadable)?;
        Ok(self.read_stream(&mut &file, Some(&file), source.size, visitor))
    }

    /// `hint` is the expected size, and `file` the same file for archives that need to seek.
    fn read_stream(
        &mut self,
        stream: &mut dyn Read,
        file: Option<&File>,
        hint: u64,
        visitor: &mut dyn Visitor,
    ) -> Facts {
        let mut buffer = std::mem::take(&mut self.file);
        let head = input::load(stream, &mut buffer, hint, self.first_read(hint));
        // What one file may cost follows from its size, so a large file without one is asked now.
        let is_unknown = hint == 0 && !head.whole;
        let asked = file.filter(|_| is_unknown).and_then(|file| file.metadata().ok());
        let hint = asked.map_or(hint, |metadata| metadata.len());
        let read = Cell::new(0);
        let hashing = self.hashing;
        let mut input = input::Input::new(&mut buffer, head, stream).watched(&read, hashing);
        let mut job = content::Job::new(self, visitor, hint, &read);
        job.file(&mut input, file);
        let (delivered, container, members, set_apart, mut content) = job.finish();
        let size = input.drain();
        let (sha256, without_newline) = input.sha256();
        if let Some(content) = &mut content
            && container == Container::Plain
        {
            // A plain file's text is the file: it was hashed as it arrived.
            content.sha256 = sha256;
            content.without_newline = without_newline;
        }
        let facts = Facts { size, sha256, inflated: delivered, container, members, set_apart, content };
        // A zip archive from a pipe was kept in here.
        buffer.truncate(self.limits.whole_file.saturating_add(1).max(input::CHUNK));
        buffer.shrink_to(self.limits.whole_file.saturating_mul(2).max(input::CHUNK));
        self.file = buffer;
        facts
    }

    /// How much to read before looking: all of a small file and one byte more, to know that it is all.
    fn first_read(&self, hint: u64) -> usize {
        if hint <= self.limits.whole_file as u64 { self.limits.whole_file + 1 } else { input::CHUNK }
    }
}

#[cfg(test)]
mod tests;
