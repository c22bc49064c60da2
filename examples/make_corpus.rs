//! Writes a corpus for benchmarks: as many log files as asked for, full of ordinary traffic.
//!
//! In: the options below. Out: an archive in the layout of S3, or one gzip file. The same options give the same bytes, for
//! any number of threads: each file has its own seed. Gzip files are made by libdeflate at level 6, whole; the single
//! large one by a streaming encoder. Deliberately absent: an attack, which is what `make_sample_logs` is for.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[path = "support/clock.rs"]
mod clock;
#[path = "support/random.rs"]
mod random;
#[path = "support/record.rs"]
mod record;
#[path = "support/traffic.rs"]
mod traffic;

use clock::{DAY, instant, log_key};
use random::{ALNUM, Random};
use traffic::{REGIONS, Scene, Size, Traffic, push_records};

const HELP: &str = "\
Writes a corpus of CloudTrail log files for benchmarks.

cargo run --release --example make_corpus -- --out DIR [OPTIONS]

  --out DIR               folder to write into; must not exist
  --files N               log files (1000)
  --records-per-file N    records in each (10)
  --bytes-per-file BYTES  instead: at least so many bytes of JSON in each
  --kms-share SHARE       of the records, 0 to 1 (0.2)
  --accounts N            accounts (10)
  --days N                days that the files are spread over (30)
  --duplicates SHARE      of the files that a second trail delivers again (0)
  --format FORMAT         gz, plain (.json), ndjson, or one-gzip: a single file (gz)
  --seed N                another corpus of the same shape (1)
  --help                  this text

Shapes of docs/benchmarks:
  small files   --files 20000 --records-per-file 10
  half megabyte --files 2000 --bytes-per-file 500000
  one big file  --format one-gzip --files 2000 --bytes-per-file 500000
";

/// The first day of a corpus.
const FIRST_DAY: &str = "2025-10-06T00:00:00Z";
/// Slots of five minutes in a day.
const SLOTS: u64 = 288;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Gz,
    Plain,
    Ndjson,
    OneGzip,
}

#[derive(Debug)]
struct Options {
    out: PathBuf,
    files: u64,
    size: Size,
    kms_per_mille: u64,
    accounts: usize,
    days: u64,
    duplicates_per_mille: u64,
    format: Format,
    seed: u64,
}

/// What was written.
#[derive(Default)]
struct Totals {
    files: AtomicU64,
    records: AtomicU64,
    json_bytes: AtomicU64,
    file_bytes: AtomicU64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return finish(std::io::stdout().lock().write_all(HELP.as_bytes()).map_err(|error| error.to_string()));
    }
    finish(options(&arguments).and_then(|options| write_corpus(&options)))
}

fn finish(result: Result<(), String>) -> ExitCode {
    let Err(message) = result else { return ExitCode::SUCCESS };
    let _ = writeln!(std::io::stderr().lock(), "make_corpus: {message}"); // Nobody is left to tell when stderr is gone.
    ExitCode::FAILURE
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        out: PathBuf::new(),
        files: 1_000,
        size: Size::Records(10),
        kms_per_mille: 200,
        accounts: 10,
        days: 30,
        duplicates_per_mille: 0,
        format: Format::Gz,
        seed: 1,
    };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{name} needs a value; see --help"))?;
        match name.as_str() {
            "--out" => options.out = PathBuf::from(value),
            "--files" => options.files = number(name, value)?,
            "--records-per-file" => options.size = Size::Records(number(name, value)?),
            "--bytes-per-file" => options.size = Size::Bytes(number(name, value)?),
            "--kms-share" => options.kms_per_mille = share(name, value)?,
            "--accounts" => {
                options.accounts = usize::try_from(number(name, value)?.max(1)).map_err(|error| error.to_string())?
            }
            "--days" => options.days = number(name, value)?.max(1),
            "--duplicates" => options.duplicates_per_mille = share(name, value)?,
            "--seed" => options.seed = number(name, value)?,
            "--format" => {
                options.format = match value.as_str() {
                    "gz" => Format::Gz,
                    "plain" => Format::Plain,
                    "ndjson" => Format::Ndjson,
                    "one-gzip" => Format::OneGzip,
                    _ => return Err(format!("--format {value}: known are gz, plain, ndjson, one-gzip")),
                }
            }
            _ => return Err(format!("{name}: no such option; see --help")),
        }
    }
    if options.out.as_os_str().is_empty() {
        return Err("--out DIR is missing; see --help".into());
    }
    if options.out.exists() {
        return Err(format!("{}: exists already; remove it first", options.out.display()));
    }
    Ok(options)
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value.replace('_', "").parse().map_err(|_| format!("{name} {value}: not a number"))
}

/// A share in thousandths.
fn share(name: &str, value: &str) -> Result<u64, String> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let thousandths = format!("{whole}{fraction:0<3.3}");
    let share = number(name, &thousandths)?;
    if share > 1_000 { Err(format!("{name} {value}: a share lies between 0 and 1")) } else { Ok(share) }
}

fn write_corpus(options: &Options) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", options.out.display());
    std::fs::create_dir_all(&options.out).map_err(failed)?;
    let traffic = Traffic::new(options.seed, options.accounts, options.kms_per_mille);
    let totals = Totals::default();
    if options.format == Format::OneGzip {
        one_gzip(options, &traffic, &totals).map_err(failed)?;
    } else {
        many_files(options, &traffic, &totals).map_err(failed)?;
    }
    let [files, records, json, written] = [&totals.files, &totals.records, &totals.json_bytes, &totals.file_bytes]
        .map(|total| total.load(Ordering::Relaxed));
    let mut report = std::io::stdout().lock();
    writeln!(report, "{files} files, {records} records, {json} bytes of JSON, {written} bytes written").map_err(failed)
}

/// The parts of file number `file`: where and when, and its own chance.
fn scene_of(options: &Options, file: u64) -> (Scene, Random) {
    let mut random =
        Random::new(options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ file.wrapping_mul(0xd6e8_feb8_6659_fd93));
    let accounts = options.accounts as u64;
    let slot = i64::try_from(file * options.days * SLOTS / options.files.max(1)).unwrap_or(0);
    let region =
        usize::from(random.below(10) >= 6) * usize::try_from(1 + random.below(REGIONS.len() as u64 - 1)).unwrap_or(0);
    let scene = Scene {
        account: usize::try_from(file % accounts).unwrap_or(0),
        region,
        time: instant(FIRST_DAY) + DAY / 288 * (slot + 1),
    };
    (scene, random)
}

fn many_files(options: &Options, traffic: &Traffic, totals: &Totals) -> std::io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| take_files(options, traffic, totals, &next))).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|_| Err(std::io::Error::other("a worker stopped")))?;
        }
        Ok(())
    })
}

fn take_files(options: &Options, traffic: &Traffic, totals: &Totals, next: &AtomicUsize) -> std::io::Result<()> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let (mut json, mut packed) = (String::new(), Vec::new());
    loop {
        let file = next.fetch_add(1, Ordering::Relaxed) as u64;
        if file >= options.files {
            return Ok(());
        }
        let (scene, mut random) = scene_of(options, file);
        json.clear();
        let (open, between, close, ending) = match options.format {
            Format::Ndjson => ("", "\n", "\n", ".ndjson"),
            Format::Plain => ("{\"Records\":[", ",", "]}", ".json"),
            Format::Gz | Format::OneGzip => ("{\"Records\":[", ",", "]}", ".json.gz"),
        };
        json.push_str(open);
        let records = push_records(traffic, scene, options.size, between, &mut random, &mut json);
        json.push_str(close);
        let bytes = if options.format == Format::Gz {
            packed.resize(compressor.gzip_compress_bound(json.len()), 0);
            let length = compressor.gzip_compress(json.as_bytes(), &mut packed).map_err(std::io::Error::other)?;
            packed.get(..length).unwrap_or_default()
        } else {
            json.as_bytes()
        };
        // A second trail delivers the same text under another name, half of the time one slot later.
        let copies = 1 + u64::from(random.below(1_000) < options.duplicates_per_mille);
        for copy in 0..copies {
            let later = if copy > 0 && random.below(2) == 0 { 300 } else { 0 };
            let mut unique = String::new();
            random.push(ALNUM, 16, &mut unique);
            let place = (traffic.account_id(scene.account), REGIONS.get(scene.region).copied().unwrap_or_default());
            let path = options.out.join(log_key(Some("o-exampleorgid"), place, scene.time + later, &unique, ending));
            write_file(&path, bytes)?;
            totals.files.fetch_add(1, Ordering::Relaxed);
            totals.records.fetch_add(records, Ordering::Relaxed);
            totals.json_bytes.fetch_add(json.len() as u64, Ordering::Relaxed);
            totals.file_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Err(error) = std::fs::write(path, bytes) {
        let (std::io::ErrorKind::NotFound, Some(folder)) = (error.kind(), path.parent()) else { return Err(error) };
        std::fs::create_dir_all(folder)?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

/// All records in one file: what a tool meets that was given somebody's concatenated export.
fn one_gzip(options: &Options, traffic: &Traffic, totals: &Totals) -> std::io::Result<()> {
    let path = options.out.join("corpus.json.gz");
    let file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::new(6));
    let mut json = String::from("{\"Records\":[");
    for file in 0..options.files {
        let (scene, mut random) = scene_of(options, file);
        if file > 0 {
            json.push(',');
        }
        let records = push_records(traffic, scene, options.size, ",", &mut random, &mut json);
        gzip.write_all(json.as_bytes())?;
        totals.records.fetch_add(records, Ordering::Relaxed);
        totals.json_bytes.fetch_add(json.len() as u64, Ordering::Relaxed);
        json.clear();
    }
    gzip.write_all(b"]}")?;
    totals.json_bytes.fetch_add(2, Ordering::Relaxed);
    gzip.finish()?.flush()?;
    totals.files.fetch_add(1, Ordering::Relaxed);
    totals.file_bytes.fetch_add(std::fs::metadata(&path)?.len(), Ordering::Relaxed);
    Ok(())
}
