//! How long each stage of the extraction takes for one file, on generated traffic.
//!
//! In: nothing; the text comes from the corpus generator with a fixed seed: a file of half a megabyte, and one of ten
//! records, for small files are most of a real archive. Out: divan's table, in bytes of inflated text for each second. The
//! first stage is the floor: libdeflate with nothing behind it. A stage includes no other, except that `normalize` needs a
//! parsed record and parses it outside of the measured time. `compare.sh` measures the whole program.
//!
//! ```text
//! cargo bench --bench stages
//! ```

use std::hint::black_box;
use std::path::Path;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use keytrail::discover::Source;
use keytrail::error::Problem;
use keytrail::json;
use keytrail::normalize::normalize;
use keytrail::read::{End, Limits, Reader, Visitor};
use keytrail::scan::prefilter::Prefilter;
use keytrail::scan::{MAX_RECORD, RawRecord, Scanner, Sink, Skip, Verdict};

#[path = "../examples/support/clock.rs"]
#[expect(dead_code, reason = "the names of files are for the generators, which write some")]
mod clock;
#[path = "../examples/support/random.rs"]
mod random;
#[path = "../examples/support/record.rs"]
mod record;
#[path = "../examples/support/traffic.rs"]
#[expect(dead_code, reason = "ids of accounts are for the generators, which name files by them")]
mod traffic;

use traffic::{Scene, Size, Traffic, push_records};

/// The sizes of files that are measured.
const SIZES: [Size; 2] = [Size::Records(10), Size::Bytes(500_000)];

fn main() {
    divan::main();
}

/// The text of a log file, one record in five of KMS.
fn log_text(size: Size) -> String {
    let traffic = Traffic::new(1, 1, 200);
    let mut text = String::from("{\"Records\":[");
    let scene = Scene { account: 0, region: 0, time: 1_760_000_000 };
    push_records(&traffic, scene, size, ",", &mut random::Random::new(1), &mut text);
    text.push_str("]}");
    text
}

fn gzip(text: &str) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut bytes = vec![0; compressor.gzip_compress_bound(text.len())];
    let length = compressor.gzip_compress(text.as_bytes(), &mut bytes).unwrap_or(0);
    bytes.truncate(length);
    bytes
}

/// Keeps the records of KMS, as text.
#[derive(Default)]
struct Records {
    kms: Vec<String>,
    seen: u64,
}

impl Sink for Records {
    fn record(&mut self, record: RawRecord<'_>) -> Verdict {
        self.seen += 1;
        let text = String::from_utf8_lossy(record.bytes);
        if text.contains("\"eventSource\":\"kms.amazonaws.com\"") {
            self.kms.push(text.into_owned());
        }
        Verdict::Accepted
    }

    fn skip(&mut self, _: Skip) {}
}

fn kms_records(text: &str) -> Vec<String> {
    let mut records = Records::default();
    let mut scanner = Scanner::new(MAX_RECORD);
    scanner.feed(text.as_bytes(), &mut records);
    scanner.finish(false, &mut records);
    records.kms
}

/// libdeflate with nothing behind it: the floor.
#[divan::bench(args = SIZES)]
fn inflate(bencher: Bencher<'_, '_>, size: Size) {
    let text = log_text(size);
    let file = gzip(&text);
    let mut inflater = libdeflater::Decompressor::new();
    let mut out = vec![0; text.len()];
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| inflater.gzip_decompress(black_box(&file), &mut out).unwrap_or(0));
}

/// Takes text and forgets it.
#[derive(Default)]
struct Forget(usize);

impl Visitor for Forget {
    fn open(&mut self, _: Option<&str>) {}

    fn data(&mut self, text: &[u8]) {
        self.0 += text.len();
    }

    fn close(&mut self, _: End) {}

    fn problem(&mut self, _: Problem) {}
}

/// The reader: open, hash, inflate. The file is in the cache.
#[divan::bench(args = SIZES)]
fn read(bencher: Bencher<'_, '_>, size: Size) {
    let text = log_text(size);
    let file = gzip(&text);
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("log.json.gz");
    if std::fs::write(&path, &file).is_err() {
        return;
    }
    let source = Source::file(Path::new(&path), file.len() as u64);
    let mut reader = Reader::new(Limits::default());
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        let mut forget = Forget::default();
        let facts = reader.read(black_box(&source), &mut forget);
        (forget.0, facts.is_ok())
    });
}

/// Counts records; with the prefilter, those that may matter.
struct Count {
    prefilter: Option<Prefilter>,
    records: u64,
}

impl Sink for Count {
    fn record(&mut self, record: RawRecord<'_>) -> Verdict {
        self.records += u64::from(self.prefilter.is_none_or(|prefilter| prefilter.may_matter(record.bytes)));
        Verdict::Accepted
    }

    fn skip(&mut self, _: Skip) {}
}

fn count(text: &str, scanner: &mut Scanner, prefilter: Option<Prefilter>) -> u64 {
    let mut count = Count { prefilter, records: 0 };
    scanner.reset();
    scanner.feed(text.as_bytes(), &mut count);
    scanner.finish(false, &mut count);
    count.records
}

/// Record boundaries only.
#[divan::bench(args = SIZES)]
fn scan(bencher: Bencher<'_, '_>, size: Size) {
    let text = log_text(size);
    let mut scanner = Scanner::new(MAX_RECORD);
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| count(black_box(&text), &mut scanner, None));
}

/// Record boundaries, and the test whether a record is worth parsing.
#[divan::bench(args = SIZES)]
fn scan_and_prefilter(bencher: Bencher<'_, '_>, size: Size) {
    let text = log_text(size);
    let mut scanner = Scanner::new(MAX_RECORD);
    bencher
        .counter(BytesCount::of_str(&text))
        .bench_local(|| count(black_box(&text), &mut scanner, Some(Prefilter::default())));
}

/// KMS records to trees.
#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let records = kms_records(&log_text(Size::Bytes(500_000)));
    let bytes: usize = records.iter().map(String::len).sum();
    bencher
        .counter(BytesCount::new(bytes))
        .counter(ItemsCount::new(records.len()))
        .bench_local(|| records.iter().filter(|record| json::parse(black_box(record)).is_ok()).count());
}

/// The same with `serde_json`, which keeps neither raw text nor order: what a general parser costs.
#[divan::bench]
fn parse_with_serde_json(bencher: Bencher<'_, '_>) {
    let records = kms_records(&log_text(Size::Bytes(500_000)));
    let bytes: usize = records.iter().map(String::len).sum();
    bencher.counter(BytesCount::new(bytes)).counter(ItemsCount::new(records.len())).bench_local(|| {
        let parsed = |record: &&String| serde_json::from_str::<serde_json::Value>(black_box(record)).is_ok();
        records.iter().filter(parsed).count()
    });
}

/// Trees of KMS records to events.
#[divan::bench(name = "normalize")]
fn normalize_records(bencher: Bencher<'_, '_>) {
    let records = kms_records(&log_text(Size::Bytes(500_000)));
    let bytes: usize = records.iter().map(String::len).sum();
    let trees: Vec<_> = records.iter().filter_map(|record| json::parse(record).ok()).collect();
    bencher
        .counter(BytesCount::new(bytes))
        .counter(ItemsCount::new(trees.len()))
        .bench_local(|| trees.iter().filter(|tree| normalize(black_box(tree), None).is_ok()).count());
}
