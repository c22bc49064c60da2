//! `keytrail manifest check`: is a case still what it was when it was written?
//!
//! In: a case, and if wanted the evidence and the SHA-256 of the manifest that was noted down. Out: one line on stdout for each
//! difference, what was checked on stderr, and exit code 3 when there is a difference.

use super::args::{ManifestArgs, ManifestCheckArgs, ManifestCommand};
use super::config::{self, Display};
use super::summary::count;
use super::{Exit, note};
use anyhow::{Result, bail};
use keytrail::case::custody::{Difference, check_inputs, check_outputs, manifest_hash};
use keytrail::case::folder::is_case;
use keytrail::case::manifest::Manifest;
use keytrail::error::Error;
use keytrail::output::terminal::sanitize;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes a difference as one line.
fn tell(out: &mut impl Write, what: &str, difference: &Difference) -> keytrail::error::Result<()> {
    out.write_all(line(what, difference).as_bytes())
        .map_err(|error| Error::file(Path::new("stdout"), "write the differences", error))
}

fn line(what: &str, difference: &Difference) -> String {
    let mut line = format!("{:<10} {what} {}", difference.kind.as_str(), sanitize(&difference.path));
    if let Some(expected) = &difference.expected {
        line.push_str(&format!("  expected {}", sanitize(expected)));
    }
    if let Some(found) = &difference.found {
        line.push_str(&format!("  found {}", sanitize(found)));
    }
    line + "\n"
}

fn check(args: &ManifestCheckArgs) -> Result<Exit> {
    let display = Display::new(&args.display);
    if !is_case(&args.case) {
        bail!("{}: not a case: expected a folder written by `keytrail analyze`", args.case.display());
    }
    if let Some(root) = args.inputs.iter().find(|root| !root.exists()) {
        bail!("--inputs {}: there is no such folder", root.display());
    }
    let jobs = config::jobs(args.jobs);
    let manifest = Manifest::read(&args.case)?;
    let own = manifest_hash(&args.case)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let is_own = args.sha256.as_ref().is_none_or(|expected| expected.trim().eq_ignore_ascii_case(&own));
    if !is_own {
        let expected = args.sha256.as_deref().unwrap_or_default();
        writeln!(out, "changed    case manifest.json  expected {}  found {own}", sanitize(expected))?;
    }
    let files = check_outputs(&args.case, &manifest, jobs, |difference| tell(&mut out, "case", &difference))?;
    let mut differences = files.differences + u64::from(!is_own);
    let mut told =
        format!("{} files of the case checked ({})", count(files.files), indicatif::BinaryBytes(files.bytes));
    if !args.inputs.is_empty() {
        let inputs = check_inputs(&args.case, &args.inputs, jobs, |difference| tell(&mut out, "input", &difference))?;
        differences += inputs.differences;
        told.push_str(&format!(", {} inputs ({})", count(inputs.files), indicatif::BinaryBytes(inputs.bytes)));
        if inputs.not_comparable > 0 {
            told.push_str(&format!("; {} inputs have no hash or came from a pipe", count(inputs.not_comparable)));
        }
    }
    out.flush()?;
    drop(out);
    if !display.quiet {
        note(format!(
            "{told}: {}",
            if differences == 0 { "no difference".to_owned() } else { format!("{} differ", count(differences)) }
        ));
        if args.sha256.is_none() {
            note(format!(
                "manifest.json itself has SHA-256 {own}: compare it with the one noted when the case was made (--sha256), for whoever can change a file can change the manifest too"
            ));
        }
    }
    Ok(if differences == 0 { Exit::Done } else { Exit::FindingsMet })
}

/// Runs the command.
///
/// # Errors
/// When the case or its manifest is not usable.
pub(crate) fn run(args: &ManifestArgs) -> Result<Exit> {
    match &args.command {
        ManifestCommand::Check(args) => check(args),
    }
}
