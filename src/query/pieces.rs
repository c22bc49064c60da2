//! Where a query is cut, so that its memory does not grow with the case.
//!
//! In: a query whose header says how it may be cut, and the numbers of rows of the tables it reads. Out: the pieces it runs
//! on, one after the other: stretches of time, or ranges of principals, keys, resources or grants, each with about as many rows as
//! fit into the memory of one piece. Every table that has the column is cut the same way. A piece can be larger when one hour,
//! one principal, or one resource of a principal, has more rows than that. Results do not depend on where the cuts fall, which
//! tests hold.

use super::engine::{Condition, Part, Piece, ScratchFolder, SqlEngine, words};
use super::header::Partition;
use super::run::{Prepared, Session, integer};
use super::shuffle::{Deal, Split, Start};
use crate::error::Result;
use crate::output::Cell;
use crate::time::DAY;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const HOUR: i64 = 3_600;

/// Rows of other tables than `events` that one piece may have for four rows of `events`: theirs are shorter.
const OTHER_ROWS: u64 = 5;

/// The column that tells a row's grant.
const GRANT: &str = "grant_id";

/// A grant has so many columns of text, all of them its own, that a piece may have only one row of it where it may have that many
/// rows of `events`.
const GRANTS: u64 = 4;

/// Letters that grants are counted by. Their ids are random hexadecimal digits, so the first number gives 4,096 counts.
const BEGINNINGS: [u64; 2] = [3, 12];

/// With more pieces than this between principals, keys or resources, large tables are dealt out to files once instead of being
/// read anew for each piece.
const MANY_PIECES: usize = 4;

/// Rows of one value that are looked at for each piece, to see where it can be cut further.
const SAMPLES: u64 = 64;

/// The columns that tell a row's time, the finest first.
const TIME_COLUMNS: [&str; 4] = ["event_epoch", "slot_epoch", "hour_epoch", "day_epoch"];

/// Columns that grow with time: when the first key of a view's order is one of them, its pieces are in order as they come.
pub(super) const TIME_KEYS: [&str; 9] = [
    "hour_epoch",
    "day_epoch",
    "slot_epoch",
    "event_epoch",
    "event_time",
    "event_date",
    "hour_time",
    "day_time",
    "hour",
];

/// How a query runs: no pieces means at once.
#[derive(Default)]
pub(super) struct Cut {
    pub(super) pieces: Vec<Piece>,
    /// Holds the rows that were dealt out, while the pieces run.
    _dealt: Option<ScratchFolder>,
}

/// A table that is cut, and the columns it is cut by.
struct Table {
    name: String,
    column: &'static str,
    /// The column that rows with one value of `column` are cut by when they are too many.
    within: Option<&'static str>,
    rows: u64,
}

impl Table {
    fn limit(&self, piece_rows: u64) -> u64 {
        match self.column {
            GRANT => (piece_rows / GRANTS).max(1),
            _ if self.name == "events" => piece_rows,
            _ => (piece_rows * OTHER_ROWS / 4).max(1),
        }
    }

    fn part(&self, condition: Condition) -> Part {
        Part { table: self.name.clone(), files: Vec::new(), condition: Some(condition) }
    }
}

impl Session {
    /// The pieces a query runs on; none when it runs on everything at once.
    pub(super) fn cut(&mut self, query: &Prepared) -> Result<Cut> {
        let Some(partition) = query.header.partition else { return Ok(Cut::default()) };
        let tables = self.tables_to_cut(query, partition)?;
        let piece_rows = self.settings.piece_rows.max(1);
        let largest = tables.iter().max_by_key(|table| (table.rows / table.limit(piece_rows), table.name == "events"));
        let Some(largest) = largest else { return Ok(Cut::default()) };
        let limit = largest.limit(piece_rows);
        if largest.rows <= limit {
            return Ok(Cut::default());
        }
        match partition {
            Partition::Hour => self.cut_by_time(&tables, largest, HOUR, limit),
            Partition::Day => self.cut_by_time(&tables, largest, DAY, limit),
            Partition::Principal
            | Partition::Key
            | Partition::PrincipalResource
            | Partition::PrincipalKey
            | Partition::Grant => self.cut_by_text(query, &tables, largest, limit),
            Partition::Resource => self.cut_by_hash(query, &tables, largest.rows.div_ceil(limit)),
        }
    }

    /// The tables that the query names and that have the column, with their rows.
    fn tables_to_cut(&mut self, query: &Prepared, partition: Partition) -> Result<Vec<Table>> {
        let within = partition.ranges().get(1).copied();
        let wanted: &[&'static str] = match partition {
            Partition::Hour => &TIME_COLUMNS[..3],
            Partition::Day => &TIME_COLUMNS,
            Partition::Resource => &["context_resource"],
            other => other.ranges().get(..1).unwrap_or_default(),
        };
        let mut tables = Vec::new();
        for name in &query.guarded.tables {
            let columns = self.engine.columns(name)?;
            let has = |wanted: &str| columns.iter().any(|column| column.name == wanted);
            let found = wanted.iter().find(|wanted| has(wanted) && within.is_none_or(has));
            if let Some(column) = found {
                tables.push(Table { name: name.clone(), column, within, rows: self.row_count(name)? });
            }
        }
        Ok(tables)
    }

    fn row_count(&mut self, table: &str) -> Result<u64> {
        if table == "events" {
            return Ok(self.event_count);
        }
        if let Some(rows) = self.row_counts.get(table) {
            return Ok(*rows);
        }
        let counted = self.own(&format!("SELECT CAST(COUNT(*) AS BIGINT) AS n FROM {table}"))?;
        let rows = counted.rows.first().and_then(|row| integer(row.first())).unwrap_or(0);
        self.row_counts.insert(table.to_owned(), rows);
        Ok(rows)
    }

    fn cut_by_time(&mut self, tables: &[Table], largest: &Table, width: i64, limit: u64) -> Result<Cut> {
        let mut stretches = self.stretches(&largest.name, largest.column, width, limit)?;
        join_up(&mut stretches);
        let pieces = stretches.into_iter().map(|(from, to)| {
            let parts = tables.iter().map(|table| {
                let condition = Condition::Epochs { column: table.column.to_owned(), from, to };
                match table.name == "events" {
                    true => Part { files: self.event_files(from, to), ..table.part(condition) },
                    false => table.part(condition),
                }
            });
            parts.collect()
        });
        Ok(Cut { pieces: pieces.collect(), _dealt: None })
    }

    /// Stretches of whole buckets of `width` seconds with about `limit` rows of a table each.
    fn stretches(&mut self, table: &str, column: &str, width: i64, limit: u64) -> Result<Vec<(i64, i64)>> {
        Ok(cut_epochs(&self.bucket_counts(table, column, width)?, width, limit))
    }

    /// Rows of a table per bucket of `width` seconds, in order.
    fn bucket_counts(&mut self, table: &str, column: &str, width: i64) -> Result<Vec<(i64, u64)>> {
        let sql = format!(
            "SELECT {column} - ({column} % {width}) AS bucket, CAST(COUNT(*) AS BIGINT) AS n FROM {table} \
             GROUP BY {column} - ({column} % {width}) ORDER BY bucket"
        );
        let rows = self.own(&sql)?.rows;
        let counts = rows.iter().filter_map(|row| match (row.first(), integer(row.get(1))) {
            (Some(Cell::Integer(bucket)), Some(count)) => Some((*bucket, count)),
            _ => None,
        });
        Ok(counts.collect())
    }

    /// The files of the events table that can hold events of a stretch of time.
    fn event_files(&self, from: i64, to: i64) -> Vec<PathBuf> {
        let days = from.div_euclid(DAY)..=(to - 1).div_euclid(DAY);
        let near = self.events.iter().filter(|file| file.day.is_none_or(|day| days.contains(&day)));
        near.map(|file| file.path.clone()).collect()
    }

    fn cut_by_text(&mut self, query: &Prepared, tables: &[Table], largest: &Table, limit: u64) -> Result<Cut> {
        let counts = match largest.column {
            GRANT => self.beginning_counts(&largest.name, GRANT, limit)?,
            column => self.text_counts(&largest.name, column)?,
        };
        if let Some(within) = largest.within
            && counts.iter().any(|(_, count)| *count > limit)
        {
            let starts = self.starts(query, largest, within, counts, limit)?;
            return self.deal_all(query, tables, &Split::Ranges { starts });
        }
        // NULL comes last, as in the order of the views that are cut this way.
        let conditions = cut_texts(largest.column, counts, limit, false);
        let mut pieces: Vec<Piece> = conditions
            .iter()
            .map(|condition| tables.iter().map(|table| table.part(condition.clone())).collect())
            .collect();
        let piece_rows = self.settings.piece_rows.max(1);
        let mut large = tables.iter().filter(|table| table.rows > table.limit(piece_rows)).peekable();
        if conditions.len() <= MANY_PIECES || large.peek().is_none() {
            return Ok(Cut { pieces, _dealt: None });
        }
        let folder = ScratchFolder::create(self.settings.scratch.as_deref())?;
        let starts = conditions.into_iter().filter_map(|condition| match condition {
            Condition::Texts { from, .. } => from.map(|from| vec![Some(from)]),
            Condition::Epochs { .. } | Condition::Rows { .. } | Condition::Never => None,
        });
        let split = Split::Ranges { starts: starts.collect() };
        for table in large {
            self.deal_out(query, table, &split, folder.path(), &mut pieces)?;
        }
        Ok(Cut { pieces, _dealt: Some(folder) })
    }

    /// Where pieces begin when some values have more rows than a piece may have: these are cut further, by what a sample of
    /// their rows has in the column `within`.
    fn starts(
        &mut self,
        query: &Prepared,
        table: &Table,
        within: &str,
        mut counts: Vec<(Option<String>, u64)>,
        limit: u64,
    ) -> Result<Vec<Start>> {
        let stride = (limit / SAMPLES).max(1);
        let large = counts.iter().filter(|(_, count)| *count > limit);
        let strides = large.map(|(value, _)| (value.clone(), stride)).collect();
        let stretches = self.stretches_of(table)?;
        let mut samples = self.engine.sample(&query.id, &table.name, [table.column, within], &strides, &stretches)?;
        // NULL is counted first and dealt out last.
        let nulls = counts.iter().take_while(|(value, _)| value.is_none()).count();
        counts.rotate_left(nulls);
        let mut keys: Vec<(Start, u64)> = Vec::new();
        for (value, count) in counts {
            match samples.remove(&value) {
                Some(mut sampled) => {
                    sampled.sort_by(|a, b| (a.is_none(), a).cmp(&(b.is_none(), b)));
                    // Rows with what comes before all that was sampled stay with the piece before.
                    for run in sampled.chunk_by(|a, b| a == b) {
                        let key = vec![value.clone(), run.first().cloned().flatten()];
                        keys.push((key, run.len() as u64 * stride));
                    }
                }
                None => keys.push((vec![value], count)),
            }
        }
        Ok(cut_keys(keys, limit))
    }

    /// Pieces between values that are too many to be counted one by one, in no order.
    fn cut_by_hash(&mut self, query: &Prepared, tables: &[Table], pieces: u64) -> Result<Cut> {
        let files = usize::try_from(pieces).unwrap_or(usize::MAX);
        self.deal_all(query, tables, &Split::Hash { files })
    }

    /// Deals all tables out, one piece for each file.
    fn deal_all(&mut self, query: &Prepared, tables: &[Table], split: &Split) -> Result<Cut> {
        let folder = ScratchFolder::create(self.settings.scratch.as_deref())?;
        let piece: Piece = tables.iter().map(|table| table.part(Condition::Never)).collect();
        let mut pieces = vec![piece; split.files()];
        for table in tables {
            self.deal_out(query, table, split, folder.path(), &mut pieces)?;
        }
        Ok(Cut { pieces, _dealt: Some(folder) })
    }

    /// Deals the rows of a table out to files, and lets each piece read its own.
    fn deal_out(
        &mut self,
        query: &Prepared,
        table: &Table,
        split: &Split,
        folder: &Path,
        pieces: &mut [Piece],
    ) -> Result<()> {
        let columns = self.engine.columns(&table.name)?.into_iter().map(|column| column.name);
        let by: Vec<String> = [table.column].into_iter().chain(table.within).map(str::to_owned).collect();
        let deal = Deal {
            query: query.id.clone(),
            table: table.name.clone(),
            columns: named_columns(columns, &query.guarded.sql, &by),
            by,
            split: split.clone(),
        };
        let stretches = self.stretches_of(table)?;
        let dealt = self.engine.deal_out(&deal, &stretches, folder)?;
        for (piece, files) in pieces.iter_mut().zip(dealt) {
            for part in piece.iter_mut().filter(|part| part.table == table.name) {
                // No file at all would be the whole table.
                part.condition = files.is_empty().then_some(Condition::Never);
                part.files.clone_from(&files);
            }
        }
        Ok(())
    }

    /// The stretches in which a table is read that is dealt out: so many rows at once. What was read of a file stays mapped
    /// until the stretch ends.
    fn stretches_of(&mut self, table: &Table) -> Result<Vec<Piece>> {
        let piece_rows = self.settings.piece_rows.max(1);
        if table.name != "events" {
            let stretches = rows_at_once(table.rows, table.limit(piece_rows));
            return Ok(stretches.map(|rows| vec![table.part(rows)]).collect());
        }
        let days: BTreeMap<i64, u64> = self.bucket_counts("events", "event_epoch", DAY)?.into_iter().collect();
        let part = |files: Vec<PathBuf>, condition| vec![Part { table: "events".to_owned(), files, condition }];
        let mut stretches = Vec::new();
        let (mut waiting, mut waiting_rows) = (Vec::new(), 0);
        for files in self.events.chunk_by(|one, other| one.day == other.day) {
            let paths: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
            let day = files.first().and_then(|file| file.day);
            let rows = day.and_then(|day| days.get(&(day * DAY))).copied().unwrap_or(piece_rows);
            if waiting_rows + rows > piece_rows && !waiting.is_empty() {
                stretches.push(part(std::mem::take(&mut waiting), None));
                waiting_rows = 0;
            }
            if rows <= piece_rows {
                waiting.extend(paths);
                waiting_rows += rows;
                continue;
            }
            stretches.extend(rows_at_once(rows, piece_rows).map(|rows| part(paths.clone(), Some(rows))));
        }
        if !waiting.is_empty() {
            stretches.push(part(waiting, None));
        }
        Ok(stretches)
    }

    /// [`Session::text_counts`] by how the values begin, with as few letters as tell pieces of `limit` rows apart: of grants there can be
    /// millions. Beginnings have the order of what begins with them, so each is where a piece can begin.
    fn beginning_counts(&mut self, table: &str, column: &str, limit: u64) -> Result<Vec<(Option<String>, u64)>> {
        for letters in BEGINNINGS {
            let counts = self.text_counts(table, &format!("SUBSTR({column}, 1, {letters})"))?;
            if counts.iter().all(|(_, count)| *count <= limit) {
                return Ok(counts);
            }
        }
        self.text_counts(table, column)
    }

    /// How often each value of a text column, or of an expression of one, stands in a table, in the order of the values.
    pub(super) fn text_counts(&mut self, table: &str, value: &str) -> Result<Vec<(Option<String>, u64)>> {
        let sql = format!(
            "SELECT {value} AS value, CAST(COUNT(*) AS BIGINT) AS n FROM {table} GROUP BY {value} \
             ORDER BY value NULLS FIRST"
        );
        let rows = self.own(&sql)?.rows;
        let counts = rows.into_iter().map(|row| {
            let count = integer(row.get(1)).unwrap_or(0);
            match row.into_iter().next() {
                Some(Cell::Text(text)) => (Some(text.into_owned()), count),
                _ => (None, count),
            }
        });
        Ok(counts.collect())
    }
}

/// Stretches of `step` rows of a table that has `rows`. The last one takes all that is left, whatever was counted: no row
/// may be lost.
fn rows_at_once(rows: u64, step: u64) -> impl Iterator<Item = Condition> {
    let stretches = rows.div_ceil(step);
    (0..stretches).map(move |number| Condition::Rows {
        from: number * step,
        count: if number + 1 == stretches { u64::MAX } else { step },
    })
}

/// Those of a table's columns whose names stand in a statement, and `always`. Some may be columns of other tables: they cost
/// space and nothing else.
fn named_columns(columns: impl Iterator<Item = String>, sql: &str, always: &[String]) -> Vec<String> {
    let words = words(sql);
    columns.filter(|name| words.contains(name.as_str()) || always.contains(name)).collect()
}

/// Stretches `[from, to)` of whole buckets with at most `limit` rows each, or one bucket when that has more. `counts` are
/// rows per bucket, in order.
fn cut_epochs(counts: &[(i64, u64)], width: i64, limit: u64) -> Vec<(i64, i64)> {
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    let mut rows = 0;
    for (bucket, count) in counts {
        match stretches.last_mut() {
            Some((_, to)) if rows + count <= limit => {
                rows += count;
                *to = bucket + width;
            }
            _ => {
                rows = *count;
                stretches.push((*bucket, bucket + width));
            }
        }
    }
    stretches
}

/// Makes stretches cover all of time: another table may have rows where the one that was counted has none.
fn join_up(stretches: &mut [(i64, i64)]) {
    let mut next = i64::MAX;
    for (from, to) in stretches.iter_mut().rev() {
        *to = next;
        next = *from;
    }
    if let Some((from, _)) = stretches.first_mut() {
        *from = i64::MIN;
    }
}

/// Where ranges of keys begin that have at most `limit` rows each, or one key when that has more. `keys` come in order with
/// their rows.
fn cut_keys(keys: Vec<(Start, u64)>, limit: u64) -> Vec<Start> {
    let mut starts = Vec::new();
    let mut rows = 0;
    for (key, count) in keys {
        if rows > 0 && rows + count > limit {
            starts.push(key);
            rows = 0;
        }
        rows += count;
    }
    starts
}

/// Ranges of a text column with at most `limit` rows each, or one value when that has more. `counts` are rows per value, in
/// order. The rows with NULL belong to the first or to the last range.
pub(super) fn cut_texts(
    column: &str,
    counts: Vec<(Option<String>, u64)>,
    limit: u64,
    nulls_first: bool,
) -> Vec<Condition> {
    let keys = counts.into_iter().filter(|(value, _)| value.is_some()).map(|(value, count)| (vec![value], count));
    let cuts = cut_keys(keys.collect(), limit);
    let starts: Vec<Option<String>> = [None].into_iter().chain(cuts.into_iter().flatten()).collect();
    let last = starts.len() - 1;
    let ends = starts.iter().skip(1).cloned().chain([None]);
    let ranges = starts.iter().cloned().zip(ends).enumerate();
    let conditions = ranges.map(|(i, (from, to))| {
        let has_nulls = if nulls_first { i == 0 } else { i == last };
        Condition::Texts { column: column.to_owned(), from, to, has_nulls }
    });
    conditions.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::EVENT_COLUMNS;

    #[test]
    fn stretches_hold_whole_buckets_up_to_the_limit() {
        let counts = [(0, 5), (10, 5), (30, 25), (40, 1), (50, 9)];
        assert_eq!(cut_epochs(&counts, 10, 10), [(0, 20), (30, 40), (40, 60)]);
        assert_eq!(cut_epochs(&counts, 10, 100), [(0, 60)]);
        assert_eq!(cut_epochs(&[], 10, 10), []);
    }

    #[test]
    fn stretches_leave_no_second_out() {
        let mut stretches = [(0, 20), (30, 40), (40, 60)];
        join_up(&mut stretches);
        assert_eq!(stretches, [(i64::MIN, 30), (30, 40), (40, i64::MAX)]);
    }

    #[test]
    fn ranges_cover_every_value_once() {
        let counts: Vec<_> = [(None, 3), (Some("a"), 4), (Some("b"), 9), (Some("c"), 1), (Some("d"), 2)]
            .map(|(value, count)| (value.map(str::to_owned), count))
            .into();
        let ranges: Vec<_> = cut_texts("c", counts, 5, true)
            .into_iter()
            .map(|condition| match condition {
                Condition::Texts { from, to, has_nulls, .. } => {
                    (from.unwrap_or_default(), to.unwrap_or_default(), has_nulls)
                }
                other => unreachable!("{other:?}"),
            })
            .collect();
        let range = |from: &str, to: &str, has_nulls| (from.to_owned(), to.to_owned(), has_nulls);
        assert_eq!(ranges, [range("", "b", true), range("b", "c", false), range("c", "", false)]);
    }

    #[test]
    fn only_columns_that_are_named_are_dealt_out() {
        let sql = "SELECT e.event_id, e.region FROM events AS e WHERE e.key_arn IS NOT NULL";
        let columns = EVENT_COLUMNS.iter().map(|column| column.name.to_owned());
        assert_eq!(
            named_columns(columns, sql, &["principal".to_owned()]),
            ["event_id", "region", "key_arn", "principal"]
        );
    }
}
