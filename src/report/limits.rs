//! What the evidence cannot show: gaps, blind trails, unread files, unverified logs.
//!
//! In: the manifest, and the tables of coverage and integrity as far as the case has them. Out: sentences, tables and the
//! calendar. What the case does not know is said too: a report that is silent about its limits would be believed too much.

use super::ask::{Asked, Row, SHOWN_CHARS, visible};
use super::calendar::{self, Amount, Calendar};
use super::format::{count, span};
use super::model::{Grid, Item, Limits};
use crate::case::manifest::Manifest;
use crate::time::DAY;
use std::collections::BTreeMap;

/// Rows of each table.
const ROWS: usize = 200;

/// Places that the heat map has rows for.
const PLACES: usize = 40;

fn limits(asked: &mut Asked<'_>) -> Grid {
    let sql = "SELECT l.kind, l.severity, l.account_id, l.region, l.first_time, l.last_time, l.summary, CASE WHEN l.severity \
               = 'critical' THEN 0 WHEN l.severity = 'high' THEN 1 WHEN l.severity = 'medium' THEN 2 WHEN l.severity = 'low' \
               THEN 3 ELSE 4 END AS place FROM evidence_limits AS l ORDER BY place, kind, account_id, region, first_time \
               NULLS LAST, last_time NULLS LAST, summary LIMIT 201";
    let mut grid = Grid::new("Limits of the evidence", &["Severity", "What", "Kind", "Account, Region", "From to"]);
    let rows = asked.rows("evidence_limits", sql);
    grid.rows = rows
        .iter()
        .map(|row| {
            vec![
                Item::severity(&row.text("severity")),
                Item::text(row.text("summary")),
                Item::text(row.text("kind").replace('_', " ")),
                Item::text(place(&row)),
                Item::text(known_span(&row)),
            ]
        })
        .collect();
    grid.cut(ROWS, "All are in the table evidence_limits.")
}

fn place(row: &Row<'_>) -> String {
    format!("{} {}", row.text("account_id"), row.text("region")).trim().to_owned()
}

/// From and to; nothing when no time is known.
fn known_span(row: &Row<'_>) -> String {
    match (row.instant("first_time"), row.instant("last_time")) {
        (None, None) => String::new(),
        (first, last) => span(first, last),
    }
}

fn integrity(asked: &mut Asked<'_>) -> Grid {
    let sql = "SELECT i.code, i.severity, i.account_id, i.region, i.trail, i.first_time, i.last_time, i.path, i.event_count, \
               i.summary, i.proves, i.does_not_prove, CASE WHEN i.severity = 'critical' THEN 0 WHEN i.severity = 'high' THEN 1 \
               WHEN i.severity = 'medium' THEN 2 WHEN i.severity = 'low' THEN 3 ELSE 4 END AS place FROM integrity_findings \
               AS i ORDER BY place, code, account_id, region, trail, first_time NULLS LAST, path, summary LIMIT 201";
    let heads = ["Severity", "What", "Proves", "Does not prove", "Account, Region", "From to", "#Files"];
    let mut grid = Grid::new("Integrity: problems with the log files", &heads);
    let rows = asked.rows("integrity_findings", sql);
    grid.rows = rows
        .iter()
        .map(|row| {
            vec![
                Item::severity(&row.text("severity")),
                Item::text(row.text("summary")),
                Item::text(row.text("proves")),
                Item::text(row.text("does_not_prove")),
                Item::text(place(&row)),
                Item::text(known_span(&row)),
                Item::number(row.number("event_count")),
            ]
        })
        .collect();
    grid.cut(ROWS, "All are in the table integrity_findings.")
}

fn chains(asked: &mut Asked<'_>) -> Grid {
    let sql = "SELECT c.account_id, c.region, c.trail, c.digests, c.logs_listed, c.logs_present, c.covered_from, \
               c.covered_until, c.signatures_verified, c.signatures_unavailable, c.gaps, c.summary FROM integrity_chains AS c \
               ORDER BY account_id, region, trail, covered_from NULLS LAST, summary LIMIT 201";
    let heads = [
        "Account, Region",
        "Trail",
        "What the digests say",
        "Covered",
        "#Digests",
        "#Logs listed",
        "#Logs present",
        "#Signatures verified",
        "#Gaps",
    ];
    let mut grid = Grid::new("Integrity: chains of digests", &heads);
    let rows = asked.rows("integrity_chains", sql);
    grid.rows = rows
        .iter()
        .map(|row| {
            let covered = match (row.instant("covered_from"), row.instant("covered_until")) {
                (None, None) => String::new(),
                (first, last) => span(first, last),
            };
            let mut cells = vec![
                Item::text(place(&row)),
                Item::name(row.text("trail")),
                Item::text(row.text("summary")),
                Item::text(covered),
            ];
            let numbers = ["digests", "logs_listed", "logs_present", "signatures_verified", "gaps"];
            cells.extend(numbers.map(|name| Item::number(row.number(name))));
            cells
        })
        .collect();
    grid.cut(ROWS, "All are in the table integrity_chains.")
}

/// Sums per place, the busiest first.
fn place_grid(asked: &mut Asked<'_>) -> (Grid, Vec<String>) {
    let sql = "SELECT h.account_id, h.region, CAST(SUM(h.kms_count) AS BIGINT) AS kms_count, CAST(SUM(h.adjacent_count) AS \
               BIGINT) AS adjacent_count, CAST(COUNT(*) AS BIGINT) AS hour_count, MIN(h.first_time) AS first_time, \
               MAX(h.last_time) AS last_time FROM place_hours AS h GROUP BY h.account_id, h.region ORDER BY kms_count DESC, \
               account_id, region LIMIT 201";
    let heads = ["Account", "Region", "#KMS events", "#Related events", "#Hours with events", "First", "Last"];
    let mut grid = Grid::new("What was recorded, by account and Region", &heads);
    let rows = asked.rows("place_hours", sql);
    let names =
        rows.iter().take(PLACES).map(|row| format!("{} {}", row.raw("account_id"), row.raw("region"))).collect();
    grid.rows = rows
        .iter()
        .map(|row| {
            let mut cells = vec![Item::text(row.text("account_id")), Item::text(row.text("region"))];
            cells.extend(["kms_count", "adjacent_count", "hour_count"].map(|name| Item::number(row.number(name))));
            cells.extend(["first_time", "last_time"].map(|name| Item::time(row.instant(name))));
            cells
        })
        .collect();
    (grid.cut(ROWS, "All are in the table place_hours."), names)
}

/// Where the hours of coverage come from: the view `coverage` knows files and gaps; without it, recorded events tell what
/// was recorded and nothing else.
fn hours(asked: &mut Asked<'_>) -> (&'static str, &'static str) {
    if asked.has_column("coverage", "is_gap") && asked.has_column("coverage", "hour") {
        let rows = "SELECT COALESCE(h.account_id, '') || ' ' || COALESCE(h.region, '') AS place, 86400 * CAST(FLOOR(CAST(h.hour \
                    AS DOUBLE) / 86400) AS BIGINT) AS day_epoch, h.kms_events + h.adjacent_events AS events, CASE WHEN h.is_gap \
                    THEN 0 ELSE 1 END AS recorded, CASE WHEN h.is_gap THEN 1 ELSE 0 END AS gaps FROM coverage AS h";
        ("coverage", rows)
    } else {
        let rows = "SELECT COALESCE(h.account_id, '') || ' ' || COALESCE(h.region, '') AS place, h.hour_epoch - (h.hour_epoch % \
                    86400) AS day_epoch, h.kms_count + h.adjacent_count AS events, 1 AS recorded, 0 AS gaps FROM place_hours AS h";
        ("place_hours", rows)
    }
}

fn amount(row: &Row<'_>) -> Amount {
    Amount { events: row.number("events"), hours: row.number("hours"), gaps: row.number("gaps") }
}

const SUMS: &str = "CAST(SUM(q.events) AS BIGINT) AS events, CAST(SUM(q.recorded) AS BIGINT) AS hours, \
                    CAST(SUM(q.gaps) AS BIGINT) AS gaps";

fn calendars(asked: &mut Asked<'_>, names: &[String]) -> crate::error::Result<(Option<Calendar>, Option<Calendar>)> {
    let (table, rows) = hours(asked);
    let all = format!(
        "WITH places AS ({rows}) SELECT q.day_epoch, {SUMS} FROM places AS q GROUP BY q.day_epoch ORDER BY day_epoch"
    );
    let days: BTreeMap<i64, Amount> =
        asked.rows(table, &all).iter().map(|row| (row.number("day_epoch") / DAY, amount(&row))).collect();
    let range = (days.keys().next().copied().unwrap_or(0), days.keys().next_back().copied().unwrap_or(0));
    asked.register("report_places", "place", names)?;
    let by_place = format!(
        "WITH places AS ({rows}) SELECT q.place, q.day_epoch, {SUMS} FROM places AS q JOIN report_places AS c ON c.place = \
         q.place GROUP BY q.place, q.day_epoch ORDER BY place, day_epoch"
    );
    let rows = asked.rows(table, &by_place);
    let groups = rows.by("place");
    let groups: Vec<(String, BTreeMap<i64, Amount>)> = names
        .iter()
        .filter_map(|name| groups.get(name).map(|rows| (name, rows)))
        .map(|(name, rows)| {
            (visible(name, 60), rows.iter().map(|row| (row.number("day_epoch") / DAY, amount(row))).collect())
        })
        .collect();
    let step = calendar::stretch(range.1 - range.0 + 1);
    let places = (!groups.is_empty()).then(|| calendar::places(&groups, range, step));
    Ok((calendar::calendar(&days), places))
}

/// What of the inputs was not understood, in sentences.
fn warnings(manifest: &Manifest) -> Vec<String> {
    let mut warnings: Vec<String> = manifest.warnings.iter().map(|text| visible(text, SHOWN_CHARS)).collect();
    warnings.extend(manifest.problems.iter().take(20).map(|text| format!("Input: {}", visible(text, SHOWN_CHARS))));
    if manifest.problems.len() > 20 {
        warnings.push("More inputs with problems are in inputs.parquet.".to_owned());
    }
    if manifest.inputs.bytes_skipped > 0 {
        let bytes = i64::try_from(manifest.inputs.bytes_skipped).unwrap_or(i64::MAX);
        warnings
            .push(format!("{} bytes of the inputs were skipped, because they are part of no record.", count(bytes)));
    }
    warnings
}

/// What the evidence cannot show.
///
/// # Errors
/// When the engine refuses the list of places.
pub(super) fn collect(asked: &mut Asked<'_>, manifest: &Manifest) -> crate::error::Result<Limits> {
    let (place_grid, names) = place_grid(asked);
    let (calendar, places) = calendars(asked, &names)?;
    let mut grids = Vec::new();
    let mut missing = Vec::new();
    let mut listed = (0, 0);
    for (table, what, grid) in [
        ("evidence_limits", "limits and gaps of the evidence", limits as fn(&mut Asked<'_>) -> Grid),
        ("integrity_findings", "problems with the integrity of the log files", integrity),
        ("integrity_chains", "chains of CloudTrail digests", chains),
    ] {
        if !asked.has(table) {
            missing.push(format!("Not computed by this version of the case: {what} (table {table})."));
            continue;
        }
        let mut grid = grid(asked);
        // Chains have no severity: they are no limits.
        let severities = grid.rows.iter().filter_map(|row| row.first()).filter(|item| item.class.starts_with("sev-"));
        for item in severities {
            listed.0 += 1;
            listed.1 += usize::from(matches!(item.text.as_str(), "critical" | "high"));
        }
        if grid.rows.is_empty() {
            grid.note = "None.".to_owned();
        }
        grids.push(grid);
    }
    grids.push(place_grid);
    Ok(Limits { listed, warnings: warnings(manifest), missing, grids, calendar, places })
}
