//! From path arguments to the list of files to read.
//!
//! In: files, directories, globs, `-`, a list of paths, and [`Filters`]. Out: [`Discovery`]: the [`Source`]s in the byte
//! order of their names, what was set apart or pruned (counted by kind), and the folders that could not be read. Nothing is
//! opened here: what a file is, its bytes decide later; names only ever set apart what holds no records (digests, Insights,
//! aggregates, Lake results, `.DS_Store`) and prune what the filters exclude.
//!
//! A million sources stay near 150 MB: a source keeps its file name and shares its directory; path, name and key are put
//! together on demand. Real directories are walked before symbolic links, and links in the order of their paths, so a file
//! reached twice is listed under its real name, whatever order the file system lists its entries in.

mod filter;
mod nearby;
mod s3_key;
mod walk;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Problem, Result};

pub use filter::{CLOCK_SLACK, Filters, LATE_DELIVERY, Pruned};
pub use nearby::Nearby;
pub use s3_key::{FileName, Folder, KeyReader, S3Key, parse_file_name, parse_key};
pub use walk::is_placeholder;

/// One file to read, or stdin.
#[derive(Clone, Debug)]
pub struct Source {
    parent: Arc<Parent>,
    file: Box<OsStr>,
    /// Size in bytes when it was found; 0 for stdin and pipes, and for most files where [`Filters::skips_sizes`] says so.
    pub size: u64,
}

/// The directory that sources share.
#[derive(Debug)]
struct Parent {
    /// Where it is; empty for stdin.
    path: PathBuf,
    /// What names begin with: empty, or a text that ends in `/`.
    name: String,
    is_stdin: bool,
}

impl Source {
    /// Standard input, named `-`.
    pub fn stdin() -> Source {
        let parent = Parent { path: PathBuf::new(), name: String::new(), is_stdin: true };
        Source { parent: Arc::new(parent), file: Box::from(OsStr::new("-")), size: 0 }
    }

    /// One file, named as it is given. `size` may be 0 when it is not known.
    pub fn file(path: &Path, size: u64) -> Source {
        let directory = path.parent().unwrap_or(Path::new(""));
        let parent =
            Parent { path: directory.to_path_buf(), name: walk::name_of_directory(directory), is_stdin: false };
        Source { parent: Arc::new(parent), file: Box::from(path.file_name().unwrap_or_default()), size }
    }

    /// True for standard input, which has no path.
    pub fn is_stdin(&self) -> bool {
        self.parent.is_stdin
    }

    /// The path to open; `-` for stdin.
    pub fn path(&self) -> PathBuf {
        self.parent.path.join(&*self.file)
    }

    /// The name shown in tables: relative to the directory argument it was found under, or as given; `/` between folders;
    /// bytes that are not UTF-8 as `\xNN`.
    pub fn name(&self) -> String {
        let file = escape(&self.file);
        let mut name = String::with_capacity(self.parent.name.len() + file.len());
        name.push_str(&self.parent.name);
        name.push_str(&file);
        name
    }

    /// The path as text; bytes that are not UTF-8 are replaced.
    pub fn path_text(&self) -> String {
        let (Some(folder), Some(file)) = (self.parent.path.to_str(), self.file.to_str()) else {
            return self.path().to_string_lossy().into_owned();
        };
        let is_joined =
            folder.is_empty() || folder.ends_with(std::path::is_separator) || (cfg!(windows) && folder.ends_with(':'));
        [folder, if is_joined { "" } else { std::path::MAIN_SEPARATOR_STR }, file].concat()
    }

    /// Looks at what the path claims; `None` when it follows no grammar of CloudTrail.
    pub fn with_key<T>(&self, look: impl FnOnce(&S3Key<'_>) -> T) -> Option<T> {
        parse_key(&self.path_text()).map(|key| look(&key))
    }

    /// The folder the path claims.
    pub fn folder(&self) -> Folder {
        self.with_key(|key| key.folder).unwrap_or(Folder::Unknown)
    }

    /// Compares names without putting them together.
    fn compare_names(&self, other: &Source) -> Ordering {
        let files = || (escape(&self.file), escape(&other.file));
        if Arc::ptr_eq(&self.parent, &other.parent) {
            if self.file.is_ascii() && other.file.is_ascii() {
                return self.file.as_encoded_bytes().cmp(other.file.as_encoded_bytes());
            }
            let (ours, theirs) = files();
            return ours.cmp(&theirs);
        }
        let (ours, theirs) = (self.parent.name.as_bytes(), other.parent.name.as_bytes());
        if !ours.starts_with(theirs) && !theirs.starts_with(ours) {
            return ours.cmp(theirs);
        }
        let (our_file, their_file) = files();
        ours.iter().chain(our_file.as_bytes()).cmp(theirs.iter().chain(their_file.as_bytes()))
    }
}

/// Files that were not listed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Integrity digests; they count when they are among the sources, too, and so do the next two.
    pub digests: u64,
    /// Insights files.
    pub insights: u64,
    /// Aggregates of data events.
    pub aggregated: u64,
    /// CloudTrail Lake results.
    pub lake: u64,
    /// Hidden files and folders (a folder counts once), and placeholders such as `aws-logs-write-test`.
    pub hidden: u64,
    /// Sockets, devices and pipes found in directories.
    pub special: u64,
    /// The same file again, by another link or argument.
    pub repeated: u64,
    /// Pruned by `--account`.
    pub pruned_account: u64,
    /// Pruned by `--region`.
    pub pruned_region: u64,
    /// Pruned by `--since`.
    pub pruned_since: u64,
    /// Pruned by `--until`.
    pub pruned_until: u64,
}

impl Counts {
    /// Every count with its name, in a fixed order.
    pub fn rows(&self) -> [(&'static str, u64); 11] {
        [
            ("digests", self.digests),
            ("insights", self.insights),
            ("aggregated", self.aggregated),
            ("lake", self.lake),
            ("hidden", self.hidden),
            ("special", self.special),
            ("repeated", self.repeated),
            ("pruned_account", self.pruned_account),
            ("pruned_region", self.pruned_region),
            ("pruned_since", self.pruned_since),
            ("pruned_until", self.pruned_until),
        ]
    }

    /// Files set apart because of what they are.
    pub fn set_apart(&self) -> u64 {
        self.digests + self.insights + self.aggregated + self.lake + self.hidden + self.special
    }

    /// Files that the filters excluded by name.
    pub fn pruned(&self) -> u64 {
        self.pruned_account + self.pruned_region + self.pruned_since + self.pruned_until
    }

    fn prune(&mut self, reason: Pruned) {
        *match reason {
            Pruned::Account => &mut self.pruned_account,
            Pruned::Region => &mut self.pruned_region,
            Pruned::TooOld => &mut self.pruned_since,
            Pruned::TooNew => &mut self.pruned_until,
        } += 1;
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Discovery {
    /// The files to read, in the byte order of their names; each real file once, as far as folders tell where
    /// [`Filters::skips_sizes`] has them believed.
    pub sources: Vec<Source>,
    /// What is not among them.
    pub counts: Counts,
    /// Digests among the sources.
    pub digests: u64,
    /// Paths that could not be looked at, as shown, with the reason.
    pub problems: Vec<(String, Problem)>,
}

impl Discovery {
    /// Bytes of all sources.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.size).sum()
    }
}

/// Finds the files behind `paths` (files, directories, globs where no such path exists, `-` for stdin) and behind the paths
/// listed in the file `files_from` (one per line, or separated by NUL bytes; `-` for stdin), where neither globs nor `-` mean
/// anything special.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) names an argument that does not exist; a list that cannot be read is an
/// error too. What is missing or unreadable below an argument or in a list is a problem, not an error.
pub fn discover(paths: &[PathBuf], files_from: Option<&Path>, filters: &Filters) -> Result<Discovery> {
    let mut walker = walk::Walker::new(filters);
    for path in paths {
        walker.argument(path)?;
    }
    if let Some(list) = files_from {
        walker.list(list)?;
    }
    walker.links();
    let mut found = walker.finish();
    if found.digests == 0 && filters.digests {
        // Without digests nothing lists the files that are here for them.
        found.sources.retain(|source| source.is_stdin() || source.folder().holds_records());
    }
    name_apart(&mut found.sources);
    found.problems.sort_by(|one, other| (&one.0, &one.1.message).cmp(&(&other.0, &other.1.message)));
    Ok(found)
}

/// Sorts by name. Where two files of different arguments have one name, both are named by their paths as given.
fn name_apart(sources: &mut [Source]) {
    sort(sources);
    let mut collided = false;
    let mut start = 0;
    while start < sources.len() {
        let run = sources.get(start..).unwrap_or_default();
        let length = match run.split_first() {
            Some((first, rest)) => {
                1 + rest.iter().take_while(|next| first.compare_names(next) == Ordering::Equal).count()
            }
            None => 0,
        };
        if length > 1 {
            collided = true;
            for source in sources.iter_mut().skip(start).take(length).filter(|source| !source.is_stdin()) {
                *source = Source::file(&source.path(), source.size);
            }
        }
        start += length.max(1);
    }
    if collided {
        sort(sources);
    }
}

fn sort(sources: &mut [Source]) {
    sources.sort_unstable_by(|one, other| one.compare_names(other).then_with(|| one.path().cmp(&other.path())));
}

/// Text as it is; other bytes as `\xNN`, so that two names that differ stay different.
fn escape(text: &OsStr) -> Cow<'_, str> {
    if let Some(text) = text.to_str() {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::new();
    for chunk in text.as_encoded_bytes().utf8_chunks() {
        escaped.push_str(chunk.valid());
        for byte in chunk.invalid() {
            escaped.push_str(&format!("\\x{byte:02x}"));
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests;
