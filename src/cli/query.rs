//! `keytrail query`: one query over a case.
//!
//! In: the id of a library query or table, a file, or SQL on stdin. Out: rows, or with `--explain` the statement that would
//! run. Every statement passes the SQL guard: what keytrail runs means the same on every engine.

use super::args::{Format, OutputArgs, QueryArgs};
use super::config::Display;
use super::library::{faults, load};
use super::{Exit, print};
use anyhow::{Context, Result, bail};
use keytrail::case::folder::is_case;
use keytrail::case::manifest::Manifest;
use keytrail::output::{Cell, csv, ndjson, terminal};
use keytrail::query::header::{Header, parse_optional};
use keytrail::query::library::Library;
use keytrail::query::params::Overrides;
use keytrail::query::run::{Prepared, Session, Settings};
use keytrail::query::table::ResultColumn;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

/// Opens a case for queries, with the home accounts it was made with.
pub(crate) fn open(case: &Path, homes: &[String], overrides: Overrides) -> Result<Session> {
    if !is_case(case) {
        bail!("{}: not a case: expected a folder written by `keytrail analyze`", case.display());
    }
    let homes = if homes.is_empty() { Manifest::read(case)?.home_accounts } else { homes.to_vec() };
    Ok(Session::open(case, Settings { home_accounts: homes, overrides, ..Settings::default() })?)
}

/// The text of a statement, its name, and what its header says.
fn statement(args: &QueryArgs, library: &Library) -> Result<(String, String, Header)> {
    if args.query == "-" {
        let mut sql = String::new();
        std::io::stdin().lock().read_to_string(&mut sql).context("read SQL from stdin")?;
        let header = parse_optional("stdin", &sql).map_err(faults)?;
        return Ok(("stdin".to_owned(), sql, header));
    }
    if let Some(query) = library.get(&args.query) {
        return Ok((query.id.clone(), query.sql.clone(), query.header.clone()));
    }
    let path = Path::new(&args.query);
    if path.is_file() {
        let sql = std::fs::read_to_string(path).with_context(|| format!("{}: read the query", path.display()))?;
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let header = parse_optional(&name, &sql).map_err(faults)?;
        return Ok((name, sql, header));
    }
    bail!("{}: no such query in the library, and no such file; `keytrail queries` lists the library", args.query)
}

/// Writes rows in a form, to a file or stdout.
pub(crate) fn write_rows(
    names: &[String],
    rows: &[Vec<Cell<'static>>],
    format: Format,
    width: usize,
    out: &mut impl Write,
) -> Result<()> {
    match format {
        Format::Table => out.write_all(terminal::table(names, rows, width).as_bytes())?,
        Format::Csv => {
            let mut text = Vec::new();
            csv::write_header(names.iter().map(String::as_str), &mut text);
            for row in rows {
                csv::write_row(row.iter().cloned(), &mut text);
            }
            out.write_all(&text)?;
        }
        Format::Ndjson | Format::Json => {
            let mut text = String::new();
            let (open, between, close) = if format == Format::Json { ("[", ",\n", "]\n") } else { ("", "\n", "\n") };
            text.push_str(open);
            for (i, row) in rows.iter().enumerate() {
                if i > 0 {
                    text.push_str(between);
                }
                ndjson::write_object(names, row.iter().cloned(), &mut text);
            }
            if format == Format::Json || !rows.is_empty() {
                text.push_str(close);
            }
            out.write_all(text.as_bytes())?;
        }
        Format::Parquet => bail!("Parquet cannot be written to a terminal or pipe: add -o FILE"),
    }
    Ok(out.flush()?)
}

/// The names of a result's columns.
pub(crate) fn names(columns: &[ResultColumn]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

/// An existing file is replaced only when that was asked for.
///
/// # Errors
/// When it exists and that was not.
pub(crate) fn check_free(path: &Path, force: bool) -> Result<()> {
    if path.exists() && !force {
        bail!("{}: exists: --force replaces it", path.display());
    }
    Ok(())
}

impl OutputArgs {
    /// Before any work: whether the rows can go where they shall.
    ///
    /// # Errors
    /// When the file exists and may not be replaced, or Parquet is asked for without a file.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.file {
            None if self.format == Format::Parquet => {
                bail!("Parquet cannot be written to a terminal or pipe: add -o FILE")
            }
            Some(path) => check_free(path, self.force),
            None => Ok(()),
        }
    }

    /// Where text is written.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(crate) fn create(&self) -> Result<BufWriter<Box<dyn Write>>> {
        let out: Box<dyn Write> = match &self.file {
            Some(path) => {
                Box::new(std::fs::File::create(path).with_context(|| format!("{}: create the output", path.display()))?)
            }
            None => Box::new(std::io::stdout().lock()),
        };
        Ok(BufWriter::with_capacity(1 << 16, out))
    }

    /// The width that tables may have: without bound in a file.
    pub(crate) fn width(&self, display: Display) -> usize {
        if self.file.is_some() { 0 } else { display.width }
    }
}

/// Runs a query and writes its rows.
pub(crate) fn write(session: &mut Session, query: &Prepared, output: &OutputArgs, display: Display) -> Result<()> {
    output.check()?;
    if let (Some(path), Format::Parquet) = (&output.file, output.format) {
        session.write_parquet(query, path)?;
        return Ok(());
    }
    let table = session.table(query)?;
    write_rows(&names(&table.columns), &table.rows, output.format, output.width(display), &mut output.create()?)
}

/// Runs the command.
///
/// # Errors
/// When the case or the query is not usable, or the guard refuses the statement.
pub(crate) fn run(args: &QueryArgs) -> Result<Exit> {
    let display = Display::new(&args.display);
    let library = load(&args.library.folders)?;
    let overrides = Overrides::parse(&args.library.set)?;
    let (id, sql, header) = statement(args, &library)?;
    overrides.check_known([(id.as_str(), header.params.as_slice())])?;
    let mut session = open(&args.case, &args.library.home_accounts, overrides)?;
    let query = session.prepare(&id, &sql, &header).map_err(faults)?;
    if args.explain {
        print(session.explain(&query))?;
        return Ok(Exit::Done);
    }
    write(&mut session, &query, &args.output, display)?;
    Ok(Exit::Done)
}
