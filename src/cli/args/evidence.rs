//! The arguments of the commands about the evidence itself: `verify`, `coverage` and `manifest check`.
//!
//! In: `argv`. Out: structs, nothing checked beyond the syntax.

use super::{DisplayArgs, OutputArgs, ResourceArgs};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What digests are checked with.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Validation")]
pub(crate) struct ValidationArgs {
    /// Output of `aws cloudtrail list-public-keys` (repeatable).
    #[arg(long, value_name = "FILE")]
    pub(crate) public_keys: Vec<PathBuf>,
    /// Signatures from S3 metadata: a JSON map, outputs of `aws s3api head-object`, or a folder of them (repeatable).
    #[arg(long, value_name = "FILE")]
    pub(crate) signatures: Vec<PathBuf>,
    /// The bucket the files come from; digests of another one count as moved.
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
}

/// `keytrail verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Files, directories or globs with logs and digests.
    #[arg(required_unless_present = "files_from")]
    pub(crate) paths: Vec<PathBuf>,
    /// Read a list of files, one per line, from this file or - for stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Option<PathBuf>,
    /// Validation.
    #[command(flatten)]
    pub(crate) validation: ValidationArgs,
    /// What is written.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = VerifyRows::Problems)]
    pub(crate) show: VerifyRows,
    /// Output.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Worker threads; default: one per processor.
    #[arg(long, short = 'j', value_name = "N", env = "KEYTRAIL_JOBS")]
    pub(crate) jobs: Option<usize>,
    /// Stop inflating a file after this many bytes, such as 100G.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_inflated: Option<String>,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// What `verify` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyRows {
    /// One line for each problem, with what it proves and what it does not.
    Problems,
    /// The verdict of every log and digest.
    Files,
    /// The chains of digests, with the time they cover.
    Chains,
}

/// `keytrail coverage`.
#[derive(Debug, Args)]
pub(crate) struct CoverageArgs {
    /// Archives to read when there is no case.
    #[arg(required_unless_present = "case", conflicts_with = "case")]
    pub(crate) paths: Vec<PathBuf>,
    /// The case.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<PathBuf>,
    /// Only this table, instead of the summary. Other forms than a table have the places unless this says otherwise.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) rows: Option<CoverageRows>,
    /// Output.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Resources.
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// A table about coverage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CoverageRows {
    /// Each account and Region.
    Places,
    /// Each hour of them.
    Hours,
    /// Each gap.
    Gaps,
    /// What the evidence cannot show.
    Limits,
    /// Each trail, with the selectors in force.
    Trails,
    /// Log objects that CloudTrail names, and files that it never names.
    Logs,
}

/// `keytrail manifest`.
#[derive(Debug, Args)]
pub(crate) struct ManifestArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ManifestCommand,
}

/// What to do with a manifest.
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Hash every file again and tell what is missing, changed or additional.
    #[command(
        after_help = "Examples:\n  keytrail manifest check case\n  keytrail manifest check case --inputs ./AWSLogs"
    )]
    Check(ManifestCheckArgs),
}

/// `keytrail manifest check`.
#[derive(Debug, Args)]
pub(crate) struct ManifestCheckArgs {
    /// The case.
    pub(crate) case: PathBuf,
    /// Also hash every input again, looked for under this folder: the one that was analyzed (repeatable).
    #[arg(long, value_name = "ROOT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// The SHA-256 of manifest.json, as it was noted when the case was made.
    #[arg(long, value_name = "HASH")]
    pub(crate) sha256: Option<String>,
    /// Worker threads; default: one per processor.
    #[arg(long, short = 'j', value_name = "N", env = "KEYTRAIL_JOBS")]
    pub(crate) jobs: Option<usize>,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}
