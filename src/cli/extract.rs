//! `keytrail extract`: only the events table.
//!
//! In: paths. Out: one file, or text or an Arrow IPC stream on stdout. A file is written under a temporary name and renamed.
//! The stream is what a program that reads many parts at once wants: schema first, nothing else on stdout, end of stream only
//! on success.

use super::args::{ExtractArgs, Format};
use super::config::{self, Display};
use super::progress::Progress;
use super::query::check_free;
use super::{Exit, note, summary};
use anyhow::{Context, Result, bail};
use keytrail::case::cells::TextForm;
use keytrail::case::events::{Merged, write_parquet, write_text};
use keytrail::case::stream::write_arrow_stream;
use keytrail::discover::{Discovery, discover};
use keytrail::pipeline::{Config, Extraction, Job, Totals, extract};
use keytrail::table::sort::Spill;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

fn format(args: &ExtractArgs, output: &Path) -> Result<Format> {
    if let Some(format) = args.format {
        return Ok(format);
    }
    match output.extension().and_then(|ending| ending.to_str()) {
        Some("parquet") => Ok(Format::Parquet),
        Some("csv") => Ok(Format::Csv),
        Some("ndjson" | "jsonl") => Ok(Format::Ndjson),
        _ => bail!(
            "{}: the ending does not say which format is wanted: add --format parquet, csv or ndjson",
            output.display()
        ),
    }
}

/// Where the output goes until it is complete, removed if it never is.
struct Unfinished {
    scratch: PathBuf,
    target: PathBuf,
}

impl Unfinished {
    fn new(target: &Path, force: bool) -> Result<Unfinished> {
        let place =
            if target == Path::new("-") { std::env::temp_dir().join("keytrail") } else { std::path::absolute(target)? };
        if target != Path::new("-") {
            if target.is_dir() {
                bail!("{}: is a directory, expected the name of a file to write", target.display());
            }
            check_free(target, force)?;
        }
        let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let scratch = place.with_file_name(format!(".{name}.unfinished-{}", std::process::id()));
        std::fs::create_dir_all(&scratch)
            .with_context(|| format!("{}: create the output (is the place writable?)", target.display()))?;
        Ok(Unfinished { scratch, target: target.to_path_buf() })
    }

    fn file(&self) -> PathBuf {
        self.scratch.join("output")
    }

    fn commit(&self) -> Result<()> {
        std::fs::rename(self.file(), &self.target)
            .with_context(|| format!("{}: put the output in its place", self.target.display()))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Its name says what it is, should it be impossible to remove.
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

/// Runs the command.
///
/// # Errors
/// When the input does not exist or the output cannot be written.
pub(crate) fn run(args: &ExtractArgs) -> Result<Exit> {
    let display = Display::new(&args.display);
    // Without a case nobody asks what the files cover.
    let settings = Config { surveys: false, ..config::extraction(&args.filters, &args.resources)? };
    let found = || -> Result<Discovery> {
        Ok(discover(&args.paths, args.files_from.as_deref(), &config::filters(&args.filters)?)?)
    };
    let Some(output) = &args.output else {
        return stream(&found()?, &settings, display);
    };
    let format = format(args, output)?;
    let unfinished = Unfinished::new(output, args.force)?;
    // After the output was checked: looking for files takes long, and an output that is there is a mistake to tell at once.
    let found = found()?;
    let mut totals = Totals::default();
    let mut problems = summary::Problems::new(&found);
    let mut progress = Progress::new(display, found.bytes());
    let spill = Spill::new(unfinished.scratch.join("runs"));
    let extraction = extract(&found.sources, &settings, &spill, Job::default(), |input| {
        progress.input(&input);
        totals.add(&input);
        problems.add(&input);
        Ok(())
    })?;
    progress.stage("writing");
    let merged = write(extraction, &spill, settings.jobs, format, &unfinished, output)?;
    progress.finish();
    if !display.quiet {
        note(summary::extraction(&found, &totals, &merged));
        note(problems.text());
    }
    Ok(if problems.any() { Exit::InputProblems } else { Exit::Done })
}

fn write(
    extraction: Extraction,
    spill: &Spill,
    jobs: usize,
    format: Format,
    unfinished: &Unfinished,
    output: &Path,
) -> Result<Merged> {
    let text = match format {
        Format::Parquet => None,
        Format::Csv => Some(TextForm::Csv),
        Format::Ndjson => Some(TextForm::NdJson),
        Format::Table | Format::Json => bail!("extract writes parquet, csv or ndjson"),
    };
    let to_stdout = output == Path::new("-");
    let merged = match text {
        None if to_stdout => bail!("Parquet cannot be written to a pipe: give a file, or use --arrow-stream"),
        None => write_parquet(extraction, spill, jobs, &unfinished.file())?,
        Some(text) if to_stdout => {
            let mut out = BufWriter::with_capacity(1 << 18, std::io::stdout().lock());
            write_text(extraction, spill, jobs, text, &mut out, output)?
        }
        Some(text) => {
            let mut out = BufWriter::with_capacity(1 << 18, File::create(unfinished.file())?);
            write_text(extraction, spill, jobs, text, &mut out, output)?
        }
    };
    if !to_stdout {
        unfinished.commit()?;
    }
    Ok(merged)
}

fn stream(found: &Discovery, settings: &Config, display: Display) -> Result<Exit> {
    let mut totals = Totals::default();
    let mut problems = summary::Problems::new(found);
    let out = BufWriter::with_capacity(1 << 18, std::io::stdout().lock());
    let rows = write_arrow_stream(&found.sources, settings, out, |input| {
        totals.add(input);
        problems.add(input);
    })?;
    if !display.quiet {
        note(summary::stream_line(&totals, rows, &problems));
    }
    Ok(if problems.any() { Exit::InputProblems } else { Exit::Done })
}
