//! Dealing the rows of a large table out to files, so that each piece of a query reads its own rows and no others.
//!
//! In: a table, the columns that a query needs, and the bounds of its pieces in one text column. Out: one Parquet file per
//! piece. Without it a query that is cut between principals or keys would read all events once for each piece, which for a
//! hundred pieces is a hundred times. The table is read in stretches of time, so memory does not grow with it.

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

/// What is dealt out, and how.
pub(super) struct Deal<'d> {
    /// The query, for messages.
    pub(super) query: &'d str,
    /// The table.
    pub(super) table: &'d str,
    /// The columns that are kept.
    pub(super) columns: &'d [&'d str],
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

/// The rows of a batch for each file.
fn deal(deal: &Deal<'_>, batch: &DataFrame) -> PolarsResult<Vec<Vec<IdxSize>>> {
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
    /// in `stretches` (or at once when there are none).
    ///
    /// # Errors
    /// When the table cannot be read or a file cannot be written.
    pub(super) fn deal_out(&mut self, deal_: &Deal<'_>, stretches: &[Piece], folder: &Path) -> Result<Vec<PathBuf>> {
        let paths: Vec<PathBuf> =
            (0..=deal_.starts.len()).map(|number| folder.join(format!("{}-{number}.parquet", deal_.table))).collect();
        let piles: Vec<Pile> =
            paths.iter().map(|path| Pile { path: path.clone(), waiting: None, writer: None }).collect();
        let piles = Arc::new(Mutex::new(piles));
        let limit = (WAITING / paths.len().max(1)).max(256);
        let whole = [Vec::new()];
        for stretch in if stretches.is_empty() { &whole[..] } else { stretches } {
            self.narrow(stretch)?;
            let dealt = self.deal_stretch(deal_, &piles, limit);
            self.widen();
            dealt?;
        }
        let mut piles = piles.lock().unwrap_or_else(PoisonError::into_inner);
        for pile in piles.iter_mut() {
            let finished = guarded(deal_.query, || {
                pile.write()?;
                pile.writer.take().map_or(Ok(()), |writer| writer.finish())
            });
            finished?;
        }
        Ok(paths)
    }

    fn deal_stretch(&self, deal_: &Deal<'_>, piles: &Arc<Mutex<Vec<Pile>>>, limit: usize) -> Result<()> {
        let columns: Vec<Expr> = deal_.columns.iter().map(|name| col(*name)).collect();
        let frame = self.table(deal_.table)?.select(columns);
        let (by, starts, nulls_to) = (deal_.by.to_owned(), deal_.starts.to_vec(), deal_.nulls_to);
        let (query, table) = (deal_.query.to_owned(), deal_.table.to_owned());
        let piles = piles.clone();
        guarded(deal_.query, move || {
            let sink = PlanCallback::new(move |batch: DataFrame| {
                let told = Deal { query: &query, table: &table, columns: &[], by: &by, starts: &starts, nulls_to };
                let mut piles = piles.lock().unwrap_or_else(PoisonError::into_inner);
                for (pile, rows) in piles.iter_mut().zip(deal(&told, &batch)?) {
                    if !rows.is_empty() {
                        pile.add(batch.take(&IdxCa::from_vec("row".into(), rows))?, limit)?;
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
