//! Arguments become settings, once.
//!
//! In: what was typed. Out: checked settings, or an error that names the argument and what it should look like.

use super::args::{Color, DisplayArgs, FilterArgs, ResourceArgs};
use anyhow::{Context, Result, bail};
use keytrail::case::scope::Scope;
use keytrail::discover::{Discovery, Filters};
use keytrail::pipeline::Config;
use keytrail::pipeline::filter::{RecordFilter, globs};
use keytrail::read::Limits;
use keytrail::scan::MAX_RECORD;
use std::io::IsTerminal;

/// Parses `128M`, `2G`, `500000`.
pub(crate) fn size(text: &str) -> Result<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().with_context(|| format!("{text}: expected a size such as 128M or 2G"))?;
    let factor: u64 = match text.get(digits.len()..).unwrap_or_default().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1 << 40,
        unit => bail!("{text}: unknown unit {unit}, expected K, M, G or T"),
    };
    number.checked_mul(factor).with_context(|| format!("{text}: too large"))
}

/// Worker threads.
pub(crate) fn jobs(given: Option<usize>) -> usize {
    given.filter(|jobs| *jobs > 0).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// File-name filters.
pub(crate) fn filters(args: &FilterArgs) -> Result<Filters> {
    Ok(Filters::new(args.since.as_deref(), args.until.as_deref(), &args.account, &args.region)?)
}

/// Extraction settings.
pub(crate) fn extraction(filters_args: &FilterArgs, resources: &ResourceArgs) -> Result<Config> {
    let names = filters(filters_args)?;
    let mut limits = Limits::for_jobs(jobs(resources.jobs));
    if let Some(text) = &resources.max_inflated {
        limits.max_inflated = size(text).context("--max-inflated")?;
    }
    Ok(Config {
        jobs: jobs(resources.jobs),
        limits,
        filter: RecordFilter {
            since: names.since,
            until: names.until,
            accounts: names.accounts,
            regions: names.regions,
            keys: globs("--key", &filters_args.keys)?,
            principals: globs("--principal", &filters_args.principals)?,
        },
        max_record: MAX_RECORD,
        memory: usize::try_from(size(&resources.memory).context("--memory")?)?,
        validates: false,
        surveys: true,
    })
}

/// What a run was told to read, and what it found besides logs.
pub(crate) fn scope(args: &FilterArgs, filter: &RecordFilter, found: &Discovery) -> Scope {
    Scope {
        since: filter.since,
        until: filter.until,
        patterns: [&args.account, &args.region, &args.keys, &args.principals].map(Clone::clone),
        has_digests: found.counts.digests > 0 || found.digests > 0,
        unlisted: found.problems.len() as u64,
    }
}

/// Where text is shown to a person.
///
/// On a pipe or in a file a screen is 80 columns by 24 rows without colors, so that the same command gives the same text
/// anywhere; the environment variables `COLUMNS` and `LINES`, which shells do not export, ask for another size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Columns.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
    /// Colors may be used.
    pub(crate) color: bool,
    /// More than ASCII can be shown.
    pub(crate) is_unicode: bool,
}

/// A number from the environment.
fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.trim().parse().ok().filter(|number| *number > 0)
}

/// True when the locale writes UTF-8 and the terminal is no dumb one. Windows consoles do.
fn is_unicode() -> bool {
    let text = |name| std::env::var(name).unwrap_or_default();
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().map(text).find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    text("TERM") != "dumb" && (cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8"))
}

impl Screen {
    fn new(is_terminal: bool, size: Option<(terminal_size::Width, terminal_size::Height)>, color: Color) -> Screen {
        let has_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        let (width, height) = match size.filter(|_| is_terminal) {
            Some((width, height)) => (usize::from(width.0), usize::from(height.0)),
            None => (number("COLUMNS").unwrap_or(80), number("LINES").unwrap_or(24)),
        };
        Screen {
            // Below these nothing sensible can be laid out; a real terminal that small wraps the lines.
            width: width.max(40),
            height: height.max(10),
            color: match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => is_terminal && has_color,
            },
            is_unicode: is_unicode(),
        }
    }
}

/// How stdout and stderr are used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Display {
    /// Nothing but errors on stderr.
    pub(crate) quiet: bool,
    /// Progress on stderr.
    pub(crate) progress: bool,
    /// Colors on stdout.
    pub(crate) color: bool,
    /// Columns that tables on stdout may have; 0 for any, as on a pipe.
    pub(crate) width: usize,
    /// Where results are shown.
    pub(crate) stdout: Screen,
    /// Where everything else is shown.
    pub(crate) stderr: Screen,
}

impl Display {
    /// From arguments and the terminals at hand.
    pub(crate) fn new(args: &DisplayArgs) -> Display {
        let (out, err) = (std::io::stdout(), std::io::stderr());
        let stdout = Screen::new(out.is_terminal(), terminal_size::terminal_size_of(&out), args.color);
        let stderr = Screen::new(err.is_terminal(), terminal_size::terminal_size_of(&err), args.color);
        Display {
            quiet: args.quiet,
            progress: !args.quiet && !args.no_progress && err.is_terminal(),
            color: stdout.color,
            width: if out.is_terminal() || number("COLUMNS").is_some() { stdout.width } else { 0 },
            stdout,
            stderr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("128M").unwrap(), 128 << 20);
        assert_eq!(size("2g").unwrap(), 2 << 30);
        assert_eq!(size("17").unwrap(), 17);
        for bad in ["", "M", "1X", "-5", "99999999999T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
