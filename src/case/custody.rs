//! The chain of custody: what a case consists of, and whether it still does.
//!
//! In: a case folder, its manifest, and if wanted the evidence. Out: the SHA-256 of every file for the manifest, and later
//! every difference from it: files that are missing, changed, or were never part of the case; inputs that are not as they
//! were read. Files are hashed on all threads and one piece at a time, so neither their number nor their size costs memory
//! beyond their names. What this cannot see is a manifest that was rewritten together with the files: only its own SHA-256,
//! noted elsewhere, protects it.

use crate::case::FACT_TABLES;
use crate::case::existing;
use crate::case::folder::SPILL;
use crate::case::manifest::{MANIFEST, Manifest, Output};
use crate::error::{Error, Result};
use crate::integrity::hex;
use crate::pipeline::ordered;
use crate::table::columns::CHILD_TABLES;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// SHA-256 of a file as stored, hex, and its size.
pub fn hash_file(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hex(&hasher.finalize()), size));
        }
        size += read as u64;
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

/// The SHA-256 of the manifest of a case, hex: what to write down.
///
/// # Errors
/// When it cannot be read.
pub fn manifest_hash(case: &Path) -> Result<String> {
    let path = case.join(MANIFEST);
    hash_file(&path).map(|(hash, _)| hash).map_err(|error| Error::file(&path, "hash the manifest", error))
}

/// Every file of a case being written, hashed, in the order of the paths; without the manifest, which cannot hold its own.
///
/// # Errors
/// When a file cannot be read.
pub fn outputs(folder: &Path, jobs: usize) -> Result<Vec<Output>> {
    let mut found = Vec::new();
    let hash = |(): &mut (), path: String| {
        let file = folder.join(&path);
        let (sha256, size) = hash_file(&file).map_err(|error| Error::file(&file, "hash the output", error))?;
        Ok(Output { path, size, sha256 })
    };
    let keep = |output| {
        found.push(output);
        Ok(())
    };
    let paths = listed(folder)?.into_keys();
    ordered(jobs, || (), hash, keep, |submit| paths.into_iter().try_for_each(submit))?;
    Ok(found)
}

/// All files of a folder by path, with `/` between folders, and whether each is a regular file.
fn listed(folder: &Path) -> Result<BTreeMap<String, bool>> {
    let mut files = BTreeMap::new();
    let mut open = vec![(folder.to_path_buf(), String::new())];
    while let Some((path, prefix)) = open.pop() {
        let fail = |error| Error::file(&path, "list the case", error);
        for entry in std::fs::read_dir(&path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().map_err(fail)?;
            if kind.is_dir() && name != SPILL {
                open.push((entry.path(), format!("{name}/")));
            } else if !kind.is_dir() && name != MANIFEST {
                files.insert(name, kind.is_file());
            }
        }
    }
    Ok(files)
}

/// How something differs from what was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It is not there.
    Missing,
    /// It is another content, or cannot be read.
    Changed,
    /// It is there and was never part of the case.
    Additional,
}

impl DifferenceKind {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            DifferenceKind::Missing => "missing",
            DifferenceKind::Changed => "changed",
            DifferenceKind::Additional => "additional",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub kind: DifferenceKind,
    /// The file: inside the case, or as in `inputs`.
    pub path: String,
    /// The SHA-256 that was written down; `None` when none was.
    pub expected: Option<String>,
    /// The SHA-256 found, or why there is none.
    pub found: Option<String>,
}

/// What a check went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files hashed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Differences told.
    pub differences: u64,
    /// Inputs that could not be compared: read from a pipe, or never read to their end.
    pub not_comparable: u64,
}

/// Hashes every file of a case again and tells each difference from its manifest, in the order of the paths.
///
/// # Errors
/// When the manifest lists no files or one outside the case, when the folder cannot be listed, and whatever `each` returns.
pub fn check_outputs(
    case: &Path,
    manifest: &Manifest,
    jobs: usize,
    each: impl FnMut(Difference) -> Result<()>,
) -> Result<Checked> {
    check_some(case, manifest, jobs, |_| true, each)
}

fn check_some(
    case: &Path,
    manifest: &Manifest,
    jobs: usize,
    is_wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut(Difference) -> Result<()>,
) -> Result<Checked> {
    if manifest.outputs.is_empty() {
        let shown = case.join(MANIFEST);
        return Err(Error::Usage(format!("{}: lists no files: the case was made by another version", shown.display())));
    }
    let mut on_disk = listed(case)?;
    on_disk.retain(|path, _| is_wanted(path));
    let mut expected: BTreeMap<&str, &Output> = BTreeMap::new();
    for output in manifest.outputs.iter().filter(|output| is_wanted(&output.path)) {
        if !Path::new(&output.path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Error::Usage(format!("manifest.json lists {}, which lies outside the case", output.path)));
        }
        expected.insert(&output.path, output);
    }
    let names: BTreeSet<&str> = on_disk.keys().map(String::as_str).chain(expected.keys().copied()).collect();
    let mut checked = Checked::default();
    let work = |(): &mut (), name: &str| {
        let output = expected.get(name).copied();
        let found = match on_disk.get(name) {
            None => Found::Nothing,
            Some(false) => Found::Unreadable("no regular file".to_owned()),
            // What was never part of the case is not worth a look.
            Some(true) if output.is_none() => Found::File(String::new(), 0),
            Some(true) => Found::read(&case.join(name)),
        };
        Ok((name.to_owned(), output.map(|output| output.sha256.clone()), found))
    };
    let consume = |(name, expected, found): (String, Option<String>, Found)| {
        if expected.is_some() {
            checked.count(&found);
        }
        match found.difference(name, expected) {
            Some(difference) => {
                checked.differences += 1;
                each(difference)
            }
            None => Ok(()),
        }
    };
    ordered(jobs, || (), work, consume, |submit| names.into_iter().try_for_each(submit))?;
    Ok(checked)
}

/// What is at a path.
enum Found {
    Nothing,
    File(String, u64),
    Unreadable(String),
}

impl Found {
    fn read(path: &Path) -> Found {
        match hash_file(path) {
            Ok((hash, size)) => Found::File(hash, size),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Found::Nothing,
            Err(error) => Found::Unreadable(error.to_string()),
        }
    }

    fn difference(self, path: String, expected: Option<String>) -> Option<Difference> {
        let (kind, found) = match (&expected, self) {
            (None, Found::Nothing) => return None,
            (None, _) => (DifferenceKind::Additional, None),
            (Some(_), Found::Nothing) => (DifferenceKind::Missing, None),
            (Some(expected), Found::File(hash, _)) if hash.eq_ignore_ascii_case(expected) => return None,
            (Some(_), Found::File(hash, _)) => (DifferenceKind::Changed, Some(hash)),
            (Some(_), Found::Unreadable(why)) => (DifferenceKind::Changed, Some(format!("not readable: {why}"))),
        };
        Some(Difference { kind, path, expected, found })
    }
}

impl Checked {
    fn count(&mut self, found: &Found) {
        if let Found::File(_, size) = found {
            self.files += 1;
            self.bytes += size;
        }
    }
}

/// Refuses to extend a case whose tables are no longer as they were written: its rows would become part of the new one.
///
/// # Errors
/// The first difference, and trouble with reading.
pub fn check_before_append(case: &Path, manifest: &Manifest, jobs: usize) -> Result<()> {
    let tables: BTreeSet<String> =
        CHILD_TABLES.iter().chain(&FACT_TABLES).map(|(name, _)| format!("tables/{name}.parquet")).collect();
    let is_read = |path: &str| path.starts_with("events/") || path == "inputs.parquet" || tables.contains(path);
    check_some(case, manifest, jobs, is_read, |difference| {
        Err(Error::Usage(format!(
            "{}: {} since the case was written, so it is not extended: `keytrail manifest check {}` tells all differences",
            case.join(&difference.path).display(),
            difference.kind.as_str(),
            case.display()
        )))
    })?;
    Ok(())
}

/// Hashes every input of a case again, looked for under each of `roots`, and tells each difference from `inputs.parquet`.
///
/// # Errors
/// When `inputs.parquet` cannot be read, and whatever `each` returns.
pub fn check_inputs(
    case: &Path,
    roots: &[PathBuf],
    jobs: usize,
    mut each: impl FnMut(Difference) -> Result<()>,
) -> Result<Checked> {
    let table = case.join("inputs.parquet");
    let mut checked = Checked::default();
    // A file that was read again after a change has two rows, of which one at most can be right.
    let mut differing: BTreeMap<String, Vec<Difference>> = BTreeMap::new();
    let work = |(): &mut (), (path, expected): (String, Option<String>)| {
        let found = expected.as_ref().map(|_| find(roots, &path));
        Ok((path, expected, found))
    };
    let consume = |(path, expected, found): (String, Option<String>, Option<Found>)| {
        let Some(found) = found.filter(|_| path != "-") else {
            checked.not_comparable += 1;
            return Ok(());
        };
        checked.count(&found);
        if let Some(difference) = found.difference(path, expected) {
            differing.entry(difference.path.clone()).or_default().push(difference);
        }
        Ok(())
    };
    ordered(
        jobs,
        || (),
        work,
        consume,
        |submit| {
            existing::read_table(&table, |batch| {
                (0..batch.num_rows()).try_for_each(|row| {
                    let text = |name| existing::text(&batch, name, row).map(str::to_owned);
                    submit((text("path").unwrap_or_default(), text("sha256")))
                })
            })
        },
    )?;
    if !differing.is_empty() {
        existing::read_table(&table, |batch| {
            for row in 0..batch.num_rows() {
                if let Some(path) = existing::text(&batch, "path", row)
                    && let Some(list) = differing.get_mut(path)
                {
                    let hash = existing::text(&batch, "sha256", row);
                    list.retain(|difference| difference.found.is_none() || difference.found.as_deref() != hash);
                }
            }
            Ok(())
        })?;
    }
    for difference in differing.into_values().flatten() {
        checked.differences += 1;
        each(difference)?;
    }
    Ok(checked)
}

/// The input under the first of the roots that has it.
fn find(roots: &[PathBuf], path: &str) -> Found {
    for root in roots {
        for place in [root.join(path), root.join(unescaped(path))] {
            match Found::read(&place) {
                Found::Nothing => {}
                found => return found,
            }
        }
    }
    Found::Nothing
}

/// A path with the bytes that `inputs` writes as `\xNN`.
#[cfg(unix)]
fn unescaped(path: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Elsewhere names are text.
#[cfg(not(unix))]
fn unescaped(path: &str) -> PathBuf {
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, path: &str, text: &str) {
        std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
        std::fs::write(folder.join(path), text).unwrap();
    }

    /// A case of three files with its manifest.
    fn case() -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [("events/date=2024-05-01/a.parquet", "a"), ("tables/keys.parquet", "k"), ("x.csv", "")] {
            write(folder.path(), path, text);
        }
        write(folder.path(), ".spill/run", "is gone when the case is complete");
        let manifest = Manifest { outputs: outputs(folder.path(), 2).unwrap(), ..Manifest::default() };
        std::fs::remove_dir_all(folder.path().join(".spill")).unwrap();
        manifest.write(folder.path()).unwrap();
        (folder, manifest)
    }

    fn told(case: &Path, manifest: &Manifest) -> Vec<String> {
        let mut told = Vec::new();
        check_outputs(case, manifest, 2, |difference| {
            told.push(format!("{} {}", difference.kind.as_str(), difference.path));
            Ok(())
        })
        .unwrap();
        told
    }

    #[test]
    fn an_untouched_case_has_no_difference() {
        let (folder, manifest) = case();
        assert_eq!(manifest.outputs.len(), 3);
        // SHA-256 of nothing.
        assert!(manifest.outputs.iter().any(|output| output.path == "x.csv"
            && output.size == 0
            && output.sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        assert_eq!(told(folder.path(), &manifest), Vec::<String>::new());
        check_before_append(folder.path(), &manifest, 1).unwrap();
    }

    #[test]
    fn every_difference_is_told() {
        let (folder, manifest) = case();
        write(folder.path(), "events/date=2024-05-01/a.parquet", "b");
        write(folder.path(), "events/date=2024-05-02/b.parquet", "b");
        std::fs::remove_file(folder.path().join("x.csv")).unwrap();
        assert_eq!(
            told(folder.path(), &manifest),
            [
                "changed events/date=2024-05-01/a.parquet",
                "additional events/date=2024-05-02/b.parquet",
                "missing x.csv"
            ]
        );
        let error = check_before_append(folder.path(), &manifest, 1).unwrap_err().to_string();
        assert!(error.contains("a.parquet") && error.contains("manifest check"), "{error}");
    }

    #[test]
    fn what_append_does_not_read_does_not_stop_it() {
        let (folder, manifest) = case();
        write(folder.path(), "tables/keys.parquet", "other");
        write(folder.path(), "notes.txt", "mine");
        check_before_append(folder.path(), &manifest, 1).unwrap();
        assert_eq!(told(folder.path(), &manifest), ["additional notes.txt", "changed tables/keys.parquet"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_file_of_the_case() {
        let (folder, manifest) = case();
        std::fs::remove_file(folder.path().join("x.csv")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("tables/keys.parquet"), folder.path().join("x.csv")).unwrap();
        assert_eq!(told(folder.path(), &manifest), ["changed x.csv"]);
    }

    #[test]
    fn a_manifest_cannot_point_outside_its_case() {
        let (folder, mut manifest) = case();
        manifest.outputs.push(Output { path: "../elsewhere".to_owned(), size: 0, sha256: String::new() });
        assert!(check_outputs(folder.path(), &manifest, 1, |_| Ok(())).is_err());
        assert!(check_outputs(folder.path(), &Manifest::default(), 1, |_| Ok(())).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_are_found_again() {
        use std::os::unix::ffi::OsStrExt;
        assert_eq!(unescaped("a\\xff/\\xzz").as_os_str().as_bytes(), b"a\xff/\\xzz");
    }
}
