//! Dealing the rows of a large table out to files, so that each piece of a query reads its own rows and no others.
//!
//! In: a table, the columns that a query needs, and the bounds of its pieces in one text column. Out: one Parquet file per
//! piece. Without it a query that is cut between principals or keys would read all events once for each piece, which for a
//! hundred pieces is a hundred times. The table is read in stretches of time, and dealt out in two rounds when there are many
//! files, so memory grows neither with the rows nor with the files.

use super::engine::{Piece, Polars, SqlEngine, Writer, guarded};
use crate::error::{Error, Result};
use polars::prelude::*;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that wait in memory for their files, all files together.
const WAITING: usize = 200_000;

/// Rows handed over by the engine at once.
const BATCH: usize = 16 << 10;

/// Files written at once. Of more, each would get so few rows at a time that the descriptions of its row groups would be
/// larger than the rows.
const FAN_OUT: usize = 48;

/// What is dealt out, and how.
#[derive(Clone, Copy)]
pub(super) struct Deal<'d> {
    /// The query, for messages.
    pub(super) query: &'d str,
    /// The table.
    pub(super) table: &'d str,
    /// The columns that are kept.
    pub(super) columns: &'d [String],
    /// The text column that decides.
    pub(super) by: &'d str,
    /// Where each file but the first begins, in order.
    pub(super) starts: &'d [String],
    /// The file that takes the rows where the column is NULL.
    pub(super) nulls_to: usize,
}

/// One file and the rows that wait for it.
struct Pile {
    path: PathBuf,
    waiting: Option<DataFrame>,
    writer: Option<Writer>,
}

impl Pile {
    fn add(&mut self, rows: DataFrame, limit: usize) -> PolarsResult<()> {
        let waiting = match self.waiting.take() {
            Some(mut waiting) => {
                waiting.vstack_mut(&rows)?;
                waiting
            }
            None => rows,
        };
        let is_full = waiting.height() >= limit;
        self.waiting = Some(waiting);
        if is_full { self.write() } else { Ok(()) }
    }

    /// Writes all rows that wait, and the footer.
    fn finish(&mut self) -> PolarsResult<()> {
        self.write()?;
        self.writer.take().map_or(Ok(()), |writer| writer.finish())
    }

    fn write(&mut self) -> PolarsResult<()> {
        let Some(mut rows) = self.waiting.take() else { return Ok(()) };
        rows.rechunk_mut();
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(Writer::create(&self.path, rows.schema())?),
        };
        writer.append(&rows)
    }
}

/// The same rows with text of their own. What the engine takes out of a batch still points into it, so a few rows that wait
/// would keep the whole batch in memory.
fn detached(rows: DataFrame) -> PolarsResult<DataFrame> {
    let columns: PolarsResult<Vec<Column>> = rows
        .columns()
        .iter()
        .map(|column| match column.dtype() {
            DataType::String => {
                let text = column.str()?;
                let chunks = text.downcast_iter().map(|chunk| chunk.clone().gc());
                Ok(StringChunked::from_chunk_iter(column.name().clone(), chunks).into_column())
            }
            _ => Ok(column.clone()),
        })
        .collect();
    DataFrame::new(rows.height(), columns?)
}

/// The rows of a batch for each file.
fn rows_by_file(deal: &Deal<'_>, batch: &DataFrame) -> PolarsResult<Vec<Vec<IdxSize>>> {
    let mut rows: Vec<Vec<IdxSize>> = vec![Vec::new(); deal.starts.len() + 1];
    let column = batch.column(deal.by)?.as_materialized_series().rechunk();
    for (row, value) in (0..).zip(column.str()?.iter()) {
        let file = match value {
            Some(value) => deal.starts.partition_point(|start| start.as_str() <= value),
            None => deal.nulls_to,
        };
        if let Some(rows) = rows.get_mut(file) {
            rows.push(row);
        }
    }
    Ok(rows)
}

impl Polars {
    /// Deals the rows of a table out to files in `folder`, one for each of the pieces that `deal.starts` begins, reading it
    /// in `stretches` (or at once when there are none). A piece without rows has no file.
    ///
    /// # Errors
    /// When the table cannot be read or a file cannot be written.
    pub(super) fn deal_out(&mut self, deal: &Deal<'_>, stretches: &[Piece], folder: &Path) -> Result<Vec<PathBuf>> {
        let files = deal.starts.len() + 1;
        let name = |round: &str, number: usize| folder.join(format!("{}-{round}{number}.parquet", deal.table));
        if files <= FAN_OUT {
            let paths: Vec<PathBuf> = (0..files).map(|number| name("", number)).collect();
            self.deal_once(deal, stretches, &paths)?;
            return Ok(paths);
        }
        // First to a few files that each hold the rows of many, then each of these once more.
        let width = files.div_ceil(FAN_OUT);
        let firsts: Vec<usize> = (0..files).step_by(width).collect();
        let starts: Vec<String> =
            firsts.iter().filter_map(|first| deal.starts.get(first.checked_sub(1)?).cloned()).collect();
        let rough: Vec<PathBuf> = (0..firsts.len()).map(|number| name("rough-", number)).collect();
        self.deal_once(&Deal { starts: &starts, nulls_to: deal.nulls_to / width, ..*deal }, stretches, &rough)?;
        let mut paths = Vec::with_capacity(files);
        for (first, rough) in firsts.into_iter().zip(&rough) {
            let last = (first + width).min(files) - 1;
            let fine: Vec<PathBuf> = (first..=last).map(|number| name("", number)).collect();
            if rough.is_file() {
                let starts = deal.starts.get(first..last).unwrap_or_default();
                let table = "roughly_dealt_rows";
                self.register_files(table, std::slice::from_ref(rough), &[])?;
                let nulls_to = deal.nulls_to.saturating_sub(first);
                let dealt = self.deal_once(&Deal { table, starts, nulls_to, ..*deal }, &[], &fine);
                self.forget(table);
                dealt?;
                std::fs::remove_file(rough).map_err(|error| Error::file(rough, "remove dealt rows", error))?;
            }
            paths.extend(fine);
        }
        Ok(paths)
    }

    /// Deals rows out to the files at `paths`, all at once.
    fn deal_once(&mut self, deal: &Deal<'_>, stretches: &[Piece], paths: &[PathBuf]) -> Result<()> {
        let piles: Vec<Pile> =
            paths.iter().map(|path| Pile { path: path.clone(), waiting: None, writer: None }).collect();
        let piles = Arc::new(Mutex::new(piles));
        let limit = WAITING / paths.len().max(1);
        let whole = [Vec::new()];
        for stretch in if stretches.is_empty() { &whole[..] } else { stretches } {
            self.narrow(stretch)?;
            let dealt = self.deal_stretch(deal, &piles, limit);
            self.widen();
            dealt?;
        }
        let mut piles = piles.lock().unwrap_or_else(PoisonError::into_inner);
        for pile in piles.iter_mut() {
            guarded(deal.query, || pile.finish())?;
        }
        Ok(())
    }

    fn deal_stretch(&self, deal: &Deal<'_>, piles: &Arc<Mutex<Vec<Pile>>>, limit: usize) -> Result<()> {
        let columns: Vec<Expr> = deal.columns.iter().map(|name| col(name.as_str())).collect();
        let frame = self.table(deal.table)?.select(columns);
        let (by, starts, nulls_to) = (deal.by.to_owned(), deal.starts.to_vec(), deal.nulls_to);
        let (query, table) = (deal.query.to_owned(), deal.table.to_owned());
        let piles = piles.clone();
        guarded(deal.query, move || {
            let sink = PlanCallback::new(move |batch: DataFrame| {
                let told = Deal { query: &query, table: &table, columns: &[], by: &by, starts: &starts, nulls_to };
                let mut piles = piles.lock().unwrap_or_else(PoisonError::into_inner);
                for (pile, rows) in piles.iter_mut().zip(rows_by_file(&told, &batch)?) {
                    if !rows.is_empty() {
                        let rows = batch.take(&IdxCa::from_vec("row".into(), rows))?;
                        pile.add(detached(rows)?, limit)?;
                    }
                }
                Ok(false)
            });
            frame.sink_batches(sink, true, NonZeroUsize::new(BATCH))?.collect_with_engine(Engine::Streaming)
        })
        .map(|_| ())
        .map_err(|error| match error {
            Error::Query { query, line, message } => {
                Error::Query { query, line, message: format!("dealing rows out: {message}") }
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::Statement;
    use super::super::table::{CellType, ResultColumn, Table};
    use super::*;
    use crate::output::Cell;
    use std::collections::BTreeSet;

    /// `values` rows of each name, one name per file, and a file for what has no name.
    fn dealt(names: usize, values: usize) -> Vec<Vec<(String, i64)>> {
        let name = |number: usize| format!("role-{number:04} with a name that is longer than a view holds");
        let column = |name: &str, cell_type| ResultColumn { name: name.to_owned(), cell_type };
        let mut rows = Vec::new();
        for value in 0..values {
            for number in 0..names {
                rows.push(vec![Cell::Text(name(number).into()), Cell::Integer(value as i64)]);
            }
            rows.push(vec![Cell::Null, Cell::Integer(value as i64)]);
        }
        let columns = vec![column("principal", CellType::Text), column("value", CellType::Integer)];
        let mut engine = Polars::new(None);
        engine.register_rows("calls", &Table { columns, rows }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let starts: Vec<String> = (1..names).map(name).collect();
        let columns = ["principal", "value"].map(str::to_owned);
        let deal = Deal {
            query: "test",
            table: "calls",
            columns: &columns,
            by: "principal",
            starts: &starts,
            nulls_to: names - 1,
        };
        let paths = engine.deal_out(&deal, &[], folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), names, "nothing else is left in the folder");
        let read = |path: &PathBuf| {
            engine.register_files("dealt", std::slice::from_ref(path), &[]).unwrap();
            let sql = "SELECT COALESCE(principal, 'nobody') AS principal, value FROM dealt ORDER BY principal, value";
            let table = engine.execute(&Statement { query: "test", sql, lists: &BTreeSet::new() }).unwrap();
            let row = |row: &Vec<Cell<'static>>| match row.as_slice() {
                [Cell::Text(name), Cell::Integer(value)] => (name.to_string(), *value),
                _ => unreachable!("two columns"),
            };
            table.rows.iter().map(row).collect()
        };
        paths.iter().map(read).collect()
    }

    #[test]
    fn every_row_comes_to_its_file_in_one_round_and_in_two() {
        for names in [3, FAN_OUT, FAN_OUT + 1, 3 * FAN_OUT + 5] {
            let files = dealt(names, 3);
            assert_eq!(files.len(), names);
            for (number, rows) in files.iter().enumerate() {
                let (named, nobody): (Vec<_>, Vec<_>) = rows.iter().partition(|(name, _)| name != "nobody");
                assert!(named.iter().all(|(name, _)| name.starts_with(&format!("role-{number:04} "))), "{number}");
                assert_eq!(named.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [0, 1, 2]);
                assert_eq!(nobody.len(), if number + 1 == names { 3 } else { 0 });
            }
        }
    }
}
