//! The command line: arguments in, text and exit code out.
//!
//! In: `argv`. Out: results on stdout, everything else on stderr, and one of the documented exit codes. Each command has a
//! file of its own; `anyhow` is used here and nowhere else. A reader of our output that goes away is no failure.

mod args;
mod config;
mod environment;
mod progress;
mod analyze;
mod check;
mod extract;
mod library;
mod temporary;
mod validation;
mod verify;
mod timeline;
mod query;
mod incidents;
mod review;
mod coverage;
mod report;
mod compare;
mod manifest;
mod queries;
mod schema;
mod summary;
mod ask;
mod paint;
mod evidence;
mod screen;
mod subject;
mod facts;
mod chronology;
mod manual;
mod findings;
mod finding;

use anyhow::Result;
use args::{Cli, Command};
use clap::Parser;
use keytrail::query::stack::with_large_stack;
use std::io::Write;
use std::process::ExitCode;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Done,
    /// 1: could not run.
    CouldNotRun,
    /// 2: done, but some input was not understood.
    InputProblems,
    /// 3: `--fail-on` was met, or `verify` found tampering.
    FindingsMet,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::CouldNotRun => 1,
            Exit::InputProblems => 2,
            Exit::FindingsMet => 3,
        })
    }
}

/// Writes to stdout, all at once.
///
/// # Errors
/// When stdout cannot be written; a broken pipe is recognised by [`run`].
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref())?;
    out.flush()?;
    Ok(())
}

/// Writes a line to stderr. There is nothing left to do when stderr is gone.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
            || cause.downcast_ref::<keytrail::error::Error>().is_some_and(keytrail::error::Error::is_broken_pipe)
    })
}

/// Runs the command in `argv`.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results; everything else is a bad argument.
            let _ = error.print();
            return if error.use_stderr() { Exit::CouldNotRun.into() } else { Exit::Done.into() };
        }
    };
    let result = match sql_jobs(&cli.command) {
        Some(jobs) => {
            environment::start_again(jobs);
            with_large_stack(|| run_command(&cli.command)).unwrap_or_else(|error| Err(error.into()))
        }
        None => run_command(&cli.command),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            note(format!("keytrail: {error:#}"));
            Exit::CouldNotRun.into()
        }
    }
}

fn run_command(command: &Command) -> Result<Exit> {
    match command {
        Command::Analyze(args) => analyze::run(args),
        Command::Extract(args) => extract::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Timeline(args) => timeline::run(args),
        Command::Query(args) => query::run(args),
        Command::Findings(args) => findings::run(args),
        Command::Incidents(args) => incidents::run(args),
        Command::Review(args) => review::run(args),
        Command::Coverage(args) => coverage::run(args),
        Command::Report(args) => report::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Manifest(args) => manifest::run(args),
        Command::Queries(args) => queries::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man(args) => manual::man(args),
    }
}

/// The threads of a command that runs SQL; `None` for the others.
fn sql_jobs(command: &Command) -> Option<usize> {
    let jobs = match command {
        Command::Extract(_)
        | Command::Verify(_)
        | Command::Manifest(_)
        | Command::Schema(_)
        | Command::Completions { .. }
        | Command::Man(_) => return None,
        Command::Analyze(args) => args.resources.jobs,
        Command::Timeline(args) => args.resources.jobs,
        Command::Coverage(args) => args.resources.jobs,
        Command::Query(args) => args.jobs,
        Command::Review(args) => args.jobs,
        Command::Report(args) => args.jobs,
        Command::Queries(_) | Command::Findings(_) | Command::Incidents(_) | Command::Compare(_) => None,
    };
    Some(config::jobs(jobs))
}
