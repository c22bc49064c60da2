//! The command line as it was typed.
//!
//! In: `argv`. Out: one struct per command. Nothing here is checked beyond its syntax: `config` turns it into settings once,
//! and nothing behind that sees a flag.

mod evidence;
mod findings;

use clap::{Args, Parser, Subcommand, ValueEnum};
pub(crate) use evidence::{
    CoverageArgs, CoverageRows, ManifestArgs, ManifestCheckArgs, ManifestCommand, ValidationArgs, VerifyArgs,
    VerifyRows,
};
pub(crate) use findings::{FindingShowArgs, FindingsArgs, FindingsCommand};
use std::path::PathBuf;

/// Offline CloudTrail forensics for AWS KMS: who used which key, on which data, when, from where.
#[derive(Debug, Parser)]
#[command(name = "keytrail", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done; 1 could not run; 2 done, but some input was not understood, or a query could not run (listed and counted);\n3 --fail-on was met, or verify found tampering.\n\nOn a pipe, screens have 80 columns and 24 rows; COLUMNS and LINES ask for another size.\n\nThe network is never used.\n\nExamples:\n  keytrail analyze ./AWSLogs --out case\n  keytrail findings --case case --severity high\n  keytrail findings show 1 --case case\n  keytrail timeline --case case --key alias/payroll"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read archives and write a case: events, timelines, exposure, findings.
    #[command(
        after_help = "Examples:\n  keytrail analyze ./AWSLogs --out case\n  keytrail analyze logs.zip trail.json.gz --out case --since 2024-05-01 --until 2024-05-07\n  keytrail analyze ./AWSLogs --out case --append        # only new files are read\n  aws s3 cp s3://bucket/key - | keytrail analyze - --out case"
    )]
    Analyze(Box<AnalyzeArgs>),
    /// Write only the events table: Parquet, CSV, NDJSON, or Arrow IPC on stdout.
    #[command(
        after_help = "Examples:\n  keytrail extract ./AWSLogs -o events.parquet\n  keytrail extract ./AWSLogs -o - --format ndjson | jq .event_name\n  find . -name '*.gz' | keytrail extract --files-from - --arrow-stream > events.arrows"
    )]
    Extract(Box<ExtractArgs>),
    /// Validate logs with CloudTrail's digests, offline: what was changed, removed, planted or moved, and what is proven.
    #[command(
        after_help = "Public keys: aws cloudtrail list-public-keys --start-time T --end-time T --region R > keys.json (one list for each Region; --public-keys can be repeated).\nSignatures: a digest's signature stands in the next digest, and in the metadata of its S3 object, which copies lose. For the newest digest of each chain:\n  aws s3api head-object --bucket B --key K | jq '{\"B/K\": .}' >> signatures.json\n\nExamples:\n  keytrail verify ./AWSLogs --public-keys keys.json\n  keytrail verify ./bucket --public-keys keys.json --signatures signatures.json --format ndjson > problems.ndjson\n  keytrail verify ./bucket --public-keys keys.json --show files --format parquet -o integrity.parquet\n\nExit codes: 0 every file is verified; 1 could not run; 2 no tampering found, but not everything could be verified; 3 tampering: something is not as CloudTrail delivered it."
    )]
    Verify(VerifyArgs),
    /// Print the chronology and the usage of one key, principal or grant.
    #[command(
        after_help = "Examples:\n  keytrail timeline --case case --key alias/payroll\n  keytrail timeline --case case --principal arn:aws:iam::111122223333:role/app --format csv\n  keytrail timeline ./AWSLogs --key mrk-1234abcd12ab34cd56ef1234567890ab"
    )]
    Timeline(Box<TimelineArgs>),
    /// Run a library query, a file, or SQL from stdin over a case.
    #[command(
        after_help = "Examples:\n  keytrail query --case case kms-decrypt-burst\n  keytrail query --case case my.sql --set min_count=10 --format csv\n  echo 'SELECT e.event_name, CAST(COUNT(*) AS BIGINT) AS n FROM events AS e GROUP BY e.event_name ORDER BY n DESC, e.event_name' | keytrail query --case case -"
    )]
    Query(Box<QueryArgs>),
    /// List what the rules found, numbered; `show N` explains one finding with its events.
    #[command(
        subcommand_negates_reqs = true,
        after_help = "Examples:\n  keytrail findings --case case\n  keytrail findings --case case --severity high --rule 'kms-grant-*'\n  keytrail findings --case case --key alias/payroll --since 2024-05-01 --format csv > findings.csv\n  keytrail findings show 3 --case case"
    )]
    Findings(Box<FindingsArgs>),
    /// Tell what the findings of a case add up to: incidents, each as a story.
    #[command(after_help = "Examples:\n  keytrail incidents --case case\n  keytrail incidents --case case 1")]
    Incidents(IncidentsArgs),
    /// Review the management of keys: rotation, least privilege, deletion, grants and more, from the evidence in the logs.
    #[command(
        after_help = "Examples:\n  keytrail review --case case\n  keytrail review --case case kms-rotation-evidence\n  keytrail review --case case --rows --format csv > review.csv"
    )]
    Review(Box<ReviewArgs>),
    /// Tell what the evidence covers, and what it cannot show: gaps, missing files, trails that leave keys out.
    #[command(
        after_help = "Examples:\n  keytrail coverage --case case\n  keytrail coverage ./AWSLogs\n  keytrail coverage --case case --rows hours --format csv > hours.csv\n  keytrail coverage --case case --rows logs --format parquet -o logs.parquet"
    )]
    Coverage(Box<CoverageArgs>),
    /// Write the report of a case: one HTML file that needs no network, no server and no script.
    #[command(
        after_help = "Examples:\n  keytrail report --case case                      # writes case/report.html\n  keytrail report --case case -o annex.html\n\n`analyze` writes case/report.html, too; this makes it again, or elsewhere. A report inside the case links to the tables there as CSV."
    )]
    Report(ReportArgs),
    /// Compare two cases: new, gone and changed keys, principals, pairs, grants, aliases, findings and review results.
    #[command(
        after_help = "Examples:\n  keytrail compare case-2025q3 case-2025q4\n  keytrail compare last-week this-week --format csv > changes.csv"
    )]
    Compare(CompareArgs),
    /// Check a case against its manifest: every file, and if wanted the evidence it was made of.
    #[command(
        after_help = "Examples:\n  keytrail manifest check case\n  keytrail manifest check case --inputs ./AWSLogs\n  keytrail manifest check case --sha256 9f86d081884c7d65...\n\nExit codes: 0 all is as it was; 3 something differs; 1 could not run."
    )]
    Manifest(ManifestArgs),
    /// List, explain and test query files.
    #[command(
        after_help = "Examples:\n  keytrail queries\n  keytrail queries show kms-policy-public\n  keytrail queries check ./my-queries"
    )]
    Queries(QueriesArgs),
    /// Print the documentation or the DDL of the tables.
    #[command(after_help = "Examples:\n  keytrail schema\n  keytrail schema --format duckdb")]
    Schema(SchemaArgs),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Examples:\n  keytrail completions bash > /etc/bash_completion.d/keytrail\n  keytrail completions zsh > ~/.zfunc/_keytrail\n  keytrail completions fish > ~/.config/fish/completions/keytrail.fish"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual pages, or write one file per command.
    #[command(after_help = "Examples:\n  keytrail man | man -l -\n  keytrail man --out /usr/local/share/man/man1")]
    Man(ManArgs),
}

/// Which records are wanted.
#[derive(Debug, Args, Default, Clone)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Only events at or after this time (RFC 3339 or a date, UTC).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only events up to this time (RFC 3339, or a date for its whole day, UTC).
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only these accounts (glob, repeatable).
    #[arg(long, value_name = "GLOB")]
    pub(crate) account: Vec<String>,
    /// Only these Regions (glob, repeatable).
    #[arg(long, value_name = "GLOB")]
    pub(crate) region: Vec<String>,
    /// Only these keys: ARN, id, alias or mrk- id (glob, repeatable); other services' events stay.
    #[arg(long = "key", value_name = "GLOB")]
    pub(crate) keys: Vec<String>,
    /// Only these principals: ARN, name, id, session or access key (glob, repeatable).
    #[arg(long = "principal", value_name = "GLOB")]
    pub(crate) principals: Vec<String>,
}

/// How the machine is used.
#[derive(Debug, Args, Clone)]
#[command(next_help_heading = "Resources")]
pub(crate) struct ResourceArgs {
    /// Worker threads; default: one per processor.
    #[arg(long, short = 'j', value_name = "N", env = "KEYTRAIL_JOBS")]
    pub(crate) jobs: Option<usize>,
    /// Memory for rows before they are written to disk, such as 128M or 2G.
    #[arg(long, value_name = "SIZE", default_value = "128M", env = "KEYTRAIL_MEMORY")]
    pub(crate) memory: String,
    /// Stop inflating a file after this many bytes, such as 100G.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_inflated: Option<String>,
}

/// What is shown while working.
#[derive(Debug, Args, Clone)]
#[command(next_help_heading = "Display")]
pub(crate) struct DisplayArgs {
    /// No summary and no warnings; errors are still shown.
    #[arg(long, short = 'q')]
    pub(crate) quiet: bool,
    /// No progress bar.
    #[arg(long)]
    pub(crate) no_progress: bool,
    /// Colors.
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// When colors are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal that is not dumb, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where rows go, and in which form.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// The form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Write to this file instead of stdout (required for Parquet).
    #[arg(long = "output", short = 'o', value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    pub(crate) force: bool,
}

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
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
pub(crate) struct LibraryArgs {
    /// A folder of query files that are added to the library; one with the name of a built-in one replaces it (repeatable).
    #[arg(long = "queries", value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// Set a query parameter (repeatable).
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// An account of your own (repeatable); default: the accounts that received the records.
    #[arg(long = "home-account", value_name = "ID")]
    pub(crate) home_accounts: Vec<String>,
}

/// `keytrail analyze`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct AnalyzeArgs {
    /// Files, directories, globs, or - for stdin.
    #[arg(required_unless_present = "files_from")]
    pub(crate) paths: Vec<PathBuf>,
    /// Read a list of files, one per line, from this file or - for stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Option<PathBuf>,
    /// The case folder to write.
    #[arg(long, short = 'o', value_name = "CASE")]
    pub(crate) out: PathBuf,
    /// Replace an existing case.
    #[arg(long, conflicts_with = "append")]
    pub(crate) force: bool,
    /// Add new files to an existing case.
    #[arg(long)]
    pub(crate) append: bool,
    /// Also write the tables in this form (csv or ndjson; repeatable).
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Vec<Format>,
    /// Exit with 3 when a finding of at least this severity was made.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<SeverityArg>,
    /// Do not validate digests that are among the inputs.
    #[arg(long, conflicts_with_all = ["public_keys", "signatures", "bucket"])]
    pub(crate) no_verify: bool,
    /// Validation.
    #[command(flatten)]
    pub(crate) validation: ValidationArgs,
    /// Do not write report.html and the CSV files it links to.
    #[arg(long)]
    pub(crate) no_report: bool,
    /// Filters.
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    /// Queries.
    #[command(flatten)]
    pub(crate) library: LibraryArgs,
    /// Resources.
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// A severity on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum SeverityArg {
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
pub(crate) struct ExtractArgs {
    /// Files, directories, globs, or - for stdin.
    #[arg(required_unless_present = "files_from")]
    pub(crate) paths: Vec<PathBuf>,
    /// Read a list of files, one per line, from this file or - for stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Option<PathBuf>,
    /// The file to write; - for stdout. Its ending gives the format unless --format does.
    #[arg(
        long,
        short = 'o',
        value_name = "FILE",
        required_unless_present = "arrow_stream",
        conflicts_with = "arrow_stream"
    )]
    pub(crate) output: Option<PathBuf>,
    /// The form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "arrow_stream")]
    pub(crate) format: Option<Format>,
    /// Write an Arrow IPC stream to stdout, in input order and with repeated deliveries: for programs that read many parts.
    #[arg(long)]
    pub(crate) arrow_stream: bool,
    /// Replace an existing file.
    #[arg(long)]
    pub(crate) force: bool,
    /// Filters.
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    /// Resources.
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// `keytrail timeline`.
#[derive(Debug, Args)]
pub(crate) struct TimelineArgs {
    /// Archives to read when there is no case.
    #[arg(required_unless_present = "case", conflicts_with = "case")]
    pub(crate) paths: Vec<PathBuf>,
    /// The case.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<PathBuf>,
    /// The subject.
    #[command(flatten)]
    pub(crate) subject: SubjectArgs,
    /// The form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Entries of the chronology shown at most; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) limit: usize,
    /// Resources.
    #[command(flatten)]
    pub(crate) resources: ResourceArgs,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// Whose timeline.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SubjectArgs {
    /// A key: ARN, id, alias or mrk- id.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// A principal: ARN, role or user name, principal id, access key.
    #[arg(long, value_name = "PRINCIPAL")]
    pub(crate) principal: Option<String>,
    /// A grant id.
    #[arg(long, value_name = "GRANT")]
    pub(crate) grant: Option<String>,
}

/// `keytrail query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The id of a library query, a .sql file, or - for stdin.
    pub(crate) query: String,
    /// The case.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: PathBuf,
    /// Print the statement that would run, and the DuckDB command line.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Output.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Queries.
    #[command(flatten)]
    pub(crate) library: LibraryArgs,
    /// Worker threads; default: one per processor.
    #[arg(long, short = 'j', value_name = "N", env = "KEYTRAIL_JOBS")]
    pub(crate) jobs: Option<usize>,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// `keytrail incidents`.
#[derive(Debug, Args)]
pub(crate) struct IncidentsArgs {
    /// Only the incident of this number.
    pub(crate) number: Option<i64>,
    /// The case.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: PathBuf,
    /// The form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// `keytrail review`.
#[derive(Debug, Args)]
pub(crate) struct ReviewArgs {
    /// Only this review, with every subject it judged.
    pub(crate) review: Option<String>,
    /// The case.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: PathBuf,
    /// Every subject with its result, instead of the scorecard.
    #[arg(long)]
    pub(crate) rows: bool,
    /// The form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Exit with 3 when a subject failed with at least this severity.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<SeverityArg>,
    /// Queries.
    #[command(flatten)]
    pub(crate) library: LibraryArgs,
    /// Worker threads; default: one per processor.
    #[arg(long, short = 'j', value_name = "N", env = "KEYTRAIL_JOBS")]
    pub(crate) jobs: Option<usize>,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// `keytrail report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The case.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: PathBuf,
    /// The file to write; default: report.html in the case, which is replaced.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    pub(crate) force: bool,
    /// Worker threads; default: one per processor.
    #[arg(long, short = 'j', value_name = "N", env = "KEYTRAIL_JOBS")]
    pub(crate) jobs: Option<usize>,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// `keytrail compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The older case.
    pub(crate) old: PathBuf,
    /// The newer case.
    pub(crate) new: PathBuf,
    /// The form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Display.
    #[command(flatten)]
    pub(crate) display: DisplayArgs,
}

/// `keytrail queries`.
#[derive(Debug, Args)]
pub(crate) struct QueriesArgs {
    /// What to do; default: list.
    #[command(subcommand)]
    pub(crate) command: Option<QueriesCommand>,
    /// A folder of query files that are added to the library (repeatable).
    #[arg(long = "queries", value_name = "DIR", global = true)]
    pub(crate) folders: Vec<PathBuf>,
    /// The form of the list.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table, global = true)]
    pub(crate) format: Format,
}

/// What to do with the library.
#[derive(Debug, Subcommand)]
pub(crate) enum QueriesCommand {
    /// List the queries with severity and ATT&CK techniques.
    #[command(
        after_help = "Examples:\n  keytrail queries list\n  keytrail queries list --queries ./my-queries --format csv"
    )]
    List,
    /// Explain one query and print its SQL.
    #[command(
        after_help = "Examples:\n  keytrail queries show kms-policy-public\n  keytrail queries show house-rule --queries ./my-queries"
    )]
    Show {
        /// The query's id.
        id: String,
    },
    /// Validate and test a folder of query files; default: the built-in library.
    #[command(
        after_help = "Examples:\n  keytrail queries check\n  keytrail queries check ./my-queries --only house-rule --keep /tmp/house-rule"
    )]
    Check {
        /// The folder.
        folder: Option<PathBuf>,
        /// Check only this query (repeatable).
        #[arg(long, value_name = "ID")]
        only: Vec<String>,
        /// Leave the case of each test in this folder, with the statement for other engines and the rows.
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
}

/// `keytrail man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write one page per command into this folder, which is made if need be.
    #[arg(long, short = 'o', value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `keytrail schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The form.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = SchemaFormat::Markdown)]
    pub(crate) format: SchemaFormat,
}

/// A form of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaFormat {
    /// Column lists for Spark's `schema(...)`.
    SparkDdl,
    /// `CREATE VIEW` statements for DuckDB.
    Duckdb,
    /// `CREATE EXTERNAL TABLE` statements for Athena.
    AthenaDdl,
    /// Documentation.
    Markdown,
}
