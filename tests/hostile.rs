//! Evidence as it is found: torn, poisoned, mislabeled. The good part is kept, the lost part is named, nothing panics.
//!
//! In: a folder with one good file and one bad one. Out: exit code, rows and the place on stderr. Where the specification
//! leaves open whether a strange record is kept or skipped, both are accepted, but never silence: a record is either in
//! the table or its place is on stderr and the exit code is 2.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use support::corpus::{decrypt, id, neighbor_ids, neighbors};
use support::pack::{self, gzip, trail};
use support::{Run, analyze, cell, command, extract, keytrail, keytrail_with, names, parquet_rows, put, text, tree};
use tempfile::TempDir;

/// Extracts a folder that holds the neighbors in a good file, and `bytes` in the file `name`.
#[track_caller]
fn beside_good_one(name: &str, bytes: &[u8], options: &[&str]) -> Run {
    let folder = TempDir::new().unwrap();
    put(&folder.path().join("good.json"), trail(&neighbors()));
    put(&folder.path().join(name), bytes);
    let run = extract(folder.path(), options);
    assert!(neighbor_ids().iter().all(|id| run.ids().contains(id)), "the good file suffered\n{}", run.report());
    run
}

/// The ids of a run without the neighbors'.
fn others(run: &Run) -> Vec<String> {
    let mut ids = run.ids();
    ids.retain(|id| !neighbor_ids().contains(id));
    ids.sort();
    ids
}

/// Something was lost, and stderr says where: the file, and a byte in this range.
#[track_caller]
fn lost(run: Run, file: &str, bytes: std::ops::RangeInclusive<u64>) -> Run {
    let run = run.code(2);
    let places = run.places(file);
    assert!(!places.is_empty(), "no line names {file} and a byte\n{}", run.report());
    assert!(
        places.iter().any(|place| bytes.contains(place)),
        "places {places:?}, expected {bytes:?}\n{}",
        run.report()
    );
    run
}

fn ids(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(id).collect()
}

fn decrypts(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|n| decrypt(n).text()).collect()
}

/// What any reader could inflate of a torn gzip.
fn inflated(torn: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // The error at the tear is expected; what was inflated before it stays in `out`.
    drop(flate2::read::GzDecoder::new(torn).read_to_end(&mut out));
    out
}

/// The ids of the records that end before the end of `text`.
fn whole_records(text: &[u8], records: &[String], first: u32) -> Vec<String> {
    let mut end = "{\"Records\":[".len();
    let mut found = Vec::new();
    for (n, record) in (first..).zip(records) {
        end += record.len();
        if end <= text.len() {
            found.push(id(n));
        }
        end += 1;
    }
    found
}

#[test]
fn a_torn_gzip_keeps_the_records_before_the_tear() {
    let records = decrypts(1..=60);
    let whole = gzip(&trail(&records));
    let mut kept = Vec::new();
    for cut in [3, 9, 11, whole.len() / 4, whole.len() / 2, whole.len() * 9 / 10, whole.len() - 9, whole.len() - 1] {
        let torn = whole.get(..cut).unwrap();
        let text = inflated(torn);
        let run = beside_good_one("torn.json.gz", torn, &[]);
        let run = lost(run, "torn.json.gz", 0..=trail(&records).len() as u64);
        assert_eq!(others(&run), whole_records(&text, &records, 1), "cut at {cut}\n{}", run.report());
        kept.push(others(&run).len());
    }
    assert!(kept.contains(&60) && kept.iter().any(|kept| (1..60).contains(kept)), "cuts proved nothing: {kept:?}");
}

#[test]
fn a_tear_in_the_second_member_keeps_the_first() {
    let (first, second) = (gzip(&trail(&decrypts(1..=5))), gzip(&trail(&decrypts(6..=60))));
    let torn = [first.as_slice(), second.get(..second.len() / 2).unwrap()].concat();
    let run = lost(beside_good_one("torn.json.gz", &torn, &[]), "torn.json.gz", 0..=u64::MAX);
    let kept = others(&run);
    assert!(kept.starts_with(&ids(1..=5)) && kept.len() < 60, "{}", run.report());
}

#[test]
fn a_wrong_checksum_is_reported_and_the_records_are_kept() {
    let records = decrypts(1..=20);
    let mut bytes = gzip(&trail(&records));
    let crc = bytes.len() - 8;
    *bytes.get_mut(crc).unwrap() ^= 0xff;
    let run = lost(beside_good_one("crc.json.gz", &bytes, &[]), "crc.json.gz", 0..=u64::MAX);
    assert_eq!(others(&run), ids(1..=20), "{}", run.report());
}

#[test]
fn a_flipped_bit_in_the_compressed_data_is_reported() {
    let mut bytes = gzip(&trail(&decrypts(1..=60)));
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).unwrap() ^= 0x10;
    let run = beside_good_one("flipped.json.gz", &bytes, &[]);
    lost(run, "flipped.json.gz", 0..=u64::MAX);
}

#[test]
fn torn_archives_are_reported() {
    let members: Vec<(String, Vec<u8>)> =
        (1..=4).map(|n| (format!("{n}.json.gz"), gzip(&trail(&decrypts(n * 10..=n * 10 + 5))))).collect();
    let tar = pack::tar(&members);
    let cut = tar.len() / 2 + 700;
    let run = beside_good_one("torn.tar", tar.get(..cut).unwrap(), &[]).code(2);
    assert!(run.stderr.contains("torn.tar"), "{}", run.report());
    assert!(others(&run).starts_with(&ids(10..=15)), "members before the tear\n{}", run.report());
    let zip = pack::zip(&members);
    let run = beside_good_one("torn.zip", zip.get(..zip.len() / 2).unwrap(), &[]).code(2);
    assert!(run.stderr.contains("torn.zip"), "{}", run.report());
    let zstd = pack::zstd(&trail(&decrypts(1..=60)));
    let run = beside_good_one("torn.json.zst", zstd.get(..zstd.len() / 2).unwrap(), &[]).code(2);
    assert!(run.stderr.contains("torn.json.zst"), "{}", run.report());
}

#[test]
fn garbage_after_the_gzip_is_reported_and_the_records_are_kept() {
    let records = decrypts(1..=20);
    let bytes = [gzip(&trail(&records)).as_slice(), b"garbage that no gzip member opens with"].concat();
    let run = lost(beside_good_one("tail.json.gz", &bytes, &[]), "tail.json.gz", 0..=u64::MAX);
    assert_eq!(others(&run), ids(1..=20), "{}", run.report());
}

#[test]
fn random_bytes_are_reported() {
    let mut state = 42_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    };
    let bytes: Vec<u8> = (0..70_000).map(|_| noise()).collect();
    for head in
        [b"".as_slice(), b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"{\"Records\":["]
    {
        let run = beside_good_one("noise.json.gz", &[head, &bytes].concat(), &[]).code(2);
        assert!(run.stderr.contains("noise.json.gz"), "{head:?}\n{}", run.report());
        assert_eq!(others(&run), Vec::<String>::new());
    }
}

/// White space to some, garbage to JSON.
#[test]
fn a_control_character_between_records_does_not_hang() {
    let (first, second) = (decrypt(1).text(), decrypt(2).text());
    for bad in ["\u{b}", "\u{c}", "\u{0}", "\u{85}", "\u{a0}", "\u{feff}"] {
        for text in [
            format!("{{\"Records\":[{bad}{first},{second}]}}"),
            format!("{{\"Records\":[{first}{bad},{second}]}}"),
            format!("{{\"Records\":[{first},{bad}{second}]}}"),
            format!("[{first},{second}{bad}]"),
            format!("{first}\n{bad}{second}"),
        ] {
            let run = beside_good_one("control.json", text.as_bytes(), &[]);
            assert!(run.code == 0 || run.code == 2, "{}", run.report());
            assert!(run.code == 2 || others(&run) == ids(1..=2), "{}", run.report());
        }
    }
}

#[test]
fn an_empty_file_loses_nothing() {
    let run = beside_good_one("empty.json.gz", b"", &[]).code(0);
    assert_eq!(others(&run), Vec::<String>::new());
    beside_good_one("empty.json.gz", &gzip(b""), &[]).code(0);
    beside_good_one("empty.json", b"{\"Records\":[]}", &[]).code(0);
    beside_good_one("blank.json", b"\r\n \n", &[]).code(0);
}

#[test]
fn a_directory_named_like_an_archive_is_walked() {
    let run = beside_good_one("x.json.gz/inside.json", &trail(&decrypts(1..=3)), &[]).code(0);
    assert_eq!(others(&run), ids(1..=3));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.json.gz");
    put(&path.join("inside.json"), trail(&neighbors()));
    assert_eq!(extract(&path, &[]).code(0).ids().len(), 2);
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_reported() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = TempDir::new().unwrap();
    put(&folder.path().join("good.json"), trail(&neighbors()));
    let shut = folder.path().join("shut.json.gz");
    put(&shut, gzip(&trail(&decrypts(1..=3))));
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::File::open(&shut).is_ok() {
        // Root reads everything: a link that leads nowhere cannot be opened by anybody.
        fs::remove_file(&shut).unwrap();
        symlink(folder.path().join("nowhere"), &shut).unwrap();
    }
    let run = extract(folder.path(), &[]).code(2);
    assert!(run.stderr.contains("shut.json.gz"), "{}", run.report());
    assert_eq!(run.ids(), neighbor_ids());
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_loop_ends_and_files_are_listed_once() {
    let folder = TempDir::new().unwrap();
    put(&folder.path().join("a/good.json"), trail(&neighbors()));
    std::os::unix::fs::symlink(folder.path(), folder.path().join("a/again")).unwrap();
    let run = keytrail(&["extract", folder.path().to_str().unwrap(), "--arrow-stream"]);
    assert!(run.code == 0 || run.code == 2, "{}", run.report());
    let reader = arrow_ipc::reader::StreamReader::try_new(run.stdout.as_slice(), None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2, "{}", run.report());
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_name_that_is_not_text_is_read() {
    use std::os::unix::ffi::OsStrExt;
    let folder = TempDir::new().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"bad\xff\x1b[31m\n.json");
    put(&folder.path().join(name), trail(&neighbors()));
    put(&folder.path().join(std::ffi::OsStr::from_bytes(b"torn\xff\x1b[31m.json.gz")), b"\x1f\x8b\x08");
    let run = extract(folder.path(), &[]).code(2);
    assert_eq!(run.ids(), neighbor_ids());
    assert!(!run.stderr.contains('\u{1b}'), "an escape sequence reaches the terminal\n{}", run.report());
}

/// The record is no KMS record and may be skipped or passed over; its neighbors on the same line may not.
#[test]
fn a_giant_line_keeps_the_good_records_in_it_and_the_memory_bound() {
    let size: usize = if std::env::var_os("KEYTRAIL_BIG").is_some() { 3 << 30 } else { 300 << 20 };
    let folder = TempDir::new().unwrap();
    put(&folder.path().join("good.json"), trail(&neighbors()));
    let file = fs::File::create(folder.path().join("giant.json.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let block = vec![b'a'; 1 << 20];
    write!(encoder, "{{\"Records\":[{},{{\"eventVersion\":\"1.08\",\"userAgent\":\"", decrypt(1).text()).unwrap();
    for _ in 0..size / block.len() {
        encoder.write_all(&block).unwrap();
    }
    write!(encoder, "\"}},{}]}}", decrypt(2).text()).unwrap();
    encoder.finish().unwrap();
    let run = extract(folder.path(), &[]);
    assert_eq!(others(&run), ids(1..=2), "{}", run.report());
    if run.code != 0 {
        let run = lost(run, "giant.json.gz", 0..=2_000);
        assert!(run.peak < 600 << 20, "peak memory {} MiB", run.peak >> 20);
    } else {
        assert!(run.peak < 600 << 20, "peak memory {} MiB", run.peak >> 20);
    }
}

#[test]
fn a_digest_file_is_no_log_and_no_loss() {
    let digest = json!({"awsAccountId": "111122223333", "digestStartTime": "2024-05-01T10:00:00Z",
        "digestEndTime": "2024-05-01T11:00:00Z", "digestS3Bucket": "logs", "digestS3Object": "AWSLogs/x",
        "digestSignatureAlgorithm": "SHA256withRSA", "previousDigestS3Bucket": null, "logFiles": [{"s3Bucket": "logs",
        "s3Object": "AWSLogs/y", "hashValue": "00", "hashAlgorithm": "SHA-256", "newestEventTime": "2024-05-01T10:59:00Z",
        "oldestEventTime": "2024-05-01T10:01:00Z"}]});
    let bytes = gzip(&serde_json::to_vec(&digest).unwrap());
    let name = "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2024/05/01/\
                111122223333_CloudTrail-Digest_us-east-1_main_us-east-1_20240501T110131Z.json.gz";
    for name in [name, "renamed.json.gz"] {
        let run = beside_good_one(name, &bytes, &[]).code(0);
        assert_eq!(others(&run), Vec::<String>::new());
    }
}

#[test]
fn duplicate_deliveries_are_one_row_and_no_loss() {
    let records = decrypts(1..=9);
    let run = beside_good_one("twice.json", &trail(&[records.clone(), records].concat()), &[]).code(0);
    assert_eq!(others(&run), ids(1..=9));
}

#[test]
fn one_event_id_with_two_contents_keeps_both_and_reports_them() {
    let mut altered = decrypt(1);
    altered.ip = "203.0.113.7";
    let records = vec![decrypt(1).text(), altered.text(), decrypt(1).text(), decrypt(2).text()];
    let run = beside_good_one("forged.json", &trail(&records), &[]);
    assert!(run.code == 0 || run.code == 2, "{}", run.report());
    assert_eq!(others(&run), [id(1), id(1), id(2)], "{}", run.report());
    assert!(run.stderr.contains("content"), "{}", run.report());
}

#[test]
fn nested_brackets_are_named_and_their_neighbors_kept() {
    let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
    let (first, second) = (decrypt(1).text(), decrypt(2).text());
    let in_list = format!("{{\"Records\":[{first},{open}{close},{second}]}}");
    let at = (first.len() + 12) as u64;
    let run = lost(beside_good_one("deep.json", in_list.as_bytes(), &[]), "deep.json", at - 1..=at + 10_000);
    assert_eq!(others(&run), ids(1..=2), "{}", run.report());
    // Well formed and without a record: nothing is lost.
    beside_good_one("deep.json", format!("{open}{close}").as_bytes(), &[]);
    for text in [open.clone(), "{\"a\":".repeat(10_000), format!("{{\"Records\":{open}")] {
        let run = beside_good_one("deep.json", text.as_bytes(), &[]).code(2);
        assert!(run.stderr.contains("deep.json"), "{}", run.report());
    }
}

#[test]
fn a_deeply_nested_parameter_is_kept_or_named() {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let records = vec![decrypt(1).text(), decrypt(2).asks(&deep).text(), decrypt(3).text()];
    kept_or_named("deep.json", &trail(&records), records.first().unwrap().len());
}

/// Records 1 and 3 are good, record 2 is strange and starts after `before` bytes of record 1.
#[track_caller]
fn kept_or_named(name: &str, bytes: &[u8], before: usize) {
    let run = beside_good_one(name, bytes, &[]);
    if run.ids().contains(&id(2)) {
        assert_eq!(others(&run), ids(1..=3), "{}", run.report());
        assert!(run.code == 0 || run.code == 2, "{}", run.report());
    } else {
        assert_eq!(others(&run), [id(1), id(3)], "{}", run.report());
        lost(run, name, before as u64..=bytes.len() as u64);
    }
}

#[test]
fn invalid_utf8_in_a_record_is_kept_or_named() {
    let records = vec![decrypt(1).text(), decrypt(2).agent("@@@@").text(), decrypt(3).text()];
    for bad in [b"\xff\xfe\xc3\x28", b"\xed\xa0\x80a", b"\xf5\x80\x80\x80"] {
        let mut bytes = trail(&records);
        let at = bytes.windows(4).position(|window| window == b"@@@@").unwrap();
        bytes.splice(at..at + 4, bad.iter().copied());
        kept_or_named("utf8.json", &bytes, records.first().unwrap().len());
    }
    let lone = decrypt(2).agent("\\ud83d lone \\udc00\\u0000").text();
    kept_or_named("surrogate.json", &trail(&[decrypt(1).text(), lone, decrypt(3).text()]), 500);
}

#[test]
fn a_record_with_a_huge_user_agent_is_kept() {
    let agent = "u".repeat(500 << 10);
    let records = vec![decrypt(1).text(), decrypt(2).agent(&agent).text(), decrypt(3).text()];
    let run = beside_good_one("huge.json.gz", &gzip(&trail(&records)), &[]).code(0);
    assert_eq!(others(&run), ids(1..=3));
    let row = run.rows().into_iter().find(|row| text(row, "event_id") == id(2)).unwrap();
    assert!(text(&row, "user_agent") == agent, "the user agent was changed");
}

#[test]
fn a_bomb_stops_at_the_bound_and_keeps_what_came_before() {
    let text = format!("{{\"Records\":[{},{{\"userAgent\":\"{}\"}}]}}", decrypt(1).text(), "a".repeat(40 << 20));
    let run = beside_good_one("bomb.json.gz", &gzip(text.as_bytes()), &["--max-inflated", "10M"]);
    let run = lost(run, "bomb.json.gz", 0..=41 << 20);
    assert_eq!(others(&run), [id(1)], "{}", run.report());
    let zip = pack::zip(&[("a.json".to_owned(), text.into_bytes())]);
    let run = beside_good_one("bomb.zip", &zip, &["--max-inflated", "10M"]).code(2);
    assert!(run.stderr.contains("bomb.zip"), "{}", run.report());
    assert_eq!(others(&run), [id(1)], "{}", run.report());
}

#[test]
fn broken_records_between_good_ones_are_located() {
    let (first, second) = (decrypt(1).text(), decrypt(2).text());
    let at = "{\"Records\":[".len() as u64 + first.len() as u64 + 1;
    let broken = [
        "{\"eventVersion\":\"1.08\",,\"eventSource\":\"kms.amazonaws.com\",\"eventName\":\"Decrypt\"}",
        "{\"eventSource\":\"kms.amazonaws.com\" \"eventName\":\"Decrypt\"}",
        "{\"eventSource\":\"kms.amazonaws.com\",\"eventName\":nul}",
        "17",
        "\"kms.amazonaws.com\"",
        "null",
    ];
    for bad in broken {
        let bytes = format!("{{\"Records\":[{first},{bad},{second}]}}");
        let run = beside_good_one("broken.json", bytes.as_bytes(), &[]);
        let run = lost(run, "broken.json", at - 1..=at + bad.len() as u64);
        assert_eq!(others(&run), ids(1..=2), "{bad}\n{}", run.report());
        let bytes = format!("{first}\n{bad}\n{second}\n");
        let run = beside_good_one("broken.ndjson", bytes.as_bytes(), &[]);
        let line = first.len() as u64;
        let run = lost(run, "broken.ndjson", line..=line + 1 + bad.len() as u64);
        assert_eq!(others(&run), ids(1..=2), "{bad}\n{}", run.report());
    }
}

#[test]
fn a_kms_record_without_time_or_id_is_kept_or_named() {
    for member in ["\"eventTime\":\"2024-05-03T10:02:07Z\"", "\"eventID\":\"6f1c0e3a-0000-4000-8000-000000000002\""] {
        let whole = decrypt(2).text();
        assert!(whole.contains(member));
        for other in ["\"other\":1", "\"eventTime\":\"yesterday\",\"eventID\":17"] {
            let bytes = trail(&[decrypt(1).text(), whole.replace(member, other), decrypt(3).text()]);
            let run = beside_good_one("bare.json", &bytes, &[]);
            assert!(run.ids().contains(&id(1)) && run.ids().contains(&id(3)), "{}", run.report());
            assert!(run.ids().len() == 5 || run.code == 2, "{}", run.report());
        }
    }
}

/// All at once, through `analyze`, so that the case says what happened to each file.
#[test]
fn a_case_from_bad_files_keeps_the_good_records_and_lists_each_file() {
    let folder = TempDir::new().unwrap();
    let put = |name: &str, bytes: &[u8]| put(&folder.path().join("in").join(name), bytes);
    let torn = gzip(&trail(&decrypts(1..=60)));
    put("good.json", &trail(&neighbors()));
    put("torn.json.gz", torn.get(..torn.len() / 2).unwrap());
    put("noise.json.gz", &[7, 1, 200, 0, 3].repeat(999));
    put("empty.json.gz", b"");
    put("broken.json", format!("{{\"Records\":[{},{{,}},{}]}}", decrypt(71).text(), decrypt(72).text()).as_bytes());
    put("deep.json", "[".repeat(10_000).as_bytes());
    let case = folder.path().join("case");
    let run = analyze(&folder.path().join("in"), &case, &[]).code(2);
    for file in ["torn.json.gz", "noise.json.gz", "broken.json", "deep.json"] {
        assert!(run.stderr.contains(file), "{file} is not named\n{}", run.report());
    }
    let ids = support::case_ids(&case);
    assert!([id(1), id(71), id(72), id(901), id(902)].iter().all(|id| ids.contains(id)), "{ids:?}");
    let inputs = parquet_rows(&case.join("inputs.parquet"));
    assert_eq!(inputs.len(), 6);
    let status = |file: &str| {
        let row = inputs.iter().find(|row| cell(row, "path").ends_with(file)).unwrap();
        (cell(row, "status").to_owned(), cell(row, "problem").to_owned())
    };
    let (good, _) = status("good.json");
    for file in ["torn.json.gz", "noise.json.gz", "broken.json", "deep.json"] {
        let (status, problem) = status(file);
        assert!(status != good && !problem.is_empty(), "{file}: {status}: {problem}");
    }
}

/// Stdin stays open and silent: a program that starts to read before it looks at its output never ends.
#[test]
fn an_existing_output_is_refused_before_the_input_is_read() {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("events.ndjson");
    put(&output, "precious");
    let output = output.to_str().unwrap();
    let run = keytrail_with(&["extract", "-", "-o", output], None).code(1);
    assert!(run.stderr.contains("events.ndjson"), "{}", run.report());
    assert_eq!(fs::read_to_string(output).unwrap(), "precious");
    let run = keytrail_with(&["extract", "-", "-o", output, "--force"], Some(&trail(&neighbors()))).code(0);
    assert!(run.stdout.is_empty());
    assert_eq!(fs::read_to_string(output).unwrap().lines().count(), 2);
    let case = folder.path().join("case");
    put(&case.join("notes.txt"), "precious");
    let run = keytrail_with(&["analyze", "-", "--out", case.to_str().unwrap()], None).code(1);
    assert!(run.stderr.contains("case"), "{}", run.report());
    assert_eq!(names(&case), ["notes.txt"]);
}

#[test]
fn an_unwritable_output_is_refused_before_the_input_is_read() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    put(&file, "a file and no folder");
    for arguments in [["extract", "-", "-o"], ["analyze", "-", "--out"]] {
        let output = file.join("below.parquet");
        let run = keytrail_with(&[&arguments[..], &[output.to_str().unwrap()]].concat(), None).code(1);
        assert!(run.stderr.contains("below.parquet") || run.stderr.contains("/file"), "{}", run.report());
    }
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_missing_input_is_refused_and_named() {
    let folder = TempDir::new().unwrap();
    put(&folder.path().join("good.json"), trail(&neighbors()));
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = keytrail(&["extract", &at("good.json"), &at("missing.json"), "-o", &at("out.parquet")]).code(1);
    assert!(run.stderr.contains("missing.json") && run.stdout.is_empty(), "{}", run.report());
    let run = keytrail(&["analyze", &at("missing"), "--out", &at("case")]).code(1);
    assert!(run.stderr.contains("missing"), "{}", run.report());
    let run = keytrail(&["extract", "--files-from", &at("list.txt"), "-o", &at("out.parquet")]).code(1);
    assert!(run.stderr.contains("list.txt"), "{}", run.report());
    assert_eq!(names(folder.path()), ["good.json"]);
}

#[test]
fn bad_arguments_are_refused() {
    let folder = TempDir::new().unwrap();
    put(&folder.path().join("good.json"), trail(&neighbors()));
    let input = folder.path().to_str().unwrap();
    let bad: [&[&str]; 7] = [
        &["extract"],
        &["extract", input],
        &["extract", input, "-o", "-", "--format", "ndjson", "--since", "yesterday"],
        &["extract", input, "-o", "-", "--format", "ndjson", "--account", "[z-"],
        &["extract", input, "-o", "-", "--format", "ndjson", "--memory", "plenty"],
        &["extract", input, "-o", "-", "--format", "nonsense"],
        &["nonsense"],
    ];
    for arguments in bad {
        let run = keytrail(arguments).code(1);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{}", run.report());
    }
    assert_eq!(names(folder.path()), ["good.json"]);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = TempDir::new().unwrap();
    let calls = (1..=40).map(|n| decrypt(n).agent(&"u".repeat(50_000)).text());
    put(&folder.path().join("big.json"), trail(&calls.collect::<Vec<_>>()));
    let arguments = ["extract", folder.path().to_str().unwrap(), "-o", "-", "--format", "ndjson"];
    let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let end = child.wait_with_output().unwrap();
    assert_eq!(end.status.code(), Some(0), "{}", String::from_utf8_lossy(&end.stderr));
    assert!(!String::from_utf8_lossy(&end.stderr).contains("panicked"));
}

#[test]
fn nothing_is_written_beside_bad_evidence() {
    let folder = TempDir::new().unwrap();
    let input = folder.path().join("in");
    put(&input.join("torn.json.gz"), b"\x1f\x8b\x08\x00\x00");
    put(&input.join("evil.zip"), pack::zip(&[("../../escaped.json".to_owned(), trail(&neighbors()))]));
    let before = tree(folder.path());
    let run = extract(Path::new(&input), &[]).code(2);
    assert_eq!(run.ids(), neighbor_ids(), "{}", run.report());
    assert_eq!(tree(folder.path()), before);
}
