//! A case for one command: made of archives, and gone when the command ends.
//!
//! In: paths. Out: a case folder with the extraction's tables among the system's temporary files. Views and rules are left to
//! the command that needs some of them.

use super::args::{FilterArgs, ResourceArgs};
use super::{config, note};
use anyhow::Result;
use keytrail::case::build::build;
use keytrail::case::folder::{Existing, NewFolder};
use keytrail::case::manifest::Manifest;
use keytrail::case::scope;
use keytrail::discover::{Filters, discover};
use std::path::{Path, PathBuf};

/// The case; dropping it removes the folder.
pub(crate) struct TemporaryCase {
    path: PathBuf,
    /// Inputs that were not understood completely, and paths that could not be looked at.
    pub(crate) problems: u64,
}

impl TemporaryCase {
    /// Reads the archives. Problems with them are told on stderr.
    pub(crate) fn read(paths: &[PathBuf], resources: &ResourceArgs) -> Result<TemporaryCase> {
        let path = std::env::temp_dir().join(format!("keytrail-case-{}", std::process::id()));
        let filters = FilterArgs::default();
        let settings = config::extraction(&filters, resources)?;
        let folder = NewFolder::create(&path, Existing::Refuse, "")?;
        let found = discover(paths, None, &Filters::default())?;
        let scope = config::scope(&filters, &settings.filter, &found);
        let built = build(found.sources, &settings, &folder, None, None, |_| {})?;
        scope::write(&folder.path(""), None, &scope)?;
        let listed = found.problems.iter().map(|(path, problem)| (path, problem.to_string()));
        let read = built.problems.iter().map(|(path, problem)| (path, problem.clone()));
        for (path, problem) in listed.chain(read) {
            note(format!("warning: {path}: {problem}"));
        }
        let problems = built.totals.files_with_problems + found.problems.len() as u64;
        let manifest = Manifest { home_accounts: built.recipients.into_iter().collect(), ..Manifest::default() };
        manifest.write(&folder.path(""))?;
        folder.commit()?;
        Ok(TemporaryCase { path, problems })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryCase {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            note(format!("warning: {}: the temporary case could not be removed: {error}", self.path.display()));
        }
    }
}
