//! The library's one error type, and the places it points at.
//!
//! In: what went wrong and where. Out: [`Error`], whose text is an address: path, archive member, byte offset, what was
//! expected, and what to do. Problems of single inputs are not errors: they are [`Problem`]s, which are counted and listed
//! while the run goes on.

use std::fmt;
use std::path::{Path, PathBuf};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{}: {doing}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was being done, such as `create the case folder`.
        doing: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The command cannot be carried out as given: the text says what to change.
    #[error("{0}")]
    Usage(String),
    /// A query file or SQL text is not acceptable.
    #[error("{query}, line {line}: {message}")]
    Query {
        /// The query's id or file.
        query: String,
        /// Line, from 1; 0 when the whole text is meant.
        line: u64,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// Arrow or Parquet refused something.
    #[error("{}: {doing}: {message}", .path.display())]
    Table {
        /// The table's file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The library's message.
        message: String,
    },
}

impl Error {
    /// An error about `path` while `doing` something.
    pub fn file(path: &Path, doing: &'static str, source: std::io::Error) -> Error {
        Error::File { path: path.to_path_buf(), doing, source }
    }

    /// An error of the table library about `path`.
    pub fn table(path: &Path, doing: &'static str, message: impl fmt::Display) -> Error {
        Error::Table { path: path.to_path_buf(), doing, message: message.to_string() }
    }

    /// True when whoever read our output has gone away, which is no failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::File { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// What kind of trouble an input had. The names are those of the `problem` column of `inputs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// The file could not be opened or read.
    Unreadable,
    /// A gzip, zstd, zip or tar stream ended early or is damaged.
    Torn,
    /// The text inflates past the bounds on ratio or size.
    Bomb,
    /// Bytes that are not part of any record.
    Malformed,
    /// A record that was cut by the end of the text.
    CutRecord,
    /// A record larger than the bound on one record.
    OversizedRecord,
    /// A record nested deeper than 128.
    TooDeep,
    /// A record with bytes that are not UTF-8; it was kept, with replacement characters.
    NotUtf8,
    /// A relevant record without a usable `eventTime`; it cannot be placed and was left out.
    NoEventTime,
    /// The file holds nothing that is known.
    Unrecognized,
}

impl ProblemKind {
    /// The name used in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemKind::Unreadable => "unreadable",
            ProblemKind::Torn => "torn",
            ProblemKind::Bomb => "bomb",
            ProblemKind::Malformed => "malformed",
            ProblemKind::CutRecord => "cut_record",
            ProblemKind::OversizedRecord => "oversized_record",
            ProblemKind::TooDeep => "too_deep",
            ProblemKind::NotUtf8 => "not_utf8",
            ProblemKind::NoEventTime => "no_event_time",
            ProblemKind::Unrecognized => "unrecognized",
        }
    }
}

/// Trouble with one stretch of one input. The run goes on; the stretch is counted and listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of trouble.
    pub kind: ProblemKind,
    /// Archive member, when the input is an archive.
    pub member: Option<String>,
    /// Byte offset in the inflated text (in the compressed file for `Torn`).
    pub offset: u64,
    /// Bytes that were skipped.
    pub length: u64,
    /// What was expected and found.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(member) = &self.member {
            write!(f, "member {member}, ")?;
        }
        write!(f, "byte {}: {}: {}", self.offset, self.kind.as_str(), self.message)?;
        if self.length > 0 {
            write!(f, " ({} bytes skipped)", self.length)?;
        }
        Ok(())
    }
}
