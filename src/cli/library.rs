//! The query library as a command uses it.
//!
//! In: `--queries`, `--set`, `--home-account`. Out: views and findings of a case, or the faults of the library, all of them
//! at once.

use super::args::{LibraryArgs, SeverityArg};
use super::evidence;
use anyhow::{Context, Result, anyhow};
use keytrail::case::build::Built;
use keytrail::case::cells::{TextForm, export, write_parquet};
use keytrail::case::existing::parts;
use keytrail::case::folder::NewFolder;
use keytrail::case::manifest::EventsSeen;
use keytrail::case::provenance::verdicts_of;
use keytrail::error::Error;
use keytrail::output::Cell;
use keytrail::query::findings::{FINDING_COLUMNS, Finding};
use keytrail::query::header::{QueryKind, parse_optional};
use keytrail::query::incidents::{self, INCIDENT_COLUMNS, Incident};
use keytrail::query::library::Library;
use keytrail::query::params::Overrides;
use keytrail::query::run::{Session, Settings};
use keytrail::query::scorecard::{self, REVIEW_COLUMNS};
use keytrail::schema::Column;
use keytrail::severity::Severity;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Several errors as one, each on its line.
pub(crate) fn faults(errors: Vec<Error>) -> anyhow::Error {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow!("{}", lines.join("\n"))
}

/// The built-in library with the user's folders over it.
pub(crate) fn load(folders: &[PathBuf]) -> Result<Library> {
    let mut library = Library::built_in().map_err(faults)?;
    for folder in folders {
        library.extend(Library::from_folder(folder).map_err(faults)?);
    }
    Ok(library)
}

/// The severity that an argument means.
pub(crate) fn severity(argument: SeverityArg) -> Severity {
    match argument {
        SeverityArg::Info => Severity::Info,
        SeverityArg::Low => Severity::Low,
        SeverityArg::Medium => Severity::Medium,
        SeverityArg::High => Severity::High,
        SeverityArg::Critical => Severity::Critical,
    }
}

/// A library with its parameters, checked.
pub(crate) struct Loaded {
    library: Library,
    overrides: Overrides,
}

/// What views and rules gave.
pub(crate) struct Analysis {
    /// Rows per table.
    pub(crate) tables: BTreeMap<String, u64>,
    /// Findings per severity.
    pub(crate) findings_by_severity: BTreeMap<String, u64>,
    /// What the findings add up to, worst first.
    pub(crate) incidents: Vec<Incident>,
    /// The worst severity.
    pub(crate) worst: Option<Severity>,
    /// Views and rules that could not be run, with the reason.
    pub(crate) failed: Vec<String>,
    /// What the events table holds.
    pub(crate) events: EventsSeen,
    /// The findings, worst first: the first is number 1.
    pub(crate) findings: Vec<Finding>,
    /// How far the evidence reaches, in one line.
    pub(crate) coverage: String,
}

impl Loaded {
    /// Loads and checks everything that can be checked without a case.
    pub(crate) fn new(args: &LibraryArgs) -> Result<Loaded> {
        let library = load(&args.folders)?;
        let overrides = Overrides::parse(&args.set)?;
        overrides.check_known(
            library.queries().into_iter().map(|query| (query.id.as_str(), query.header.params.as_slice())),
        )?;
        Ok(Loaded { library, overrides })
    }

    /// Runs views and rules over the tables in `folder` and writes what they give.
    pub(crate) fn analyze(
        &self,
        folder: &NewFolder,
        homes: &[String],
        built: &Built,
        formats: &[TextForm],
    ) -> Result<Analysis> {
        let case = folder.path("");
        let scratch = folder.create_dir(".scratch")?;
        let settings = Settings {
            home_accounts: homes.to_vec(),
            overrides: self.overrides.clone(),
            scratch: Some(scratch.clone()),
            ..Settings::default()
        };
        let mut session = Session::open(&case, settings)?;
        let views = self.library.views_in_order()?;
        let tables_folder = case.join("tables");
        let (views, mut failed) = session.build_views(&views, &tables_folder, |_| {});
        let (mut findings, more) = session.all_findings(&self.library, &[QueryKind::Detect], |_| {});
        failed.extend(more);
        let incidents = incidents::group(&mut findings);
        add_integrity(&case, &mut findings)?;
        let (reviewed, more) = session.all_findings(&self.library, &[QueryKind::Review], |_| {});
        failed.extend(more);
        write_result(&case, "findings", &FINDING_COLUMNS, findings.iter().map(Finding::cells))?;
        write_result(&case, "incidents", &INCIDENT_COLUMNS, incidents.iter().map(Incident::cells))?;
        let rows = reviewed.iter().map(|finding| scorecard::cells(&self.library, finding));
        write_result(&case, "reviews", &REVIEW_COLUMNS, rows)?;
        let mut tables: BTreeMap<String, u64> = views.into_iter().map(|view| (view.name, view.rows)).collect();
        let validated = built.validated.iter().flat_map(|validated| validated.rows);
        tables.extend(validated.map(|(name, rows)| (name.to_owned(), rows)));
        tables.insert("findings".to_owned(), findings.len() as u64);
        tables.insert("incidents".to_owned(), incidents.len() as u64);
        tables.insert("reviews".to_owned(), reviewed.len() as u64);
        for form in formats {
            export_tables(&case, *form)?;
        }
        let mut by_severity = BTreeMap::new();
        for finding in &findings {
            *by_severity.entry(finding.severity.as_str().to_owned()).or_insert(0) += 1;
        }
        let events = events_seen(&mut session, built.rows_per_day.values().sum())?;
        let coverage = evidence::coverage(&mut session)?;
        drop(session);
        std::fs::remove_dir_all(&scratch)
            .with_context(|| format!("{}: remove the scratch folder", scratch.display()))?;
        Ok(Analysis {
            tables,
            findings_by_severity: by_severity,
            worst: findings.iter().map(|finding| finding.severity).max(),
            incidents,
            events,
            coverage,
            findings,
            failed: failed.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Gives each finding the worst verdict of the files its events came from.
fn add_integrity(case: &Path, findings: &mut [Finding]) -> Result<()> {
    let ids: HashSet<&str> = findings.iter().flat_map(|finding| &finding.event_ids).map(String::as_str).collect();
    let verdicts = verdicts_of(case, &ids)?;
    for finding in findings {
        finding.integrity = finding.event_ids.iter().filter_map(|id| verdicts.get(id)).max().copied();
    }
    Ok(())
}

/// Number and range of the KMS events of an open case.
fn events_seen(session: &mut Session, rows: u64) -> Result<EventsSeen> {
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS n, MIN(e.event_time) AS first_time, MAX(e.event_time) AS last_time FROM events AS e WHERE e.event_source = 'kms.amazonaws.com'";
    let header = parse_optional("summary", "").map_err(faults)?;
    let table =
        session.prepare("summary", sql, &header).map_err(faults).and_then(|query| Ok(session.table(&query)?))?;
    let row = table.rows.first().context("the count of events has no row")?;
    Ok(match row.as_slice() {
        [Cell::Integer(kms), Cell::Timestamp(first), Cell::Timestamp(last)] => {
            EventsSeen { rows, kms: u64::try_from(*kms).unwrap_or(0), range: Some((*first, *last)) }
        }
        _ => EventsSeen { rows, kms: 0, range: None },
    })
}

/// Writes a result of the case in all its forms: Parquet, CSV, NDJSON.
fn write_result<'c>(
    case: &Path,
    name: &str,
    columns: &'static [Column],
    rows: impl IntoIterator<Item = Vec<Cell<'c>>>,
) -> Result<()> {
    let parquet = case.join(format!("{name}.parquet"));
    write_parquet(&parquet, columns, rows)?;
    for form in [TextForm::Csv, TextForm::NdJson] {
        export(std::slice::from_ref(&parquet), form, &case.join(format!("{name}.{}", form.ending())))?;
    }
    Ok(())
}

/// Writes every table, and the events, once more as text.
fn export_tables(case: &Path, form: TextForm) -> Result<()> {
    let folder = case.join("tables");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .with_context(|| format!("{}: list the tables", folder.display()))?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "parquet"));
    paths.sort();
    for path in paths {
        let target = path.with_extension(form.ending());
        export(&[path], form, &target)?;
    }
    let events: Vec<PathBuf> = parts(case)?.into_values().flatten().collect();
    export(&events, form, &folder.join(format!("events.{}", form.ending())))?;
    Ok(())
}
