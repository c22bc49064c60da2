//! What is still open at the end of the evidence: what somebody must act on.
//!
//! In: the ledgers of deletions, grants, policies, keys and trails. Out: one table each, also when it is empty, because
//! "none" is an answer. A date stands where a clock would be wrong tomorrow: the day on which a key is gone.

use super::ask::{Asked, Row};
use super::format::{count, when};
use super::keys::dangers;
use super::model::{Grid, Item};
use super::subjects::{Subjects, shown};

/// Rows of each table.
const ROWS: usize = 200;

fn finish(mut grid: Grid, rows: Vec<Vec<Item>>, table: &str) -> Grid {
    grid.rows = rows;
    let mut grid = grid.cut(ROWS, &format!("All are in the table {table}."));
    if grid.rows.is_empty() {
        grid.note = "None in the evidence.".to_owned();
    }
    grid
}

fn deletions(asked: &mut Asked<'_>, subjects: &Subjects) -> Grid {
    let sql = "SELECT d.key_arn, d.aliases, d.outcome, d.deadline_time, d.scheduled_time, d.scheduled_by, d.use_count, \
               d.resource_count, d.failure_count, d.deletion_id FROM deletions AS d WHERE d.outcome IN ('pending', \
               'waiting_for_replicas', 'overdue') ORDER BY deadline_time NULLS LAST, key_arn, deletion_id LIMIT 201";
    let heads = [
        "Earliest deletion",
        "Key",
        "Aliases",
        "State",
        "Scheduled",
        "By",
        "#Uses before",
        "#Resources",
        "#Failures since",
    ];
    let rows = asked.rows("deletions", sql);
    let cells = rows.iter().map(|row| {
        let deadline = row.instant("deadline_time").map_or_else(|| "not fixed yet".to_owned(), when);
        vec![
            Item { text: deadline, class: "time strong", ..Item::default() },
            subjects.key(row.raw("key_arn")),
            Item::text(row.text("aliases")),
            Item::text(row.text("outcome").replace('_', " ")),
            Item::time(row.instant("scheduled_time")),
            subjects.principal(row.raw("scheduled_by")),
            Item::number(row.number("use_count")),
            Item::number(row.number("resource_count")),
            Item::number(row.number("failure_count")),
        ]
    });
    finish(
        Grid::new("Deletions that can still be cancelled, or whose end is not in the evidence", &heads),
        cells.collect(),
        "deletions",
    )
}

fn grants(asked: &mut Asked<'_>, subjects: &Subjects) -> Grid {
    let sql = "SELECT g.grant_id, g.key_arn, g.created_time, g.creator, g.grantee_principal, g.grantee_account_id, \
               g.is_grantee_home, g.grant_operations, g.grant_constraint, g.use_count, g.last_use_time, CASE WHEN \
               g.is_grantee_home THEN 1 ELSE 0 END AS place FROM grants AS g WHERE g.is_open AND NOT \
               COALESCE(g.is_service_grant, FALSE) ORDER BY place, created_time NULLS LAST, grant_id, key_arn LIMIT 201";
    let services =
        "SELECT CAST(COUNT(*) AS BIGINT) AS n FROM grants AS g WHERE g.is_open AND COALESCE(g.is_service_grant, FALSE)";
    let heads = ["For", "Whose", "Key", "Allows", "Constraint", "Made", "By", "#Uses inferred", "Last use"];
    let rows = asked.rows("grants", sql);
    let cells = rows.iter().map(|row| {
        let whose = match row.flag("is_grantee_home") {
            Some(true) => "home account",
            Some(false) => "other account",
            None => "unknown",
        };
        vec![
            Item::name(shown(row.raw("grantee_principal"))).to(subjects.principal_link(row.raw("grantee_principal"))),
            Item::text(whose),
            subjects.key(row.raw("key_arn")),
            Item::text(row.text("grant_operations").replace(',', ", ")),
            Item::name(row.text("grant_constraint")),
            Item::time(row.instant("created_time")),
            subjects.principal(row.raw("creator")),
            Item::number(row.number("use_count")),
            Item::time(row.instant("last_use_time")),
        ]
    });
    let mut grid =
        finish(Grid::new("Grants that are open, without those of AWS services", &heads), cells.collect(), "grants");
    let of_services = asked.rows("grants", services).iter().map(|row| row.number("n")).sum::<i64>();
    if of_services > 0 {
        let told = format!("Open grants of AWS services, which are not listed: {}.", count(of_services));
        grid.note = format!("{} {told}", grid.note).trim().to_owned();
    }
    grid
}

fn policies(asked: &mut Asked<'_>, subjects: &Subjects) -> Grid {
    let sql = "SELECT p.key_arn, p.event_time, p.principal, p.is_public, p.external_accounts, p.locks_out_owner, \
               p.bypasses_lockout, p.version_no, CASE WHEN p.is_public THEN 0 WHEN p.locks_out_owner THEN 1 ELSE 2 END AS place \
               FROM policies AS p WHERE p.until_epoch IS NULL AND (COALESCE(p.is_public, FALSE) OR COALESCE(p.locks_out_owner, \
               FALSE) OR p.external_accounts IS NOT NULL) ORDER BY place, event_time, key_arn, version_no LIMIT 201";
    let heads = ["Key", "What is open", "Set", "By"];
    let rows = asked.rows("policies", sql);
    let cells = rows.iter().map(|row| {
        vec![
            subjects.key(row.raw("key_arn")),
            Item { text: dangers(&row).join("; "), class: "strong", ..Item::default() },
            Item::time(row.instant("event_time")),
            subjects.principal(row.raw("principal")),
        ]
    });
    finish(
        Grid::new("Key policies in force that are public, lock the owner out, or name other accounts", &heads),
        cells.collect(),
        "policies",
    )
}

fn unusable(asked: &mut Asked<'_>, subjects: &Subjects) -> Grid {
    let sql = "SELECT k.key_arn, k.aliases, k.state, k.state_time, k.state_by, k.use_count, k.last_use_time FROM keys AS k \
               WHERE k.state IN ('disabled', 'pending_import') ORDER BY state, state_time, key_arn LIMIT 201";
    let heads = ["Key", "Aliases", "State", "Since", "By", "#Uses", "Last use"];
    let rows = asked.rows("keys", sql);
    let cells = rows.iter().map(|row| {
        vec![
            subjects.key(row.raw("key_arn")),
            Item::text(row.text("aliases")),
            Item::text(row.text("state").replace('_', " ")),
            Item::time(row.instant("state_time")),
            subjects.principal(row.raw("state_by")),
            Item::number(row.number("use_count")),
            Item::time(row.instant("last_use_time")),
        ]
    });
    finish(Grid::new("Keys that are disabled or have no key material", &heads), cells.collect(), "keys")
}

fn trail_row(row: &Row<'_>, subjects: &Subjects) -> Vec<Item> {
    let mut what = Vec::new();
    for (column, told) in [
        ("is_recording", "does not record"),
        ("sees_key_use", "does not see key use"),
        ("sees_key_admin", "does not see key administration"),
    ] {
        if row.flag(column) == Some(false) {
            what.push(told);
        }
    }
    vec![
        Item::name(row.text("trail_name")),
        Item::text(row.text("account_id")),
        Item { text: what.join(", "), class: "strong", ..Item::default() },
        Item::text(row.text("event_name")),
        Item::time(row.instant("event_time")),
        subjects.principal(row.raw("principal")),
    ]
}

fn trails(asked: &mut Asked<'_>, subjects: &Subjects) -> Grid {
    let sql = "SELECT t.trail_name, t.account_id, t.event_name, t.event_time, t.event_id, t.principal, t.is_recording, \
               t.sees_key_use, t.sees_key_admin FROM trails AS t WHERE t.until_epoch IS NULL AND (NOT \
               COALESCE(t.is_recording, TRUE) OR NOT COALESCE(t.sees_key_use, TRUE) OR NOT COALESCE(t.sees_key_admin, TRUE)) \
               ORDER BY event_time, event_id LIMIT 201";
    let heads = ["Trail", "Account", "What is wrong", "Since the call", "At", "By"];
    let rows = asked.rows("trails", sql);
    let cells = rows.iter().map(|row| trail_row(&row, subjects)).collect();
    finish(Grid::new("Trails that were stopped, deleted or blinded", &heads), cells, "trails")
}

/// The tables of what is open.
pub(super) fn collect(asked: &mut Asked<'_>, subjects: &Subjects) -> Vec<Grid> {
    vec![
        deletions(asked, subjects),
        grants(asked, subjects),
        policies(asked, subjects),
        unusable(asked, subjects),
        trails(asked, subjects),
    ]
}
