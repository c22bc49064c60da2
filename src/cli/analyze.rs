//! `keytrail analyze`: the main job.
//!
//! In: paths. Out: a case folder, complete or not at all, and a summary on stderr. The order of the work: check everything
//! that could fail at the end (output, library, parameters), list the files, read them, write tables, run views and rules,
//! write the manifest, rename.

use super::args::{AnalyzeArgs, Format};
use super::config::{self, Display};
use super::progress::Progress;
use super::{Exit, library, note, report, screen, summary, validation};
use anyhow::{Result, bail};
use keytrail::case::build::{Built, build};
use keytrail::case::cells::TextForm;
use keytrail::case::custody::{check_before_append, manifest_hash, outputs};
use keytrail::case::existing::row_count;
use keytrail::case::folder::{Existing, NewFolder, check_target, is_case};
use keytrail::case::manifest::{Manifest, Run};
use keytrail::case::scope;
use keytrail::case::validate::{Validated, Validation};
use keytrail::discover::{Filters, discover};
use keytrail::report::write_csv;
use keytrail::table::row::LAYOUT;
use std::collections::BTreeSet;

fn existing(args: &AnalyzeArgs) -> Existing {
    match (args.force, args.append) {
        (true, _) => Existing::Replace,
        (_, true) => Existing::Append,
        _ => Existing::Refuse,
    }
}

/// Runs the command.
///
/// # Errors
/// When an argument, an input path, the output or the library is not usable.
pub(crate) fn run(args: &AnalyzeArgs) -> Result<Exit> {
    let started = now();
    let display = Display::new(&args.display);
    let mut settings = config::extraction(&args.filters, &args.resources)?;
    let mut validation = validation(args)?;
    let forms = text_forms(&args.format)?;
    let mode = existing(args);
    check_target(&args.out, mode)?;
    let queries = library::Loaded::new(&args.library)?;
    let extended = (mode == Existing::Append && is_case(&args.out)).then_some(args.out.as_path());
    let mut manifest = match extended {
        Some(case) => Manifest::read(case)?,
        None => Manifest::default(),
    };
    if let Some(case) = extended {
        check_before_append(case, &manifest, settings.jobs)?;
    }
    let folder = NewFolder::create(&args.out, mode, &job(args, extended.is_some().then_some(&manifest)))?;
    let filters = Filters { digests: validation.is_some(), ..config::filters(&args.filters)? };
    let found = discover(&args.paths, args.files_from.as_deref(), &filters)?;
    let has_digests = found.digests > 0 || extended.is_some_and(has_digests);
    validation = validation.filter(|_| has_digests);
    settings.validates = validation.is_some();
    let mut problems = summary::Problems::new(&found);
    let mut progress = Progress::new(display, found.bytes());
    let scope = config::scope(&args.filters, &settings.filter, &found);
    let counts = found.counts;
    let listing_problems = found.problems;
    let built = build(found.sources, &settings, &folder, extended, validation.as_ref(), |input| {
        progress.input(input);
        problems.add(input);
    })?;
    if built.resumed > 0 && !display.quiet {
        note(format!("went on with an interrupted run: {} files had been read", summary::count(built.resumed)));
    }
    scope::write(&folder.path(""), extended, &scope)?;
    progress.stage("views and rules");
    let homes = home_accounts(args, &manifest, &built);
    let analysis = queries.analyze(&folder, &homes, &built, &forms)?;
    progress.finish();

    manifest.tool = "keytrail".to_owned();
    manifest.version = env!("CARGO_PKG_VERSION").to_owned();
    manifest.arguments = std::env::args().skip(1).collect();
    manifest.started = started;
    manifest.home_accounts = homes;
    for (path, problem) in &listing_problems {
        manifest.problem(path, &problem.to_string());
    }
    for (path, problem) in &built.problems {
        manifest.problem(path, problem);
    }
    manifest.add(&counts, &built);
    manifest.set_case(&analysis.events, analysis.tables.clone(), analysis.findings_by_severity.clone());
    manifest.warnings = warnings(&manifest, &built, &analysis.failed);
    // Files that the report links to are files of the case like any other.
    (!args.no_report).then(|| write_csv(&folder.path(""))).transpose()?;
    manifest.outputs = outputs(&folder.path(""), settings.jobs)?;
    manifest.finished = now();
    manifest.runs.push(Run {
        version: manifest.version.clone(),
        arguments: manifest.arguments.clone(),
        started: manifest.started.clone(),
        finished: manifest.finished.clone(),
    });
    manifest.write(&folder.path(""))?;
    let is_reported = args.no_report || report_written(args, &folder, &manifest);
    folder.commit()?;
    if !display.quiet && problems.any() {
        note(problems.text());
    }
    if !display.quiet {
        tell(args, &manifest, &analysis, &built, display)?;
    }
    let met = args.fail_on.is_some_and(|wanted| analysis.worst.is_some_and(|worst| worst >= library::severity(wanted)));
    Ok(match (met, problems.any() || !analysis.failed.is_empty() || !is_reported) {
        (true, _) => Exit::FindingsMet,
        (false, true) => Exit::InputProblems,
        (false, false) => Exit::Done,
    })
}

/// The end of a run for a reader: the manifest's own hash, and the screen.
fn tell(
    args: &AnalyzeArgs,
    manifest: &Manifest,
    analysis: &library::Analysis,
    built: &Built,
    display: Display,
) -> Result<()> {
    // Above the screen: a hash takes nearly all of a line.
    note(format!(
        "manifest.json has this SHA-256; write it down, it protects the rest:\n{}",
        manifest_hash(&args.out)?
    ));
    let told = screen::Told {
        out: &args.out,
        manifest,
        findings: &analysis.findings,
        incidents: &analysis.incidents,
        coverage: &analysis.coverage,
        tampering: &built.validated.as_ref().map(tampering).unwrap_or_default(),
        has_report: args.out.join("report.html").is_file(),
    };
    note(screen::text(&told, display.stderr).trim_end());
    Ok(())
}

/// What shows that something is not as CloudTrail delivered it, the worst first.
fn tampering(validated: &Validated) -> Vec<String> {
    let shown = validated.worst.iter().filter(|finding| finding.is_tampering);
    shown.map(|finding| format!("{} {}: {}", finding.severity.as_str(), finding.code, finding.summary)).collect()
}

/// What digests are checked with; `None` with `--no-verify`.
fn validation(args: &AnalyzeArgs) -> Result<Option<Validation>> {
    if args.no_verify {
        return Ok(None);
    }
    let validation::Loaded { keys, signatures } = validation::load(&args.validation)?;
    let filters = config::filters(&args.filters)?;
    Ok(Some(Validation { keys, signatures, bucket: args.validation.bucket.clone(), filters }))
}

/// True when a case has digests by which its files can be judged again.
fn has_digests(case: &std::path::Path) -> bool {
    row_count(&case.join("tables/integrity_digests.parquet")).is_ok_and(|rows| rows > 0)
}

/// Writes the report of the case that is complete but for its name. A report that cannot be made is no reason to lose the
/// case: it is said, and the exit code tells.
fn report_written(args: &AnalyzeArgs, folder: &NewFolder, manifest: &Manifest) -> bool {
    let written =
        report::write_into(&folder.path(""), &report::case_name(&args.out), &manifest.home_accounts, &[], None);
    if let Err(error) = &written {
        note(format!("warning: the report could not be written: {error:#}"));
    }
    written.is_ok()
}

/// What decides which records a run reads and keeps: runs with the same text can go on where another one was killed.
fn job(args: &AnalyzeArgs, extended: Option<&Manifest>) -> String {
    let filters = &args.filters;
    format!(
        "{} rows {LAYOUT:?} since {:?} until {:?} account {:?} region {:?} key {:?} principal {:?} max-inflated {:?} verify {} extends {:?}",
        env!("CARGO_PKG_VERSION"),
        filters.since,
        filters.until,
        filters.account,
        filters.region,
        filters.keys,
        filters.principals,
        args.resources.max_inflated,
        !args.no_verify,
        extended.map(|manifest| (&manifest.finished, manifest.inputs.files))
    )
}

/// The forms that tables are written in besides Parquet.
fn text_forms(formats: &[Format]) -> Result<Vec<TextForm>> {
    formats
        .iter()
        .filter(|format| **format != Format::Parquet)
        .map(|format| match format {
            Format::Csv => Ok(TextForm::Csv),
            Format::Ndjson => Ok(TextForm::NdJson),
            _ => bail!("--format: a case always has Parquet; csv and ndjson can be added"),
        })
        .collect()
}

/// The time of day, which only the manifest may know.
pub(super) fn now() -> String {
    chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// One's own accounts: those given, else those that received the records.
fn home_accounts(args: &AnalyzeArgs, manifest: &Manifest, built: &Built) -> Vec<String> {
    if !args.library.home_accounts.is_empty() {
        let given: BTreeSet<String> = args.library.home_accounts.iter().cloned().collect();
        return given.into_iter().collect();
    }
    let mut homes: BTreeSet<String> = manifest.home_accounts.iter().cloned().collect();
    homes.extend(built.recipients.iter().cloned());
    homes.into_iter().collect()
}

/// How a warning about a rule begins.
const NOT_RUN: &str = "could not be run, so its findings are missing: ";

/// What a reader must know before believing the case.
fn warnings(manifest: &Manifest, built: &Built, failed: &[String]) -> Vec<String> {
    let mut warnings = manifest.warnings.clone();
    // Every run runs all rules again, so what failed last time is no longer known.
    warnings.retain(|warning| !warning.starts_with(NOT_RUN));
    let mut warn = |text: String| {
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    };
    if manifest.events.kms == 0 {
        warn("no KMS event was found: the logs may exclude KMS, or these are not the right files".to_owned());
    }
    if manifest.inputs.files_with_problems > 0 {
        warn(format!(
            "{} input files were not understood completely: see inputs.parquet",
            manifest.inputs.files_with_problems
        ));
    }
    for reason in failed {
        warn(format!("{NOT_RUN}{reason}"));
    }
    for conflict in built.conflicts.iter().take(20) {
        warn(format!("event id {conflict} stands for records with different content: all were kept"));
    }
    warnings
}
