//! Corrupt and hostile digests, keys and signatures: findings or errors, never a panic, never a read outside the inputs.
//!
//! In: digests with paths that lead elsewhere, absurd sizes, wrong types, circles. Out: codes of findings and exit codes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use support::scene::{Scene, codes};
use support::trail::{Object, edit, gunzip, gzip};
use support::{keytrail, text};

/// Changes the JSON of a digest.
fn change(scene: &mut Scene, digest: usize, change: impl FnOnce(&mut Value)) {
    let key = scene.digests[digest].key.clone();
    edit(&mut scene.objects, &key, |text| {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        value.to_string()
    });
}

#[test]
fn a_digest_with_anything_absurd_in_it_is_a_finding() {
    let long = "9".repeat(400);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (place, value) in [
        ("/logFiles/0/s3Object", json!("../../../../etc/passwd")),
        ("/logFiles/0/s3Object", json!("/etc/passwd")),
        ("/logFiles/0/s3Object", json!("AWSLogs/\u{1b}[2J")),
        ("/logFiles/0/s3Bucket", json!("../x")),
        ("/logFiles/0/hashValue", json!(7)),
        ("/logFiles/0", json!([1, 2])),
        ("/logFiles", json!("none")),
        ("/digestS3Object", json!("..")),
        ("/digestS3Object", json!("")),
        ("/digestStartTime", json!(1e308)),
        ("/digestEndTime", json!("9999-99-99T99:99:99Z")),
        ("/digestEndTime", json!(long)),
        ("/previousDigestSignature", json!(null)),
        ("/previousDigestSignature", json!({})),
        ("/previousDigestHashValue", json!("zz")),
        ("/awsAccountId", json!(deep)),
    ] {
        let mut scene = Scene::new();
        change(&mut scene, 5, |digest| *digest.pointer_mut(place).unwrap() = value.clone());
        let run = scene.run(true, &[]);
        assert_eq!(run.code, 3, "{place} {value}\n{}", run.report());
        let found = codes(&run);
        let is_seen = found.contains("DIGEST_INVALID") || found.contains("DIGEST_MODIFIED");
        assert!(is_seen, "{place} {value:.80}: {found}");
        assert!(!run.stderr.contains('\u{1b}') && !run.text().contains('\u{1b}'), "{}", run.report());
    }
}

#[test]
fn times_at_the_ends_of_the_calendar_overflow_nothing() {
    for (start, end) in [
        ("0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59-23:59"),
    ] {
        let mut scene = Scene::new();
        change(&mut scene, 5, |digest| {
            digest["digestStartTime"] = json!(start);
            digest["digestEndTime"] = json!(end);
        });
        let run = scene.run(true, &[]);
        assert_eq!(run.code, 3, "{}", run.report());
        assert!(codes(&run).contains("SIGNATURE_INVALID"), "{}", run.report());
    }
}

#[test]
fn text_that_is_no_json_in_the_place_of_a_digest_is_no_digest_and_nothing_is_missing_there() {
    for body in [&b""[..], b"{", b"\xff\xfe", b"{\"Records\":[]}", &[b'['; 100_000]] {
        let mut scene = Scene::new();
        let key = scene.digests[5].key.clone();
        scene.objects.get_mut(&key).unwrap().bytes = gzip(body);
        let run = scene.run(true, &[]);
        assert_eq!(codes(&run), "DIGEST_INVALID, LOG_UNLISTED (3)", "{}", run.report());
        assert_eq!(scene.verdicts(true, &key), ["FAILED DIGEST_INVALID"]);
    }
}

#[test]
fn circles_of_digests_end() {
    let mut scene = Scene::new();
    let own = scene.digests[5].key.clone();
    change(&mut scene, 5, |digest| digest["previousDigestS3Object"] = json!(own));
    let run = scene.run(true, &[]);
    assert!(codes(&run).contains("CHAIN_CYCLE,"), "{}", run.report());
    assert_eq!(run.code, 3);
    // Three in a circle, and others that lead into it.
    let mut scene = Scene::new();
    let last = scene.digests[6].key.clone();
    change(&mut scene, 4, |digest| digest["previousDigestS3Object"] = json!(last));
    let run = scene.run(true, &[]);
    assert!(codes(&run).contains("CHAIN_CYCLE x3"), "{}", run.report());
}

#[test]
fn ten_megabytes_of_listed_logs_are_one_finding_and_the_rest_counted() {
    let mut scene = Scene::new();
    change(&mut scene, 5, |digest| {
        let entry = digest["logFiles"][0].clone();
        let name = entry["s3Object"].as_str().unwrap().to_owned();
        let more = (0..30_000).map(|number| {
            let mut entry = entry.clone();
            entry["s3Object"] = json!(name.replace("Z_", &format!("Z_{number:05}")));
            entry
        });
        digest["logFiles"].as_array_mut().unwrap().extend(more);
    });
    assert!(gunzip(&scene.objects[&scene.digests[5].key].bytes).len() > 9 << 20);
    let run = scene.run(true, &[]);
    assert_eq!(run.code, 3);
    let rows = run.rows();
    assert!(rows.len() < 120, "{} findings", rows.len());
    let missing = rows.iter().filter(|row| text(row, "code") == "LOG_MISSING");
    assert_eq!(missing.map(|row| row["event_count"].as_i64().unwrap()).sum::<i64>(), 30_000);
    assert!(run.peak < 300 << 20, "{} bytes", run.peak);
}

#[cfg(unix)]
#[test]
fn nothing_outside_the_inputs_is_opened() {
    // A pipe nobody writes to: whoever opened it would wait for ever.
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("outside.json.gz");
    if !Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        return;
    }
    let bucket = folder.path().join("bucket");
    let mut scene = Scene::new();
    let absolute = pipe.to_string_lossy().into_owned();
    change(&mut scene, 4, |digest| digest["logFiles"][0]["s3Object"] = json!("../outside.json.gz"));
    change(&mut scene, 6, |digest| {
        digest["logFiles"][0]["s3Object"] = json!(absolute.trim_start_matches('/'));
        digest["logFiles"][0]["hashValue"] = json!("00".repeat(32));
    });
    scene.write(folder.path());
    let keys = folder.path().join("keys.json");
    let arguments = ["verify".as_ref(), bucket.as_os_str(), "--public-keys".as_ref(), keys.as_os_str()];
    let run = keytrail(&arguments).code(3);
    assert!(run.text().contains("DIGEST_INVALID") && run.text().contains("LOG_MISSING"), "{}", run.report());
}

#[test]
fn keys_and_signatures_that_are_none_are_errors_that_name_the_file() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    scene.write(folder.path());
    let bucket = folder.path().join("bucket").to_string_lossy().into_owned();
    let bad = folder.path().join("bad.json");
    let key = |value: &str| json!({ "PublicKeyList": [{ "Value": value, "Fingerprint": "00" }] }).to_string();
    for body in ["", "{", "[]", "7", "{\"PublicKeyList\":7}", &key("!"), &key("AAAA"), &key("MIIBCg"), &key("MIT/////")]
    {
        fs::write(&bad, body).unwrap();
        let run = keytrail(&["verify", &bucket, "--public-keys", &bad.to_string_lossy()]).code(1);
        assert!(run.stderr.contains("bad.json"), "{body}\n{}", run.report());
        let run = keytrail(&["verify", &bucket, "--signatures", &bad.to_string_lossy()]).code(1);
        assert!(run.stderr.contains("bad.json"), "{body}\n{}", run.report());
    }
}

#[test]
fn signatures_of_nonsense_do_not_verify_and_do_no_harm() {
    let mut scene = Scene::new();
    for signature in ["", "00", &"ff".repeat(256), &"zz".repeat(256), &"00".repeat(4000)] {
        let newest = format!("example-trail-bucket/{}", scene.digests[11].key);
        scene.sidecar = json!({ newest: { "signature": signature }, "b/k": { "signature": "00".repeat(256) } });
        let run = scene.run(true, &[]);
        let found = codes(&run);
        assert!(found == "SIGNATURE_INVALID" || found == "SIGNATURE_UNAVAILABLE", "{found}\n{}", run.report());
    }
}

#[test]
fn a_digest_that_was_changed_in_any_one_byte_is_never_verified() {
    let scene = Scene::new();
    let key = scene.digests[11].key.clone();
    let genuine = gunzip(&scene.objects[&key].bytes);
    let mut changed = 0;
    for place in (0..genuine.len()).step_by(37) {
        let mut text = genuine.clone();
        text[place] ^= 1;
        let mut objects = scene.objects.clone();
        objects.insert(key.clone(), Object { bytes: gzip(&text), ..scene.objects[&key].clone() });
        let scene = Scene { objects, digests: Vec::new(), keys: scene.keys.clone(), sidecar: scene.sidecar.clone() };
        let run = scene.run(true, &[]);
        // Another fingerprint may be that of a key which is not in the list: that is no proof of tampering.
        let expected = if codes(&run) == "PUBLIC_KEY_MISSING" { 2 } else { 3 };
        assert_eq!(run.code, expected, "byte {place}\n{}", run.report());
        changed += 1;
    }
    assert!(changed > 20, "the property proved nothing");
}
