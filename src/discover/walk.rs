//! Walks arguments: what is where, without opening a file.
//!
//! In: one argument at a time. Out: a [`Discovery`] not yet sorted. `walkdir` lists each real directory tree without
//! following links, so the files of a directory cost one `stat` each at most; symbolic links are kept until all
//! arguments are walked and then followed in the order of their paths. No directory is walked twice (by device and inode),
//! hence neither a loop nor a ladder of links that doubles at each step can hold the walk up.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::discover::filter::Filters;
use crate::discover::nearby::{Identity, Look, Nearby};
use crate::discover::s3_key::{Folder, KeyReader};
use crate::discover::{Discovery, Parent, Pruned, Source, escape};
use crate::error::{Error, Problem, ProblemKind, Result};

/// A symbolic link met on the way.
struct Link {
    path: PathBuf,
    parent: Arc<Parent>,
}

pub(super) struct Walker<'a> {
    filters: &'a Filters,
    found: Discovery,
    directories: HashSet<Identity>,
    /// Each listed file with its place among the sources.
    files: HashMap<Identity, usize>,
    links: Vec<Link>,
    stdin: bool,
    /// The directory of the last file argument: lists name many files of one directory in a row.
    last: Option<Arc<Parent>>,
    nearby: Nearby,
    keys: KeyReader,
}

impl<'a> Walker<'a> {
    pub(super) fn new(filters: &'a Filters) -> Walker<'a> {
        Walker {
            filters,
            found: Discovery::default(),
            directories: HashSet::new(),
            files: HashMap::new(),
            links: Vec::new(),
            stdin: false,
            last: None,
            nearby: Nearby::default(),
            keys: KeyReader::default(),
        }
    }

    pub(super) fn finish(self) -> Discovery {
        self.found
    }

    /// One argument of the command line.
    pub(super) fn argument(&mut self, path: &Path) -> Result<()> {
        if path.as_os_str() == "-" {
            if !self.stdin {
                self.found.sources.push(Source::stdin());
            }
            self.stdin = true;
            return Ok(());
        }
        match std::fs::metadata(path) {
            Ok(metadata) => {
                self.named(path, &metadata);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidFilename) => self.glob(path),
            Err(error) => Err(Error::file(path, "look at the argument", error)),
        }
    }

    /// An argument that is no path as it stands.
    fn glob(&mut self, path: &Path) -> Result<()> {
        let missing = || Error::Usage(format!("{}: no such file or directory", path.display()));
        let pattern = path.to_str().filter(|text| text.contains(['*', '?', '['])).ok_or_else(missing)?;
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let matches = glob::glob_with(pattern, options)
            .map_err(|error| Error::Usage(format!("{pattern}: not a glob: {error}")))?;
        let mut any = false;
        for entry in matches {
            any = true;
            match entry {
                Ok(path) => match std::fs::metadata(&path) {
                    Ok(metadata) => self.named(&path, &metadata),
                    Err(error) => self.problem(&path, &error),
                },
                Err(error) => self.problem(error.path(), error.error()),
            }
        }
        if any { Ok(()) } else { Err(Error::Usage(format!("{pattern}: no file matches"))) }
    }

    /// A list of paths, each line one; NUL bytes separate them when the first chunk holds one.
    pub(super) fn list(&mut self, list: &Path) -> Result<()> {
        let failed = |error| Error::file(list, "read the list of files", error);
        let mut input: Box<dyn BufRead> = if list.as_os_str() == "-" {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            Box::new(BufReader::new(std::fs::File::open(list).map_err(failed)?))
        };
        let separator = if input.fill_buf().map_err(failed)?.contains(&0) { 0 } else { b'\n' };
        let mut line = Vec::new();
        loop {
            line.clear();
            if input.read_until(separator, &mut line).map_err(failed)? == 0 {
                return Ok(());
            }
            if line.last() == Some(&separator) {
                line.pop();
            }
            if cfg!(windows) && line.last() == Some(&b'\r') {
                line.pop();
            }
            if line.is_empty() {
                continue;
            }
            let path = path_of_bytes(&line);
            match std::fs::metadata(&path) {
                Ok(metadata) => self.named(&path, &metadata),
                Err(error) => self.problem(&path, &error),
            }
        }
    }

    /// A path the user named: hidden files and pipes count, too.
    fn named(&mut self, path: &Path, metadata: &Metadata) {
        if metadata.is_dir() {
            self.tree(path, String::new());
            return;
        }
        let directory = path.parent().unwrap_or(Path::new(""));
        let parent = match &self.last {
            Some(last) if last.path == directory => Arc::clone(last),
            _ => {
                let name = name_of_directory(directory);
                Arc::new(Parent { path: directory.to_path_buf(), name, is_stdin: false })
            }
        };
        self.last = Some(Arc::clone(&parent));
        if self.wanted(path) {
            self.file(path, &parent, Look::new(metadata, path));
        }
    }

    /// Walks a directory whose files get names that begin with `name`.
    fn tree(&mut self, root: &Path, name: String) {
        // The directory at depth d of the walk stands at place d.
        let mut parents: Vec<Arc<Parent>> = Vec::new();
        let mut walk = walkdir::WalkDir::new(root).follow_root_links(true).into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(root).to_path_buf();
                    let cause = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                    self.report(&path, cause);
                    continue;
                }
            };
            let depth = entry.depth();
            let parent = depth.checked_sub(1).and_then(|above| parents.get(above)).cloned();
            if parent.is_some() && is_placeholder(entry.file_name()) {
                self.found.counts.hidden += 1;
                if entry.file_type().is_dir() {
                    walk.skip_current_dir();
                }
                continue;
            }
            let Some(parent) = parent else {
                if self.enter(entry.path()) {
                    let path = entry.path().to_path_buf();
                    parents.push(Arc::new(Parent { path, name: name.clone(), is_stdin: false }));
                } else {
                    walk.skip_current_dir();
                }
                continue;
            };
            if entry.file_type().is_dir() {
                if self.enter(entry.path()) {
                    let name = format!("{}{}/", parent.name, escape(entry.file_name()));
                    parents.truncate(depth);
                    parents.push(Arc::new(Parent { path: entry.into_path(), name, is_stdin: false }));
                } else {
                    walk.skip_current_dir();
                }
            } else if entry.path_is_symlink() {
                self.links.push(Link { path: entry.into_path(), parent });
            } else if !entry.file_type().is_file() {
                self.found.counts.special += 1;
            } else if self.wanted(entry.path()) {
                let look = match self.filters.skips_sizes {
                    true => self.nearby.recognize(&parent, &entry),
                    false => self.nearby.look(&parent, entry.file_name()),
                };
                match look {
                    Ok(look) => self.file(entry.path(), &parent, look),
                    Err(error) => self.report(entry.path(), error.to_string()),
                }
            }
        }
    }

    /// True when this directory has not been walked.
    fn enter(&mut self, path: &Path) -> bool {
        match std::fs::metadata(path) {
            Ok(metadata) => self.directories.insert(Look::new(&metadata, path).identity),
            Err(error) => {
                self.problem(path, &error);
                false
            }
        }
    }

    /// Follows the links met so far, and those met on the way.
    pub(super) fn links(&mut self) {
        while !self.links.is_empty() {
            let mut links = std::mem::take(&mut self.links);
            links.sort_by(|one, other| one.path.cmp(&other.path));
            for link in links {
                match std::fs::metadata(&link.path) {
                    Ok(metadata) if metadata.is_dir() => {
                        let name = link.path.file_name().map(escape).unwrap_or_default();
                        self.tree(&link.path, format!("{}{name}/", link.parent.name));
                    }
                    Ok(metadata) if metadata.is_file() => {
                        if self.wanted(&link.path) {
                            self.file(&link.path, &link.parent, Look::new(&metadata, &link.path));
                        }
                    }
                    Ok(_) => self.found.counts.special += 1,
                    Err(error) => self.problem(&link.path, &error),
                }
            }
        }
    }

    /// True when files of this folder are sources: those with records, and for checking also digests and what they may list.
    fn is_listed(&self, folder: Folder) -> bool {
        folder.holds_records()
            || (self.filters.digests && matches!(folder, Folder::Digest | Folder::Insight | Folder::Aggregated))
    }

    /// What the path alone decides: set apart, pruned, or wanted.
    fn wanted(&mut self, path: &Path) -> bool {
        let text = path.to_string_lossy();
        let Some(key) = self.keys.parse(&text) else { return true };
        let counts = &mut self.found.counts;
        match key.folder {
            Folder::Digest => counts.digests += 1,
            Folder::Insight => counts.insights += 1,
            Folder::Aggregated => counts.aggregated += 1,
            Folder::Lake => counts.lake += 1,
            Folder::CloudTrail | Folder::NetworkActivity | Folder::Unknown => {}
        }
        if !self.is_listed(key.folder) {
            return false;
        }
        let is_digest = key.folder == Folder::Digest;
        // A digest vouches for the next one, so none is left out because of its time.
        let is_timeless = |reason: &Pruned| is_digest && matches!(reason, Pruned::TooOld | Pruned::TooNew);
        if let Some(reason) = self.filters.prune(&key).filter(|reason| !is_timeless(reason)) {
            self.found.counts.prune(reason);
            return false;
        }
        self.found.digests += u64::from(is_digest);
        true
    }

    /// Lists a file, unless it is listed already. Of two hard links in walked directories the smaller name stays, for the
    /// order of a directory is the file system's business.
    fn file(&mut self, path: &Path, parent: &Arc<Parent>, look: Look) {
        let file = Box::from(path.file_name().unwrap_or_else(|| OsStr::new("")));
        let source = Source { parent: Arc::clone(parent), file, size: look.size };
        let place = self.found.sources.len();
        match self.files.entry(look.identity) {
            Entry::Vacant(entry) => {
                entry.insert(place);
                self.found.sources.push(source);
            }
            Entry::Occupied(entry) => {
                let listed = self.found.sources.get_mut(*entry.get());
                // What a folder's list says is looked at: two files may have one number in it.
                let seen = listed.and_then(|listed| match self.filters.skips_sizes {
                    true => Some((look_at_both(path, &listed.path())?, listed)),
                    false => Some((look, listed)),
                });
                let Some((look, listed)) = seen else {
                    // Read twice is better than not read.
                    self.found.sources.push(source);
                    return;
                };
                self.found.counts.repeated += 1;
                if look.is_hard_link
                    && !std::fs::symlink_metadata(path).is_ok_and(|own| own.file_type().is_symlink())
                    && source.compare_names(listed).is_lt()
                {
                    *listed = source;
                }
            }
        }
    }

    fn problem(&mut self, path: &Path, error: &std::io::Error) {
        self.report(path, error.to_string());
    }

    fn report(&mut self, path: &Path, message: String) {
        let problem = Problem { kind: ProblemKind::Unreadable, member: None, offset: 0, length: 0, message };
        self.found.problems.push((escape(path.as_os_str()).into_owned(), problem));
    }
}

/// What `path` leads to, when `other` leads to the same real file.
fn look_at_both(path: &Path, other: &Path) -> Option<Look> {
    let (look, other) = (Look::at(path).ok()?, Look::at(other).ok()?);
    (look.identity == other.identity).then_some(look)
}

/// True for names that no log has: hidden files (`.DS_Store`, `._x`), the test object of a CloudWatch Logs export, folder
/// markers of S3 tools, what Windows and macOS leave in folders and archives.
pub fn is_placeholder(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.starts_with(b".")
        || bytes.ends_with(b"_$folder$")
        || matches!(bytes, b"aws-logs-write-test" | b"__MACOSX" | b"Thumbs.db" | b"desktop.ini")
}

/// The beginning of the names of files in `directory`, which was given by the user: `a/./b` is `a/b/`.
pub(super) fn name_of_directory(directory: &Path) -> String {
    let mut name = String::new();
    for component in directory.components() {
        match component {
            Component::CurDir => {}
            Component::RootDir if name.ends_with('/') => {}
            Component::RootDir => name.push('/'),
            other => {
                name.push_str(&escape(other.as_os_str()));
                name.push('/');
            }
        }
    }
    name
}

#[cfg(unix)]
fn path_of_bytes(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path_of_bytes(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn two_files_that_a_list_calls_one_are_both_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::hard_link(folder.path().join("b"), folder.path().join("c")).unwrap();
        let filters = Filters { skips_sizes: true, ..Filters::default() };
        let mut walker = Walker::new(&filters);
        let parent = Arc::new(Parent { path: folder.path().to_path_buf(), name: String::new(), is_stdin: false });
        let mut meet = |name: &str, number: u64| {
            let look = Look { identity: (1, number), size: 0, is_hard_link: false };
            walker.file(&folder.path().join(name), &parent, look);
            (walker.found.sources.iter().map(Source::name).collect::<Vec<_>>(), walker.found.counts.repeated)
        };
        meet("a", 7);
        assert_eq!(meet("b", 7), (vec!["a".to_owned(), "b".to_owned()], 0));
        // And one file under two names is one.
        meet("b", 8);
        assert_eq!(meet("c", 8).1, 1);
        // What cannot be looked at is not taken for another either.
        assert!(meet("absent", 7).0.contains(&"absent".to_owned()));
    }
}
