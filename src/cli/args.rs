//! The command line as it was typed.
//!
//! In: `argv`. Out: one struct per command. Nothing here is checked beyond its syntax: `config` turns it into settings once,
//! and nothing behind that sees a flag.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Offline CloudTrail forensics for AWS KMS: who used which key, on which data, when, from where.
#[derive(Debug, Parser)]
#[command(name = "keytrail", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done; 1 could not run; 2 done, but some input was not understood (listed and counted);\n3 --fail-on was met.\n\nThe network is never used.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read archives and write a case: events, timelines, exposure, findings.
    #[command(after_help = "Examples:\n  keytrail analyze ./AWSLogs --out case\n  keytrail analyze logs.zip trail.json.gz --out case --since 2024-05-01 --until 2024-05-08\n  keytrail analyze ./AWSLogs --out case --append        # only new files are read\n  aws s3 cp s3://bucket/key - | keytrail analyze - --out case")]
    Analyze(Box<AnalyzeArgs>),
    /// Write only the events table: Parquet, CSV, NDJSON, or Arrow IPC on stdout.
    #[command(after_help = "Examples:\n  keytrail extract ./AWSLogs -o events.parquet\n  keytrail extract ./AWSLogs -o - --format ndjson | jq .event_name\n  find . -name '*.gz' | keytrail extract --files-from - --arrow-stream > events.arrows")]
    Extract(Box<ExtractArgs>),
    /// Print the chronology and the usage of one key, principal or grant.
    #[command(after_help = "Examples:\n  keytrail timeline --case case --key alias/payroll\n  keytrail timeline --case case --principal arn:aws:iam::111122223333:role/app --format csv\n  keytrail timeline ./AWSLogs --key mrk-1234abcd12ab34cd56ef1234567890ab")]
    Timeline(Box<TimelineArgs>),
    /// Run a library query, a file, or SQL from stdin over a case.
    #[command(after_help = "Examples:\n  keytrail query --case case kms-decrypt-burst\n  keytrail query --case case my.sql --set min_count=10 --format csv\n  echo 'SELECT e.event_name, CAST(COUNT(*) AS BIGINT) AS n FROM events AS e GROUP BY e.event_name ORDER BY n DESC, e.event_name' | keytrail query --case case -")]
    Query(Box<QueryArgs>),
    /// List, explain and test query files.
    #[command(after_help = "Examples:\n  keytrail queries\n  keytrail queries show kms-policy-public\n  keytrail queries check ./my-queries")]
    Queries(QueriesArgs),
    /// Print the documentation or the DDL of the tables.
    #[command(after_help = "Examples:\n  keytrail schema\n  keytrail schema --format duckdb")]
    Schema(SchemaArgs),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  keytrail completions bash > /etc/bash_completion.d/keytrail")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(after_help = "Example:\n  keytrail man | man -l -")]
    Man,
}

/// Which records are wanted.
#[derive(Debug, Args, Default, Clone)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Only events at or after this time (RFC 3339 or a date, UTC).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only events before this time (RFC 3339 or a date, UTC).
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only these accounts (glob, repeatable).
    #[arg(long, value_name = "GLOB")]
    pub account: Vec<String>,
    /// Only these Regions (glob, repeatable).
    #[arg(long, value_name = "GLOB")]
    pub region: Vec<String>,
    /// Only these keys: ARN, id, alias or mrk- id (glob, repeatable); other services' events stay.
    #[arg(long = "key", value_name = "GLOB")]
    pub keys: Vec<String>,
    /// Only these principals: ARN, name, id, session or access key (glob, repeatable).
    #[arg(long = "principal", value_name = "GLOB")]
    pub principals: Vec<String>,
}

/// How the machine is used.
#[derive(Debug, Args, Clone)]
#[command(next_help_heading = "Resources")]
pub struct ResourceArgs {
    /// Worker threads; default: one per processor.
    #[arg(long, short = 'j', value_name = "N", env = "KEYTRAIL_JOBS")]
    pub jobs: Option<usize>,
    /// Memory for rows before they are written to disk, such as 128M or 2G.
    #[arg(long, value_name = "SIZE", default_value = "128M", env = "KEYTRAIL_MEMORY")]
    pub memory: String,
    /// Stop inflating a file after this many bytes, such as 100G.
    #[arg(long, value_name = "SIZE")]
    pub max_inflated: Option<String>,
}

/// What is shown while working.
#[derive(Debug, Args, Clone)]
#[command(next_help_heading = "Display")]
pub struct DisplayArgs {
    /// No summary and no warnings; errors are still shown.
    #[arg(long, short = 'q')]
    pub quiet: bool,
    /// No progress bar.
    #[arg(long)]
    pub no_progress: bool,
    /// Colors.
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

/// When colors are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// When stdout is a terminal and `NO_COLOR` is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated values, formulas defused.
    Csv,
    /// Parquet.
    Parquet,
    /// One JSON object a line.
    Ndjson,
    /// One JSON array.
    Json,
}

/// Which query files, with which parameters.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Queries")]
pub struct LibraryArgs {
    /// A folder of query files that are added to the library; one with the name of a built-in one replaces it (repeatable).
    #[arg(long = "queries", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Set a query parameter (repeatable).
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// An account of your own (repeatable); default: the accounts that received the records.
    #[arg(long = "home-account", value_name = "ID")]
    pub home_accounts: Vec<String>,
}

/// `keytrail analyze`.
#[derive(Debug, Args)]
pub struct AnalyzeArgs {
    /// Files, directories, globs, or - for stdin.
    #[arg(required_unless_present = "files_from")]
    pub paths: Vec<PathBuf>,
    /// Read a list of files, one per line, from this file or - for stdin.
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,
    /// The case folder to write.
    #[arg(long, short = 'o', value_name = "CASE")]
    pub out: PathBuf,
    /// Replace an existing case.
    #[arg(long, conflicts_with = "append")]
    pub force: bool,
    /// Add new files to an existing case.
    #[arg(long)]
    pub append: bool,
    /// Also write the tables in this form (csv or ndjson; repeatable).
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Vec<Format>,
    /// Exit with 3 when a finding of at least this severity was made.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<SeverityArg>,
    /// Filters.
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Queries.
    #[command(flatten)]
    pub library: LibraryArgs,
    /// Resources.
    #[command(flatten)]
    pub resources: ResourceArgs,
    /// Display.
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// A severity on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum SeverityArg {
    /// Worth knowing.
    Info,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

/// `keytrail extract`.
#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// Files, directories, globs, or - for stdin.
    #[arg(required_unless_present = "files_from")]
    pub paths: Vec<PathBuf>,
    /// Read a list of files, one per line, from this file or - for stdin.
    #[arg(long, value_name = "FILE")]
    pub files_from: Option<PathBuf>,
    /// The file to write; - for stdout. Its ending gives the format unless --format does.
    #[arg(long, short = 'o', value_name = "FILE", required_unless_present = "arrow_stream", conflicts_with = "arrow_stream")]
    pub output: Option<PathBuf>,
    /// The form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "arrow_stream")]
    pub format: Option<Format>,
    /// Write an Arrow IPC stream to stdout, in input order and with repeated deliveries: for programs that read many parts.
    #[arg(long)]
    pub arrow_stream: bool,
    /// Replace an existing file.
    #[arg(long)]
    pub force: bool,
    /// Filters.
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Resources.
    #[command(flatten)]
    pub resources: ResourceArgs,
    /// Display.
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// `keytrail timeline`.
#[derive(Debug, Args)]
pub struct TimelineArgs {
    /// Archives to read when there is no case.
    #[arg(required_unless_present = "case", conflicts_with = "case")]
    pub paths: Vec<PathBuf>,
    /// The case.
    #[arg(long, value_name = "CASE")]
    pub case: Option<PathBuf>,
    /// The subject.
    #[command(flatten)]
    pub subject: SubjectArgs,
    /// The form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub format: Format,
    /// Events shown at most in a table; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub limit: usize,
    /// Resources.
    #[command(flatten)]
    pub resources: ResourceArgs,
    /// Display.
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// Whose timeline.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SubjectArgs {
    /// A key: ARN, id, alias or mrk- id.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A principal: ARN, role or user name, principal id, access key.
    #[arg(long, value_name = "PRINCIPAL")]
    pub principal: Option<String>,
    /// A grant id.
    #[arg(long, value_name = "GRANT")]
    pub grant: Option<String>,
}

/// `keytrail query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The id of a library query, a .sql file, or - for stdin.
    pub query: String,
    /// The case.
    #[arg(long, value_name = "CASE")]
    pub case: PathBuf,
    /// Print the statement that would run, and the DuckDB command line.
    #[arg(long)]
    pub explain: bool,
    /// The form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub format: Format,
    /// Write to this file instead of stdout (required for Parquet).
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    pub force: bool,
    /// Queries.
    #[command(flatten)]
    pub library: LibraryArgs,
    /// Worker threads; default: one per processor.
    #[arg(long, short = 'j', value_name = "N", env = "KEYTRAIL_JOBS")]
    pub jobs: Option<usize>,
    /// Display.
    #[command(flatten)]
    pub display: DisplayArgs,
}

/// `keytrail queries`.
#[derive(Debug, Args)]
pub struct QueriesArgs {
    /// What to do; default: list.
    #[command(subcommand)]
    pub command: Option<QueriesCommand>,
    /// A folder of query files that are added to the library (repeatable).
    #[arg(long = "queries", value_name = "DIR", global = true)]
    pub folders: Vec<PathBuf>,
    /// The form of the list.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table, global = true)]
    pub format: Format,
}

/// What to do with the library.
#[derive(Debug, Subcommand)]
pub enum QueriesCommand {
    /// List the queries with severity and ATT&CK techniques.
    List,
    /// Explain one query and print its SQL.
    Show {
        /// The query's id.
        id: String,
    },
    /// Validate and test a folder of query files; default: the built-in library.
    Check {
        /// The folder.
        folder: Option<PathBuf>,
    },
}

/// `keytrail schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The form.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = SchemaFormat::Markdown)]
    pub format: SchemaFormat,
}

/// A form of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// Column lists for Spark's `schema(...)`.
    SparkDdl,
    /// `CREATE VIEW` statements for DuckDB.
    Duckdb,
    /// `CREATE EXTERNAL TABLE` statements for Athena.
    AthenaDdl,
    /// Documentation.
    Markdown,
}
