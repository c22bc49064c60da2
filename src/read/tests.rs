//! Claims about reading, each on files made for the purpose: every container, and every kind of damage.

mod archives;

use std::io::{Cursor, Write};

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::discover::Source;

/// Writes down what it is told.
#[derive(Debug, Default, PartialEq)]
struct Recorder {
    texts: Vec<(Option<String>, Vec<u8>, Option<End>)>,
    problems: Vec<Problem>,
    is_open: bool,
}

impl Visitor for Recorder {
    fn open(&mut self, member: Option<&str>) {
        assert!(!self.is_open);
        self.is_open = true;
        self.texts.push((member.map(str::to_owned), Vec::new(), None));
    }

    fn data(&mut self, text: &[u8]) {
        assert!(self.is_open && !text.is_empty());
        self.texts.last_mut().unwrap().1.extend_from_slice(text);
    }

    fn close(&mut self, end: End) {
        assert!(self.is_open);
        self.is_open = false;
        self.texts.last_mut().unwrap().2 = Some(end);
    }

    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

impl Recorder {
    /// The text of a file that is no archive, and how it ended.
    #[track_caller]
    fn only(&self) -> (&[u8], &End) {
        assert_eq!(self.texts.len(), 1, "{self:?}");
        (&self.texts[0].1, self.texts[0].2.as_ref().unwrap())
    }

    /// Members as `name=text`.
    fn members(&self) -> Vec<String> {
        let show = |(name, text, _): &(Option<String>, Vec<u8>, Option<End>)| {
            format!("{}={}", name.as_deref().unwrap_or("-"), String::from_utf8_lossy(text))
        };
        self.texts.iter().map(show).collect()
    }

    fn messages(&self) -> String {
        self.problems.iter().map(|problem| format!("{problem}\n")).collect()
    }
}

/// Limits under which nothing takes the whole-file path.
fn streaming() -> Limits {
    Limits { whole_file: 0, ..Limits::default() }
}

/// Reads a file whose size is known, and then as if it were not, which must make no difference.
fn read_with(limits: Limits, bytes: &[u8]) -> (Recorder, Facts) {
    let known = read_sized(limits, bytes, bytes.len() as u64);
    assert_eq!(known, read_sized(limits, bytes, 0));
    known
}

fn read_sized(limits: Limits, bytes: &[u8], size: u64) -> (Recorder, Facts) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("misleading.txt");
    std::fs::write(&path, bytes).unwrap();
    let mut recorder = Recorder::default();
    let mut reader = Reader::new(limits);
    let facts = reader.read(&Source::file(&path, size), &mut recorder).unwrap();
    assert!(!recorder.is_open);
    assert_eq!(facts.size, bytes.len() as u64);
    assert_eq!(facts.sha256[..], Sha256::digest(bytes)[..]);
    let delivered: usize = recorder.texts.iter().map(|text| text.1.len()).sum();
    assert_eq!(facts.inflated, delivered as u64);
    (recorder, facts)
}

/// Reads on both paths, which must agree, on one of them without the size.
fn read(bytes: &[u8]) -> (Recorder, Facts) {
    let whole = read_sized(Limits::default(), bytes, 0);
    assert_eq!(whole, read_sized(streaming(), bytes, bytes.len() as u64));
    whole
}

fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zst(text: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in members {
        let options = ::zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Text that looks like a log and compresses like one.
fn log(records: usize) -> Vec<u8> {
    let mut text = b"{\"Records\":[".to_vec();
    let mut state = 7_u64;
    for number in 0..records {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let id = state ^ state >> 29;
        let comma = if number == 0 { "" } else { "," };
        write!(text, "{comma}{{\"eventID\":\"{id:016x}\",\"eventSource\":\"kms.amazonaws.com\"}}").unwrap();
    }
    text.extend_from_slice(b"]}");
    text
}

/// Bytes without pattern.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 11_u64;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(step).collect()
}

#[test]
fn every_container_gives_the_same_text_whatever_its_name() {
    let text = log(5000);
    for (stored, container) in
        [(text.clone(), Container::Plain), (gz(&text), Container::Gzip), (zst(&text), Container::Zstd)]
    {
        let (recorder, facts) = read(&stored);
        assert_eq!(recorder.only(), (&text[..], &End::Complete));
        assert_eq!((facts.container, facts.members), (container, 1));
        assert_eq!(recorder.problems, []);
    }
    let members: [(&str, &[u8]); 2] = [("a.json", &text), ("dir/b", b"{}")];
    let tar = tar_of(&members);
    for (stored, container) in [
        (zip_of(&members), Container::Zip),
        (gz(&tar), Container::TarGzip),
        (zst(&tar), Container::TarZstd),
        (tar, Container::Tar),
    ] {
        let (recorder, facts) = read(&stored);
        let expected = [
            (Some("a.json".to_owned()), text.clone(), Some(End::Complete)),
            (Some("dir/b".to_owned()), b"{}".to_vec(), Some(End::Complete)),
        ];
        assert_eq!(recorder.texts, expected, "{container:?}");
        assert_eq!((facts.container, facts.members), (container, 2));
        assert_eq!(recorder.problems, []);
    }
}

#[test]
fn an_empty_file_is_an_empty_text() {
    let (recorder, facts) = read(b"");
    assert_eq!(recorder.only(), (&b""[..], &End::Complete));
    assert_eq!((facts.inflated, facts.container), (0, Container::Plain));
    let (recorder, _) = read(&gz(b""));
    assert_eq!(recorder.only(), (&b""[..], &End::Complete));
}

#[test]
fn a_file_that_is_not_there_is_unreadable() {
    let mut recorder = Recorder::default();
    let source = Source::file(std::path::Path::new("/no/such/file"), 0);
    let problem = Reader::new(Limits::default()).read(&source, &mut recorder).unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Unreadable);
    assert_eq!(recorder, Recorder::default());
}

#[test]
fn torn_gzip_keeps_the_text_before_the_tear() {
    let text = log(40);
    let stored = gz(&text);
    let mut longest = 0;
    for cut in 2..stored.len() {
        let (recorder, _) = read(&stored[..cut]);
        let (kept, end) = recorder.only();
        assert!(text.starts_with(kept), "cut at {cut}");
        assert!(kept.len() >= longest, "cut at {cut}");
        longest = kept.len();
        assert!(matches!(end, End::Torn { offset, .. } if *offset <= cut as u64), "cut at {cut}: {end:?}");
        assert_eq!(recorder.problems, []);
    }
    assert_eq!(longest, text.len(), "a missing checksum costs no text");
}

#[test]
fn damaged_gzip_keeps_the_text_before_the_damage() {
    let text = log(3000);
    let stored = gz(&text);
    let at = stored.len() / 2;
    let mut damaged = stored.clone();
    // Stretches of ones are no valid codes for long.
    damaged[at..at + 40].fill(0xff);
    let (recorder, _) = read(&damaged);
    let (kept, end) = recorder.only();
    let common = text.iter().zip(kept).take_while(|(one, other)| one == other).count();
    assert!(common > text.len() * 4 / 10, "{common} of {}", text.len());
    assert!(matches!(end, End::Torn { offset, .. } if (at as u64 - 1..at as u64 + 4096).contains(offset)), "{end:?}");
}

#[test]
fn any_flipped_byte_is_survived_and_told() {
    let text = log(20);
    for stored in [gz(&text), zst(&text), gz(&tar_of(&[("x", &text)])), zip_of(&[("x", &text)])] {
        let mut silent = 0;
        for at in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[at] ^= 0x55;
            let (recorder, _) = read(&damaged);
            let is_told = !recorder.problems.is_empty()
                || recorder.texts.iter().any(|(_, _, end)| !matches!(end, Some(End::Complete)));
            let is_whole = recorder.texts.iter().any(|(_, kept, _)| *kept == text);
            // A damaged mark makes a file plain text; nothing is lost then, and the scanner says that it holds nothing.
            let is_plain = recorder.texts.iter().any(|(_, kept, _)| *kept == damaged);
            silent += usize::from(!is_told && !is_whole && !is_plain);
        }
        assert_eq!(silent, 0);
    }
}

#[test]
fn all_gzip_members_are_one_text() {
    let (one, two) = (log(300), log(200));
    let stored = [gz(&one), gz(b""), gz(&two), gz(b"")].concat();
    let (recorder, facts) = read(&stored);
    assert_eq!(recorder.only(), (&[&one[..], &two].concat()[..], &End::Complete));
    assert_eq!((facts.members, facts.container), (4, Container::Gzip));
    assert_eq!(recorder.problems, []);
    // Equal members have equal trailers: what follows the first could pass for its own.
    for text in [&one[..], b"", b"x"] {
        let (recorder, facts) = read(&[gz(text), gz(text)].concat());
        assert_eq!((recorder.only().0.len(), facts.members), (text.len() * 2, 2));
    }
    let frames = [zst(&one), b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(), zst(&two)].concat();
    let (recorder, facts) = read(&frames);
    assert_eq!(recorder.only(), (&[&one[..], &two].concat()[..], &End::Complete));
    assert_eq!(facts.members, 3);
}

#[test]
fn bytes_after_the_last_member_are_reported_with_their_place() {
    let text = log(30);
    let stored = gz(&text);
    let trailer = &stored[stored.len() - 8..];
    for (appended, word) in [
        (&b"hidden"[..], "6 bytes follow the last gzip member"),
        (&[b"hidden", trailer].concat(), "14 bytes"),
        (trailer, "8 bytes"),
        (&[0; 512], "512 zero bytes"),
        (b"\x1f", "1 bytes"),
    ] {
        let (recorder, _) = read(&[&stored, appended].concat());
        assert_eq!(recorder.only(), (&text[..], &End::Complete));
        assert!(recorder.messages().contains(word), "{}", recorder.messages());
        let problem = &recorder.problems[0];
        assert_eq!((problem.offset, problem.length), (stored.len() as u64, appended.len() as u64));
    }
    let (recorder, _) = read(&[&zst(&text)[..], b"hidden"].concat());
    assert!(recorder.messages().contains("6 bytes follow the last zstd frame"), "{}", recorder.messages());
    // What begins like a member and is none tears the text instead.
    let (recorder, _) = read(&[&stored[..], b"\x1f\x8b\x08"].concat());
    assert!(matches!(recorder.only(), (kept, End::Torn { .. }) if kept == text));
}

#[test]
fn a_lying_length_costs_no_text() {
    let text = log(100);
    for declared in [0, 1, text.len() as u32 - 1, text.len() as u32 + 1, 1 << 30, u32::MAX] {
        let mut stored = gz(&text);
        let end = stored.len();
        stored[end - 4..].copy_from_slice(&declared.to_le_bytes());
        let (recorder, _) = read(&stored);
        let (kept, end) = recorder.only();
        assert_eq!(kept, text);
        assert!(matches!(end, End::Torn { message, .. } if message.contains("checksum")), "{end:?}");
    }
}

#[test]
fn headers_with_name_comment_extra_field_and_checksum_are_skipped() {
    let text = log(10);
    let mut stored = flate2::GzBuilder::new()
        .filename("x".repeat(300))
        .comment("a comment")
        .extra(vec![7; 600])
        .write(Vec::new(), flate2::Compression::default());
    stored.write_all(&text).unwrap();
    let stored = stored.finish().unwrap();
    assert_eq!(read(&stored).0.only(), (&text[..], &End::Complete));
    for cut in 2..1000 {
        assert!(matches!(read(&stored[..cut]).0.only().1, End::Torn { .. }));
    }
}

#[test]
fn a_bomb_is_stopped_at_the_bound() {
    let zeros = vec![b' '; 100 << 20];
    let limits = Limits { max_inflated: 10 << 20, ..Limits::default() };
    for stored in [gz(&zeros), zst(&zeros), [gz(&zeros[..9 << 20]), gz(&zeros[..9 << 20])].concat()] {
        for limits in [limits, Limits { whole_file: 0, ..limits }] {
            let (recorder, facts) = read_with(limits, &stored);
            assert!(matches!(recorder.only().1, End::Bomb { message } if message.contains("--max-inflated")));
            assert_eq!(facts.inflated, 10 << 20);
        }
    }
    // By ratio alone, above the floor: zstd packs zeros at more than 2,000 to 1.
    let (recorder, facts) = read(&zst(&zeros));
    assert!(matches!(recorder.only().1, End::Bomb { .. }));
    assert_eq!(facts.inflated, 64 << 20);
    // Exactly at the bound is no bomb.
    let limits = Limits { max_inflated: 1 << 20, ..Limits::default() };
    for limits in [limits, Limits { whole_file: 0, ..limits }] {
        assert_eq!(read_with(limits, &gz(&zeros[..1 << 20])).0.only().1, &End::Complete);
        assert_eq!(read_with(limits, &zeros[..3 << 20]).0.only().1, &End::Complete, "plain text is never a bomb");
    }
}

#[test]
fn torn_zstd_keeps_the_blocks_before_the_tear() {
    let text = [log(5000), noise(300_000), log(5000)].concat();
    let stored = zst(&text);
    for cut in [4, 5, 20, stored.len() / 4, stored.len() / 2, stored.len() - 100, stored.len() - 4, stored.len() - 1] {
        let (recorder, _) = read(&stored[..cut]);
        let (kept, end) = recorder.only();
        assert!(text.starts_with(kept) && matches!(end, End::Torn { .. }), "cut at {cut}");
        assert!(cut < stored.len() / 2 || kept.len() > 131_072, "cut at {cut}: {}", kept.len());
    }
    let mut damaged = stored.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let (recorder, _) = read(&damaged);
    assert!(matches!(recorder.only(), (kept, End::Torn { .. }) if kept == text), "a wrong checksum costs no text");
}

#[test]
fn large_files_are_streamed_through_fixed_buffers() {
    let text = [noise(900_000), log(20_000)].concat();
    let small = Limits { whole_file: 4096, whole_text: 8192, ..Limits::default() };
    let members: [(&str, &[u8]); 2] = [("a", &text), ("b", b"{}")];
    for stored in
        [text.clone(), gz(&text), [gz(&text), gz(&text)].concat(), zst(&text), tar_of(&members), zip_of(&members)]
    {
        assert_eq!(read_with(Limits::default(), &stored), read_with(small, &stored));
        // From a pipe, in pieces.
        let mut recorder = Recorder::default();
        let mut reader = Reader::new(Limits { whole_text: 64 << 20, ..small });
        let facts = reader.read_stream(&mut Pieces { left: &stored, failure: None }, None, 0, &mut recorder);
        assert_eq!((recorder, facts), read_with(Limits::default(), &stored));
    }
    let packed = gz(&text);
    for cut in (1..packed.len()).step_by(100_003) {
        assert_eq!(read_with(Limits::default(), &packed[..cut]), read_with(small, &packed[..cut]), "cut at {cut}");
    }
}

/// A stream that comes in pieces of odd size and may fail at its end.
struct Pieces<'a> {
    left: &'a [u8],
    failure: Option<&'static str>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if let (true, Some(failure)) = (self.left.is_empty(), self.failure) {
            return Err(std::io::Error::other(failure));
        }
        let count = out.len().min(4093);
        self.left.read(&mut out[..count])
    }
}

#[test]
fn what_came_before_a_failing_read_is_kept() {
    let text = log(5000);
    for whole_file in [0, 8 << 20] {
        for (stored, kept) in
            [(text.clone(), text.len()), (gz(&text), text.len()), (tar_of(&[("a", &text)]), text.len())]
        {
            let mut recorder = Recorder::default();
            let mut reader = Reader::new(Limits { whole_file, ..Limits::default() });
            let mut stream = Pieces { left: &stored, failure: Some("the disk is gone") };
            let facts = reader.read_stream(&mut stream, None, 0, &mut recorder);
            assert_eq!(facts.inflated, kept as u64);
            assert!(format!("{recorder:?}").contains("the disk is gone"), "{recorder:?}");
        }
    }
}

#[test]
fn a_reader_can_be_used_again_after_anything() {
    let root: TempDir = tempfile::tempdir().unwrap();
    let text = log(100);
    let files = [gz(&text), gz(&log(9000))[..500].to_vec(), text.clone(), tar_of(&[("a", &gz(&text))]), gz(&text)];
    let mut reader = Reader::new(Limits::default());
    for (number, stored) in files.iter().enumerate() {
        let path = root.path().join(number.to_string());
        std::fs::write(&path, stored).unwrap();
        let mut recorder = Recorder::default();
        // A wrong size, as when a file grew since it was listed, changes nothing.
        for size in [0, stored.len() as u64 / 2, 1 << 30] {
            recorder = Recorder::default();
            reader.read(&Source::file(&path, size), &mut recorder).unwrap();
        }
        assert_eq!(recorder, read(stored).0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whole_and_streamed_reading_agree(
        texts in prop::collection::vec((0_usize..60, prop::collection::vec(any::<u8>(), 0..200)), 1..4),
        appended in prop::collection::vec(any::<u8>(), 0..20),
        append in any::<bool>(),
        cut in prop::option::of(0.0..1.0),
        flip in prop::option::of((0.0..1.0, 1_u8..=255)),
        pack in 0..4,
    ) {
        let mut stored = Vec::new();
        let mut text = Vec::new();
        for (records, tail) in &texts {
            let member = [log(*records), tail.clone()].concat();
            stored.extend(match pack { 0 => member.clone(), 1 => zst(&member), _ => gz(&member) });
            text.extend(member);
        }
        let mut is_sound = true;
        if append && pack != 0 {
            is_sound = appended.is_empty();
            stored.extend(&appended);
        }
        if let Some(cut) = cut {
            is_sound = false;
            stored.truncate((stored.len() as f64 * cut) as usize);
        }
        if let (Some((at, bits)), false) = (flip, stored.is_empty()) {
            is_sound = false;
            let at = (stored.len() as f64 * at) as usize;
            stored[at] ^= bits;
        }
        let (recorder, _) = read(&stored);
        if is_sound {
            prop_assert_eq!(recorder.only(), (&text[..], &End::Complete));
            prop_assert_eq!(&recorder.problems, &[]);
        }
    }

    #[test]
    fn random_bytes_are_plain(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assume!(magic::sniff(&bytes) == magic::Magic::Plain);
        let (recorder, facts) = read(&bytes);
        prop_assert_eq!(recorder.only(), (&bytes[..], &End::Complete));
        prop_assert_eq!(facts.container, Container::Plain);
    }

    #[test]
    fn no_archive_makes_the_reader_fail(
        is_zip in any::<bool>(),
        damage in prop::collection::vec((0.0..1.0, any::<u8>()), 1..20),
    ) {
        let members: [(&str, &[u8]); 3] = [("a", &log(20)), ("b.gz", &gz(&log(20))), (&"long".repeat(60), b"x")];
        let mut stored = if is_zip { zip_of(&members) } else { tar_of(&members) };
        for (at, byte) in damage {
            let at = (stored.len() as f64 * at) as usize;
            stored[at] = byte;
        }
        read(&stored);
        read(&gz(&stored));
    }
}
