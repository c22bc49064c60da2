//! What changed between two cases.
//!
//! In: the tables of an older and a newer case. Out: [`Change`]s: keys, principals, pairs of both, grants, aliases, findings
//! and review results that are new, gone or different. The comparison is SQL over both cases' tables. Gone means not in the
//! newer evidence: a key that nobody touched in a quarter is gone from it and may well exist. Findings of one rule on one key
//! by one principal are one subject, and their number belongs to its state (`high x 3`), so that one more is a change.

use super::findings::json_list;
use super::header::Header;
use super::run::Session;
use super::table::CellType;
use crate::error::{Error, Result};
use crate::output::Cell;
use crate::schema::{Column, Kind};
use std::path::Path;

const fn column(name: &'static str, doc: &'static str) -> Column {
    Column { group: "changes", name, kind: Kind::Text, doc }
}

/// The columns of a comparison, in order.
pub const CHANGE_COLUMNS: [Column; 6] = [
    column("kind", "key, principal, pair, grant, alias, finding or review."),
    column("change", "new, gone or changed."),
    column("subject", "What it is about."),
    column("old_state", "Its state in the older case."),
    column("new_state", "Its state in the newer case."),
    column("note", "One sentence on it, for findings and reviews."),
];

/// How one kind of thing is compared.
struct Compared {
    kind: &'static str,
    table: &'static str,
    /// SQL that names a thing, over the table as `t`; never NULL.
    subject: &'static str,
    /// SQL that tells its state.
    state: &'static str,
    /// SQL of a sentence on it.
    note: &'static str,
    /// SQL of the rows that take part.
    only: &'static str,
    /// Several rows with one subject and state are told by their number.
    is_counted: bool,
}

const COMPARED: [Compared; 7] = [
    Compared {
        kind: "key",
        table: "keys",
        subject: "t.key_arn",
        state: "COALESCE(t.state, 'not told')",
        note: "COALESCE(t.aliases, '')",
        only: "t.key_arn IS NOT NULL",
        is_counted: false,
    },
    Compared {
        kind: "principal",
        table: "principals",
        subject: "t.principal",
        state: "''",
        note: "''",
        only: "t.principal IS NOT NULL",
        is_counted: false,
    },
    Compared {
        kind: "pair",
        table: "pairs",
        subject: "t.principal || ' on ' || t.key_arn",
        state: "''",
        note: "''",
        only: "t.principal IS NOT NULL",
        is_counted: false,
    },
    Compared {
        kind: "grant",
        table: "grants",
        subject: "t.grant_id || ' on ' || COALESCE(t.key_arn, 'an unknown key')",
        state: "CASE WHEN t.is_open THEN 'open' ELSE 'ended' END",
        note: "'for ' || COALESCE(t.grantee_principal, 'an unknown grantee')",
        only: "t.grant_id IS NOT NULL",
        is_counted: false,
    },
    Compared {
        kind: "alias",
        table: "aliases",
        subject: "t.alias_name || ' in ' || t.alias_account_id || ' ' || t.alias_region",
        state: "t.key_arn",
        note: "''",
        only: "t.is_current",
        is_counted: false,
    },
    Compared {
        kind: "finding",
        table: "findings",
        subject: "t.rule || COALESCE(' on ' || t.key_arn, '') || COALESCE(' by ' || t.principal, '') || COALESCE(' in ' || t.account_id, '')",
        state: "t.severity",
        note: "t.summary",
        only: "t.rule IS NOT NULL",
        is_counted: true,
    },
    Compared {
        kind: "review",
        table: "reviews",
        subject: "t.review || ': ' || t.subject",
        state: "t.result",
        note: "t.summary",
        only: "t.subject IS NOT NULL",
        is_counted: false,
    },
];

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// key, principal, pair, grant, alias, finding or review.
    pub kind: &'static str,
    /// new, gone or changed.
    pub change: String,
    /// What it is about.
    pub subject: String,
    /// Its state in the older case; empty when it was not there or has none.
    pub old_state: String,
    /// Its state in the newer case; empty when it is not there or has none.
    pub new_state: String,
    /// One sentence on it.
    pub note: String,
}

impl Change {
    /// The change as a row of [`CHANGE_COLUMNS`].
    pub fn cells(&self) -> Vec<Cell<'static>> {
        let text = |text: &str| if text.is_empty() { Cell::Null } else { Cell::Text(text.to_owned().into()) };
        vec![
            text(self.kind),
            text(&self.change),
            text(&self.subject),
            text(&self.old_state),
            text(&self.new_state),
            text(&self.note),
        ]
    }
}

/// What a comparison gave.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The differences, by kind.
    pub changes: Vec<Change>,
    /// Tables that one of the cases has not, and so were not compared.
    pub missing: Vec<String>,
}

/// The statement that compares one kind. States of several rows with one subject are listed.
fn statement(compared: &Compared) -> String {
    let Compared { table, subject, state, note, only, .. } = compared;
    let told = if compared.is_counted {
        "d.state || CASE WHEN d.n > 1 THEN ' x ' || CAST(d.n AS STRING) ELSE '' END"
    } else {
        "d.state"
    };
    let side = |prefix: &str| {
        format!(
            "SELECT d.subject AS {prefix}subject, STRING_AGG({told}, ',') AS {prefix}state, MIN(d.note) AS {prefix}note \
             FROM (SELECT r.subject, r.state, MIN(r.note) AS note, CAST(COUNT(*) AS BIGINT) AS n FROM (SELECT {subject} AS subject, {state} AS state, \
             {note} AS note FROM {prefix}{table} AS t WHERE {only}) AS r GROUP BY r.subject, r.state) AS d \
             GROUP BY d.subject"
        )
    };
    format!(
        "WITH before AS ({old}), after AS ({new}) \
         SELECT 'new' AS change, a.new_subject AS subject, '' AS old_state, a.new_state, a.new_note AS note FROM after AS a \
         ANTI JOIN before AS b ON b.old_subject = a.new_subject \
         UNION ALL \
         SELECT 'gone' AS change, c.old_subject AS subject, c.old_state, '' AS new_state, c.old_note AS note FROM before AS c \
         ANTI JOIN after AS e ON e.new_subject = c.old_subject \
         UNION ALL \
         SELECT 'both' AS change, f.new_subject AS subject, g.old_state, f.new_state, f.new_note AS note FROM after AS f \
         JOIN before AS g ON g.old_subject = f.new_subject \
         ORDER BY change, subject",
        old = side("old_"),
        new = side("new_"),
    )
}

/// The items of a list in order, each once, so that the order of rows does not look like a change.
fn states(text: &str) -> String {
    let mut items = super::findings::sorted_items(text);
    items.dedup();
    if items.len() > 1 { json_list(&items) } else { items.pop().unwrap_or_default() }
}

/// Compares two cases.
///
/// # Errors
/// When a table cannot be read.
pub fn compare(session: &mut Session, old: &Path, new: &Path) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    for compared in &COMPARED {
        let place = |case: &Path| {
            let places = [case.join("tables"), case.to_path_buf()];
            places
                .into_iter()
                .map(|folder| folder.join(format!("{}.parquet", compared.table)))
                .find(|path| path.is_file())
        };
        let (Some(old_table), Some(new_table)) = (place(old), place(new)) else {
            comparison.missing.push(compared.table.to_owned());
            continue;
        };
        session.register(&format!("old_{}", compared.table), &old_table)?;
        session.register(&format!("new_{}", compared.table), &new_table)?;
        let one = |faults: Vec<Error>| faults.into_iter().next().unwrap_or(Error::Usage("no reason given".to_owned()));
        let query = session.prepare("compare", &statement(compared), &Header::default()).map_err(one)?;
        let table = session.table(&query)?;
        debug_assert!(table.columns.iter().all(|column| matches!(column.cell_type, CellType::Text | CellType::Null)));
        for row in table.rows {
            let text = |i: usize| match row.get(i) {
                Some(Cell::Text(text)) => text.clone().into_owned(),
                _ => String::new(),
            };
            let (old_state, new_state) = (states(&text(2)), states(&text(3)));
            let change = match text(0) {
                both if both == "both" && old_state == new_state => continue,
                both if both == "both" => "changed".to_owned(),
                change => change,
            };
            comparison.changes.push(Change {
                kind: compared.kind,
                change,
                subject: text(1),
                old_state,
                new_state,
                note: text(4),
            });
        }
    }
    Ok(comparison)
}
