//! Faulty query files, and records loaded by a mapping that knows just enough.

use super::*;
use crate::schema::Event;
use crate::table::columns::{EVENTS_SCHEMA, EventsBuilder};
use crate::table::file::{Encoder, TableFile};
use crate::table::row::{Row, encode};
use crate::time::parse_timestamp;

const COMPARE: Options<'static> = Options { expect: Expect::Compare, keep: None, jobs: 2 };

/// Loads a few members of each record.
fn load(records: &[Value], folder: &Path) -> Result<()> {
    let mut rows = EventsBuilder::default();
    for record in records {
        let text = |path: &str| record.pointer(path).and_then(Value::as_str).map(|text| text.to_owned().into());
        let micros = record["eventTime"].as_str().and_then(parse_timestamp).unwrap();
        let mut row = Vec::new();
        let event = Event {
            event_id: text("/eventID"),
            event_time: Some(micros),
            event_epoch: Some(micros / 1_000_000),
            event_source: text("/eventSource"),
            event_name: text("/eventName"),
            error_code: text("/errorCode"),
            account_id: text("/recipientAccountId"),
            region: text("/awsRegion"),
            principal: text("/userIdentity/sessionContext/sessionIssuer/arn"),
            key_arn: text("/resources/0/ARN"),
            ..Event::default()
        };
        encode(&event, &mut row);
        rows.push(&Row::plain(&row));
    }
    let place = folder.join("events/date=2024-05-01");
    std::fs::create_dir_all(&place).unwrap();
    let mut file = TableFile::create(&place.join("part-0.parquet"), &EVENTS_SCHEMA)?;
    file.append(Encoder::new(EVENTS_SCHEMA.clone())?.encode(&rows.finish().unwrap())?)?;
    file.finish()
}

const HEADER: &str = "-- title: t\n-- severity: high\n-- attack: T1485\n-- description: d\n-- false-positives: f\n\
    -- blind-spots: b\n-- reads: events\n-- params: least = 2\n";
const SELECT: &str = "WITH disablings AS (
  SELECT e.key_arn, MIN(e.event_time) AS first_time, MAX(e.event_time) AS last_time, COUNT(*) AS event_count,
    STRING_AGG(e.event_id, ',') AS event_ids
  FROM events AS e
  WHERE e.event_name = 'DisableKey' AND e.error_code IS NULL
  GROUP BY e.key_arn
)
SELECT d.first_time, d.last_time, NULL AS account_id, NULL AS region, d.key_arn, NULL AS principal, NULL AS source_ip,
  d.event_count, CASE WHEN d.event_count > 2 THEN 'critical' ELSE 'high' END AS severity,
  d.key_arn || ' disabled' AS summary, d.event_ids, CAST(d.event_count AS DOUBLE) / 2 AS half
FROM disablings AS d CROSS JOIN params AS p
WHERE d.event_count >= p.least
ORDER BY first_time, key_arn";
const TEST: &str = "+ disabled twice
{\"eventName\":\"DisableKey\",\"_repeat\":2,\"_every\":60}
- refused
{\"eventName\":\"DisableKey\",\"errorCode\":\"AccessDenied\"}
----
first_time,severity,event_count,half,event_ids
2024-05-01T10:00:01Z,high,2,1.0,\"e1,e2\"
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn check(files: &[(&str, &str)]) -> Vec<String> {
    let folder = folder(files);
    let report = check_folder(folder.path(), &[], &load, COMPARE);
    report.faults.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn finds(files: &[(&str, &str)], parts: &[&str]) {
    let faults = check(files);
    for part in parts {
        assert!(faults.iter().any(|fault| fault.contains(part)), "{part}\nis not among\n{}", faults.join("\n"));
    }
}

#[test]
fn a_sound_query_has_no_faults() {
    let sql = format!("{HEADER}{SELECT}");
    assert_eq!(check(&[("detect/x/my-rule.sql", &sql), ("detect/x/my-rule.test", TEST)]), Vec::<String>::new());
}

#[test]
fn every_fault_of_every_file_is_reported() {
    let reads = format!("{HEADER}{SELECT}").replace("-- reads: events", "-- reads: events, tag_entries");
    let refused = format!("{HEADER}{}", SELECT.replace("COUNT(*)", "SUM(1)"));
    let swapped = format!("{HEADER}{}", SELECT.replace("d.first_time, d.last_time", "d.last_time, d.first_time"));
    let always = format!("{HEADER}SELECT p.least FROM params AS p");
    finds(
        &[
            ("detect/x/my-reads.sql", &reads),
            ("detect/x/my-reads.test", "+ only a hit\n{\"eventName\":\"DisableKey\",\"_repeat\":2}\n"),
            ("detect/x/my-refused.sql", &refused),
            ("review/my-swapped.sql", &swapped),
            ("detect/y/my-always.sql", &always),
        ],
        &[
            "detect/x/my-reads.sql, line 1: `reads:` lists `tag_entries`",
            "detect/x/my-reads.test, line 0: there is no `-`: a near miss",
            "detect/x/my-reads.test, line 0: there are no expected rows",
            "detect/x/my-refused.sql, line 10: SUM of a literal",
            "review/my-swapped.sql, line 0: column 1 is `last_time` and must be `first_time`",
            "review/my-swapped.sql, line 0: it has no .test file",
            "detect/y/my-always.sql, line 0: it gives 1 rows on empty tables",
            "detect/y/my-always.sql, line 1: `reads:` lists `events`",
            "detect/y/my-always.sql, line 1: it has no final ORDER BY",
        ],
    );
}

#[test]
fn misses_false_alarms_and_other_rows_are_reported() {
    let sql = format!("{HEADER}{SELECT}");
    let test = TEST
        .replace("+ disabled twice", "+ enabled\n{\"eventName\":\"EnableKey\"}\n- disabled twice")
        .replace("10:00:01Z,high", "10:00:02Z,low");
    finds(
        &[("detect/x/my-rule.sql", &sql), ("detect/x/my-rule.test", &test)],
        &[
            "line 1: not found: enabled",
            "line 3: found although it must not be (e2, e3): disabled twice",
            "expected and missing:\n    2024-05-01T10:00:02Z | low | 2 | 1 | e1,e2",
            "given and not expected:\n    2024-05-01T10:00:02Z | high | 2 | 1 | e2,e3",
        ],
    );
}

#[test]
fn an_order_with_ties_is_reported() {
    let sql = format!("{HEADER}{}", SELECT.replace("ORDER BY first_time, key_arn", "ORDER BY severity"));
    let second = "{\"eventName\":\"DisableKey\",\"resources\":[{\"ARN\":\"arn:aws:kms:eu-west-1:111122223333:key/b\"}],\"_repeat\":2}";
    let test = TEST.replace("- refused", &format!("{second}\n- refused"));
    finds(
        &[("detect/x/my-rule.sql", &sql), ("detect/x/my-rule.test", &test)],
        &["equal in all columns of the final ORDER BY"],
    );
}

#[test]
fn parameters_of_a_test_are_used_and_rows_can_be_rewritten() {
    let sql = format!("{HEADER}{SELECT}");
    let test = format!("params: least = 1\n{}", TEST.split("----").next().unwrap());
    let folder = folder(&[("detect/x/my-rule.sql", &sql), ("detect/x/my-rule.test", &test)]);
    let report = check_folder(folder.path(), &[], &load, Options { expect: Expect::Rewrite, ..COMPARE });
    assert_eq!(report.rewritten.len(), 1, "{:?}", report.faults);
    let report = check_folder(folder.path(), &[], &load, COMPARE);
    assert_eq!((report.faults.len(), report.tests, report.queries), (0, 1, 1), "{:?}", report.faults);
    let text = std::fs::read_to_string(folder.path().join("detect/x/my-rule.test")).unwrap();
    assert!(text.ends_with("2024-05-01T10:00:01Z,2024-05-01T10:01:01Z,high,arn:aws:kms:us-east-1:111122223333:key/11111111-2222-4333-8444-555555555555,,2,\"e1,e2\"\n"), "{text}");
}

#[test]
fn the_case_of_a_test_can_be_kept() {
    let sql = format!("{HEADER}{SELECT}");
    let folder = folder(&[("detect/x/my-rule.sql", &sql), ("detect/x/my-rule.test", TEST)]);
    let kept = tempfile::tempdir().unwrap();
    let options = Options { keep: Some(kept.path()), ..COMPARE };
    assert_eq!(check_folder(folder.path(), &[], &load, options).faults.len(), 0);
    let text = |name: &str| std::fs::read_to_string(kept.path().join("my-rule").join(name)).unwrap();
    assert!(text("rows.ndjson").contains(r#""event_ids":"e1,e2""#), "{}", text("rows.ndjson"));
    assert!(text("explain.txt").contains("my-rule/events/*/*.parquet"), "{}", text("explain.txt"));
    // What is there is never replaced.
    let faults = check_folder(folder.path(), &[], &load, options).faults;
    assert!(faults.iter().any(|fault| fault.to_string().contains("create a folder for the test")), "{faults:?}");
}

#[test]
fn a_views_columns_are_documented() {
    let view = "-- title: t\n-- description: d\n-- reads: events\n-- column: key_arn: The key.\n\
        SELECT e.key_arn, COUNT(*) AS n FROM events AS e GROUP BY e.key_arn ORDER BY key_arn";
    finds(&[("views/my_view.sql", view)], &["the `column:` lines are key_arn and the columns key_arn, n"]);
}

#[test]
fn the_results_of_a_case_are_tables_like_the_others() {
    let cte = format!(
        "{HEADER}{}",
        SELECT.replace("WITH disablings", "WITH incidents").replace("disablings AS d", "incidents AS d")
    );
    let early = "-- title: t\n-- description: d\n-- reads: findings\n-- column: rule: The rule.\n\
        SELECT f.rule FROM findings AS f ORDER BY rule";
    let late = early.replace("-- column: rule: The rule.\n", "");
    let name = "-- title: t\n-- description: d\n-- reads: events\n-- column: event_id: The event.\n\
        SELECT e.event_id FROM events AS e ORDER BY event_id";
    finds(
        &[("detect/x/my-cte.sql", &cte), ("views/my_early.sql", early), ("views/reviews.sql", name)],
        &[
            "detect/x/my-cte.sql, line 9: the CTE `incidents` has the name of a table",
            "views/my_early.sql, line 1: it reads `findings`, which is made from",
            "views/reviews.sql, line 0: a case has a table `reviews`",
        ],
    );
    assert_eq!(check(&[("investigate/my-late.sql", &late)]), Vec::<String>::new());
}
