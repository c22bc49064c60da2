//! `keytrail report`: a case as one HTML file.
//!
//! In: a case. Out: the file, written beside its place and renamed, so that it is never half. Inside the case it replaces
//! the one that is there, because the same case gives the same bytes, and enters itself into the manifest; elsewhere an existing file takes `--force`.

use super::analyze::now;
use super::args::ReportArgs;
use super::config::Display;
use super::query::check_free;
use super::{Exit, note};
use anyhow::{Context, Result, bail};
use keytrail::case::custody::manifest_hash;
use keytrail::case::folder::is_case;
use keytrail::case::manifest::{Manifest, Run};
use keytrail::query::run::{Session, Settings};
use keytrail::report::{Source, render, write_csv};
use std::path::{Path, PathBuf};

/// What a case is called: the last part of its path.
pub(crate) fn case_name(case: &Path) -> String {
    let absolute =
        std::fs::canonicalize(case).or_else(|_| std::path::absolute(case)).unwrap_or_else(|_| case.to_owned());
    absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| "case".to_owned())
}

fn html(case: &Path, name: &str, homes: &[String], is_inside: bool) -> Result<String> {
    let settings = Settings { home_accounts: homes.to_vec(), ..Settings::default() };
    let mut session = Session::open(case, settings)?;
    Ok(render(&mut session, Source { case, name, is_inside })?)
}

/// The name of the report in a case.
const REPORT: &str = "report.html";

/// Writes the report into the folder of a case, and enters it and `others` into the manifest; gives true when that changed.
/// `run` is the command, when it is not the one that makes the case.
pub(crate) fn write_into(
    case: &Path,
    name: &str,
    homes: &[String],
    others: &[String],
    run: Option<Run>,
) -> Result<bool> {
    write(&case.join(REPORT), &html(case, name, homes, true)?)?;
    let names: Vec<&str> = others.iter().map(String::as_str).chain([REPORT]).collect();
    Ok(Manifest::add_outputs(case, &names, run)?)
}

/// Writes a file beside its place and renames it.
fn write(path: &Path, text: &str) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let unfinished = path.with_file_name(format!(".{name}.unfinished-{}", std::process::id()));
    let written = std::fs::write(&unfinished, text)
        .and_then(|()| std::fs::rename(&unfinished, path))
        .with_context(|| format!("{}: write the report", path.display()));
    if written.is_err() {
        // Nothing more can be done about a file that cannot be removed; its name says what it is.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

/// Where the report goes, when it is not into the case.
fn elsewhere(args: &ReportArgs) -> Option<PathBuf> {
    let output = args.output.clone()?;
    let own = std::fs::canonicalize(args.case.join(REPORT)).ok();
    let is_own = own.is_some() && own == std::fs::canonicalize(&output).ok();
    (!is_own).then_some(output)
}

/// Runs the command.
///
/// # Errors
/// When the case cannot be read, or the file exists or cannot be written.
pub(crate) fn run(args: &ReportArgs) -> Result<Exit> {
    let started = now();
    let mut has_new_manifest = false;
    let display = Display::new(&args.display);
    if !is_case(&args.case) {
        bail!("{}: not a case: expected a folder written by `keytrail analyze`", args.case.display());
    }
    let homes = Manifest::read(&args.case)?.home_accounts;
    let name = case_name(&args.case);
    let path = match elsewhere(args) {
        Some(path) => {
            check_free(&path, args.force)?;
            write(&path, &html(&args.case, &name, &homes, false)?)?;
            path
        }
        None => {
            let others = write_csv(&args.case)?;
            let run = Run {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                arguments: std::env::args().skip(1).collect(),
                started,
                finished: now(),
            };
            has_new_manifest = write_into(&args.case, &name, &homes, &others, Some(run))?;
            args.case.join(REPORT)
        }
    };
    if !display.quiet {
        note(format!("report: {}", path.display()));
        if has_new_manifest {
            note(format!("manifest.json has a new SHA-256: {}", manifest_hash(&args.case)?));
        }
    }
    Ok(Exit::Done)
}
