//! What people see: the screens of the sample case at 80 and at 200 columns, with and without colors, held as snapshots.
//!
//! In: the sample logs. Out: the text of each command beside its snapshot in `tests/screens`. `UPDATE_EXPECT=1` rewrites
//! them; look at each before it is committed. The program runs on pipes: `COLUMNS` and `LINES` give it the size of a screen.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use expect_test::expect_file;
use keytrail::output::terminal::width;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use support::corpus::KEY_A;
use support::pack::trail;
use support::sample::{hostile_calls, lines};
use support::{Run, analyze, command, keytrail, put, shared, text};
use tempfile::TempDir;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The sample case, and what `analyze` said in the end at 80 x 24.
static CASE: LazyLock<(PathBuf, String)> = LazyLock::new(|| {
    let folder = shared("terminal", |folder| {
        let logs = root().join("sample-logs");
        let arguments = ["analyze", logs.to_str().unwrap(), "--out", "case"];
        put(&folder.join("told"), on_screen(folder, &arguments, NARROW, "never").1);
    });
    let told = fs::read_to_string(folder.join("told")).unwrap();
    (folder, told)
});

/// Runs the program in a folder as on a screen of this size; its stdout and stderr.
fn on_screen(folder: &Path, arguments: &[&str], (columns, lines): (usize, usize), color: &str) -> (String, String) {
    let mut command = command(arguments);
    command.current_dir(folder).env("COLUMNS", columns.to_string()).env("LINES", lines.to_string());
    command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm").args(["--color", color]);
    let output = command.output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{stderr}");
    (stdout, stderr)
}

fn on_case(arguments: &[&str], size: (usize, usize), color: &str) -> String {
    on_screen(&CASE.0, &[arguments, &["--case", "case"]].concat(), size, color).0
}

/// Holds a text to its snapshot, and every line to the width of its screen.
fn check(name: &str, text: &str, columns: usize) {
    expect_file![root().join("tests/screens").join(format!("{name}.txt"))].assert_eq(text);
    for line in plain(text).lines().filter(|line| !line.contains("keytrail timeline --")) {
        assert!(width(line) <= columns, "{name}: {} columns: {line}", width(line));
    }
}

/// A text without its color sequences.
fn plain(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap().to_owned();
    pieces.fold(first, |text, piece| text + piece.split_once('m').unwrap().1)
}

const NARROW: (usize, usize) = (80, 24);
const WIDE: (usize, usize) = (200, 50);
const KEY: &str = "1ed6e400-77aa-4b0b-8c1e-90f3a5e0b002";
const INTRUDER: &str = "arn:aws:iam::111122223333:user/terraform-legacy";
const GRANT: &str = "0ddba11feed494b2df73c71260f3dd800be1c9396d887b97610472a1fba06763";

/// The unit tests of the screen hold other sizes and colors; this is what a whole run says.
#[test]
fn analyze_ends_with_a_screen() {
    let mut told = CASE.1.lines();
    assert_eq!(told.next(), Some("manifest.json has this SHA-256; write it down, it protects the rest:"));
    let hash = told.next().unwrap();
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    let told: String = told.flat_map(|line| [line, "\n"]).collect();
    check("analyze-80", &told, 80);
    assert!(told.lines().count() < 24, "no row is left for the prompt:\n{told}");
}

#[test]
fn findings_are_listed_and_explained() {
    check("findings-80", &on_case(&["findings"], NARROW, "never"), 80);
    check("findings-200-color", &on_case(&["findings", "--severity", "high"], WIDE, "always"), 200);
    for (name, size, color) in [("80", NARROW, "never"), ("80-color", NARROW, "always"), ("200", WIDE, "never")] {
        let text = on_case(&["findings", "show", "18"], size, color);
        check(&format!("finding-18-{name}"), &text, size.0);
        assert!(text.lines().count() < size.1, "{text}");
    }
    check("finding-1-80", &on_case(&["findings", "show", "1"], NARROW, "never"), 80);
    check("finding-1-all", &on_case(&["findings", "show", "1", "--all"], NARROW, "never"), 80);
}

#[test]
fn timelines_are_chronologies() {
    check("timeline-key-80", &on_case(&["timeline", "--key", KEY], NARROW, "never"), 80);
    check("timeline-key-200-color", &on_case(&["timeline", "--key", KEY], WIDE, "always"), 200);
    check("timeline-principal-80", &on_case(&["timeline", "--principal", INTRUDER], NARROW, "never"), 80);
    check("timeline-grant-80", &on_case(&["timeline", "--grant", GRANT], NARROW, "never"), 80);
}

/// A pipe gets the text that a terminal of 80 x 24 without colors gets; ASCII where the locale has nothing else.
#[test]
fn pipes_have_no_colors_and_poor_terminals_no_blocks() {
    let arguments = ["timeline", "--key", KEY, "--case", "case"];
    let run = |settings: &[(&str, &str)]| {
        let mut command = command(&arguments);
        command
            .current_dir(&CASE.0)
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm");
        command.envs(settings.iter().copied());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let piped = run(&[]);
    assert!(!piped.contains('\u{1b}') && piped.contains('█'), "{piped}");
    assert_eq!(piped, on_case(&["timeline", "--key", KEY], NARROW, "never"));
    for settings in [[("LC_ALL", "C")], [("TERM", "dumb")]] {
        let poor = run(&settings);
        assert!(poor.is_ascii() && poor.contains('@'), "{settings:?}\n{poor}");
        assert_eq!(poor.lines().count(), piped.lines().count(), "{settings:?}");
    }
}

fn rows(arguments: &[&str]) -> Vec<(i64, String)> {
    let case = CASE.0.join("case");
    let run: Run = keytrail(&[arguments, &["--case", case.to_str().unwrap(), "--format", "ndjson"]].concat()).code(0);
    run.rows().iter().map(|row| (row["number"].as_i64().unwrap(), text(row, "rule"))).collect()
}

/// A finding's number is its place in `findings.ndjson`, whatever is filtered out.
#[test]
fn numbers_stay_whatever_the_filters() {
    let file = fs::read_to_string(CASE.0.join("case/findings.ndjson")).unwrap();
    let all: BTreeMap<i64, serde_json::Value> =
        (1..).zip(file.lines().map(|line| serde_json::from_str(line).unwrap())).collect();
    assert_eq!(rows(&["findings"]).len(), all.len());
    let column = |number: &i64, name: &str| all[number][name].as_str().unwrap_or_default().to_owned();
    type Holds<'h> = &'h dyn Fn(&i64) -> bool;
    let filters: [(&[&str], Holds<'_>); 5] = [
        (&["--severity", "high"], &|n| ["high", "critical"].contains(&column(n, "severity").as_str())),
        (&["--rule", "kms-grant-*", "--rule", "ct-*"], &|n| {
            column(n, "rule").starts_with("kms-grant-") || column(n, "rule").starts_with("ct-")
        }),
        (&["--since", "2025-10-16T02:30:00Z"], &|n| column(n, "last_time").as_str() >= "2025-10-16T02:30:00Z"),
        (&["--until", "2025-10-10"], &|n| column(n, "first_time").as_str() < "2025-10-11"),
        (&["--severity", "critical", "--rule", "kms-policy-*"], &|n| {
            column(n, "severity") == "critical" && column(n, "rule").starts_with("kms-policy-")
        }),
    ];
    for (arguments, holds) in filters {
        let found = rows(&[&["findings"], arguments].concat());
        let expected: Vec<(i64, String)> = all.keys().filter(|n| holds(n)).map(|n| (*n, column(n, "rule"))).collect();
        assert_eq!(found, expected, "{arguments:?}");
        assert!(!found.is_empty() && found.len() < all.len(), "{arguments:?} proved nothing");
    }
}

/// The snapshot shared abroad and the re-encryption concern the disk's key, which the finding itself does not name.
#[test]
fn a_finding_concerns_the_keys_of_its_events() {
    for name in [
        "alias/harbor-disks",
        "d15c0de5-*",
        "arn:aws:kms:us-east-1:111122223333:key/d15c0de5-8fa2-4013-9b24-d6e7f8a0f006",
    ] {
        let rules: Vec<String> = rows(&["findings", "--key", name]).into_iter().map(|(_, rule)| rule).collect();
        for rule in ["kms-reencrypt-to-foreign-or-new-key", "kms-tampering-sequence", "kms-snapshot-rekey-exfil"] {
            assert!(rules.iter().any(|found| found == rule), "{name}: {rule} is missing in {rules:?}");
        }
        assert!(!rules.iter().any(|found| found == "kms-policy-public"), "{name}: {rules:?}");
    }
    let of_user = rows(&["findings", "--principal", "terraform-legacy"]);
    assert!(of_user.len() > 30 && of_user.len() < rows(&["findings"]).len(), "{}", of_user.len());
    assert_eq!(of_user, rows(&["findings", "--principal", INTRUDER]));
}

#[test]
fn what_is_not_there_is_an_error_that_says_so() {
    let case = CASE.0.join("case");
    let case = case.to_str().unwrap();
    for (arguments, told) in [
        (vec!["findings", "show", "9999", "--case", case], "78 findings"),
        (vec!["findings", "show", "0", "--case", case], "no finding 0"),
        (vec!["findings", "show", "1"], "--case"),
        (vec!["findings", "--case", case, "--key", "alias/nothing"], "alias/nothing"),
        (vec!["findings", "--case", case, "--format", "parquet"], "-o FILE"),
        (vec!["findings", "--case", case, "--since", "yesterday"], "yesterday"),
    ] {
        let run = keytrail(&arguments).code(1);
        assert!(run.stderr.contains(told) && run.stdout.is_empty(), "{}", run.report());
    }
    // The case may stand on either side of `show`.
    assert_eq!(
        keytrail(&["findings", "--case", case, "show", "2"]).code(0).stdout,
        keytrail(&["findings", "show", "2", "--case", case]).code(0).stdout
    );
}

#[test]
fn findings_are_written_in_every_form() {
    let folder = TempDir::new().unwrap();
    let case = CASE.0.join("case");
    let path = folder.path().join("high.parquet");
    let arguments = [
        "findings",
        "--case",
        case.to_str().unwrap(),
        "--severity",
        "high",
        "--format",
        "parquet",
        "-o",
        path.to_str().unwrap(),
    ];
    keytrail(&arguments).code(0);
    keytrail(&arguments).code(1);
    let rows = support::parquet_rows(&path);
    assert_eq!(rows.len(), 46);
    assert_eq!(support::cell(&rows[0], "number"), "1");
    let csv = keytrail(&["findings", "--case", case.to_str().unwrap(), "--format", "csv"]).code(0).text();
    assert!(csv.starts_with("number,rule,title,severity,") && csv.lines().count() == 79, "{csv}");
}

/// A caller whose name clears the screen and turns text round, and an alias that renames the window.
#[test]
fn hostile_names_are_shown_as_escapes() {
    let folder = TempDir::new().unwrap();
    let (logs, case) = (folder.path().join("hostile.json"), folder.path().join("case"));
    put(&logs, trail(&hostile_calls().map(|call| call.text())));
    analyze(&logs, &case, &["--quiet"]).code(0);
    let all = lines(&case, "findings.ndjson");
    let own = all.iter().position(|row| text(row, "principal").starts_with("=HYPERLINK")).unwrap();
    let name = text(all.get(own).unwrap(), "principal");
    let number = (own + 1).to_string();
    for (arguments, wants_alias) in [
        (vec!["findings"], false),
        (vec!["findings", "show", &number, "--all"], false),
        (vec!["findings", "show", &number], false),
        (vec!["timeline", "--key", KEY_A], true),
        (vec!["timeline", "--principal", &name], true),
    ] {
        let run = keytrail(&[arguments.as_slice(), &["--case", case.to_str().unwrap()]].concat()).code(0);
        let shown = String::from_utf8(run.stdout.clone()).unwrap();
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(steers), "{}", run.report());
        assert!(shown.contains("\\u{1b}[2J\\u{202e}gpj"), "the name is not shown\n{}", run.report());
        assert!(!wants_alias || shown.contains("alias/pay\\u{1b}]0;x\\u{7}"), "no alias\n{}", run.report());
    }
}

/// Manual pages and completions are files that other tools read: every command has one.
#[test]
fn manual_pages_are_written_one_for_each_command() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("man1");
    keytrail(&["man", "--out", out.to_str().unwrap()]).code(0);
    let names: Vec<String> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for name in ["keytrail.1", "keytrail-analyze.1", "keytrail-findings-show.1", "keytrail-queries-check.1"] {
        assert!(names.iter().any(|other| other == name), "{name} is not in {names:?}");
    }
    let whole = keytrail(&["man"]).code(0).text();
    assert_eq!(whole.matches("\n.TH ").count() + usize::from(whole.starts_with(".TH ")), names.len());
}
