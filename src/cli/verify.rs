//! `keytrail verify`: are the logs those that CloudTrail delivered?
//!
//! In: paths with logs and digests, public keys, signatures. Out: on stdout one line for each problem with what it proves and
//! what it does not, or the verdict of each file, or the chains; on stderr what was checked and what that is worth. Tampering
//! and "could not verify" are different answers, with different words and exit codes.

use super::args::{Format, ValidationArgs, VerifyArgs, VerifyRows};
use super::config::{self, Display};
use super::query::write_rows;
use super::{Exit, note, summary, validation};
use anyhow::{Context, Result};
use keytrail::case::cells::{TextForm, write_parquet};
use keytrail::case::manifest::IntegrityCounts;
use keytrail::discover::{Filters, discover};
use keytrail::integrity::keys::Fingerprint;
use keytrail::integrity::table::{CHAIN_COLUMNS, FILE_COLUMNS, FINDING_COLUMNS, chain_cells, file_rows, finding_cells};
use keytrail::integrity::{Evidence, Finding, Judgement, PublicKeys, Settings, Trial, hex, judge};
use keytrail::output::Cell;
use keytrail::output::terminal::sanitize;
use keytrail::pipeline::verify::{Seen, SourceNames, check_signatures, observe};
use keytrail::read::Limits;
use keytrail::schema::Column;
use keytrail::time::format_timestamp;
use std::collections::BTreeSet;
use std::io::Write;

/// Runs the command.
///
/// # Errors
/// When an input, a list of keys or signatures, or the output is not usable.
pub(crate) fn run(args: &VerifyArgs) -> Result<Exit> {
    let display = Display::new(&args.display);
    args.output.check()?;
    let loaded = validation::load(&args.validation)?;
    let jobs = config::jobs(args.jobs);
    let mut limits = Limits::for_jobs(jobs);
    if let Some(text) = &args.max_inflated {
        limits.max_inflated = config::size(text).context("--max-inflated")?;
    }
    let filters = Filters { digests: true, skips_sizes: true, ..Filters::default() };
    let found = discover(&args.paths, args.files_from.as_deref(), &filters)?;
    let mut problems = summary::Problems::new(&found);
    let evidence = observe(&found.sources, jobs, limits, |seen| tell(&mut problems, &seen))?;
    let names = SourceNames(&found.sources);
    let settings = Settings { bucket: args.validation.bucket.as_deref(), is_left_out: None };
    let trial = Trial::new(&evidence, &loaded.keys, &loaded.signatures, &names, &settings);
    let states = check_signatures(&trial, jobs)?;
    let judgement = judge(&trial, &states);
    write(args, &trial, &judgement, display)?;
    if !display.quiet {
        note(problems.text());
        note(text(&judgement, &evidence, &loaded.keys, &args.validation));
    }
    Ok(if judgement.has_tampering() {
        Exit::FindingsMet
    } else if judgement.is_complete() && !problems.any() {
        Exit::Done
    } else {
        Exit::InputProblems
    })
}

/// Files that could not be read; what was found about the others is a finding.
fn tell(problems: &mut summary::Problems, seen: &Seen<'_>) {
    if let Err(problem) = seen.facts {
        problems.told(&seen.source.name(), &problem.to_string());
    }
}

fn write(args: &VerifyArgs, trial: &Trial<'_>, judgement: &Judgement, display: Display) -> Result<()> {
    type Rows<'r> = Box<dyn Iterator<Item = Vec<Cell<'static>>> + 'r>;
    let (columns, rows): (&[Column], Rows<'_>) = match args.show {
        VerifyRows::Problems => (&FINDING_COLUMNS, Box::new(judgement.findings.iter().map(finding_cells))),
        VerifyRows::Files => (&FILE_COLUMNS, Box::new(file_rows(trial, judgement))),
        VerifyRows::Chains => (&CHAIN_COLUMNS, Box::new(judgement.chains.iter().map(chain_cells))),
    };
    if args.output.format == Format::Parquet {
        if let Some(path) = &args.output.file {
            write_parquet(path, columns, rows)?;
        }
        return Ok(());
    }
    let mut out = args.output.create()?;
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let form = match args.output.format {
        Format::Csv => Some(TextForm::Csv),
        Format::Ndjson => Some(TextForm::NdJson),
        _ => None,
    };
    if let Some(form) = form {
        // Rows are written as they are made: there may be millions.
        let mut text = Vec::new();
        form.write_header(&names, &mut text);
        for row in rows {
            form.write_row(&names, row, &mut text);
            if text.len() > 1 << 16 {
                out.write_all(&text)?;
                text.clear();
            }
        }
        out.write_all(&text)?;
    } else if args.output.format == Format::Table && args.show == VerifyRows::Problems {
        out.write_all(lines(&judgement.findings).as_bytes())?;
    } else {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        write_rows(&names, &rows.collect::<Vec<_>>(), args.output.format, args.output.width(display), &mut out)?;
    }
    Ok(out.flush()?)
}

/// Each problem on a line, and under it what it is worth.
fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let (severity, code) = (finding.severity.as_str(), finding.code);
        text.push_str(&format!("{severity:8}  {code}  {}\n", sanitize(&finding.summary)));
        let (proves, limits) = (finding.proves, finding.does_not_prove);
        text.push_str(&format!("          proves: {proves}  does not prove: {limits}\n"));
    }
    text
}

/// What was checked, and what that is worth.
fn text(judgement: &Judgement, evidence: &Evidence, keys: &PublicKeys, args: &ValidationArgs) -> String {
    let mut lines = Vec::new();
    for chain in &judgement.chains {
        let name = &chain.name;
        let kind = if name.is_backfill { " (backfill)" } else { "" };
        lines.push(sanitize(&format!(
            "chain {} {} {}{kind}: {}; {} of {} listed logs are here",
            name.account, name.region, name.trail, chain.summary, chain.logs_present, chain.logs_listed
        )));
    }
    let used = used_keys(evidence, keys);
    if !used.is_empty() {
        let used: Vec<String> = used.iter().map(|fingerprint| hex(fingerprint)).collect();
        lines.push(format!(
            "public keys used: {}; compare them with a list fetched afresh, for whoever made the list could sign anything",
            used.join(", ")
        ));
    }
    lines.push(counts(judgement));
    lines.push(conclusion(judgement, keys, args));
    lines.join("\n")
}

/// The verdicts in one line.
fn counts(judgement: &Judgement) -> String {
    let (logs, digests) = (&judgement.logs, &judgement.digests);
    let counts = summary::integrity(&IntegrityCounts {
        chains: judgement.chains.len() as u64,
        logs_verified: logs.verified,
        logs_consistent: logs.consistent,
        logs_unverifiable: logs.unverifiable,
        logs_failed: logs.failed,
        logs_missing: judgement.missing_logs,
        logs_left_out: judgement.left_out,
        digests_verified: digests.verified,
        digests_consistent: digests.consistent,
        digests_failed: digests.failed + digests.unverifiable,
        has_tampering: judgement.has_tampering(),
    });
    format!("integrity: {counts}")
}

/// The answer in one sentence.
fn conclusion(judgement: &Judgement, keys: &PublicKeys, args: &ValidationArgs) -> String {
    let tampering = judgement.findings.iter().filter(|finding| finding.is_tampering).count() as u64;
    if tampering > 0 {
        let problems = if tampering == 1 { "problem shows" } else { "problems show" };
        return format!(
            "TAMPERING: {} {problems} that something is not as CloudTrail delivered it",
            summary::count(tampering)
        );
    }
    if judgement.is_complete() {
        let from = judgement.chains.iter().filter_map(|chain| chain.covered).map(|(from, _)| from).min();
        let until = judgement.chains.iter().filter_map(|chain| chain.covered).map(|(_, until)| until).max();
        let time = |time: Option<i64>| time.map(format_timestamp).unwrap_or_default();
        return format!(
            "VERIFIED: all logs are as CloudTrail delivered them, from {} until {}",
            time(from),
            time(until)
        );
    }
    let mut reasons = Vec::new();
    if judgement.digests.total() == 0 {
        reasons.push("there are no digests among the inputs".to_owned());
    } else if judgement.logs.total() == 0 {
        reasons.push("there are no logs among the inputs".to_owned());
    }
    if judgement.digests.total() > 0 && keys.is_empty() {
        reasons.push("no public keys were given (--public-keys), so no signature was checked".to_owned());
    }
    let open = judgement.logs.consistent + judgement.logs.unverifiable;
    if open > 0 {
        reasons.push(format!("{} logs are not vouched for by a signed digest", summary::count(open)));
    }
    if judgement.digests.consistent > 0 && !keys.is_empty() && args.signatures.is_empty() {
        let count = summary::count(judgement.digests.consistent);
        reasons
            .push(format!("{count} digests have no signature or key at hand (--signatures gives those from metadata)"));
    }
    if reasons.is_empty() {
        reasons.push("there are times that no digest covers, see the problems".to_owned());
    }
    format!("COULD NOT VERIFY everything; no tampering was found: {}", reasons.join("; "))
}

/// Fingerprints of keys that digests name and that are in the list.
fn used_keys(evidence: &Evidence, keys: &PublicKeys) -> BTreeSet<Fingerprint> {
    let named = evidence.digests.iter().map(|digest| digest.fingerprint);
    named.filter(|fingerprint| keys.get(fingerprint).is_some()).collect()
}
