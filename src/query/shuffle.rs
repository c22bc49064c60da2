//! Dealing the rows of a large table out to files, so that each piece of a query reads its own rows and no others.
//!
//! In: a table, the columns that a query needs, and how values of one or two text columns belong to pieces. Out: the Parquet
//! files of each piece. Without it a query that is cut between principals or keys would read all events once for each piece, which
//! for a hundred pieces is a hundred times. The table is read in stretches of time, and dealt out in two rounds when there are many
//! pieces; a file ends after a few row groups, because its writer keeps what it will say of each. So memory grows neither with the
//! rows nor with the pieces.

use super::engine::{Piece, Polars, SqlEngine, Writer};
use super::stack::guarded;
use crate::error::{Error, Result};
use polars::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that wait in memory for their files, all piles together. They can have a kilobyte each.
const WAITING: usize = 60_000;

/// Rows handed over by the engine at once.
const BATCH: usize = 16 << 10;

/// Piles at once. Of more, each would get so few rows at a time that the descriptions of its row groups would be larger than
/// the rows.
const FAN_OUT: usize = 48;

/// Row groups of a file. The writer keeps some 1.7 kB for each column of each (measured), until the file ends.
const GROUPS: usize = 8;

/// What is dealt out, and how.
#[derive(Clone)]
pub(super) struct Deal {
    /// The query, for messages.
    pub(super) query: String,
    /// The table.
    pub(super) table: String,
    /// The columns that are kept.
    pub(super) columns: Vec<String>,
    /// The text columns that decide.
    pub(super) by: Vec<String>,
    /// What its values decide.
    pub(super) split: Split,
}

/// Where a range begins: a value of each deciding column, or of the first ones.
pub(super) type Start = Vec<Option<String>>;

/// A value of each deciding column.
pub(super) type Values<'v> = &'v [Option<&'v str>];

/// The order of values, NULL last. A start with fewer values than there are comes before all that continue it.
fn in_order(start: &Start, values: Values<'_>) -> Ordering {
    for (start, value) in start.iter().zip(values) {
        let order = (start.is_none(), start.as_deref()).cmp(&(value.is_none(), *value));
        if order != Ordering::Equal {
            return order;
        }
    }
    start.len().cmp(&values.len())
}

/// Which file a value belongs to.
#[derive(Clone)]
pub(super) enum Split {
    /// Ranges of values in their order, NULL last.
    Ranges {
        /// Where each file but the first begins, in order.
        starts: Vec<Start>,
    },
    /// Values in no order: as many files as that, each with about as many values.
    Hash {
        /// The number of files.
        files: usize,
    },
}

impl Split {
    /// How many files there are.
    pub(super) fn files(&self) -> usize {
        match self {
            Split::Ranges { starts } => starts.len() + 1,
            Split::Hash { files } => *files,
        }
    }

    fn file_of(&self, values: Values<'_>) -> usize {
        match self {
            Split::Ranges { starts } => starts.partition_point(|start| in_order(start, values) != Ordering::Greater),
            Split::Hash { files } => {
                let mut hasher = DefaultHasher::new();
                values.hash(&mut hasher);
                usize::try_from(hasher.finish() % (*files).max(1) as u64).unwrap_or(0)
            }
        }
    }
}

/// One round of dealing: of the files from `first` on, `width` go to each pile.
#[derive(Clone, Copy)]
struct Round {
    first: usize,
    width: usize,
}

/// Takes every so many values.
struct Strider {
    stride: u64,
    met: u64,
    taken: Vec<Option<String>>,
}

impl Strider {
    fn new(stride: u64) -> Strider {
        Strider { stride: stride.max(1), met: 0, taken: Vec::new() }
    }

    fn meet(&mut self, value: Option<&str>) {
        if self.met.is_multiple_of(self.stride) {
            self.taken.push(value.map(str::to_owned));
        }
        self.met += 1;
    }
}

/// The files of one piece, or of some, and the rows that wait for them.
#[derive(Default)]
struct Pile {
    /// The folder and what the names of its files begin with.
    place: PathBuf,
    name: String,
    files: Vec<PathBuf>,
    waiting: Option<DataFrame>,
    /// The last file, until it has its row groups, and how many it has.
    writer: Option<Writer>,
    groups: usize,
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

    /// Writes all rows that wait, and the last footer. Gives the files.
    fn finish(&mut self) -> PolarsResult<Vec<PathBuf>> {
        self.write()?;
        self.end_file()?;
        Ok(std::mem::take(&mut self.files))
    }

    fn write(&mut self) -> PolarsResult<()> {
        let Some(mut rows) = self.waiting.take() else { return Ok(()) };
        rows.rechunk_mut();
        if self.groups == GROUPS {
            self.end_file()?;
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let path = self.place.join(format!("{}-{}.parquet", self.name, self.files.len()));
                let writer = Writer::create(&path, rows.schema())?;
                self.files.push(path);
                self.writer.insert(writer)
            }
        };
        self.groups += 1;
        writer.append(&rows)
    }

    fn end_file(&mut self) -> PolarsResult<()> {
        self.groups = 0;
        self.writer.take().map_or(Ok(()), |writer| writer.finish())
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

/// The rows of a batch for each of `piles` piles.
///
/// # Errors
/// When a deciding column is no text, or a row belongs to none: it must not be lost.
fn rows_by_pile(deal: &Deal, batch: &DataFrame, round: Round, piles: usize) -> PolarsResult<Vec<Vec<IdxSize>>> {
    let mut rows: Vec<Vec<IdxSize>> = vec![Vec::new(); piles];
    let mut row = 0;
    for_each_values(batch, &deal.by, |values| {
        let pile =
            deal.split.file_of(values).checked_sub(round.first).and_then(|file| rows.get_mut(file / round.width));
        pile.ok_or_else(|| polars_err!(ComputeError: "a row belongs to no file"))?.push(row);
        row += 1;
        Ok(())
    })?;
    Ok(rows)
}

/// Calls `each` with the values of some text columns, row by row.
fn for_each_values(
    batch: &DataFrame,
    columns: &[String],
    mut each: impl FnMut(Values<'_>) -> PolarsResult<()>,
) -> PolarsResult<()> {
    let whole = columns.iter().map(|name| Ok(batch.column(name)?.as_materialized_series().rechunk()));
    let whole: Vec<Series> = whole.collect::<PolarsResult<_>>()?;
    let mut texts = whole.iter().map(|column| Ok(column.str()?.iter())).collect::<PolarsResult<Vec<_>>>()?;
    let mut values = Vec::with_capacity(texts.len());
    for _ in 0..batch.height() {
        values.clear();
        values.extend(texts.iter_mut().map(|text| text.next().flatten()));
        each(&values)?;
    }
    Ok(())
}

impl Polars {
    /// Deals the rows of a table out to files in `folder`, reading it in `stretches` (or at once when there are none). Gives
    /// the files of each piece; one without rows has none.
    ///
    /// # Errors
    /// When the table cannot be read or a file cannot be written.
    pub(super) fn deal_out(&mut self, deal: &Deal, stretches: &[Piece], folder: &Path) -> Result<Vec<Vec<PathBuf>>> {
        let pieces = deal.split.files();
        let piles = |round: &str, numbers: Range<usize>| -> Vec<Pile> {
            let name = |number: usize| format!("{}-{round}{number}", deal.table);
            numbers.map(|number| Pile { place: folder.to_owned(), name: name(number), ..Pile::default() }).collect()
        };
        if pieces <= FAN_OUT {
            return self.deal_once(deal, stretches, piles("", 0..pieces), Round { first: 0, width: 1 });
        }
        // First to a few piles that each hold the rows of many pieces, then each of these once more.
        let width = pieces.div_ceil(FAN_OUT);
        let rough = piles("rough-", 0..pieces.div_ceil(width));
        let rough = self.deal_once(deal, stretches, rough, Round { first: 0, width })?;
        let mut fine = Vec::with_capacity(pieces);
        for (number, rough) in rough.into_iter().enumerate() {
            let first = number * width;
            let last = (first + width).min(pieces);
            if rough.is_empty() {
                fine.resize(last, Vec::new());
                continue;
            }
            let table = "roughly_dealt_rows".to_owned();
            self.register_files(&table, &rough, &[])?;
            let again = Deal { table: table.clone(), ..deal.clone() };
            let dealt = self.deal_once(&again, &[], piles("", first..last), Round { first, width: 1 });
            self.forget(&table);
            fine.extend(dealt?);
            for file in rough {
                std::fs::remove_file(&file).map_err(|error| Error::file(&file, "remove dealt rows", error))?;
            }
        }
        Ok(fine)
    }

    fn deal_once(
        &mut self,
        deal: &Deal,
        stretches: &[Piece],
        piles: Vec<Pile>,
        round: Round,
    ) -> Result<Vec<Vec<PathBuf>>> {
        let piles = Arc::new(Mutex::new(piles));
        let whole = [Vec::new()];
        for stretch in if stretches.is_empty() { &whole[..] } else { stretches } {
            self.narrow(stretch)?;
            let dealt = self.deal_stretch(deal, &piles, round);
            self.widen();
            dealt?;
        }
        let mut piles = piles.lock().unwrap_or_else(PoisonError::into_inner);
        piles.iter_mut().map(|pile| guarded(&deal.query, || pile.finish())).collect()
    }

    /// Every so many rows' value of a table's column `within`, for those values of its column `column` that `strides` names.
    /// The table is read in `stretches`. What comes out is the same each time.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) fn sample(
        &mut self,
        query: &str,
        table: &str,
        [column, within]: [&str; 2],
        strides: &BTreeMap<Option<String>, u64>,
        stretches: &[Piece],
    ) -> Result<BTreeMap<Option<String>, Vec<Option<String>>>> {
        let columns = [column, within].map(str::to_owned);
        // In order, and searched without making a text of each value.
        let wanted: Vec<(Option<String>, Strider)> =
            strides.iter().map(|(value, stride)| (value.clone(), Strider::new(*stride))).collect();
        let found = Arc::new(Mutex::new(wanted));
        for stretch in stretches {
            self.narrow(stretch)?;
            let (told, columns) = (found.clone(), columns.clone());
            let sampled = self.table(table).and_then(|frame| {
                let frame = frame.select(columns.each_ref().map(|name| col(name.as_str())));
                guarded(query, move || {
                    let sink = PlanCallback::new(move |batch: DataFrame| {
                        let mut found = told.lock().unwrap_or_else(PoisonError::into_inner);
                        for_each_values(&batch, &columns, |values| {
                            if let [value, within] = values
                                && let Ok(place) = found.binary_search_by(|(wanted, _)| wanted.as_deref().cmp(value))
                                && let Some((_, strider)) = found.get_mut(place)
                            {
                                strider.meet(*within);
                            }
                            Ok(())
                        })?;
                        Ok(false)
                    });
                    let batches = frame.sink_batches(sink, true, NonZeroUsize::new(BATCH))?;
                    batches.collect_with_engine(Engine::Streaming)
                })
            });
            self.widen();
            sampled?;
        }
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *found).into_iter().map(|(value, strider)| (value, strider.taken)).collect())
    }

    fn deal_stretch(&self, deal: &Deal, piles: &Arc<Mutex<Vec<Pile>>>, round: Round) -> Result<()> {
        let columns: Vec<Expr> = deal.columns.iter().map(|name| col(name.as_str())).collect();
        let frame = self.table(&deal.table)?.select(columns);
        let count = piles.lock().unwrap_or_else(PoisonError::into_inner).len();
        // A few piles get no larger row groups than a written table has.
        let limit = (WAITING / count.max(1)).min(BATCH);
        let (told, piles) = (deal.clone(), piles.clone());
        guarded(&deal.query, move || {
            let sink = PlanCallback::new(move |batch: DataFrame| {
                let rows = rows_by_pile(&told, &batch, round, count)?;
                let mut piles = piles.lock().unwrap_or_else(PoisonError::into_inner);
                for (pile, rows) in piles.iter_mut().zip(rows) {
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

    fn name(number: usize) -> String {
        format!("role-{number:04} with a name that is longer than a view holds")
    }

    /// `values` rows of each name and of none, dealt out.
    fn dealt(names: usize, values: usize, split: Split) -> Vec<Vec<(String, i64)>> {
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
        let deal = Deal {
            query: "test".to_owned(),
            table: "calls".to_owned(),
            columns: ["principal", "value"].map(str::to_owned).into(),
            by: vec!["principal".to_owned()],
            split,
        };
        let dealt = engine.deal_out(&deal, &[], folder.path()).unwrap();
        let there: Vec<&PathBuf> = dealt.iter().flatten().collect();
        assert!(there.iter().all(|path| path.is_file()));
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            there.len(),
            "nothing else is left in the folder"
        );
        let read = |files: &Vec<PathBuf>| {
            if files.is_empty() {
                return Vec::new();
            }
            engine.register_files("dealt", files, &[]).unwrap();
            let sql = "SELECT COALESCE(principal, 'nobody') AS principal, value FROM dealt ORDER BY principal, value";
            let table = engine.execute(&Statement { query: "test", sql, lists: &BTreeSet::new() }).unwrap();
            let row = |row: &Vec<Cell<'static>>| match row.as_slice() {
                [Cell::Text(name), Cell::Integer(value)] => (name.to_string(), *value),
                _ => unreachable!("two columns"),
            };
            table.rows.iter().map(row).collect()
        };
        dealt.iter().map(read).collect()
    }

    #[test]
    fn every_row_comes_to_its_file_in_one_round_and_in_two() {
        for names in [3, FAN_OUT, FAN_OUT + 1, 3 * FAN_OUT + 5] {
            let starts = (1..names).map(|number| vec![Some(name(number))]).collect();
            let files = dealt(names, 3, Split::Ranges { starts });
            assert_eq!(files.len(), names);
            for (number, rows) in files.iter().enumerate() {
                let (named, nobody): (Vec<_>, Vec<_>) = rows.iter().partition(|(name, _)| name != "nobody");
                assert!(named.iter().all(|(name, _)| name.starts_with(&format!("role-{number:04} "))), "{number}");
                assert_eq!(named.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [0, 1, 2]);
                assert_eq!(nobody.len(), if number + 1 == names { 3 } else { 0 });
            }
        }
    }

    #[test]
    fn a_file_ends_after_some_row_groups() {
        let folder = tempfile::tempdir().unwrap();
        let mut pile = Pile { place: folder.path().to_owned(), name: "rows".to_owned(), ..Pile::default() };
        let count = 2 * GROUPS as i64 + 1;
        for number in 0..count {
            pile.add(df!("number" => [number]).unwrap(), 1).unwrap();
        }
        let files = pile.finish().unwrap();
        assert_eq!(files.len(), 3);
        let mut engine = Polars::new(None);
        engine.register_files("dealt", &files, &[]).unwrap();
        let statement = Statement { query: "test", sql: "SELECT number FROM dealt", lists: &BTreeSet::new() };
        let rows = engine.execute(&statement).unwrap().rows.concat();
        assert_eq!(rows, (0..count).map(Cell::Integer).collect::<Vec<_>>());
    }

    #[test]
    fn values_in_no_order_come_to_one_file_each_in_one_round_and_in_two() {
        for count in [1, 5, FAN_OUT + 1, 3 * FAN_OUT + 5] {
            let files = dealt(200, 3, Split::Hash { files: count });
            assert_eq!(files.len(), count);
            let mut seen = BTreeSet::new();
            for rows in &files {
                let names: BTreeSet<&String> = rows.iter().map(|(name, _)| name).collect();
                assert_eq!(rows.len(), names.len() * 3, "all rows of a value are in one file");
                assert!(names.iter().all(|name| seen.insert((*name).clone())), "and in one only");
            }
            assert_eq!(seen.len(), 201);
            let most = files.iter().map(|rows| rows.len() / 3).max().unwrap();
            assert!(most <= 201 / count + 15, "{most} values in a file of {count}");
        }
    }
}
