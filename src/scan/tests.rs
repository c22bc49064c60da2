//! The scanner against its slow twin, against hostile text, and against itself with other chunk sizes.

use super::*;
use crate::json;
use proptest::prelude::*;

/// Keeps everything; says "malformed" to what is not JSON.
#[derive(Default, Debug, PartialEq, Eq)]
struct Kept {
    records: Vec<(u64, u64, String)>,
    skips: Vec<Skip>,
}

impl Sink for Kept {
    fn record(&mut self, record: RawRecord<'_>) -> Verdict {
        let text = String::from_utf8_lossy(record.bytes).into_owned();
        if json::parse(&text).is_err() {
            return Verdict::Malformed;
        }
        self.records.push((record.number, record.offset, text));
        Verdict::Accepted
    }
    fn skip(&mut self, skip: Skip) {
        self.skips.push(skip);
    }
}

impl Kept {
    fn texts(&self) -> Vec<&str> {
        self.records.iter().map(|(_, _, text)| text.as_str()).collect()
    }
}

/// Scans `text` in chunks, and checks what must hold for any text.
#[track_caller]
fn scan_with(scanner: &mut Scanner, text: &[u8], chunk: usize, torn: bool) -> (Kept, Summary) {
    let mut kept = Kept::default();
    for part in text.chunks(chunk.max(1)) {
        scanner.feed(part, &mut kept);
    }
    let summary = scanner.finish(torn, &mut kept);
    scanner.reset();
    assert_eq!(summary.bytes_total, text.len() as u64);
    assert_eq!(summary.bytes_total, summary.bytes_in_records + summary.bytes_skipped + summary.bytes_envelope);
    assert_eq!(summary.records, kept.records.len() as u64);
    assert_eq!(summary.bytes_skipped, kept.skips.iter().map(|skip| skip.length).sum::<u64>());
    let mut behind = 0;
    for (i, (number, offset, record)) in kept.records.iter().enumerate() {
        assert_eq!(*number, i as u64);
        assert!(*offset >= behind, "records overlap");
        behind = *offset + 1;
        let raw = &text[*offset as usize..];
        assert!(
            raw[0] == b'"' || String::from_utf8_lossy(&raw[..record.len().min(raw.len())]).starts_with(&record[..1])
        );
    }
    let mut behind = 0;
    for skip in &kept.skips {
        assert!(skip.offset >= behind && skip.offset + skip.length <= summary.bytes_total, "skips overlap");
        behind = skip.offset + skip.length;
    }
    (kept, summary)
}

#[track_caller]
fn scan(text: &[u8]) -> (Kept, Summary) {
    scan_with(&mut Scanner::new(MAX_RECORD), text, usize::MAX, false)
}

/// A full record; `n` tells it from others.
fn record(n: usize) -> String {
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/Alice","sessionContext":{{"attributes":{{}}}}}},"eventTime":"2024-03-05T10:14:07Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"us-west-2","sourceIPAddress":"192.0.2.10","userAgent":"a \"quoted\" {{agent}} \\","requestParameters":null,"eventID":"6f1c0e3a-0000-4000-8000-{n:012}","resources":[{{"ARN":"arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}}]}}"#
    )
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Every envelope around three records.
fn envelopes() -> Vec<(&'static str, String)> {
    let [a, b, c] = [record(1), record(2), record(3)];
    let [qa, qb, qc] = [quoted(&a), quoted(&b), quoted(&c)];
    let pretty =
        |text: &str| serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(text).unwrap()).unwrap();
    let bridge = |record: &str| {
        format!(
            r#"{{"version":"0","id":"x","detail-type":"AWS API Call via CloudTrail","source":"aws.kms","resources":[],"detail":{record}}}"#
        )
    };
    let logs = |one: &str| {
        format!(
            r#"{{"messageType":"DATA_MESSAGE","owner":"111122223333","logEvents":[{{"id":"1","timestamp":1709633647000,"message":{one}}}]}}"#
        )
    };
    vec![
        ("trail", format!(r#"{{"Records":[{a},{b},{c}]}}"#)),
        ("trail with a newline at the end", format!("{{\"Records\":[{a},{b},{c}]}}\n")),
        ("pretty", pretty(&format!(r#"{{"Records":[{a},{b},{c}]}}"#))),
        ("mark", format!("\u{feff}{{\"Records\":[{a},{b},{c}]}}")),
        (
            "other keys",
            format!(
                r#"{{"x":{{"Records":1}},"Recor\u0064s":[{a},{b}] , "y":"]}}","z":[[{{}}]],"Records":[{c}],"n":-1.5e3}}"#
            ),
        ),
        ("array", format!("[{a},\r\n{b},{c}]")),
        ("array of arrays", format!("[[{a}],[],[{b},{c}]]")),
        ("lines", format!("{a}\n{b}\n{c}\n")),
        ("lines with CR", format!("{a}\r\n{b}\r\n{c}")),
        ("lines of envelopes", format!("{{\"Records\":[{a},{b}]}}\n{{\"Records\":[]}}\n{{\"Records\":[{c}]}}\n")),
        ("concatenated records", format!("{a}{b}{c}")),
        ("concatenated envelopes", format!("{{\"Records\":[{a},{b}]}}{{\"Records\":[{c}]}}")),
        (
            "lookup-events",
            format!(
                "{{\"Events\":[{{\"EventId\":\"1\",\"ReadOnly\":\"true\",\"EventTime\":1424476529.0,\"Resources\":[{{\"ResourceName\":\"x\"}}],\"CloudTrailEvent\":{qa}}},{{\"CloudTrailEvent\":{qb},\"EventId\":\"2\"}}],\"NextToken\":\"t\"}}\n{{\"Events\":[{{\"CloudTrailEvent\":{qc}}}]}}"
            ),
        ),
        (
            "lines of lookup-events",
            format!("{{\"CloudTrailEvent\":{qa}}}\n{{\"CloudTrailEvent\":{qb}}}\n{{\"CloudTrailEvent\":{qc}}}"),
        ),
        ("EventBridge lines", format!("{}\n{}\n{}\n", bridge(&a), bridge(&b), bridge(&c))),
        ("EventBridge array", format!("[{},{},{}]", bridge(&a), bridge(&b), bridge(&c))),
        (
            "EventBridge, detail first",
            format!(r#"{{"detail":{a},"detail-type":"x"}}{{"detail":{b},"id":{{"eventName":1}}}}{}"#, bridge(&c)),
        ),
        (
            "subscription",
            format!(
                "{}{{\"messageType\":\"CONTROL_MESSAGE\",\"logEvents\":[{{\"message\":\"CWL CONTROL MESSAGE: Checking health\"}}]}}{}{}",
                logs(&qa),
                logs(&qb),
                logs(&qc)
            ),
        ),
        (
            "filter-log-events",
            format!(
                r#"{{"events":[{{"logStreamName":"s","message":{qa},"eventId":"9"}},{{"message":"START"}},{{"message":{qb}}},{{"message":{qc}}}],"searchedLogStreams":[]}}"#
            ),
        ),
        (
            "Logs Insights",
            format!(
                r#"{{"results":[[{{"field":"@timestamp","value":"2024-03-05 10:14:07.000"}},{{"field":"@message","value":{qa}}},{{"field":"@ptr","value":"x"}}],[{{"value":{qb},"field":"@message"}}],[{{"field":"@message","value":{qc}}}]],"status":"Complete"}}"#
            ),
        ),
        (
            "log export",
            format!("2024-03-05T10:14:07.000Z {a}\n2024-03-05T10:14:07.000Z {b}\n2024-03-05T10:14:08.000Z {c}\n"),
        ),
        ("mixed", format!("{a}\n{}\n[{}]", logs(&qb), bridge(&c))),
    ]
}

#[test]
fn every_envelope_gives_its_records_for_any_chunk_size() {
    let expected = [record(1), record(2), record(3)];
    let mut scanner = Scanner::new(MAX_RECORD);
    for (name, text) in envelopes() {
        assert_eq!(twin::records_slow(text.as_bytes()).len(), 3, "{name}: the twin sees it as well");
        let (whole, total) = scan_with(&mut scanner, text.as_bytes(), usize::MAX, false);
        assert_eq!(whole.skips, [], "{name}");
        assert_eq!(total.kind, ContentKind::Records, "{name}");
        for (found, expected) in whole.texts().iter().zip(&expected) {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(found), value(expected), "{name}");
        }
        assert_eq!(whole.texts(), twin::records_slow(text.as_bytes()), "{name}");
        for chunk in 1..300 {
            assert_eq!(
                (&whole, total),
                (&scan_with(&mut scanner, text.as_bytes(), chunk, false).0, total),
                "{name} {chunk}"
            );
        }
    }
}

#[test]
fn content_without_records_is_recognized() {
    for (text, kind, is_clean) in [
        ("", ContentKind::Empty, true),
        (" \r\n", ContentKind::Empty, true),
        ("\u{feff}", ContentKind::Empty, true),
        (r#"{"Records":[]}"#, ContentKind::Records, true),
        (
            r#"{"awsAccountId":"111122223333","digestStartTime":"x","digestS3Object":"x","logFiles":[{"s3Bucket":"b"}]}"#,
            ContentKind::Digest,
            true,
        ),
        (r#"{"messageType":"CONTROL_MESSAGE","logEvents":[]}"#, ContentKind::Other, true),
        (r#"{"detail-type":"KMS CMK Rotation","source":"aws.kms","detail":{"key-id":"x"}}"#, ContentKind::Other, true),
        (r#"{"Events":[]}"#, ContentKind::Other, true),
        ("Permission Check Successful", ContentKind::Other, true),
        (
            r#"{"eventVersion":"1.07","eventType":"AwsCloudTrailInsight","insightDetails":{}}"#,
            ContentKind::Insight,
            true,
        ),
        (r#"[{"eventVersion":"1.11","eventType":"AwsAggregatedEvent","eventId":"x"}]"#, ContentKind::Aggregated, true),
        (r#"{"QueryStatus":"FINISHED","QueryResultRows":[[{"eventID":"x"}]]}"#, ContentKind::Unrecognized, false),
        ("date,user\n2024-03-05,alice\n", ContentKind::Unrecognized, false),
        ("null", ContentKind::Unrecognized, false),
        ("{}", ContentKind::Unrecognized, false),
        (r#"{"a":1}"#, ContentKind::Unrecognized, false),
        ("[1]", ContentKind::Other, false),
    ] {
        let (kept, summary) = scan(text.as_bytes());
        assert_eq!(summary.kind, kind, "{text}");
        assert_eq!(kept.skips.is_empty(), is_clean, "{text}: {:?}", kept.skips);
    }
}

/// Texts of the records found, as their numbers, and the skips as `kind offset+length`.
fn outline(text: &str) -> String {
    let (kept, summary) = scan(text.as_bytes());
    let mut scanner = Scanner::new(MAX_RECORD);
    for chunk in [1, 2, 7, 64, 65, 333, 1000] {
        assert_eq!(
            (&kept, summary),
            (&scan_with(&mut scanner, text.as_bytes(), chunk, false).0, summary),
            "chunks of {chunk}"
        );
    }
    let numbers: Vec<String> = kept
        .texts()
        .iter()
        .map(|text| {
            json::parse(text)
                .unwrap()
                .get("eventID")
                .as_str()
                .unwrap_or("?")
                .trim_start_matches("6f1c0e3a-0000-4000-8000-")
                .trim_start_matches('0')
                .to_owned()
        })
        .collect();
    let skips: Vec<String> =
        kept.skips.iter().map(|skip| format!("{} {}+{}", skip.kind.as_str(), skip.offset, skip.length)).collect();
    format!("{} | {}", numbers.join(","), skips.join(", "))
}

#[test]
fn one_broken_record_does_not_lose_its_neighbors() {
    let (a, b, c, d) = (record(1), record(2), record(3), record(4));
    let n = b.len();
    let at = a.len() + 13;
    let damaged = [
        ("a bracket is missing", b.replace("\"attributes\":{}}}", "\"attributes\":{}")),
        ("a bracket too many", b.replace("\"resources\":", "}\"resources\":")),
        ("a quote is missing", b.replace("\"Decrypt\"", "\"Decrypt")),
        ("a quote too many", b.replace("\"Decrypt\"", "\"Dec\"rypt\"")),
        ("a colon is missing", b.replace("\"eventName\":", "\"eventName\"")),
        ("the end is missing", b[..n / 2].to_owned()),
        ("the beginning is missing", b[n / 2..].to_owned()),
        ("the end is missing inside a string", b[..b.find("crypt").unwrap()].to_owned()),
        ("zeros", b.replace("eventName", "\0\0\0\0\0\0\0\0\0")),
        ("a number", "17".to_owned()),
        ("a string", "\"x\"".to_owned()),
        ("nothing known", "{\"x\":{\"y\":[1]}}".to_owned()),
    ];
    for (what, bad) in damaged {
        let last = format!("{{\"Records\":[{a},{bad},{c},{d}]}}");
        assert!(outline(&last).starts_with("1,3,4 | malformed "), "{what}: {}", outline(&last));
        let lines = format!("{a}\n{bad}\n{c}\n{d}\n");
        assert!(outline(&lines).starts_with("1,3,4 | malformed "), "{what}: {}", outline(&lines));
        let bridge = |record: &str| format!("{{\"version\":\"0\",\"detail-type\":\"x\",\"detail\":{record}}}\n");
        let lines: String = [&a, &bad, &c, &d].iter().map(|record| bridge(record)).collect();
        if what != "a number" && what != "a string" && what != "nothing known" {
            assert!(outline(&lines).starts_with("1,3,4 | malformed "), "{what}: {}", outline(&lines));
        }
        let events = |record: &str| format!("{{\"EventId\":\"x\",\"CloudTrailEvent\":{}}}", quoted(record));
        let page = format!("{{\"Events\":[{},{},{},{}]}}", events(&a), events(&bad), events(&c), events(&d));
        if what != "a colon is missing" {
            assert!(outline(&page).starts_with("1,3,4 | malformed "), "{what}: {}", outline(&page));
        }
    }
    let exact = format!("{{\"Records\":[{a},{},{c}]}}", "{\"eventVersion\":tru}");
    assert_eq!(outline(&exact), format!("1,3 | malformed {at}+20"));
}

#[test]
fn a_broken_element_of_an_envelope_does_not_lose_its_neighbors() {
    let [qa, qb, qc] = [quoted(&record(1)), quoted(&record(2)), quoted(&record(3))];
    for bad in [
        format!("{{\"logStreamName\":\"s,\"message\":{qb}}}"),
        format!("{{\"logStreamName\":\"s\",\"message\":{}}}", &qb[..qb.len() - 1]),
        format!("{{\"logStreamName\":\"s\",\"message\":{qb},\"eventId\":\"9}}"),
        format!("{{\"logStreamName\":\"s\" \"message\" {qb}}}"),
        "{\"logStreamName\":\"s\",\"message\":\"{\\\"eventVersion\\\":\\\"1.11\\\",\"}".to_owned(),
    ] {
        let good = |record: &str| format!("{{\"logStreamName\":\"s\",\"message\":{record},\"eventId\":\"9\"}}");
        let text = format!("{{\"events\":[{},{bad},{},{}]}}", good(&qa), good(&qc), good(&qa));
        let found = outline(&text);
        assert!(found.starts_with("1,3,1 | malformed ") || found.starts_with("1,2,3,1 | malformed "), "{bad}: {found}");
    }
}

#[test]
fn text_in_another_encoding_is_named() {
    let text: Vec<u8> = record(1).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let text = [&[0xFF, 0xFE], text.as_slice()].concat();
    for chunk in [1, usize::MAX] {
        let (kept, summary) = scan_with(&mut Scanner::new(MAX_RECORD), &text, chunk, false);
        assert_eq!((kept.skips.len(), summary.kind), (1, ContentKind::Unrecognized));
        assert!(kept.skips[0].message.contains("UTF-16"));
    }
}

#[test]
fn unknown_wrappers_are_searched() {
    let (a, b) = (record(1), record(2));
    let text = format!("{{\"hits\":{{\"hits\":[{{\"_source\":{a}}},{{\"_source\":{b}}}]}}}}");
    assert!(outline(&text).starts_with("1,2 | malformed 0+"), "{}", outline(&text));
}

#[test]
fn a_cut_text_keeps_the_records_before_the_cut() {
    let (a, b) = (record(1), record(2));
    let text = format!("{{\"Records\":[{a},{b}]}}");
    let second = a.len() + 13;
    for cut in 0..text.len() {
        for torn in [false, true] {
            let (kept, summary) = scan_with(&mut Scanner::new(MAX_RECORD), &text.as_bytes()[..cut], usize::MAX, torn);
            let expected = usize::from(cut >= second - 1) + usize::from(cut >= text.len() - 2);
            assert_eq!(kept.records.len(), expected, "{cut}");
            if cut > second && cut < text.len() - 2 {
                assert_eq!(kept.skips.len(), 1);
                assert_eq!((kept.skips[0].kind, kept.skips[0].offset), (ProblemKind::CutRecord, second as u64));
                assert_eq!(kept.skips[0].length, (cut - second) as u64);
            }
            if cut >= text.len() - 2 {
                assert_eq!(kept.skips.iter().map(|skip| skip.length).sum::<u64>(), 0);
                assert_eq!(kept.skips.is_empty(), torn, "an array that is not closed is reported unless that is known");
            }
            assert_eq!(
                summary.kind,
                match cut {
                    0 => ContentKind::Empty,
                    1..=11 => ContentKind::Unrecognized,
                    _ => ContentKind::Records,
                }
            );
        }
    }
}

#[test]
fn hostile_text_ends_and_loses_nothing_good() {
    let good = record(7);
    for bad in [
        "[".repeat(10_000),
        "{".repeat(10_000),
        "{\"a\":".repeat(10_000),
        "[{\"Records\":".repeat(10_000),
        "{\"Records\":[".repeat(10_000),
        "{\"eventVersion\":[".repeat(10_000),
        "{\"awsRegion\":{".repeat(10_000),
        "{\"messageType\":x".repeat(10_000),
        "{\"detail\":".repeat(10_000),
        "}".repeat(10_000),
        "]".repeat(10_000),
        "\"".repeat(10_001),
        "\\".repeat(10_001),
        "\0".repeat(10_000),
        ",".repeat(10_000),
        "{\"Records\":[\"x".to_owned(),
        "{\"x\":\"y".to_owned(),
        "\u{feff}\u{feff}\"".to_owned(),
        "2024-03-05T10:14:07.000Z not json".to_owned(),
    ] {
        let text = format!("{bad}\n{good}\n{good}\n");
        let (kept, _) = scan(text.as_bytes());
        assert_eq!(kept.texts(), [&good, &good], "{:.20}", bad);
        assert_eq!(kept.skips.is_empty(), bad.starts_with(','), "{:.20}", bad);
    }
}

#[test]
fn broken_text_is_not_quadratic() {
    for unit in [
        "{\"eventVersion\":[",
        "{\"eventVersion\":{",
        "{\"awsRegion\":{",
        "{\"eventVersion\":\"",
        "{\"Records\":[{\"x\":{",
        "{\"EventId\":{\"CloudTrailEvent\":\"",
        "\n{\"x\":",
    ] {
        let text = unit.repeat(8_000_000 / unit.len());
        let before = std::time::Instant::now();
        scan(text.as_bytes());
        assert!(before.elapsed().as_secs() < 20, "{unit}: {:?}", before.elapsed());
    }
}

#[test]
fn a_large_string_needs_no_memory() {
    let mut scanner = Scanner::new(1 << 20);
    let mut kept = Kept::default();
    let good = record(1);
    scanner.feed(b"{\"Records\":[{\"eventVersion\":\"1.11\",\"userAgent\":\"", &mut kept);
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..300 {
        scanner.feed(&chunk, &mut kept);
        assert!(scanner.carry.capacity() <= 8 << 20, "{}", scanner.carry.capacity());
    }
    scanner.feed(format!("\"}},{good}]}}").as_bytes(), &mut kept);
    let summary = scanner.finish(false, &mut kept);
    assert_eq!(kept.texts(), [&good]);
    assert_eq!(kept.skips.len(), 1);
    assert_eq!((kept.skips[0].kind, kept.skips[0].offset), (ProblemKind::OversizedRecord, 12));
    assert_eq!(summary.bytes_skipped + summary.bytes_in_records + summary.bytes_envelope, summary.bytes_total);
}

#[test]
fn large_values_in_envelopes_are_passed_over() {
    let good = record(1);
    let mut scanner = Scanner::new(1000);
    let large = "x".repeat(100_000);
    for text in [
        format!("{{\"Records\":[{good}],\"x\":\"{large}\",\"y\":[\"{large}\"]}}"),
        format!(
            "{{\"messageType\":\"DATA_MESSAGE\",\"x\":{{\"y\":\"{large}\"}},\"logEvents\":[{{\"message\":{}}}]}}",
            quoted(&good)
        ),
    ] {
        for chunk in [100, 1000, 5000, usize::MAX] {
            let (kept, _) = scan_with(&mut scanner, text.as_bytes(), chunk, false);
            assert_eq!((kept.texts(), kept.skips.len()), (vec![good.as_str()], 0));
        }
    }
    let text = format!("{{\"x\":\"{large}\",\"Records\":[{good}]}}");
    let (kept, _) = scan_with(&mut scanner, text.as_bytes(), 1000, false);
    assert_eq!(kept.texts(), [&good], "an oversized unknown object is searched");
    assert_eq!(kept.skips[0].kind, ProblemKind::OversizedRecord);
}

#[test]
fn a_record_with_a_large_user_agent_is_found() {
    let large = record(1).replace("agent", &"\\\\\\\"{[".repeat(100_000));
    let text = format!("{{\"Records\":[{},{large},{}]}}", record(2), record(3));
    for chunk in [999, 65_536, usize::MAX] {
        let (kept, _) = scan_with(&mut Scanner::new(MAX_RECORD), text.as_bytes(), chunk, false);
        assert_eq!((kept.records.len(), kept.skips.len()), (3, 0));
        assert_eq!(kept.records[1].2, large);
    }
}

#[test]
fn bytes_that_are_not_utf8_stay_in_the_record() {
    let mut text = record(1).into_bytes();
    let at = text.iter().position(|byte| *byte == b'A').unwrap();
    text[at] = 0xFF;
    let (kept, summary) = scan(&text);
    assert_eq!((kept.records.len(), summary.bytes_in_records), (1, text.len() as u64));
}

/// Any JSON, with the names that mean something more often than others.
fn any_json() -> impl Strategy<Value = String> {
    let name = || {
        prop_oneof![
            6 => proptest::sample::select(vec![
                "eventVersion",
                "eventSource",
                "eventName",
                "eventTime",
                "Records",
                "Events",
                "events",
                "logEvents",
                "results",
                "detail",
                "detail-type",
                "CloudTrailEvent",
                "message",
                "value",
                "digestStartTime",
                "messageType",
                "awsRegion",
                "even\\u0074Name",
                "Recor\\u0064s",
                "EventId",
                "x",
                "",
            ])
            .prop_map(str::to_owned),
            1 => r#"[a-z\{\[\}\]]{0,3}(\\\\|\\"|\\n)?"#,
        ]
    };
    let leaf = prop_oneof![
        1 => Just("null".to_owned()),
        1 => Just("true".to_owned()),
        1 => (-5..5_i32).prop_map(|n| n.to_string()),
        1 => Just("1.5e3".to_owned()),
        12 => Just("{\"eventVersion\":\"1.11\",\"x\":[{}]}".to_owned()),
        4 => Just(quoted(" {\"y\":\"]\",\"eventName\":{}}")),
        1 => r#""([a-zé \{\[\}\],:]|\\\\|\\"|\\u00e9|\\n){0,9}""#,
    ];
    let space = || proptest::sample::select(vec!["", "", "", " ", "\n", "\t\r\n  "]);
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            2 => (proptest::collection::vec(inner.clone(), 0..5), space()).prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},{space}")))),
            4 => (proptest::collection::vec((name(), inner.clone()), 0..5), space()).prop_map(|(members, space)| {
                let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\"{space}:{space}{value}")).collect();
                format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
            }),
            1 => inner.prop_map(|text| quoted(&text)),
        ]
    })
}

/// Several objects and arrays at the top level.
fn any_text() -> impl Strategy<Value = String> {
    let value = any_json().prop_map(|value| if value.starts_with(['{', '[']) { value } else { format!("[{value}]") });
    proptest::collection::vec(
        (value, proptest::sample::select(vec!["", "\n", "\r\n", " ", "\n2024-03-05T10:14:07.000Z "])),
        0..5,
    )
    .prop_map(|values| values.into_iter().map(|(value, between)| value + between).collect())
}

#[test]
fn agrees_with_the_twin_on_any_json() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (any_text(), 1..200_usize);
    let mut scanner = Scanner::new(MAX_RECORD);
    let (mut compared, mut records) = (0, 0);
    for _ in 0..20_000 {
        let (text, chunk) = proptest::strategy::ValueTree::current(&strategy.new_tree(&mut runner).unwrap());
        let (whole, total) = scan_with(&mut scanner, text.as_bytes(), usize::MAX, false);
        let (parts, sum) = scan_with(&mut scanner, text.as_bytes(), chunk, false);
        assert_eq!((&whole, total), (&parts, sum), "chunks of {chunk} differ: {text}");
        // After something foreign the fast path searches for records where the twin does not look.
        if whole.skips.is_empty() {
            assert_eq!(whole.texts(), twin::records_slow(text.as_bytes()), "{text}");
            compared += 1;
            records += whole.records.len();
        }
    }
    assert!(compared > 5_000 && records > 2_000, "only {compared} texts with {records} records: proved little");
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => proptest::sample::select(vec![
            "{", "}", "[", "]", "\"", "\\", ":", ",", "\n", " ", "{\"eventVersion\":", "{\"Records\":[", "{\"awsRegion\":\"x\",",
            "\"eventTime\":1", "\"message\":\"", "\"CloudTrailEvent\":\"{\\\"eventName\\\":1}\"", "\"detail\":{", "\"x\"", "null", "12",
            "\n{\"", "{\"id\":\"1\",\"timestamp\":1", "\"digestStartTime\":", "2024-03-05T10:14:07Z ", "\u{feff}",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => (1..120_usize).prop_map(|n| vec![b'y'; n]),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => Just(b"{\"eventVersion\":\"1\",\"eventTime\":1}".to_vec()),
        1 => Just(record(5).into_bytes()),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn hostile_text_is_accounted_for_and_chunks_do_not_matter(text in hostile(), chunk in 1..150_usize, bound in 64..900_usize, torn: bool) {
        let mut scanner = Scanner::new(bound);
        let whole = scan_with(&mut scanner, &text, usize::MAX, torn);
        let parts = scan_with(&mut scanner, &text, chunk, torn);
        prop_assert_eq!(whole, parts, "{}", String::from_utf8_lossy(&text));
    }
}
