//! The members of tar and zip archives.
//!
//! In: an archive's bytes. Out: each regular member, handed back to [`Job::member`] with its name. Headers of tar are read
//! with the `tar` crate, but its own iteration keeps names of any length in memory and stops at the first block of zeros,
//! behind which anything may stand. Zip is read with the `zip` crate's iteration over the central directory, which keeps
//! nothing in memory and does not drop the first of two members of one name; an archive whose directory is cut off is read
//! from its beginning instead. Deliberately absent: links, passwords and sparse members (these are reported).

use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom};

use zip::ZipReadOptions;
use zip::read::{Config, read_zipfile_from_stream};
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

use super::content::Job;
use super::input::Input;
use super::magic::{self, HEAD};
use crate::error::ProblemKind;

/// Bytes of a long name or of a set of extended attributes that are looked at: 64 KiB. Paths have at most 4 KiB.
const LONGEST_NAME: u64 = 64 << 10;

/// The data of one tar member. Unlike `Take`, it fails when the archive ends before the member does.
struct Body<'a> {
    stream: &'a mut dyn Read,
    left: u64,
}

impl Read for Body<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let out = out.get_mut(..count).unwrap_or_default();
        if out.is_empty() {
            return Ok(0);
        }
        match self.stream.read(out)? {
            0 => Err(std::io::Error::new(ErrorKind::UnexpectedEof, "the archive ends inside this member")),
            count => {
                self.left -= count as u64;
                Ok(count)
            }
        }
    }
}

/// What headers say about the member that follows them.
#[derive(Default)]
struct Announced {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Reads a tar archive to the end of its bytes, also past blocks of zeros.
pub(super) fn tar(job: &mut Job<'_>, stream: &mut dyn Read) {
    let mut announced = Announced::default();
    let mut block = [0; HEAD];
    let mut position = 0;
    let mut is_ended = false;
    while !job.spent {
        match read_full(stream, &mut block) {
            0 if is_ended => return,
            0 => return tar_torn(job, position, "the archive has no end mark: members may be missing"),
            HEAD => {}
            _ => return tar_torn(job, position, "the archive ends inside a header"),
        }
        if block.iter().all(|byte| *byte == 0) {
            is_ended = true;
            position += HEAD as u64;
            continue;
        }
        let header = tar::Header::from_byte_slice(&block);
        let Some(size) = header.entry_size().ok().filter(|_| magic::tar_sum_is_right(&block)) else {
            return tar_torn(job, position, "not a tar header: the rest of the archive was not read");
        };
        let kind = header.entry_type();
        let is_announcement = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        let size = if is_announcement { size } else { announced.size.unwrap_or(size) };
        let mut body = Body { stream: &mut *stream, left: size };
        let mut was_told = false;
        if kind.is_gnu_longname() {
            announced.name = Some(read_some(&mut body));
        } else if kind.is_pax_local_extensions() {
            read_pax(&read_some(&mut body), &mut announced);
        } else if !is_announcement {
            let name = announced.name.take().unwrap_or_else(|| header.path_bytes().into_owned());
            let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(&name)).into_owned();
            announced = Announced::default();
            if kind.is_file() || kind.is_contiguous() {
                job.member(&name, &mut body, size);
                was_told = true;
            } else if kind.is_gnu_sparse() {
                let message = "a sparse member is not opened; unpack the archive first".to_owned();
                job.problem(ProblemKind::Unrecognized, Some(&name), (position, size), message);
            }
        }
        let padding = (HEAD as u64 - size % HEAD as u64) % HEAD as u64;
        let is_cut = !job.spent && std::io::copy(&mut body, &mut std::io::sink()).is_err();
        position = position.saturating_add(HEAD as u64).saturating_add(size).saturating_add(padding);
        if is_cut {
            if !was_told {
                tar_torn(job, position, "the archive ends inside a member");
            }
            return;
        }
        let _ = read_full(stream, block.get_mut(..usize::try_from(padding).unwrap_or(0)).unwrap_or_default());
    }
}

fn tar_torn(job: &mut Job<'_>, position: u64, message: &str) {
    job.problem(ProblemKind::Torn, None, (position, 0), message.to_owned());
}

/// Reads until `out` is full or the stream ends. A stream that fails has said so elsewhere.
fn read_full(stream: &mut dyn Read, out: &mut [u8]) -> usize {
    let mut length = 0;
    while let Some(free) = out.get_mut(length..).filter(|free| !free.is_empty()) {
        match stream.read(free) {
            Ok(0) | Err(_) => break,
            Ok(count) => length += count,
        }
    }
    length
}

/// The beginning of an announcement.
fn read_some(body: &mut Body<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A cut archive shows when the rest of the body is skipped.
    let _ = body.take(LONGEST_NAME).read_to_end(&mut bytes);
    bytes
}

fn read_pax(bytes: &[u8], announced: &mut Announced) {
    for extension in tar::PaxExtensions::new(bytes).flatten() {
        match extension.key_bytes() {
            b"path" => announced.name = Some(extension.value_bytes().to_vec()),
            b"size" => announced.size = extension.value().ok().and_then(|text| text.parse().ok()),
            _ => {}
        }
    }
}

/// Small reads: a damaged member loses what was inflated in the call that meets the damage.
struct Steps<'a>(&'a mut dyn Read);

impl Read for Steps<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let step = out.len().min(16 << 10);
        self.0.read(out.get_mut(..step).unwrap_or_default())
    }
}

/// Reads a zip archive: from memory when it is there, by seeking in the file otherwise, which costs a second pass because
/// the hash needs one in order. From a pipe it is kept in memory up to the bound on whole texts.
pub(super) fn zip(job: &mut Job<'_>, input: &mut Input<'_>, file: Option<&File>) {
    if !input.is_whole() {
        let seekable = file.filter(|file| {
            let mut file = *file;
            file.stream_position().is_ok()
        });
        if let Some(mut file) = seekable {
            input.drain();
            match file.rewind() {
                Ok(()) => return zip_members(job, &mut BufReader::with_capacity(64 << 10, file)),
                Err(error) => return job.problem(ProblemKind::Unreadable, None, (0, 0), error.to_string()),
            }
        }
        let most = job.reader.limits.whole_text;
        if !input.gather(most) {
            let message = format!("a zip archive of more than {most} bytes from a pipe; name it as a file");
            return job.problem(ProblemKind::Unreadable, None, (0, 0), message);
        }
    }
    zip_members(job, &mut Cursor::new(input.available()));
}

fn zip_members<R: Read + Seek>(job: &mut Job<'_>, archive: &mut R) {
    let told = |job: &mut Job<'_>, name: Option<&str>, error: ZipError| {
        let is_damaged = matches!(error, ZipError::Io(_) | ZipError::InvalidArchive(_));
        let kind = if is_damaged { ProblemKind::Torn } else { ProblemKind::Unreadable };
        job.problem(kind, name, (0, 0), format!("zip archive: {error}"));
    };
    let mut directory = match ZipIterable::try_new(&mut *archive, Config::default()) {
        Ok(directory) => directory,
        Err(error) => {
            told(job, None, error);
            return zip_from_start(job, archive);
        }
    };
    let entries = match directory.files() {
        Ok(entries) => entries,
        Err(error) => return told(job, None, error),
    };
    while let Some(entry) = entries.next() {
        if job.spent {
            return;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return told(job, None, error),
        };
        if entry.is_dir() {
            continue;
        }
        let (name, size) = (String::from_utf8_lossy(entry.name_raw()).into_owned(), entry.size());
        match entry.with_reader(entries.reader_mut(), ZipReadOptions::new()) {
            Ok(mut member) => job.member(&name, &mut Steps(&mut member), size),
            Err(error) => told(job, Some(&name), error),
        }
    }
}

/// Reads members one after another, without the directory, as far as that goes.
fn zip_from_start<R: Read + Seek>(job: &mut Job<'_>, archive: &mut R) {
    if let Err(error) = archive.seek(SeekFrom::Start(0)) {
        return job.problem(ProblemKind::Unreadable, None, (0, 0), error.to_string());
    }
    while !job.spent {
        match read_zipfile_from_stream(archive) {
            Ok(Some(mut member)) => {
                let (name, size) = (String::from_utf8_lossy(member.name_raw()).into_owned(), member.size());
                if !member.is_dir() {
                    job.member(&name, &mut Steps(&mut member), size);
                }
            }
            Ok(None) => return,
            Err(error) => {
                let message = format!("zip archive: no further member can be read: {error}");
                return job.problem(ProblemKind::Torn, None, (0, 0), message);
            }
        }
    }
}
