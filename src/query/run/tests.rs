//! Cases made of invented events: where a query is cut must not show.

use super::*;
use crate::query::header;
use crate::schema::Event;
use crate::table::columns::{EVENTS_SCHEMA, EventsBuilder};
use crate::table::file::{Encoder, TableFile};
use crate::table::row::{Row, encode};
use crate::time::DAY;

/// 2024-05-01T00:00:00Z.
const START: i64 = 1_714_521_600;

/// Writes a case with `count` events over three days, a few principals, some events without one.
fn case(count: i64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut days: BTreeMap<i32, EventsBuilder> = BTreeMap::new();
    for i in 0..count {
        let epoch = START + i * (3 * DAY) / count.max(1);
        let date = i32::try_from(epoch.div_euclid(DAY)).unwrap();
        let principal = (i % 7 != 0).then(|| format!("arn:aws:iam::111122223333:role/r{}", (i * i) % 11).into());
        let mut row = Vec::new();
        let event = Event {
            event_id: Some(format!("e{i:05}").into()),
            event_time: Some(epoch * 1_000_000),
            event_epoch: Some(epoch),
            event_date: Some(date),
            event_source: Some("kms.amazonaws.com".into()),
            event_name: Some(["Decrypt", "Encrypt", "Sign"][usize::try_from(i % 3).unwrap()].into()),
            account_id: Some("111122223333".into()),
            key_arn: (i % 5 != 0).then(|| format!("arn:aws:kms:us-east-1:111122223333:key/{}", i % 9).into()),
            context_resource: (i % 4 != 0).then(|| format!("secret-{}", i % 23).into()),
            principal,
            ..Event::default()
        };
        encode(&event, &mut row);
        days.entry(date).or_default().push(&Row::plain(&row));
    }
    for (day, mut rows) in days {
        let path = folder.path().join("events").join(format!("date={}", crate::time::format_date(day)));
        std::fs::create_dir_all(&path).unwrap();
        let mut file = TableFile::create(&path.join("part-0.parquet"), &EVENTS_SCHEMA).unwrap();
        let encoder = Encoder::new(EVENTS_SCHEMA.clone()).unwrap();
        file.append(encoder.encode(&rows.finish().unwrap()).unwrap()).unwrap();
        file.finish().unwrap();
    }
    folder
}

fn settings(piece_rows: u64) -> Settings {
    Settings { piece_rows, ..Settings::default() }
}

fn view(id: &str, header: &str, select: &str) -> Library {
    let text = format!("-- title: t\n-- description: d\n-- reads: events\n{header}\n{select}");
    Library::from_texts(vec![(format!("views/{id}.sql"), text)], None).unwrap()
}

/// Builds a view with pieces of this many rows and gives its file's bytes and its rows.
#[track_caller]
fn build(case: &Path, library: &Library, piece_rows: u64) -> (Vec<u8>, Table) {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::open(case, settings(piece_rows)).unwrap();
    let views = library.views_in_order().unwrap();
    let (built, faults) = session.build_views(&views, folder.path(), |_| {});
    assert!(faults.is_empty(), "{faults:?}");
    let sql = format!("SELECT * FROM {}", built[0].name);
    let table = session.own(&sql).unwrap();
    assert_eq!(table.rows.len() as u64, built[0].rows);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
    (std::fs::read(&built[0].path).unwrap(), table)
}

const HOURLY: &str = "SELECT e.principal, e.key_arn, e.event_epoch - (e.event_epoch % 3600) AS hour_epoch, e.event_name, \
    COUNT(*) AS n FROM events AS e \
    GROUP BY e.principal, e.key_arn, e.event_epoch - (e.event_epoch % 3600), e.event_name";

#[test]
fn a_view_is_the_same_wherever_it_is_cut() {
    let case = case(900);
    for (partition, order) in [
        ("hour", "hour_epoch, principal, event_name, key_arn"),
        ("hour", "principal, hour_epoch, event_name, key_arn"),
        ("day", "principal DESC, hour_epoch, event_name, key_arn"),
        ("day", "principal NULLS FIRST, hour_epoch, event_name, key_arn"),
        ("principal", "principal, hour_epoch, event_name, key_arn"),
        ("principal", "hour_epoch, principal, event_name, key_arn"),
        ("hour", "n DESC, hour_epoch, principal, event_name, key_arn"),
        ("key", "key_arn DESC, hour_epoch, principal, event_name"),
    ] {
        let library = view("hourly", &format!("-- partition: {partition}"), &format!("{HOURLY} ORDER BY {order}"));
        let (_, whole) = build(case.path(), &library, 1_000_000);
        assert!(whole.rows.len() > 300, "{}", whole.rows.len());
        for piece_rows in [1, 100] {
            let (_, cut) = build(case.path(), &library, piece_rows);
            assert_eq!(whole.columns, cut.columns);
            assert!(whole.rows == cut.rows, "cut {partition} by {piece_rows}, order {order}");
        }
    }
}

#[test]
fn tables_beside_the_events_are_dealt_out_too() {
    let case = case(900);
    let library =
        view("hourly", "-- partition: hour", &format!("{HOURLY} ORDER BY hour_epoch, principal, event_name, key_arn"));
    let sql = "WITH calls AS (SELECT e.principal AS caller, CAST(COUNT(*) AS BIGINT) AS events FROM events AS e GROUP BY \
               e.principal), hours AS (SELECT h.principal, CAST(SUM(h.n) AS BIGINT) AS calls, CAST(COUNT(DISTINCT h.hour_epoch) \
               AS BIGINT) AS hours FROM hourly AS h GROUP BY h.principal) SELECT h.principal, h.calls, h.hours, c.events FROM \
               hours AS h JOIN calls AS c ON c.caller = h.principal ORDER BY principal";
    let header = Header { partition: Some(Partition::Principal), ..Header::default() };
    let run = |piece_rows, part_bytes| {
        let folder = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let place = Some(scratch.path().to_path_buf());
        let settings = Settings { part_bytes, scratch: place, ..settings(piece_rows) };
        let mut session = Session::open(case.path(), settings).unwrap();
        session.build_views(&library.views_in_order().unwrap(), folder.path(), |_| {});
        let prepared = session.prepare("q", sql, &header).unwrap();
        let pieces = session.cut(&prepared).unwrap().pieces;
        let dealt = pieces.iter().flatten().filter(|part| !part.files.is_empty()).map(|part| part.table.clone());
        (dealt.collect::<std::collections::BTreeSet<String>>(), session.table_in_pieces(&prepared).unwrap())
    };
    let (dealt, whole) = run(1_000_000, PART_BYTES);
    assert!(dealt.is_empty());
    assert_eq!(whole.rows.len(), 6);
    assert!(whole == run(1_000_000, 0).1, "the view in parts");
    let (dealt, cut) = run(1, 0);
    assert_eq!(dealt.into_iter().collect::<Vec<_>>(), ["events", "hourly"]);
    assert!(whole == cut, "{whole:?}\n{cut:?}");
}

#[test]
fn sums_over_resources_are_the_same_wherever_they_are_cut() {
    let case = case(900);
    let select = "SELECT COALESCE(e.context_resource, 'none') AS context_resource, CAST(COUNT(DISTINCT e.event_id) AS BIGINT) AS n \
                  FROM events AS e GROUP BY COALESCE(e.context_resource, 'none') ORDER BY context_resource";
    let header = Header { partition: Some(Partition::Resource), ..Header::default() };
    let run = |piece_rows| {
        let mut session = Session::open(case.path(), settings(piece_rows)).unwrap();
        let prepared = session.prepare("q", select, &header).unwrap();
        let mut rows = session.table_in_pieces(&prepared).unwrap().rows;
        rows.sort_by_key(|row| row[0].to_text().into_owned());
        rows
    };
    let whole = run(1_000_000);
    assert!(whole.len() > 10, "{whole:?}");
    let library = view("sums", "-- partition: resource", select);
    let (_, in_order) = build(case.path(), &library, 1_000_000);
    assert!(whole == run(1));
    for piece_rows in [50, 333] {
        assert!(whole == run(piece_rows), "{piece_rows}");
        assert!(in_order == build(case.path(), &library, piece_rows).1, "a view is in order: {piece_rows}");
    }
}

#[test]
fn one_large_principal_is_cut_between_its_resources() {
    let case = case(900);
    let rows = "SELECT e.principal, e.context_resource, e.key_arn, COUNT(*) AS n FROM events AS e \
                GROUP BY e.principal, e.context_resource, e.key_arn ORDER BY";
    // The cuts do not depend on the order, so the finest ones, which take longest, are tried with one.
    for (order, sizes) in [
        ("principal, context_resource, key_arn", &[1, 7, 50, 333][..]),
        ("principal, key_arn, context_resource", &[50, 333]),
        ("n, principal DESC, context_resource, key_arn", &[50, 333]),
    ] {
        let library = view("sums", "-- partition: principal, resource", &format!("{rows} {order}"));
        let (_, whole) = build(case.path(), &library, 1_000_000);
        assert!(whole.rows.len() > 300, "{}", whole.rows.len());
        for piece_rows in sizes {
            assert!(whole.rows == build(case.path(), &library, *piece_rows).1.rows, "{piece_rows}, order {order}");
        }
    }
    let header = Header { partition: Some(Partition::PrincipalResource), ..Header::default() };
    let mut session = Session::open(case.path(), settings(40)).unwrap();
    let prepared = session.prepare("q", &format!("{rows} principal"), &header).unwrap();
    let cut = session.cut(&prepared).unwrap();
    let rows_of = |part: &Part| {
        let mut engine = Polars::new(None);
        engine.register_files("dealt", &part.files, EVENT_COLUMNS).unwrap();
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM dealt";
        let counted = engine.execute(&Statement { query: "test", sql, lists: &BTreeSet::new() }).unwrap();
        integer(counted.rows[0].first()).unwrap()
    };
    let sizes: Vec<u64> = cut.pieces.iter().flatten().map(rows_of).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 900, "{sizes:?}");
    // Nobody's 129 rows and the 100 and more of each principal lie in pieces of about 40, unless one resource has more.
    assert!(sizes.len() > 900 / 60 && *sizes.iter().max().unwrap() <= 60, "{sizes:?}");
}

#[test]
fn findings_are_the_same_wherever_they_are_cut() {
    let case = case(600);
    let select = "SELECT MIN(e.event_time) AS first_time, MAX(e.event_time) AS last_time, MIN(e.account_id) AS account_id, \
        CAST(NULL AS STRING) AS region, NULL AS key_arn, e.principal, NULL AS source_ip, COUNT(*) AS event_count, \
        'low' AS severity, COALESCE(e.principal, 'nobody') || ' did it' AS summary, STRING_AGG(e.event_id, ',') AS event_ids, \
        STRING_AGG(DISTINCT e.event_name, ',') AS names FROM events AS e GROUP BY e.principal ORDER BY first_time, principal";
    let header = Header { title: "t".to_owned(), partition: Some(Partition::Principal), ..Header::default() };
    let run = |piece_rows| {
        let mut session = Session::open(case.path(), settings(piece_rows)).unwrap();
        let prepared = session.prepare("rule", select, &header).unwrap();
        session.findings(QueryKind::Detect, &prepared).unwrap()
    };
    let whole = run(1_000_000);
    assert_eq!(whole.len(), 7);
    assert_eq!(whole.iter().map(|finding| finding.event_ids.len()).sum::<usize>(), 600);
    assert!(whole[0].details().starts_with(r#"{"names":["Decrypt","#), "{}", whole[0].details());
    for piece_rows in [1, 100, 250] {
        assert_eq!(whole, run(piece_rows));
    }
}

#[test]
fn a_view_has_the_same_bytes_twice() {
    let case = case(900);
    let library =
        view("hourly", "-- partition: hour", &format!("{HOURLY} ORDER BY hour_epoch, principal, event_name, key_arn"));
    let (once, _) = build(case.path(), &library, 100);
    let (twice, _) = build(case.path(), &library, 100);
    assert!(once == twice);
}

#[test]
fn a_case_without_events_has_its_tables_and_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let library = view("hourly", "-- partition: hour", &format!("{HOURLY} ORDER BY principal, hour_epoch, event_name"));
    let (_, table) = build(folder.path(), &library, 10);
    assert_eq!((table.rows.len(), table.columns.len()), (0, 5));
    let mut session = Session::open(folder.path(), Settings::default()).unwrap();
    let sql = "SELECT e.event_id, v.first_epoch FROM events AS e CROSS JOIN evidence AS v \
               WHERE e.account_id NOT IN (SELECT account_id FROM home_accounts)";
    let prepared = session.prepare("q", sql, &Header::default()).unwrap();
    assert_eq!(session.table(&prepared).unwrap().rows.len(), 0);
}

#[test]
fn evidence_home_accounts_and_parameters_are_tables() {
    let case = case(60);
    let overrides = Overrides::parse(&["least=58".to_owned()]).unwrap();
    let mut session = Session::open(case.path(), Settings { overrides, ..Settings::default() }).unwrap();
    assert_eq!(session.home_accounts(), ["111122223333"]);
    let text = "-- params: least = 1\nSELECT h.account_id, v.first_epoch, v.last_epoch, p.least FROM home_accounts AS h \
                CROSS JOIN evidence AS v CROSS JOIN params AS p ORDER BY account_id";
    let header = header::parse_optional("q", text).unwrap();
    let prepared = session.prepare("q", text, &header).unwrap();
    let rows = session.table(&prepared).unwrap().rows;
    let last = START + 59 * (3 * DAY) / 60;
    assert_eq!(
        rows,
        [[Cell::Text("111122223333".into()), Cell::Integer(START), Cell::Integer(last), Cell::Integer(58)]]
    );
    let explained = session.explain(&prepared);
    for part in ["VALUES ('111122223333')", "SELECT CAST(58 AS BIGINT) AS least", "CREATE VIEW events", "duckdb <<"] {
        assert!(explained.contains(part), "{part} is missing in\n{explained}");
    }
}

#[test]
fn the_engine_reports_what_it_cannot_run() {
    let case = case(10);
    let mut session = Session::open(case.path(), Settings::default()).unwrap();
    let prepared = session.prepare("q", "SELECT no_such_column FROM events", &Header::default()).unwrap();
    let error = session.table(&prepared).unwrap_err().to_string();
    assert!(error.starts_with("q: the SQL engine") || error.contains("no_such_column"), "{error}");
}
