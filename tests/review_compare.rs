//! Incidents, reviews and comparisons: what a case says as a whole, and what changed since the last one.
//!
//! In: the sample logs, whole and up to the day before the attack, and a few records with hostile names. Out: the tables
//! `incidents` and `reviews`, and the commands `incidents`, `review` and `compare`. The grouping of findings is done a
//! second time here, by comparing every pair; the counts of the scorecard are taken from the table.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use support::corpus::KEY_B;
use support::sample::{BEFORE, Json, SMALL, WHOLE, lines, list, number, root, sample};
use support::{Run, cell, csv, keytrail, names, parquet_rows, put, text, tree};
use tempfile::TempDir;

const DAY: i64 = 86_400;

/// Best first.
const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

const REVIEWS: &str = "review,title,controls,subject,result,severity,first_time,last_time,account_id,region,key_arn,\
                       principal,event_count,summary,details,event_ids";

const CAVEAT: &str = "Evidence in logs only: absence is not proof.";

/// A command over one case.
#[track_caller]
fn ask(command: &str, case: &Path, options: &[&str]) -> Run {
    keytrail(&[&[command, "--case", case.to_str().unwrap()], options].concat())
}

#[track_caller]
fn compare(old: &Path, new: &Path, options: &[&str]) -> Run {
    keytrail(&[&["compare", old.to_str().unwrap(), new.to_str().unwrap()], options].concat())
}

fn rank(severity: &str) -> usize {
    SEVERITIES.iter().position(|other| *other == severity).unwrap()
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

/// The incident that a finding names in its details.
fn incident_of(finding: &Json) -> i64 {
    let details: Value = serde_json::from_str(&text(finding, "details")).unwrap();
    details["incident"].as_i64().unwrap()
}

fn epoch(row: &Json, column: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(&text(row, column)).unwrap().timestamp()
}

/// Shared events, or the same principal and key within 24 hours.
fn tell_of_one_act(a: &Json, b: &Json) -> bool {
    let (ids, others) = (list(a, "event_ids"), list(b, "event_ids"));
    let same = |column: &str| !text(a, column).is_empty() && text(a, column) == text(b, column);
    let gap = (epoch(b, "first_time") - epoch(a, "last_time")).max(epoch(a, "first_time") - epoch(b, "last_time"));
    ids.iter().any(|id| others.contains(id)) || (same("principal") && same("key_arn") && gap <= DAY)
}

/// The least member of each finding's group, found by comparing all pairs until nothing changes.
fn groups(findings: &[Json]) -> Vec<usize> {
    let mut labels: Vec<usize> = (0..findings.len()).collect();
    loop {
        let mut is_settled = true;
        for i in 0..findings.len() {
            for j in 0..findings.len() {
                if labels[j] < labels[i] && tell_of_one_act(&findings[i], &findings[j]) {
                    labels[i] = labels[j];
                    is_settled = false;
                }
            }
        }
        if is_settled {
            return labels;
        }
    }
}

#[test]
fn findings_of_one_act_and_no_others_have_one_incident() {
    let findings = lines(&WHOLE, "findings.ndjson");
    let labels = groups(&findings);
    let pairs: BTreeSet<(usize, i64)> = labels.iter().copied().zip(findings.iter().map(incident_of)).collect();
    let by_label: BTreeMap<usize, i64> = pairs.iter().copied().collect();
    let by_incident: BTreeMap<i64, usize> = pairs.iter().map(|(label, incident)| (*incident, *label)).collect();
    assert_eq!(pairs.len(), by_label.len(), "one act has two incidents: {pairs:?}");
    assert_eq!(pairs.len(), by_incident.len(), "one incident has two acts: {pairs:?}");
    assert!((5..findings.len()).contains(&pairs.len()), "the property proved nothing: {pairs:?}");
}

#[test]
fn the_incidents_table_agrees_with_the_findings() {
    let case = &*WHOLE;
    let (findings, incidents) = (lines(case, "findings.ndjson"), lines(case, "incidents.ndjson"));
    let numbers: Vec<i64> = incidents.iter().map(|incident| number(incident, "incident")).collect();
    assert_eq!(numbers, (1..=i64::try_from(incidents.len()).unwrap()).collect::<Vec<_>>());
    let counted: i64 = incidents.iter().map(|incident| number(incident, "finding_count")).sum();
    assert_eq!(counted, i64::try_from(findings.len()).unwrap(), "every finding belongs to one incident");
    for incident in &incidents {
        let members: Vec<&Json> =
            findings.iter().filter(|finding| incident_of(finding) == number(incident, "incident")).collect();
        let all = |column: &str| -> BTreeSet<String> {
            members.iter().map(|member| text(member, column)).filter(|text| !text.is_empty()).collect()
        };
        assert_eq!(number(incident, "finding_count"), i64::try_from(members.len()).unwrap(), "{incident:?}");
        let worst = members.iter().map(|member| rank(&text(member, "severity"))).max();
        assert_eq!(Some(rank(&text(incident, "severity"))), worst, "{incident:?}");
        assert!(all("summary").contains(&text(incident, "summary")), "{incident:?}");
        assert_eq!(Some(text(incident, "first_time")), all("first_time").into_iter().next(), "{incident:?}");
        assert_eq!(Some(text(incident, "last_time")), all("last_time").into_iter().next_back(), "{incident:?}");
        let ids: BTreeSet<String> = members.iter().flat_map(|member| list(member, "event_ids")).collect();
        assert_eq!(number(incident, "event_count"), i64::try_from(ids.len()).unwrap(), "{incident:?}");
        let rules: Vec<String> = text(incident, "rules").split(',').map(str::to_owned).collect();
        assert_eq!(rules, all("rule").into_iter().collect::<Vec<_>>(), "{incident:?}");
        for (column, of) in [
            ("principals", "principal"),
            ("key_arns", "key_arn"),
            ("account_ids", "account_id"),
            ("source_ips", "source_ip"),
        ] {
            assert_eq!(list(incident, column), all(of).into_iter().collect::<Vec<_>>(), "{column}: {incident:?}");
        }
        is_story_of(incident, &members);
    }
    let order = |incident: &Json| rank(&text(incident, "severity"));
    assert!(incidents.windows(2).all(|pair| order(&pair[0]) >= order(&pair[1])), "the worst come first");
}

/// The storyline has each finding once, in the order of time.
#[track_caller]
fn is_story_of(incident: &Json, members: &[&Json]) {
    let story = list(incident, "storyline");
    assert!(story.is_sorted_by_key(|line| line.split(' ').next()), "the order of time: {story:?}");
    let step = |member: &&Json| {
        let cell = |column: &str| text(member, column);
        format!("{} {} {}: {}", cell("first_time"), cell("severity"), cell("rule"), cell("summary"))
    };
    assert_eq!(sorted(story), sorted(members.iter().map(step)));
}

#[test]
fn the_night_of_the_magpie_is_one_incident() {
    let incidents = lines(&WHOLE, "incidents.ndjson");
    let night = &incidents[0];
    let (rules, keys, story) = (text(night, "rules"), text(night, "key_arns"), list(night, "storyline"));
    for rule in ["ct-trail-disabled", "kms-grant-to-external-account", "kms-ransom-chain", "kms-active-key-destroyed"] {
        assert!(rules.split(',').any(|other| other == rule), "{rule} is not in {rules}");
    }
    for key in ["1ed6e400", "bad0e660", "5ea51de0", "c0570350", "7e1e3e70"] {
        assert!(keys.contains(key), "{key} is not in {keys}");
    }
    let place = |rule: &str| story.iter().position(|line| line.contains(&format!(" {rule}: "))).unwrap();
    assert!(place("ct-trail-disabled") < place("kms-ransom-chain"), "{story:?}");
    assert!(place("kms-ransom-chain") < place("kms-key-deletion-short-window"), "{story:?}");
    assert_eq!(text(night, "severity"), "critical");
    let quiet = "kms-rotation-disabled";
    assert!(!rules.contains(quiet) && incidents.iter().any(|incident| text(incident, "rules") == quiet), "{rules}");
}

#[test]
fn threads_do_not_change_incidents_or_reviews() {
    let again = sample("again", &["--jobs", "1"]);
    for name in ["findings", "incidents", "reviews"] {
        for ending in ["parquet", "csv", "ndjson"] {
            let file = format!("{name}.{ending}");
            let [four, one] = [&*WHOLE, &again].map(|case| fs::read(case.join(&file)).unwrap());
            assert!(four.len() > 100 && four == one, "{file} differs with 1 and 4 threads");
        }
    }
    let run = compare(&WHOLE, &again, &["--format", "csv"]).code(0);
    assert_eq!(run.text(), "kind,change,subject,old_state,new_state,note\n", "equal cases");
    assert!(run.stderr.contains("no differences"), "{}", run.report());
}

#[test]
fn incidents_are_told_as_stories_or_given_as_rows() {
    let case = &*WHOLE;
    let incidents = lines(case, "incidents.ndjson");
    let run = ask("incidents", case, &[]).code(0);
    let shown = run.text();
    let heads: Vec<&str> = shown.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(heads.len(), incidents.len(), "{}", run.report());
    for (head, incident) in heads.iter().zip(&incidents) {
        let [n, severity, first, last] =
            ["incident", "severity", "first_time", "last_time"].map(|column| text(incident, column));
        assert!(head.starts_with(&format!("#{n} {severity} {first} to {last}")), "{head}");
        assert!(list(incident, "storyline").iter().all(|line| shown.contains(&format!("\n  {line}\n"))), "{head}");
    }
    let one = ask("incidents", case, &["3"]).code(0).text();
    assert!(one.starts_with("#3 ") && one.lines().filter(|line| line.starts_with('#')).count() == 1, "{one}");
    assert!(shown.contains(&one), "one of many is told in the same words: {one}");
    for format in ["csv", "ndjson"] {
        let file = fs::read_to_string(case.join(format!("incidents.{format}"))).unwrap();
        assert_eq!(ask("incidents", case, &["--format", format]).code(0).text(), file, "{format}");
    }
    assert_eq!(ask("incidents", case, &["2", "--format", "ndjson"]).code(0).rows(), incidents[1..2]);
}

#[test]
fn an_incident_that_is_not_there_is_refused() {
    for unknown in ["0", "9999", "first"] {
        let run = ask("incidents", &WHOLE, &[unknown]).code(1);
        assert!(run.stdout.is_empty() && run.stderr.contains(unknown), "{}", run.report());
    }
    let place = TempDir::new().unwrap();
    let run = ask("incidents", place.path(), &[]).code(1);
    assert!(run.stderr.contains("not a case"), "{}", run.report());
}

/// A case from before there were incidents is named, and what to do about it.
#[test]
fn a_case_without_incidents_says_so() {
    let place = TempDir::new().unwrap();
    let old = copy_without(&WHOLE, &place, "incidents");
    let run = ask("incidents", &old, &[]).code(1);
    assert!(run.stderr.contains("analyze"), "{}", run.report());
}

/// A copy of a case in which one table of the case folder is missing.
fn copy_without(case: &Path, place: &TempDir, name: &str) -> PathBuf {
    let copy = place.path().join("old");
    for (path, bytes) in tree(case) {
        if path != Path::new(&format!("{name}.parquet")) {
            put(&copy.join(path), bytes);
        }
    }
    copy
}

/// How often each review gave each result in the case's table.
fn results(case: &Path) -> BTreeMap<(String, String), i64> {
    let mut counts = BTreeMap::new();
    for row in parquet_rows(&case.join("reviews.parquet")) {
        *counts.entry((cell(&row, "review").to_owned(), cell(&row, "result").to_owned())).or_default() += 1;
    }
    counts
}

#[test]
fn the_scorecard_lists_every_review_with_the_counts_of_the_table() {
    let case = &*WHOLE;
    let files = names(&root().join("queries/review"));
    let reviews: Vec<&str> = files.iter().filter_map(|name| name.strip_suffix(".sql")).collect();
    let rows = ask("review", case, &["--format", "ndjson"]).code(0).rows();
    assert_eq!(rows.iter().map(|row| text(row, "review")).collect::<Vec<_>>(), reviews);
    let counts = results(case);
    for row in &rows {
        let count = |result: &str| counts.get(&(text(row, "review"), result.to_owned())).copied().unwrap_or(0);
        let [failed, passed, unknown] = ["fail", "pass", "unknown"].map(count);
        let told = ["failed", "passed", "unknown"].map(|column| number(row, column));
        assert_eq!(told, [failed, passed, unknown], "{row:?}");
        let expected = if failed > 0 {
            "fail"
        } else if passed > 0 {
            "pass"
        } else {
            "unknown"
        };
        assert_eq!(text(row, "result"), expected, "{row:?}");
        assert_eq!(text(row, "severity").is_empty(), failed == 0, "a severity is that of failures: {row:?}");
    }
    let controls = rows.iter().map(|row| text(row, "controls")).collect::<Vec<_>>().join(", ");
    for control in ["CIS AWS Foundations", "FSBP KMS.1", "KMS.2", "KMS.3", "KMS.4", "KMS.5", "PCI DSS"] {
        assert!(controls.contains(control), "no review is mapped to {control}: {controls}");
    }
    let run = ask("review", case, &[]).code(0);
    let shown = run.text();
    assert_eq!(shown.lines().next(), Some(CAVEAT), "{}", run.report());
    assert_eq!(shown.lines().count(), 2 + reviews.len(), "the caveat, the head, the reviews\n{}", run.report());
    assert!(reviews.iter().all(|review| shown.contains(&format!("\n{review} "))), "{}", run.report());
}

#[test]
fn results_are_honest_about_what_the_logs_show() {
    let rows = parquet_rows(&WHOLE.join("reviews.parquet"));
    let result_of = |review: &str, subject: &str| {
        let found = rows.iter().filter(|row| cell(row, "review") == review && cell(row, "subject").contains(subject));
        found.map(|row| cell(row, "result")).collect::<Vec<_>>()
    };
    assert_eq!(result_of("kms-rotation-evidence", "de907e00"), ["fail"], "the pipeline switched it off");
    assert_eq!(result_of("kms-rotation-evidence", "5ea51de0"), ["unknown"], "no event tells");
    assert_eq!(result_of("kms-grant-hygiene", "1ed6e400"), ["fail"], "the door for later");
    assert_eq!(result_of("kms-multi-region-consistency", "mrk-5ec2e75a"), ["fail"], "the replica's policy differs");
    for row in &rows {
        let (result, severity) = (cell(row, "result"), cell(row, "severity"));
        assert!(["pass", "fail", "unknown"].contains(&result) && !cell(row, "subject").is_empty(), "{row:?}");
        assert!(result == "fail" || severity == "info", "only a failure has a severity: {row:?}");
        assert!(cell(row, "summary").len() > 20, "the evidence is told: {row:?}");
        assert!(result != "fail" || cell(row, "event_ids") != "[]", "a failure names its events: {row:?}");
    }
    let subjects: BTreeSet<_> = rows.iter().map(|row| (cell(row, "review"), cell(row, "subject"))).collect();
    assert_eq!(subjects.len(), rows.len(), "a subject is judged once by each review");
}

#[test]
fn every_result_is_given_with_all_columns() {
    let case = &*WHOLE;
    for format in ["csv", "ndjson"] {
        let run = ask("review", case, &["--rows", "--format", format]).code(0);
        let file = fs::read_to_string(case.join(format!("reviews.{format}"))).unwrap();
        assert!(run.text() == file, "{format}: the command and the case's file differ\n{}", run.report());
        assert!(run.stderr.contains(CAVEAT), "{}", run.report());
    }
    let csv = ask("review", case, &["--rows", "--format", "csv", "--quiet"]).code(0);
    assert_eq!(csv.text().lines().next(), Some(REVIEWS));
    assert_eq!(csv.stderr, "");
    let id = "kms-tagging";
    let one = ask("review", case, &[id, "--format", "ndjson"]).code(0).rows();
    let expected: i64 = results(case).iter().filter(|((review, _), _)| review == id).map(|(_, count)| count).sum();
    assert_eq!(i64::try_from(one.len()).unwrap(), expected);
    assert!(one.iter().all(|row| text(row, "review") == id));
    let shown = ask("review", case, &[id]).code(0).text();
    assert!(shown.starts_with(CAVEAT) && shown.lines().count() == 2 + one.len(), "{shown}");
}

#[test]
fn fail_on_is_met_by_failures_of_that_severity() {
    let case = &*WHOLE;
    let failures = |id: &str| {
        let rows = parquet_rows(&case.join("reviews.parquet"));
        let failed = rows.iter().filter(|row| cell(row, "result") == "fail" && cell(row, "review").contains(id));
        failed.map(|row| rank(cell(row, "severity"))).max()
    };
    let some = ["medium", "high"];
    for (id, severities) in [("", &some[..]), ("kms-tagging", &SEVERITIES), ("kms-transport-posture", &SEVERITIES[..1])]
    {
        let chosen: &[&str] = if id.is_empty() { &[] } else { &[id] };
        for severity in severities {
            let expected = if failures(id).is_some_and(|worst| worst >= rank(severity)) { 3 } else { 0 };
            let run = ask("review", case, &[chosen, &["--fail-on", severity]].concat()).code(expected);
            assert!(run.text().starts_with(CAVEAT), "the scorecard is shown all the same\n{}", run.report());
        }
    }
    assert_eq!((failures(""), failures("kms-tagging")), (Some(2), Some(1)), "both exit codes were seen");
}

#[test]
fn a_review_that_is_not_there_is_refused() {
    for unknown in ["kms-no-such-review", "kms-decrypt-burst", "keys"] {
        let run = ask("review", &WHOLE, &[unknown]).code(1);
        assert!(run.stdout.is_empty() && run.stderr.contains(unknown), "{}", run.report());
    }
}

/// A review of somebody's own: keys without an alias.
fn own_review(reads: &str) -> String {
    format!(
        "-- title: Keys have a name\n-- severity: high\n-- controls: House rule 7\n-- description: Whether a key has an alias.\n\
         -- false-positives: None.\n-- blind-spots: Evidence in logs only: absence is not proof.\n-- reads: {reads}\n\
         -- params: aliases_wanted = 1\n\
         SELECT k.first_time, k.last_time, k.key_account_id AS account_id, k.key_region AS region, k.key_arn, \
         CAST(NULL AS STRING) AS principal, CAST(NULL AS STRING) AS source_ip, k.event_count, \
         CASE WHEN k.alias_count >= p.aliases_wanted THEN 'info' ELSE 'high' END AS severity, \
         k.key_arn || ' has aliases: ' || CAST(k.alias_count AS STRING) || '.' AS summary, '' AS event_ids, \
         k.key_arn AS subject, CASE WHEN k.alias_count >= p.aliases_wanted THEN 'pass' ELSE 'fail' END AS result \
         FROM {reads} AS k CROSS JOIN params AS p WHERE k.is_home ORDER BY subject\n"
    )
}

#[test]
fn reviews_of_ones_own_stand_beside_the_built_in_ones() {
    let (case, place) = (&*WHOLE, TempDir::new().unwrap());
    let folder = place.path().to_str().unwrap();
    put(&place.path().join("review/house-names.sql"), own_review("keys"));
    let line = |options: &[&str]| {
        let rows = ask("review", case, &[&["--queries", folder, "--format", "ndjson"], options].concat()).rows();
        rows.into_iter().find(|row| text(row, "review") == "house-names").unwrap()
    };
    let keys = parquet_rows(&case.join("tables/keys.parquet"));
    let at_home = keys.iter().filter(|key| cell(key, "is_home") == "true");
    let named: Vec<bool> = at_home.map(|row| cell(row, "alias_count") != "0").collect();
    let expected = |wanted: bool| i64::try_from(named.iter().filter(|named| **named == wanted).count()).unwrap();
    let own = line(&[]);
    assert_eq!((number(&own, "failed"), number(&own, "passed")), (expected(false), expected(true)));
    assert_eq!((text(&own, "result").as_str(), text(&own, "controls").as_str()), ("fail", "House rule 7"));
    let own = line(&["--set", "aliases_wanted=0"]);
    assert_eq!((number(&own, "failed"), text(&own, "result").as_str()), (0, "pass"), "a parameter counts");
    let chosen = ["house-names", "--queries", folder];
    ask("review", case, &[&chosen[..], &["--fail-on", "high"]].concat()).code(3);
    ask("review", case, &[&chosen[..], &["--fail-on", "critical"]].concat()).code(0);
}

/// One review that cannot run takes neither the others with it nor the exit code of a review that was asked for by name.
#[test]
fn a_review_that_cannot_run_is_named() {
    let (case, place) = (&*WHOLE, TempDir::new().unwrap());
    let folder = place.path().to_str().unwrap();
    put(&place.path().join("review/house-broken.sql"), own_review("no_such_table"));
    let run = ask("review", case, &["--queries", folder]).code(2);
    assert!(run.stderr.contains("house-broken"), "{}", run.report());
    assert!(run.text().contains("kms-tagging") && run.text().contains("house-broken"), "{}", run.report());
    assert_eq!(ask("review", case, &["--queries", folder, "--quiet"]).code(2).stderr, "");
    ask("review", case, &["kms-tagging", "--queries", folder]).code(0);
    let run = ask("review", case, &["house-broken", "--queries", folder]).code(1);
    assert!(run.stderr.contains("house-broken"), "{}", run.report());
}

/// The rows of a comparison.
#[track_caller]
fn changes(old: &Path, new: &Path) -> Vec<Json> {
    let run = compare(old, new, &["--format", "ndjson"]).code(0);
    assert!(run.stderr.contains("no proof"), "gone is explained\n{}", run.report());
    run.rows()
}

/// The rows of a kind and change whose subjects contain all these texts.
fn found<'r>(rows: &'r [Json], kind: &str, change: &str, parts: &[&str]) -> Vec<&'r Json> {
    let is_wanted = |row: &&Json| {
        let subject = text(row, "subject");
        text(row, "kind") == kind && text(row, "change") == change && parts.iter().all(|part| subject.contains(part))
    };
    rows.iter().filter(is_wanted).collect()
}

#[test]
fn what_the_night_brought_is_new() {
    let rows = changes(&BEFORE, &WHOLE);
    let one = |kind: &str, change: &str, parts: &[&str]| {
        let found = found(&rows, kind, change, parts);
        assert_eq!(found.len(), 1, "{kind} {change} {parts:?}: {rows:?}");
        found[0].clone()
    };
    for key in ["key/bad0e660-", "key/10cced00-", "key/5a1b0bed-", "us-west-2:111122223333:key/mrk-5ec2e75a"] {
        one("key", "new", &[key]);
    }
    assert_eq!(found(&rows, "key", "new", &[]).len(), 4, "{rows:?}");
    one("principal", "new", &["account:777788889999/"]);
    one("pair", "new", &["role/dispatch-api on ", "key/bad0e660-"]);
    one("pair", "new", &["account:777788889999/", "key/1ed6e400-"]);
    let grant = one("grant", "new", &["0ddba11feed", "key/1ed6e400-"]);
    assert_eq!(text(&grant, "new_state"), "open");
    assert!(text(&grant, "note").contains("arn:aws:iam::777788889999:role/magpie-nest"), "{grant:?}");
    let alias = one("alias", "new", &["alias/fleet-telemetery in 111122223333 us-east-1"]);
    assert!(text(&alias, "new_state").contains("key/bad0e660-"), "{alias:?}");
    for (rule, key, severity) in [
        ("kms-ransom-chain", "bad0e660", "critical"),
        ("kms-grant-to-external-account", "1ed6e400", "critical"),
        ("kms-key-disabled", "7e1e3e70", "high"),
        ("kms-log-archive-decrypt", "7a11c0de", "medium"),
    ] {
        let finding = one("finding", "new", &[&format!("{rule} on "), key]);
        assert_eq!(text(&finding, "new_state"), severity, "{finding:?}");
        assert!(text(&finding, "old_state").is_empty() && text(&finding, "note").ends_with('.'), "{finding:?}");
    }
    for planned in ["kms-rotation-disabled", "kms-key-deleted", "ct-readwrite-type-blinds-kms-use"] {
        assert_eq!(found(&rows, "finding", "new", &[planned]), Vec::<&Json>::new(), "it was there before");
    }
    let review = one("review", "changed", &["kms-grant-hygiene: ", "key/1ed6e400-"]);
    assert_eq!((text(&review, "old_state").as_str(), text(&review, "new_state").as_str()), ("pass", "fail"));
    one("review", "new", &["kms-rotation-evidence: ", "key/bad0e660-"]);
    for kind in ["key", "principal", "pair", "grant", "alias"] {
        assert_eq!(found(&rows, kind, "gone", &[]), Vec::<&Json>::new(), "nothing was lost by reading more");
    }
}

/// Each new subject is one that only the newer table has, and all of them are there.
#[test]
fn new_and_gone_are_the_differences_of_the_tables() {
    let rows = changes(&BEFORE, &WHOLE);
    for (kind, table, columns) in [
        ("key", "keys", &["key_arn"][..]),
        ("principal", "principals", &["principal"]),
        ("pair", "pairs", &["principal", "key_arn"]),
        ("grant", "grants", &["grant_id", "key_arn"]),
    ] {
        let subjects = |case: &Path| -> BTreeSet<String> {
            let rows = parquet_rows(&case.join("tables").join(format!("{table}.parquet")));
            rows.iter()
                .map(|row| columns.iter().map(|column| cell(row, column)).collect::<Vec<_>>().join(" on "))
                .collect()
        };
        let (old, new) = (subjects(&BEFORE), subjects(&WHOLE));
        let told: BTreeSet<String> = found(&rows, kind, "new", &[]).iter().map(|row| text(row, "subject")).collect();
        assert_eq!(told, new.difference(&old).cloned().collect(), "{kind}");
    }
    let known = ["key", "principal", "pair", "grant", "alias", "finding", "review"];
    assert!(rows.iter().all(|row| known.contains(&text(row, "kind").as_str())));
    assert!(rows.iter().all(|row| text(row, "change") != "changed" || row["old_state"] != row["new_state"]));
}

#[test]
fn the_other_way_round_new_is_gone() {
    let there = changes(&BEFORE, &WHOLE);
    let back = changes(&WHOLE, &BEFORE);
    let turned = |row: &Json| {
        let change = match text(row, "change").as_str() {
            "new" => "gone".to_owned(),
            "gone" => "new".to_owned(),
            other => other.to_owned(),
        };
        [text(row, "kind"), change, text(row, "subject"), text(row, "new_state"), text(row, "old_state")]
    };
    let plain = |row: &Json| ["kind", "change", "subject", "old_state", "new_state"].map(|column| text(row, column));
    assert_eq!(sorted(back.iter().map(plain)), sorted(there.iter().map(turned)));
}

#[test]
fn the_forms_of_a_comparison_agree() {
    let rows = changes(&BEFORE, &WHOLE);
    let table = compare(&BEFORE, &WHOLE, &[]).code(0);
    assert_eq!(table.text().lines().count(), rows.len() + 1, "{}", table.report());
    let csv = compare(&BEFORE, &WHOLE, &["--format", "csv", "--quiet"]).code(0);
    assert!(csv.text().starts_with("kind,change,subject,old_state,new_state,note\n") && csv.stderr.is_empty());
    let json: Vec<Json> =
        serde_json::from_slice(&compare(&BEFORE, &WHOLE, &["--format", "json"]).code(0).stdout).unwrap();
    assert_eq!(json, rows);
    let count = format!("grant new: {}", found(&rows, "grant", "new", &[]).len());
    assert!(table.stderr.contains(&count), "{}", table.report());
}

#[test]
fn a_folder_that_is_no_case_is_refused() {
    let place = TempDir::new().unwrap();
    for (old, new) in [(place.path(), WHOLE.as_path()), (&*WHOLE, place.path()), (&*WHOLE, &place.path().join("none"))]
    {
        let run = compare(old, new, &[]).code(1);
        assert!(run.stdout.is_empty() && run.stderr.contains("not a case"), "{}", run.report());
    }
}

/// A case of an older version has fewer tables: the others are compared, and the missing one is named.
#[test]
fn a_case_without_reviews_is_compared_as_far_as_possible() {
    let place = TempDir::new().unwrap();
    let old = copy_without(&BEFORE, &place, "reviews");
    for (old, new, change) in [(&old, &*WHOLE, "new"), (&*WHOLE, &old, "gone")] {
        let run = compare(old, new, &["--format", "ndjson"]).code(2);
        assert!(run.stderr.contains("reviews"), "{}", run.report());
        let rows = run.rows();
        assert_eq!(found(&rows, "key", change, &["key/bad0e660-"]).len(), 1, "{}", run.report());
        assert!(rows.iter().all(|row| text(row, "kind") != "review"), "{}", run.report());
    }
}

#[test]
fn parquet_is_refused_before_any_work() {
    for command in ["incidents", "review"] {
        ask(command, &WHOLE, &["--format", "parquet"]).code(1);
    }
    compare(&BEFORE, &WHOLE, &["--format", "parquet"]).code(1);
}

#[test]
fn a_case_without_findings_has_no_incidents() {
    let quiet = &SMALL[0];
    assert_eq!(ask("incidents", quiet, &[]).code(0).text(), "no incidents\n");
    assert_eq!(ask("incidents", quiet, &["--format", "json"]).code(0).text(), "[]\n");
    ask("incidents", quiet, &["1"]).code(1);
    assert_eq!(parquet_rows(&quiet.join("incidents.parquet")), []);
}

#[test]
fn hostile_names_are_defused_in_every_answer() {
    let [old, _, new] = &*SMALL;
    let mut told = Vec::new();
    for (what, run, wants_alias) in [
        ("incidents", ask("incidents", new, &[]), false),
        ("review", ask("review", new, &["--rows"]), true),
        ("compare", compare(old, new, &[]), true),
    ] {
        let shown = run.code(0).text();
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(steers), "{what}: {shown:?}");
        assert!(shown.contains("\\u{1b}[2J\\u{202e}gpj"), "{what}: the name is not shown: {shown}");
        assert!(!wants_alias || shown.contains("alias/pay\\u{1b}]0;x\\u{7}"), "{what}: no alias: {shown}");
    }
    told.push(ask("incidents", new, &["--format", "csv"]).code(0).text());
    told.push(ask("review", new, &["--rows", "--format", "csv"]).code(0).text());
    told.push(compare(old, new, &["--format", "csv"]).code(0).text());
    told.extend(["incidents.csv", "reviews.csv"].map(|name| fs::read_to_string(new.join(name)).unwrap()));
    for text in told {
        let cells: Vec<String> = csv(&text).concat();
        assert!(cells.iter().any(|cell| cell.starts_with("'=HYPERLINK(\"http")), "the proof is missing: {text}");
        let formula = cells.iter().find(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
        assert_eq!(formula, None, "{text}");
    }
    let rows = changes(old, new);
    let caller = found(&rows, "principal", "new", &["=HYPERLINK"]);
    assert!(text(caller[0], "subject").starts_with("=HYPERLINK(\"http"), "only the output is defused, not the data");
}

/// The same caller does the same once more: one subject, and still something new.
#[test]
fn one_more_finding_of_a_known_kind_is_a_change() {
    let [_, once, twice] = &*SMALL;
    let rows = changes(once, twice);
    let more = found(&rows, "finding", "changed", &["kms-key-deletion-short-window on ", KEY_B, "user/Alice"]);
    assert_eq!(more.len(), 1, "{rows:?}");
    let (before, after) = (text(more[0], "old_state"), text(more[0], "new_state"));
    assert_eq!(after, format!("{before} x 2"), "{more:?}");
}
