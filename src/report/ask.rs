//! Questions to the case: small SELECTs through the query engine, and their rows by column name.
//!
//! In: a statement of keytrail's own. Out: rows whose texts are safe to show: control, bidirectional and zero-width
//! characters are visible escapes, and a text of a megabyte is cut with a word. Escaping for HTML comes later, in the
//! templates, and only there. A question that cannot be answered (a table that an older case lacks) does not take the
//! report with it: it gives no rows, and the report says so.

use crate::case::lookup::rows_by_id;
use crate::error::Result;
use crate::output::terminal::sanitize;
use crate::query::header::{Header, Partition};
use crate::query::run::Session;
use crate::query::table::{self, Table};
use crate::schema::Event;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Characters of one text that a table of the report shows; what is longer is cut, and says how long it was.
pub(super) const SHOWN_CHARS: usize = 1_000;

/// `text` without what could hide itself or move the text around it, and at most `limit` characters of it.
pub(super) fn visible(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return sanitize(text);
    }
    let head: String = text.chars().take(limit).collect();
    format!("{} [cut: {length} characters]", sanitize(&head))
}

/// A case that is asked.
pub(super) struct Asked<'s> {
    session: &'s mut Session,
    case: &'s Path,
    /// Questions that had no answer: what was asked for, and why.
    pub(super) unanswered: BTreeMap<String, String>,
}

impl<'s> Asked<'s> {
    pub(super) fn new(session: &'s mut Session, case: &'s Path) -> Asked<'s> {
        Asked { session, case, unanswered: BTreeMap::new() }
    }

    /// True when the case has the table.
    pub(super) fn has(&self, table: &str) -> bool {
        self.session.has_table(table)
    }

    /// True when the table has the column.
    pub(super) fn has_column(&mut self, table: &str, column: &str) -> bool {
        self.session.columns(table).is_ok_and(|columns| columns.iter().any(|other| other.name == column))
    }

    /// Makes `texts` the one-column table `table`, for joins.
    ///
    /// # Errors
    /// When the engine refuses it.
    pub(super) fn register(&mut self, table: &str, column: &str, texts: &[String]) -> Result<()> {
        self.session.register_texts(table, column, texts)
    }

    /// The rows of a statement about `table`; none, and a note, when they cannot be had.
    pub(super) fn rows(&mut self, table: &str, sql: &str) -> Rows {
        self.answer(table, sql, Header::default())
    }

    /// The same for a statement about a table that may be larger than memory: it is run on one piece after the other, and
    /// gives their rows in this order.
    pub(super) fn rows_in_pieces(&mut self, table: &str, partition: Partition, sql: &str) -> Rows {
        self.answer(table, sql, Header { partition: Some(partition), ..Header::default() })
    }

    /// Hands over the rows of the view `table` that stand for events with one of `ids`, as far as they have columns of an
    /// event; what cannot be read is noted.
    pub(super) fn rows_of_events(&mut self, table: &str, ids: &HashSet<String>, each: impl FnMut(&Event<'_>)) {
        let path = self.case.join(format!("tables/{table}.parquet"));
        if !ids.is_empty()
            && let Err(error) = rows_by_id(&path, ids, each)
        {
            self.unanswered.insert(table.to_owned(), visible(&error.to_string(), SHOWN_CHARS));
        }
    }

    fn answer(&mut self, table: &str, sql: &str, header: Header) -> Rows {
        if !self.has(table) {
            self.unanswered.insert(table.to_owned(), "the case has no such table".to_owned());
            return Rows::default();
        }
        let name = format!("report: {table}");
        let asked = match self.session.prepare(&name, sql, &header) {
            Ok(query) => self.session.table_in_pieces(&query).map_err(|error| error.to_string()),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        };
        match asked {
            Ok(table) => Rows(table),
            Err(reason) => {
                self.unanswered.insert(table.to_owned(), visible(&reason, SHOWN_CHARS));
                Rows::default()
            }
        }
    }
}

/// The rows of an answer.
#[derive(Debug, Default)]
pub(super) struct Rows(Table);

impl Rows {
    /// The rows, in the statement's order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.0.iter().map(Row)
    }

    /// The rows by the text in `column`, in the statement's order.
    pub(super) fn by(&self, column: &str) -> BTreeMap<String, Vec<Row<'_>>> {
        let mut groups: BTreeMap<String, Vec<Row<'_>>> = BTreeMap::new();
        for row in self.iter() {
            groups.entry(row.raw(column).to_owned()).or_default().push(row);
        }
        groups
    }
}

/// One row of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'r>(table::Row<'r>);

impl<'r> Row<'r> {
    /// A text exactly as it stands in the case, for comparing and joining; empty for NULL.
    pub(super) fn raw(&self, name: &str) -> &'r str {
        self.0.text(name)
    }

    /// The value as text that is safe to show; empty for NULL.
    pub(super) fn text(&self, name: &str) -> String {
        visible(&self.0.cell(name).to_text(), SHOWN_CHARS)
    }

    /// An integer; 0 for NULL.
    pub(super) fn number(&self, name: &str) -> i64 {
        self.0.number(name)
    }

    /// An instant, microseconds since 1970-01-01 UTC.
    pub(super) fn instant(&self, name: &str) -> Option<i64> {
        self.0.micros(name)
    }

    /// True or false; `None` for NULL.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.0.flag(name)
    }

    /// True when it is true, and not when it is NULL.
    pub(super) fn is(&self, name: &str) -> bool {
        self.0.is(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Cell;
    use crate::query::table::{CellType, ResultColumn};

    #[test]
    fn hidden_characters_are_shown_and_long_texts_are_cut_with_a_word() {
        assert_eq!(visible("a\u{202e}b\u{0}", 10), "a\\u{202e}b\\u{0}");
        assert_eq!(visible("ééééé", 3), "ééé [cut: 5 characters]");
        assert_eq!(visible("ééé", 3), "ééé");
    }

    #[test]
    fn rows_are_read_by_name_and_null_is_nothing() {
        let column = |name: &str, cell_type| ResultColumn { name: name.to_owned(), cell_type };
        let rows = Rows(Table {
            columns: vec![column("a", CellType::Text), column("n", CellType::Integer)],
            rows: vec![
                vec![Cell::Text("x".into()), Cell::Integer(3)],
                vec![Cell::Null, Cell::Null],
                vec![Cell::Text("x".into()), Cell::Boolean(true)],
            ],
        });
        let groups = rows.by("a");
        assert_eq!(
            groups.iter().map(|(name, rows)| (name.as_str(), rows.len())).collect::<Vec<_>>(),
            [("", 1), ("x", 2)]
        );
        let row = rows.iter().next().unwrap();
        assert_eq!((row.text("a").as_str(), row.number("n"), row.text("none").as_str()), ("x", 3, ""));
        assert!(rows.iter().nth(2).unwrap().is("n"));
        assert_eq!(rows.iter().count(), 3);
    }
}
