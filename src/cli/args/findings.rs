//! The arguments of `keytrail findings` and of `findings show`.
//!
//! In: `argv`. Out: structs, nothing checked beyond the syntax.

use super::{DisplayArgs, OutputArgs, SeverityArg};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `keytrail findings`.
#[derive(Debug, Args)]
pub(crate) struct FindingsArgs {
    /// What to do; default: list.
    #[command(subcommand)]
    pub(crate) command: Option<FindingsCommand>,
    /// The case.
    #[arg(long, value_name = "CASE", required = true)]
    pub(crate) case: Option<PathBuf>,
    /// Only findings of at least this severity.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(crate) severity: Option<SeverityArg>,
    /// Only findings of these rules (glob, repeatable).
    #[arg(long = "rule", value_name = "GLOB")]
    pub(crate) rules: Vec<String>,
    /// Only findings about these keys, or with an event about them: ARN, id, alias or mrk- id (glob, repeatable).
    #[arg(long = "key", value_name = "GLOB")]
    pub(crate) keys: Vec<String>,
    /// Only findings about these principals, or with an event of theirs: ARN, name, id, session or access key (glob, repeatable).
    #[arg(long = "principal", value_name = "GLOB")]
    pub(crate) principals: Vec<String>,
    /// Only findings that reach to this time or beyond (RFC 3339 or a date, UTC).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only findings that begin up to this time (RFC 3339, or a date for its whole day, UTC).
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Output.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// What to do with the findings.
#[derive(Debug, Subcommand)]
pub(crate) enum FindingsCommand {
    /// Explain one finding: what, who, when, why the rule looks for it, and its events.
    #[command(
        after_help = "Examples:\n  keytrail findings show 3 --case case\n  keytrail findings show 3 --case case --all | less"
    )]
    Show(FindingShowArgs),
}

/// `keytrail findings show`.
#[derive(Debug, Args)]
pub(crate) struct FindingShowArgs {
    /// The number of the finding, as the list has it.
    #[arg(value_name = "N")]
    pub(crate) number: usize,
    /// The case.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<PathBuf>,
    /// Everything, also what does not fit the screen.
    #[arg(long)]
    pub(crate) all: bool,
    /// A folder of query files that are added to the library, for what a rule of your own says (repeatable).
    #[arg(long = "queries", value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}
