//! The screen fits, whatever the case holds.

use super::*;
use expect_test::{Expect, expect};
use keytrail::case::manifest::IntegrityCounts;
use keytrail::output::terminal::width as columns;

fn screen(width: usize, height: usize) -> Screen {
    Screen { width, height, color: false, is_unicode: true }
}

/// A case with as many of everything as asked for, and names that are far too long.
struct Case {
    manifest: Manifest,
    findings: Vec<Finding>,
    coverage: String,
    tampering: Vec<String>,
    out: String,
}

impl Case {
    fn large() -> Case {
        let long = "x".repeat(2_000);
        let mut manifest = Manifest {
            home_accounts: (0..200).map(|n| format!("1111222233{n:02}")).collect(),
            warnings: (0..20).map(|n| format!("warning {n} about a file\n\u{1b}[2J{long}")).collect(),
            ..Manifest::default()
        };
        manifest.inputs.files = 123_456_789;
        manifest.inputs.inflated_bytes = u64::MAX / 2;
        manifest.inputs.already_known = 1_000_000;
        manifest.inputs.left_out.insert("no_records".to_owned(), 77_777_777);
        manifest.events.records = u64::MAX / 2;
        manifest.events.kms = 100_000_000_000;
        manifest.events.filtered = 100_000_000;
        manifest.events.first_kms_event = Some("2020-01-01T00:00:00Z".to_owned());
        manifest.events.last_kms_event = Some("2025-01-01T00:00:00Z".to_owned());
        let finding = |n: usize| Finding {
            title: format!("A title that goes on and on, number {}, {long}", n % 100),
            key_arn: Some(format!("arn:aws:kms:us-east-1:111122223333:key/{long}")),
            principal: Some(format!("arn:aws:iam::111122223333:role/{long}")),
            first_time: Some(1_600_000_000_000_000),
            ..Finding::new(
                &format!("rule-{}", n % 100),
                Severity::Critical,
                format!("arn:aws:iam::111122223333:role/{long} did {long}"),
            )
        };
        let coverage = format!("99 limits, worst: {long}");
        let tampering = (0..10).map(|n| format!("critical CODE_{n}: {long}")).collect();
        let findings = (0..10_000).map(finding).collect();
        Case { manifest, findings, coverage, tampering, out: format!("/tmp/{long}/case") }
    }

    fn text(&self, screen: Screen) -> String {
        let mut findings = self.findings.clone();
        let incidents = keytrail::query::incidents::group(&mut findings);
        let out = Path::new(&self.out);
        super::text(
            &Told {
                out,
                manifest: &self.manifest,
                findings: &findings,
                incidents: &incidents,
                coverage: &self.coverage,
                tampering: &self.tampering,
                has_report: true,
            },
            screen,
        )
    }
}

/// Rows that the text takes on the terminal, which wraps what is too wide.
fn rows(text: &str, width: usize) -> usize {
    text.lines().map(|line| columns(line).div_ceil(width).max(1)).sum()
}

#[test]
fn the_screen_fits_and_leaves_a_row_for_the_prompt() {
    let mut case = Case::large();
    for (width, height) in [(80, 24), (200, 50), (120, 36), (80, 100)] {
        let text = case.text(screen(width, height));
        assert!(rows(&text, width) < height, "{width}x{height}:\n{text}");
        assert!(text.lines().all(|line| columns(line) <= width), "{text}");
        assert!(text.contains("10,000 findings in "), "{text}");
        // What is cut says so, and what is left out is counted.
        assert!(text.contains("20 (all in manifest.json): warning 0"), "{text}");
        assert!(text.contains('…') && text.contains(" and ") && text.contains("\\u{1b}"), "{text}");
    }
    case.findings.clear();
    case.manifest.warnings.clear();
    let text = case.text(screen(80, 24));
    assert!(rows(&text, 80) < 24 && text.contains("no findings"), "{text}");
}

#[test]
fn findings_of_one_rule_and_severity_take_one_line() {
    let mut case = Case::large();
    case.findings = (0..40)
        .map(|n| Finding {
            title: "One thing".to_owned(),
            first_time: Some(n),
            ..Finding::new("one", Severity::High, String::new())
        })
        .collect();
    case.findings.push(Finding { title: "Another".to_owned(), ..Finding::new("two", Severity::Low, String::new()) });
    let text = case.text(screen(80, 24));
    let told: Vec<&str> = text.lines().filter(|line| line.contains("One thing") || line.contains("Another")).collect();
    assert_eq!(told, [" 1  high      1970-01-01 00:00  40x One thing", "41  low       no time           Another"]);
    assert!(text.contains("41 findings in 41 incidents: 40 high, 1 low\n"), "{text}");
}

#[test]
fn a_path_that_is_short_stands_in_the_commands_and_a_long_one_does_not() {
    let mut case = Case::large();
    assert!(case.text(screen(80, 24)).contains("keytrail findings show 1 --case CASE\n"));
    case.out = "my case".to_owned();
    assert!(case.text(screen(80, 24)).contains("keytrail findings show 1 --case 'my case'\n"));
}

#[test]
fn durations_have_two_units_at_most() {
    for (seconds, expected) in
        [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_605, "1 h"), (9_000, "2 h 30 min"), (90_061, "1 d 1 h")]
    {
        assert_eq!(duration(seconds), expected);
    }
}

/// A case as it might be.
fn ordinary() -> Case {
    let mut manifest = Manifest {
        home_accounts: vec!["111122223333".to_owned(), "444455556666".to_owned()],
        warnings: vec!["2 input files were not understood completely: see inputs.parquet".to_owned()],
        ..Manifest::default()
    };
    manifest.inputs.files = 356;
    manifest.inputs.inflated_bytes = 12_869_153;
    manifest.events.records = 9_715;
    manifest.events.kms = 4_468;
    manifest.events.first_kms_event = Some("2025-10-06T01:02:02Z".to_owned());
    manifest.events.last_kms_event = Some("2025-10-17T20:15:37Z".to_owned());
    let finding = |rule: &str, title: &str, severity, minutes: i64| Finding {
        title: title.to_owned(),
        first_time: Some(1_760_580_000_000_000 + minutes * 60_000_000),
        key_arn: Some("arn:aws:kms:us-east-1:111122223333:key/1ed6e400-77aa-4b0b-8c1e-90f3a5e0b002".to_owned()),
        event_ids: vec![format!("e{minutes}")],
        ..Finding::new(rule, severity, format!("arn:aws:iam::111122223333:user/ann did it to {} keys.", minutes + 2))
    };
    let findings = vec![
        finding("kms-policy-public", "Key policy open to everyone", Severity::Critical, 22),
        finding("kms-grant-overbroad", "Grant that is too broad", Severity::High, 14),
        finding("kms-grant-overbroad", "Grant that is too broad", Severity::High, 15),
        finding("kms-key-disabled", "Key disabled", Severity::Medium, 43),
        finding("kms-rotation-disabled", "Rotation switched off", Severity::Low, 0),
    ];
    manifest.integrity =
        Some(IntegrityCounts { chains: 2, logs_verified: 238, logs_failed: 2, ..IntegrityCounts::default() });
    let coverage =
        "3 limits, worst: nothing is known of eu-west-1 between 2025-10-08T00:00:00Z and 2025-10-09T06:00:00Z";
    let tampering = vec!["critical LOG_MODIFIED: a log is not what its digest lists".to_owned()];
    Case { manifest, findings, coverage: coverage.to_owned(), tampering, out: "case".to_owned() }
}

#[track_caller]
fn check(screen: Screen, expected: &Expect) {
    expected.assert_eq(&ordinary().text(screen));
}

#[test]
fn an_ordinary_case_on_a_narrow_screen() {
    check(
        screen(80, 24),
        &expect![[r#"
            case       case
            read       356 files, 12.27 MiB inflated, 9,715 records
            events     4,468 KMS and 0 adjacent, 0 repeated deliveries
            time       2025-10-06T01:02:02Z to 2025-10-17T20:15:37Z (11 d 19 h)
            accounts   home: 111122223333, 444455556666
            coverage   3 limits, worst: nothing is known of eu-west-1 between 2025-10-08T00…
            integrity  2 chains; logs: 238 verified, 2 failed; digests: 0 verified
                       critical LOG_MODIFIED: a log is not what its digest lists
            warnings   2 input files were not understood completely: see inputs.parquet

            5 findings in 5 incidents: 1 critical, 2 high, 1 medium, 1 low
             1  critical  2025-10-16 02:22  Key policy open to everyone
             2  high      2025-10-16 02:14  2x Grant that is too broad
             4  medium    2025-10-16 02:43  Key disabled
             5  low       2025-10-16 02:00  Rotation switched off

            incident   #1 2025-10-16 02:22, 1 finding, 1 event, 1 key, 0 principals
            files      report.html, findings.*, incidents.*, reviews.*, tables/, events/
            next  keytrail findings show 1 --case case
                  keytrail incidents --case case
                  keytrail timeline --key 1ed6e400-77aa-4b0b-8c1e-90f3a5e0b002 --case case
        "#]],
    );
}

#[test]
fn an_ordinary_case_on_a_wide_screen_in_color() {
    check(
        Screen { color: true, ..screen(200, 50) },
        &expect![[r#"
            [2mcase[0m       [1mcase[0m
            [2mread[0m       356 files, 12.27 MiB inflated, 9,715 records
            [2mevents[0m     4,468 KMS and 0 adjacent, 0 repeated deliveries
            [2mtime[0m       2025-10-06T01:02:02Z to 2025-10-17T20:15:37Z (11 d 19 h)
            [2maccounts[0m   home: 111122223333, 444455556666
            [2mcoverage[0m   3 limits, worst: nothing is known of eu-west-1 between 2025-10-08T00:00:00Z and 2025-10-09T06:00:00Z
            [2mintegrity[0m  2 chains; logs: 238 verified, 2 failed; digests: 0 verified
                       [1;31mcritical LOG_MODIFIED: a log is not what its digest lists[0m
            [2mwarnings[0m   [33m2 input files were not understood completely: see inputs.parquet[0m

            [1m5 findings in 5 incidents[0m: [1;31m1 critical[0m, [31m2 high[0m, [33m1 medium[0m, [36m1 low[0m
             1  [1;31mcritical[0m  2025-10-16T02:22:00Z  Key policy open to everyone                                 [2m…:111122223333:user/ann did it to 24 keys.[0m
             2  [31mhigh[0m      2025-10-16T02:14:00Z  [1m2x [0mGrant that is too broad                                  [2m…:111122223333:user/ann did it to 16 keys.[0m
             4  [33mmedium[0m    2025-10-16T02:43:00Z  Key disabled                                                [2m…:111122223333:user/ann did it to 45 keys.[0m
             5  [36mlow[0m       2025-10-16T02:00:00Z  Rotation switched off                                       [2m…:111122223333:user/ann did it to 2 keys.[0m

            [2mincident[0m   #1 2025-10-16 02:22, 1 finding, 1 event, 1 key, 0 principals
            [2mfiles[0m      report.html, findings.*, incidents.*, reviews.*, tables/, events/
            [2mnext[0m  keytrail findings show 1 --case case
                  keytrail incidents --case case
                  keytrail timeline --key 1ed6e400-77aa-4b0b-8c1e-90f3a5e0b002 --case case
        "#]],
    );
}

#[test]
fn an_ordinary_case_where_only_ascii_can_be_shown() {
    let text = ordinary().text(Screen { is_unicode: false, ..screen(80, 24) });
    assert!(text.is_ascii() && text.contains('~'), "{text}");
}
