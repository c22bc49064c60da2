//! A bucket that is tampered with, judged by the program: what the tests of `verify` share.
//!
//! In: a change to the objects. Out: the codes of the findings, how many files each counts, the exit code, and the verdicts
//! of files; without and with the signatures that stand in S3 metadata.

use super::trail::{Delivered, Key, Objects, TRAIL, Trail, key_list, signatures, sync};
use super::{Run, keytrail, text};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

type Row = Map<String, Value>;

/// Seconds.
pub(crate) const HOUR: i64 = 3600;

/// A bucket and what the analyst has besides.
pub(crate) struct Scene {
    pub(crate) objects: Objects,
    pub(crate) digests: Vec<Delivered>,
    pub(crate) keys: Value,
    pub(crate) sidecar: Value,
}

impl Scene {
    /// Twelve hours of one trail.
    pub(crate) fn new() -> Scene {
        Scene::of(&TRAIL, 12)
    }

    pub(crate) fn of(trail: &Trail, hours: i64) -> Scene {
        let key = Key::new(0);
        let mut objects = Objects::new();
        let digests = trail.deliver(&mut objects, &key, 0..hours, None);
        let sidecar = signatures(trail.bucket, &objects);
        Scene { objects, digests, keys: key_list(&[&key]), sidecar }
    }

    pub(crate) fn write(&self, folder: &Path) {
        sync(&self.objects, &folder.join("bucket"));
        fs::write(folder.join("keys.json"), self.keys.to_string()).unwrap();
        fs::write(folder.join("signatures.json"), self.sidecar.to_string()).unwrap();
    }

    pub(crate) fn run(&self, has_sidecar: bool, more: &[&str]) -> Run {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let (bucket, keys, sidecar) = (place("bucket"), place("keys.json"), place("signatures.json"));
        let mut arguments = vec!["verify", &bucket, "--public-keys", &keys];
        if !more.contains(&"--format") {
            arguments.extend(["--format", "ndjson"]);
        }
        if has_sidecar {
            arguments.extend(["--signatures", &sidecar]);
        }
        arguments.extend(more);
        keytrail(&arguments)
    }

    /// The verdict and codes of every row about a key or path that contains `part`.
    pub(crate) fn verdicts(&self, has_sidecar: bool, part: &str) -> Vec<String> {
        let rows = self.run(has_sidecar, &["--show", "files"]).rows();
        let is_about = |row: &&Row| text(row, "path").contains(part) || text(row, "s3_key").contains(part);
        rows.iter().filter(is_about).map(|row| format!("{} {}", text(row, "verdict"), text(row, "codes"))).collect()
    }
}

/// `CODE` for one finding about one file, `CODE x2` for two of them, `CODE (3)` for one about three files.
pub(crate) fn codes(run: &Run) -> String {
    let mut all: Vec<String> = run
        .rows()
        .iter()
        .map(|row| match row["event_count"].as_i64().unwrap() {
            1 => text(row, "code"),
            count => format!("{} ({count})", text(row, "code")),
        })
        .collect();
    all.sort();
    let runs = all.chunk_by(|one, other| one == other);
    let runs = runs.map(|run| if run.len() == 1 { run[0].clone() } else { format!("{} x{}", run[0], run.len()) });
    runs.collect::<Vec<_>>().join(", ")
}

/// Checks the findings without and with signatures from metadata: each `CODES => exit`.
#[track_caller]
pub(crate) fn check(tamper: impl FnOnce(&mut Scene), without: &str, with: &str) {
    let mut scene = Scene::new();
    tamper(&mut scene);
    judged(&scene, without, with);
}

#[track_caller]
pub(crate) fn judged(scene: &Scene, without: &str, with: &str) {
    for (has_sidecar, expected) in [(false, without), (true, with)] {
        let run = scene.run(has_sidecar, &[]);
        let found = format!("{} => {}", codes(&run), run.code);
        assert_eq!(found, expected, "signatures from metadata: {has_sidecar}\n{}", run.report());
        let word = match run.code {
            0 => "VERIFIED",
            2 => "COULD NOT VERIFY",
            _ => "TAMPERING",
        };
        assert!(run.stderr.contains(word), "{}", run.report());
        for row in run.rows() {
            assert!(!text(&row, "proves").is_empty() && !text(&row, "does_not_prove").is_empty(), "{row:?}");
        }
    }
}

/// A log that CloudTrail never delivered, in the slot `time`.
pub(crate) fn plant(objects: &mut Objects, time: i64) -> String {
    let mut other = Objects::new();
    Trail { name: "planted", ..TRAIL }.log(&mut other, time);
    let (key, object) = other.pop_first().unwrap();
    objects.insert(key.clone(), object);
    key
}
