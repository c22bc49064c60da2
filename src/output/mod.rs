//! Rows for people and notebooks: CSV, NDJSON, JSON and terminal tables.
//!
//! In: cells ([`Cell`]) of events or query results. Out: text. This is the only place where text from logs is defused: CSV
//! cells that a spreadsheet would take for a formula, and control, bidirectional and zero-width characters on a terminal.
//! The tables themselves keep what was received.

pub mod csv;
pub mod ndjson;
pub mod sparkline;
pub mod terminal;

use crate::schema::{Event, for_each_event_column};
use crate::time;
use std::borrow::Cow;

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// Text.
    Text(Cow<'a, str>),
    /// True or false.
    Boolean(bool),
    /// Signed 64-bit integer.
    Integer(i64),
    /// Floating point.
    Float(f64),
    /// Microseconds since 1970-01-01 UTC.
    Timestamp(i64),
    /// Days since 1970-01-01 UTC.
    Date(i32),
}

impl Cell<'_> {
    /// The cell with a text of its own.
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Cell::Null => Cell::Null,
            Cell::Boolean(value) => Cell::Boolean(value),
            Cell::Integer(value) => Cell::Integer(value),
            Cell::Float(value) => Cell::Float(value),
            Cell::Timestamp(micros) => Cell::Timestamp(micros),
            Cell::Date(days) => Cell::Date(days),
        }
    }

    /// The value as text: times as RFC 3339, NULL as nothing.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Cell::Null => Cow::Borrowed(""),
            Cell::Text(text) => Cow::Borrowed(text),
            Cell::Boolean(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Cell::Integer(value) => Cow::Owned(value.to_string()),
            Cell::Float(value) => Cow::Owned(value.to_string()),
            Cell::Timestamp(micros) => Cow::Owned(time::format_timestamp(*micros)),
            Cell::Date(days) => Cow::Owned(time::format_date(*days)),
        }
    }
}

macro_rules! cell {
    (Text, $value:expr) => {
        $value.as_deref().map_or(Cell::Null, |text| Cell::Text(Cow::Borrowed(text)))
    };
    ($kind:ident, $value:expr) => {
        $value.map_or(Cell::Null, Cell::$kind)
    };
}

macro_rules! define_cells {
    ($(($group:ident, $name:ident, $kind:ident, $doc:literal),)*) => {
        /// The cells of an event, in table order.
        pub fn event_cells<'e>(event: &'e Event<'_>) -> Vec<Cell<'e>> {
            vec![$(cell!($kind, event.$name)),*]
        }
    };
}
for_each_event_column!(define_cells);
