//! The AWS CLI's own validator judges the same buckets: where it differs, that is one of its known limits.
//!
//! In: chains that were tampered with. Out: the differences that `awscli_compare.py` does not know. Needs Python's `awscli`
//! package (version 1): without it the test says that it was skipped, and fails when `KEYTRAIL_REQUIRE_AWSCLI=1`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use support::scene::{HOUR, Scene, plant};
use support::trail::{Key, Objects, START, TRAIL, Trail, edit, gunzip, gzip, iso, key_list, rename, signatures};

type Tamper = fn(&mut Scene);

fn delete_digests(scene: &mut Scene, digests: std::ops::Range<usize>) {
    digests.for_each(|digest| drop(scene.objects.remove(&scene.digests[digest].key)));
}

fn log(scene: &Scene) -> String {
    scene.digests[3].logs[1].clone()
}

/// Scenes of the trail in one Region, by name.
const SCENES: [(&str, Tamper); 19] = [
    ("untampered", |_| ()),
    ("log edited", |scene| {
        let log = log(scene);
        edit(&mut scene.objects, &log, |text| text.replace("Alice", "Mallory"));
    }),
    ("log deleted", |scene| drop(scene.objects.remove(&log(scene)))),
    ("log packed again", |scene| {
        let object = scene.objects.get_mut(&log(scene)).unwrap();
        object.bytes = support::pack::gzip(&gunzip(&object.bytes));
    }),
    ("log with a second member", |scene| {
        scene.objects.get_mut(&log(scene)).unwrap().bytes.extend(gzip(b"{\"Records\":[]}"));
    }),
    ("log torn", |scene| {
        let bytes = &mut scene.objects.get_mut(&log(scene)).unwrap().bytes;
        bytes.truncate(bytes.len() / 2);
    }),
    ("log planted", |scene| drop(plant(&mut scene.objects, START / HOUR * HOUR + 3 * HOUR + 35 * 60))),
    ("digest deleted", |scene| delete_digests(scene, 5..6)),
    ("two digests deleted", |scene| delete_digests(scene, 5..7)),
    ("four digests deleted", |scene| delete_digests(scene, 3..7)),
    ("newest digest deleted", |scene| delete_digests(scene, 11..12)),
    ("oldest digests deleted", |scene| delete_digests(scene, 0..2)),
    ("digest edited", |scene| {
        let key = scene.digests[5].key.clone();
        edit(&mut scene.objects, &key, |text| text.replacen("EventTime\":\"2024", "EventTime\":\"2023", 1));
    }),
    ("digest with a second member", |scene| {
        scene.objects.get_mut(&scene.digests[5].key).unwrap().bytes.extend(gzip(b"{}"));
    }),
    ("digest renamed", |scene| {
        let key = scene.digests[5].key.clone();
        rename(&mut scene.objects, &key, &key.replace("060131Z", "060132Z"));
    }),
    ("digests swapped", |scene| {
        let (one, other) = (scene.digests[4].key.clone(), scene.digests[8].key.clone());
        let held = scene.objects[&one].clone();
        let other_object = std::mem::replace(scene.objects.get_mut(&other).unwrap(), held);
        scene.objects.insert(one, other_object);
    }),
    ("restart", |scene| {
        TRAIL.deliver(&mut scene.objects, &Key::new(0), 15..20, None);
    }),
    ("backfill", |scene| {
        let key = Key::new(0);
        let late = TRAIL.log(&mut scene.objects, START / HOUR * HOUR + 4 * HOUR + 35 * 60);
        let interval = (START + 4 * HOUR, START + 5 * HOUR);
        let digest = TRAIL.digest(&mut scene.objects, &key, interval, &[late], None, "_backfill");
        let metadata = &mut scene.objects.get_mut(&digest.key).unwrap().metadata;
        metadata.insert("backfill-generation-timestamp".to_owned(), iso(START + 20 * HOUR));
    }),
    ("wrong keys", |scene| scene.keys = key_list(&[&Key::new(1)])),
];

/// A scene as the script reads it, with keytrail's rows of files.
fn described(name: &str, scene: &mut Scene, trails: &[&Trail]) -> Value {
    // Signatures stand in the objects' metadata, for both: tampering does not reach them.
    scene.sidecar = signatures(TRAIL.bucket, &scene.objects);
    let files: Vec<Value> = scene.run(true, &["--show", "files"]).rows().into_iter().map(Value::Object).collect();
    let object = |object: &support::trail::Object| json!({ "body": STANDARD.encode(&object.bytes), "metadata": object.metadata });
    let objects: serde_json::Map<String, Value> =
        scene.objects.iter().map(|(key, value)| (key.clone(), object(value))).collect();
    let trail = |trail: &&Trail| {
        let prefix = trail.prefix.trim_end_matches('/');
        json!({ "account": trail.account, "region": trail.region, "home": trail.home, "name": trail.name, "prefix": prefix })
    };
    json!({
        "name": name, "bucket": TRAIL.bucket, "objects": objects, "keys": scene.keys, "files": files,
        "trails": trails.iter().map(trail).collect::<Vec<_>>(),
        "start": iso(START - HOUR), "end": iso(START + 24 * HOUR),
    })
}

#[test]
fn the_aws_cli_judges_alike_but_for_its_known_limits() {
    let import = "import awscli.customizations.cloudtrail.validation";
    if !Command::new("python3").args(["-c", import]).output().is_ok_and(|output| output.status.success()) {
        let required = std::env::var_os("KEYTRAIL_REQUIRE_AWSCLI").is_some_and(|value| value == "1");
        assert!(!required, "python3 with the package awscli is required here");
        eprintln!("skipped: python3 has no package awscli");
        return;
    }
    let mut scenes: Vec<Value> = Vec::new();
    for (name, tamper) in SCENES {
        let mut scene = Scene::new();
        tamper(&mut scene);
        scenes.push(described(name, &mut scene, &[&TRAIL]));
    }
    let (key, mut objects) = (Key::new(0), Objects::new());
    let first = Trail { prefix: "corp/audit/", ..TRAIL };
    let second = Trail { name: "second_trail.v1", region: "eu-west-1", ..first.clone() };
    for trail in [&first, &second] {
        trail.deliver(&mut objects, &key, 0..4, None);
    }
    let mut scene = Scene { objects, digests: Vec::new(), keys: key_list(&[&key]), sidecar: Value::Null };
    scenes.push(described("two trails with a prefix", &mut scene, &[&first, &second]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scenes.json");
    fs::write(&path, Value::from(scenes).to_string()).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/awscli_compare.py");
    let output = Command::new("python3").arg(script).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
