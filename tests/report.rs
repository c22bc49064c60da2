//! The report: one file that convinces, whatever the logs hold.
//!
//! In: the sample case, a case whose every text is an attack on the page, a case of thousands of keys and findings. Out:
//! the bytes of the report, and what a browser makes of them (`report_browser.py`, which needs Chromium and Python's
//! `playwright` and `axe-playwright-python`: without them that part says that it was skipped, and fails when
//! `KEYTRAIL_REQUIRE_BROWSER=1`). `KEYTRAIL_SCREENSHOTS` names a folder for pictures of the sample report.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use keytrail::query::run::{Session, Settings};
use keytrail::report::{Source, render};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// What a hostile log would like a page to run.
const ATTACKS: [&str; 4] = [
    "<script>window.hostile = 1; alert(1)</script>",
    "\"><img src=x onerror=\"window.hostile = 1\">",
    "</script></style></textarea><iframe src=javascript:alert(1)><!-- {{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)'\"`\u{202e}\u{200b}\u{2066}\u{0}&amp;&lt;b\u{2028}",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn keytrail() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keytrail"));
    command.current_dir(root());
    command
}

/// Analyzes a folder into `case`; 2 is fine: hostile names may be problems, too.
#[track_caller]
fn analyze(logs: &Path, case: &Path) {
    let ran = keytrail().arg("analyze").arg(logs).arg("--out").arg(case).arg("-q").output().unwrap();
    assert!(matches!(ran.status.code(), Some(0 | 2)), "{}", String::from_utf8_lossy(&ran.stderr));
}

fn report(case: &Path) -> String {
    std::fs::read_to_string(case.join("report.html")).unwrap()
}

/// A KMS record in which every text that can be chosen by a caller is `text`.
fn record(n: usize, name: &str, key: &str, request: &Value, text: &str) -> Value {
    json!({
        "eventVersion": "1.11",
        "userIdentity": {"type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": format!("arn:aws:iam::111122223333:user/{text}"),
                         "accountId": "111122223333", "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "userName": text},
        "eventTime": format!("2024-05-{:02}T{:02}:{:02}:{:02}Z", 1 + n / 86_400 % 28, n / 3_600 % 24, n / 60 % 60, n % 60),
        "eventSource": "kms.amazonaws.com", "eventName": name, "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.66", "userAgent": text, "requestParameters": request, "responseElements": {"keyId": key},
        "requestID": format!("6f1c0e3a-0000-4000-9000-{n:012}"), "eventID": format!("6f1c0e3a-0000-4000-8000-{n:012}"),
        "readOnly": false, "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": key}],
        "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": "111122223333", "eventCategory": "Management"
    })
}

fn set(record: &mut Value, name: &str, text: &str) {
    record.as_object_mut().unwrap().insert(name.to_owned(), json!(text));
}

fn public_policy(text: &str) -> String {
    let statement = json!({"Sid": text, "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// Logs whose texts attack the page: names, user agents, aliases, tags, policies, contexts, grants, errors, file names.
fn hostile_logs(folder: &Path) {
    let mut records = Vec::new();
    let mut add = |name: &str, request: Value, text: &str| {
        records.push(record(records.len() * 61, name, KEY, &request, text));
    };
    for text in ATTACKS {
        add(
            "PutKeyPolicy",
            json!({"keyId": KEY, "policy": public_policy(text), "bypassPolicyLockoutSafetyCheck": true}),
            text,
        );
        add("CreateAlias", json!({"aliasName": format!("alias/{text}"), "targetKeyId": KEY}), text);
        add("TagResource", json!({"keyId": KEY, "tags": [{"tagKey": text, "tagValue": text}]}), text);
        let grantee = format!("arn:aws:iam::444455556666:role/{text}");
        add(
            "CreateGrant",
            json!({"keyId": KEY, "granteePrincipal": grantee, "operations": ["Decrypt"], "name": text}),
            text,
        );
        add("ScheduleKeyDeletion", json!({"keyId": KEY, "pendingWindowInDays": 7}), text);
        for resource in 0..3 {
            let context = json!({"aws:s3:arn": format!("arn:aws:s3:::bucket/{text}{resource}"), text: text});
            add("Decrypt", json!({"keyId": KEY, "encryptionContext": context}), text);
        }
    }
    let mut failed = record(90_000, "Decrypt", KEY, &json!({"keyId": KEY}), ATTACKS[1]);
    set(&mut failed, "errorCode", ATTACKS[0]);
    set(&mut failed, "errorMessage", &ATTACKS.concat());
    records.push(failed);
    std::fs::write(folder.join("<img src=x onerror=alert(1)>.json"), json!({"Records": records}).to_string()).unwrap();
    // Not understood, so that its name stands among the problems.
    std::fs::write(folder.join("<script>alert(1)<!--.json"), "{\"Records\":[{\"eventName\": tor").unwrap();
}

/// Everything in the page that is a tag, without the parts that are the report's own.
fn tags(html: &str) -> Vec<&str> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        let end = after.find('>').unwrap_or(after.len());
        tags.push(&after[..end]);
        rest = &after[end..];
        for own in ["script", "style"] {
            if after.starts_with(own) {
                rest = after.split_once(&format!("</{own}>")).map_or("", |(_, after)| after);
            }
        }
    }
    tags
}

#[test]
fn hostile_texts_are_no_markup() {
    let folder = TempDir::new().unwrap();
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    hostile_logs(&logs);
    let case = folder.path().join("case");
    analyze(&logs, &case);
    let html = report(&case);
    assert!(html.contains("&lt;script&gt;window.hostile"), "the texts are in the report");
    let tags = tags(&html);
    let bad: Vec<&&str> = tags
        .iter()
        .filter(|tag| {
            ["img", "iframe", "object", "embed", "base", "form", "b>"].iter().any(|name| tag.starts_with(name))
        })
        .collect();
    assert!(tags.len() > 500 && bad.is_empty(), "{bad:?}");
    let handlers: Vec<&&str> = tags.iter().filter(|tag| tag.contains(" onerror") || tag.contains(" style=")).collect();
    assert!(handlers.is_empty(), "{handlers:?}");
    assert_eq!(tags.iter().filter(|tag| tag.starts_with("script")).count(), 4, "three data blocks and one script");
    assert!(!html.contains(['\u{202e}', '\u{200b}', '\u{2066}', '\u{2028}', '\0']), "hidden characters are escapes");
    assert!(!html.contains("javascript:alert(1)\"") && !html.contains("http://"), "no address of anything");
}

#[test]
fn the_same_case_gives_the_same_report() {
    let folder = TempDir::new().unwrap();
    let case = folder.path().join("case");
    analyze(&root().join("sample-logs"), &case);
    let first = report(&case);
    let manifest = std::fs::read(case.join("manifest.json")).unwrap();
    let again = keytrail().args(["report", "-q", "--case"]).arg(&case).args(["--jobs", "1"]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(first == report(&case), "made again, with one thread, it differs");
    assert!(manifest == std::fs::read(case.join("manifest.json")).unwrap(), "made again, it changes no manifest");
    let checked = keytrail().args(["manifest", "check", "-q"]).arg(&case).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    // 5 rows of a piece cut every table of the sample that can be cut.
    let settings = Settings { piece_rows: 5, ..Settings::default() };
    let mut session = Session::open(&case, settings).unwrap();
    let source = Source { case: &case, name: "case", is_inside: true };
    assert!(first == render(&mut session, source).unwrap(), "made of small pieces, it differs");
    let outside = folder.path().join("annex.html");
    let make = |force: bool| {
        let mut command = keytrail();
        command.args(["report", "-q", "--case"]).arg(&case).arg("-o").arg(&outside);
        if force {
            command.arg("--force");
        }
        command.output().unwrap().status.code()
    };
    assert_eq!((make(false), make(false), make(true)), (Some(0), Some(1), Some(0)), "what exists takes --force");
    let text = std::fs::read_to_string(&outside).unwrap();
    assert!(
        !text.contains(" href=\"tables") && first.contains(" href=\"tables"),
        "only inside the case are links to its files"
    );
    std::fs::remove_file(case.join("tables/exposure.parquet")).unwrap();
    assert_eq!(make(true), Some(0));
    let text = std::fs::read_to_string(&outside).unwrap();
    assert!(text.contains("could not be read from the case: exposure"), "a table that is not there is named");
    let none = folder.path().join("none");
    let ran = keytrail().args(["analyze", "sample-logs", "-q", "--no-report", "--out"]).arg(&none).output().unwrap();
    assert!(ran.status.success() && !none.join("report.html").exists());
    let later = keytrail().args(["report", "-q", "--case"]).arg(&none).output().unwrap();
    assert!(later.status.success() && none.join("tables/keys.csv").exists());
    let checked = keytrail().args(["manifest", "check", "-q"]).arg(&none).output().unwrap();
    assert!(
        checked.status.success(),
        "a later report is part of the case: {}",
        String::from_utf8_lossy(&checked.stdout)
    );
}

#[test]
fn an_act_is_shown_with_its_own_record_and_not_with_another_of_the_same_id() {
    let folder = TempDir::new().unwrap();
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let tagging = json!({"keyId": KEY, "tags": [{"tagKey": "team", "tagValue": "a"}]});
    let mut records: Vec<Value> = (0..26).map(|n| record(n, "TagResource", KEY, &tagging, "operator")).collect();
    // Refused calls come after the 25 that succeeded, so the first record is left out and the second, with its id, is not.
    set(&mut records[0], "errorCode", "AccessDeniedException");
    let id = records[0]["eventID"].clone();
    records[1]["eventID"] = id;
    std::fs::write(logs.join("a.json"), json!({"Records": records}).to_string()).unwrap();
    let case = folder.path().join("case");
    analyze(&logs, &case);
    let html = report(&case);
    let acts: Vec<&str> = html.split("<details class=\"act\">").skip(1).collect();
    assert_eq!(acts.len(), 50, "25 acts of the key and 25 of the principal");
    let is_ok = |act: &&&str| act.lines().nth(1).unwrap().contains("<strong>TagResource</strong> ok ");
    assert_eq!(acts.iter().filter(is_ok).count(), 50, "the refused one is not among them");
}

/// Keys in the large case. Each gives at least two findings.
const KEYS: usize = 5_000;

/// A case of thousands of keys whose policies were opened and whose deletion was scheduled, with long texts in all places.
fn large_logs(folder: &Path) {
    let long = "<&\"'>".repeat(120);
    for file in 0..10 {
        let mut records = Vec::new();
        for n in (0..KEYS).filter(|n| n % 10 == file) {
            let key = format!("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-{n:012}");
            let who = format!("worker-{}", n % 2_000);
            let policy = json!({"keyId": key, "policy": public_policy("open")});
            let mut put = record(n * 400, "PutKeyPolicy", &key, &policy, &who);
            set(&mut put, "userAgent", &long);
            records.push(put);
            records.push(record(
                2_000_000 + n,
                "ScheduleKeyDeletion",
                &key,
                &json!({"keyId": key, "pendingWindowInDays": 7}),
                &who,
            ));
        }
        std::fs::write(folder.join(format!("{file}.json")), json!({"Records": records}).to_string()).unwrap();
    }
}

fn has_browser() -> bool {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    let packages = ["-c", "import playwright, axe_playwright_python"];
    Path::new(&chromium).exists()
        && Command::new("python3").args(packages).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_browser_finds_nothing_wrong() {
    if !has_browser() {
        let required = std::env::var_os("KEYTRAIL_REQUIRE_BROWSER").is_some_and(|value| value == "1");
        assert!(!required, "chromium, and python3 with playwright and axe-playwright-python, are required here");
        eprintln!("skipped: no chromium, or python3 lacks playwright or axe-playwright-python");
        return;
    }
    let folder = TempDir::new().unwrap();
    let sample = folder.path().join("sample-case");
    analyze(&root().join("sample-logs"), &sample);
    let [hostile, large] = ["hostile", "large"].map(|name| {
        let logs = folder.path().join(format!("{name}-logs"));
        std::fs::create_dir(&logs).unwrap();
        if name == "large" {
            large_logs(&logs)
        } else {
            hostile_logs(&logs)
        }
        let case = folder.path().join(name);
        analyze(&logs, &case);
        case
    });
    let html = report(&large);
    assert!(html.len() < 15_000_000, "{} bytes", html.len());
    let manifest: Value = serde_json::from_slice(&std::fs::read(large.join("manifest.json")).unwrap()).unwrap();
    let findings: u64 = manifest["findings"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert!(findings >= 10_000, "the large case has {findings} findings");
    let shots = std::env::var_os("KEYTRAIL_SCREENSHOTS")
        .map_or_else(|| "-".into(), |folder| root().join(folder).into_os_string());
    let mut browser = Command::new("python3");
    browser.arg(root().join("tests/report_browser.py"));
    for case in [&sample, &hostile, &large] {
        browser.arg(case.join("report.html"));
    }
    let looked = browser.arg(shots).output().unwrap();
    let text = String::from_utf8_lossy(&looked.stdout).into_owned() + &String::from_utf8_lossy(&looked.stderr);
    assert!(looked.status.success(), "{text}");
}
