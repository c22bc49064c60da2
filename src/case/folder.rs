//! Making a case folder, or any other output, in one step.
//!
//! In: the path the user asked for. Out: a temporary sibling to write into, and a rename at the end. What was there before
//! is refused before any work starts, unless it may be replaced; it is removed only after the new one is complete. When the
//! run fails, the temporary sibling goes and nothing has changed.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// What to do with an output that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse before any work starts.
    Refuse,
    /// Replace it when the new one is complete.
    Replace,
    /// Extend it (cases only).
    Append,
}

/// A folder being written.
#[derive(Debug)]
pub struct NewFolder {
    target: PathBuf,
    temporary: PathBuf,
    committed: bool,
}

fn sibling(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.{suffix}"))
}

/// How the name of a folder being written goes on, before the process id.
const UNFINISHED: &str = "unfinished-";

/// The folder inside a case being written that holds sorted runs and the journal, and is gone when the case is complete.
pub const SPILL: &str = ".spill";

/// The file in it that says which job they belong to.
const JOB: &str = "job";

/// Takes over what a killed run of the same job left behind: its runs and journal, and nothing else of it.
fn take_over(abandoned: &Path, temporary: &Path, job: &str) -> bool {
    let is_same = std::fs::read_to_string(abandoned.join(SPILL).join(JOB)).is_ok_and(|text| text == job);
    // The rest is made anew. When any of it cannot be done, the run begins from the start, in a new folder.
    is_same
        && std::fs::create_dir_all(temporary).is_ok()
        && std::fs::rename(abandoned.join(SPILL), temporary.join(SPILL)).is_ok()
}

/// Removes what killed runs for the same target left behind: folders named after a process that is gone; but first takes
/// over what the same job can go on with. Where `/proc` does not tell which processes there are, nothing is touched.
/// Failing to remove one is no reason not to begin.
fn remove_abandoned(target: &Path, temporary: &Path, job: &str) {
    let (Some(parent), Some(prefix)) =
        (target.parent(), sibling(target, UNFINISHED).file_name().map(ToOwned::to_owned))
    else {
        return;
    };
    let prefix = prefix.to_string_lossy().into_owned();
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(&prefix).and_then(|number| number.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
            if !temporary.exists() {
                take_over(&entry.path(), temporary, job);
            }
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// True when `path` holds a case.
pub fn is_case(path: &Path) -> bool {
    path.join("manifest.json").is_file()
}

/// Refuses an output that may not be replaced.
///
/// # Errors
/// [`Error::Usage`] when `target` exists and is not to be replaced, or is to be replaced and is no case.
pub fn check_target(target: &Path, existing: Existing) -> Result<()> {
    let shown = target.display();
    if !target.exists() {
        return Ok(());
    }
    if !is_case(target) {
        let is_empty = std::fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
        if is_empty {
            return Ok(());
        }
        return Err(Error::Usage(format!(
            "{shown} exists and is not a keytrail case (it has no manifest.json): choose another folder"
        )));
    }
    match existing {
        Existing::Refuse => {
            Err(Error::Usage(format!("{shown} exists: --append adds new files to it, --force replaces it")))
        }
        Existing::Replace | Existing::Append => Ok(()),
    }
}

impl NewFolder {
    /// Creates the temporary sibling of `target`, so that an unwritable place fails now and not after an hour. `job` is a
    /// text that is the same for runs that read and keep the same records: when such a run was killed, what it has read is
    /// taken over.
    ///
    /// # Errors
    /// When `target` may not be replaced, or nothing can be created beside it.
    pub fn create(target: &Path, existing: Existing, job: &str) -> Result<NewFolder> {
        check_target(target, existing)?;
        let target =
            std::path::absolute(target).map_err(|error| Error::file(target, "find the output folder", error))?;
        let temporary = sibling(&target, &format!("{UNFINISHED}{}", std::process::id()));
        remove_abandoned(&target, &temporary, job);
        std::fs::create_dir_all(temporary.join(SPILL))
            .and_then(|()| std::fs::write(temporary.join(SPILL).join(JOB), job))
            .map_err(|error| Error::file(&target, "create the output folder (is the place writable?)", error))?;
        let folder = NewFolder { target, temporary, committed: false };
        let probe = folder.path("manifest.json");
        std::fs::write(&probe, b"{}")
            .map_err(|error| Error::file(&folder.target, "write into the output folder", error))?;
        std::fs::remove_file(&probe).map_err(|error| Error::file(&probe, "write into the output folder", error))?;
        Ok(folder)
    }

    /// A path inside the folder being written.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.temporary.join(name)
    }

    /// Creates a folder inside it.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create_dir(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.path(name);
        std::fs::create_dir_all(&path).map_err(|error| Error::file(&path, "create a folder", error))?;
        Ok(path)
    }

    /// Puts the folder in its place. An older case there is moved aside first and removed last, so at every moment one
    /// complete case exists.
    ///
    /// # Errors
    /// When the rename fails; the old case is then back in its place.
    pub fn commit(mut self) -> Result<()> {
        let spill = self.path(SPILL);
        if spill.exists() {
            std::fs::remove_dir_all(&spill).map_err(|error| Error::file(&spill, "remove the spill folder", error))?;
        }
        let old = sibling(&self.target, &format!("replaced-{}", std::process::id()));
        let had_old = self.target.exists();
        if had_old {
            std::fs::rename(&self.target, &old)
                .map_err(|error| Error::file(&self.target, "move the old case aside", error))?;
        }
        if let Err(error) = std::fs::rename(&self.temporary, &self.target) {
            if had_old {
                // Best effort: the error that is reported is the first one, and names the place.
                let _ = std::fs::rename(&old, &self.target);
            }
            return Err(Error::file(&self.target, "put the case in its place", error));
        }
        self.committed = true;
        if had_old {
            std::fs::remove_dir_all(&old).map_err(|error| Error::file(&old, "remove the replaced case", error))?;
        }
        Ok(())
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing more can be done about a folder that cannot be removed; its name says what it is.
            let _ = std::fs::remove_dir_all(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(target: &Path, existing: Existing, text: &str) -> Result<()> {
        let folder = NewFolder::create(target, existing, "job")?;
        std::fs::write(folder.path("manifest.json"), text).unwrap();
        folder.commit()
    }

    #[test]
    fn a_case_is_replaced_only_when_asked() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("case");
        make(&target, Existing::Refuse, "1").unwrap();
        assert!(make(&target, Existing::Refuse, "2").unwrap_err().to_string().contains("--append"));
        assert_eq!(std::fs::read_to_string(target.join("manifest.json")).unwrap(), "1");
        make(&target, Existing::Replace, "3").unwrap();
        assert_eq!(std::fs::read_to_string(target.join("manifest.json")).unwrap(), "3");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_no_case_is_never_replaced() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("precious.txt"), "x").unwrap();
        assert!(make(place.path(), Existing::Replace, "1").is_err());
        assert!(place.path().join("precious.txt").exists());
    }

    #[test]
    fn an_abandoned_run_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        drop(NewFolder::create(&place.path().join("case"), Existing::Refuse, "job").unwrap());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_unwritable_place_fails_before_the_work() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error = NewFolder::create(&file.join("case"), Existing::Refuse, "job").unwrap_err();
        assert!(error.to_string().contains("case"), "{error}");
    }
}
