//! Claims about tar and zip archives, whole, damaged and hostile.

use super::*;

#[test]
fn a_bomb_in_an_archive_ends_the_archive() {
    let zeros = vec![b' '; 40 << 20];
    let bomb = gz(&zeros);
    let limits = Limits { max_inflated: 10 << 20, ..Limits::default() };
    for stored in [
        zip_of(&[("a", b"1"), ("bomb.gz", &bomb), ("after", b"2")]),
        zip_of(&[("a", b"1"), ("bomb", &zeros), ("after", b"2")]),
        tar_of(&[("a", b"1"), ("bomb.gz", &bomb), ("after", b"2")]),
        gz(&tar_of(&[("a", b"1"), ("bomb.gz", &bomb), ("after", b"2")])),
    ] {
        let (recorder, facts) = read_with(limits, &stored);
        assert_eq!((recorder.texts.len(), facts.inflated), (2, 10 << 20));
        assert!(matches!(recorder.texts[1].2, Some(End::Bomb { .. })));
    }
    // An archive of nothing but end marks delivers no text; it is stopped all the same.
    let (recorder, _) = read_with(limits, &gz(&[tar_of(&[("a", b"1")]), vec![0; 20 << 20]].concat()));
    assert!(recorder.problems.iter().any(|problem| problem.kind == ProblemKind::Bomb), "{}", recorder.messages());
}

#[test]
fn packed_members_are_inflated_and_archives_in_archives_are_reported() {
    let inner = [gz(b"one"), gz(b"two")].concat();
    let members: [(&str, &[u8]); 7] = [
        ("AWSLogs/x.json.gz", &inner),
        ("z.zst", &zst(b"three")),
        ("in.tar", &tar_of(&[("y", b"lost")])),
        ("in.tgz", &gz(&tar_of(&[("y", b"lost")]))),
        ("in.zip", &zip_of(&[("y", b"lost")])),
        ("parquet", b"PAR1...."),
        ("plain", b"four"),
    ];
    for stored in [zip_of(&members), tar_of(&members), gz(&tar_of(&members))] {
        let (recorder, facts) = read(&stored);
        assert_eq!(recorder.members(), ["AWSLogs/x.json.gz=onetwo", "z.zst=three", "plain=four"]);
        assert_eq!((recorder.problems.len(), facts.members), (4, 7), "{}", recorder.messages());
        assert!(recorder.messages().contains("member in.zip, byte 0: unrecognized: a zip archive inside an archive"));
        assert!(recorder.messages().contains("Parquet data is not opened"));
    }
}

#[test]
fn placeholders_in_archives_are_set_apart() {
    let members: [(&str, &[u8]); 4] =
        [("__MACOSX/._a.json", b"x"), (".DS_Store", b"x"), ("a.json", b"{}"), ("export/aws-logs-write-test", b"x")];
    for stored in [zip_of(&members), tar_of(&members)] {
        let (recorder, facts) = read(&stored);
        assert_eq!(recorder.members(), ["a.json={}"]);
        assert_eq!((facts.members, facts.set_apart), (1, 3));
    }
}

#[test]
fn members_of_one_name_are_all_read() {
    let mut stored = zip_of(&[("a.json", b"first"), ("b.json", b"second")]);
    while let Some(at) = memchr::memmem::find(&stored, b"b.json") {
        stored[at] = b'a';
    }
    assert_eq!(read(&stored).0.members(), ["a.json=first", "a.json=second"]);
    let tar = tar_of(&[("a.json", b"first"), ("a.json", b"second")]);
    assert_eq!(read(&tar).0.members(), ["a.json=first", "a.json=second"]);
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let long = format!("AWSLogs/{}/x.json", "d".repeat(300));
    assert_eq!(
        read(&tar_of(&[(&long, b"{}"), ("short", b"1")])).0.members(),
        [format!("{long}={{}}"), "short=1".into()]
    );
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", long.as_bytes()), ("size", b"2")]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("cut").unwrap();
    header.set_size(2);
    header.set_cksum();
    builder.append(&header, &b"{}"[..]).unwrap();
    assert_eq!(read(&builder.into_inner().unwrap()).0.members(), [format!("{long}={{}}")]);
}

#[test]
fn members_behind_the_end_mark_of_a_tar_archive_are_read() {
    let stored = [tar_of(&[("a", b"1")]), tar_of(&[("b", b"2")])].concat();
    assert_eq!(read(&stored).0.members(), ["a=1", "b=2"]);
    let (recorder, _) = read(&[tar_of(&[("a", b"1")]), vec![b'x'; 512]].concat());
    assert!(recorder.messages().contains("not a tar header"), "{}", recorder.messages());
}

#[test]
fn cut_archives_keep_the_members_before_the_cut() {
    let text = log(2000);
    let members: [(&str, &[u8]); 3] = [("a", b"1"), ("b", &text), ("c", b"2")];
    let tar = tar_of(&members);
    for cut in [513, 1024, 1500, 1536, 2000, 2048, tar.len() - 2048, tar.len() - 1024] {
        let (recorder, _) = read(&tar[..cut]);
        let is_torn = recorder.texts.iter().any(|(_, _, end)| matches!(end, Some(End::Torn { .. })));
        assert!(is_torn || recorder.messages().contains("torn"), "cut at {cut}: {recorder:?}");
        if cut > 1024 {
            assert_eq!(recorder.texts[0].1, b"1");
        }
    }
    let packed = gz(&tar);
    let (recorder, _) = read(&packed[..packed.len() / 2]);
    assert!(matches!(&recorder.texts[1], (_, kept, Some(End::Torn { .. })) if kept.len() > 10_000));
    assert!(recorder.messages().contains("the gzip data ends early"), "{}", recorder.messages());
    let zip = zip_of(&members);
    let (recorder, _) = read(&zip[..zip.len() / 2]);
    assert_eq!(recorder.texts[0].1, b"1");
    assert!(
        matches!(&recorder.texts[1], (_, kept, Some(End::Torn { .. })) if text.starts_with(kept) && kept.len() > 10_000)
    );
    assert!(recorder.messages().contains("zip archive"), "{}", recorder.messages());
}

#[test]
fn a_zip_archive_from_a_pipe_is_kept_up_to_a_bound() {
    let stored = zip_of(&[("a", &noise(600_000))]);
    let mut recorder = Recorder::default();
    let mut reader = Reader::new(Limits { whole_file: 100, whole_text: 50_000, ..Limits::default() });
    let facts = reader.read_stream(&mut &stored[..], None, 0, &mut recorder);
    assert!(recorder.messages().contains("from a pipe; name it as a file"), "{}", recorder.messages());
    assert_eq!((facts.size, &facts.sha256[..]), (stored.len() as u64, &Sha256::digest(&stored)[..]));
}
