//! Tables: rows, their order, their columns and their files.
//!
//! In: normalised events. Out: sorted, deduplicated Parquet files, or Arrow batches. [`row`] encodes, [`sort`] orders and
//! deduplicates within bounded memory, [`columns`] makes Arrow arrays, `chunk` makes Parquet columns of rows, [`mod@file`]
//! writes Parquet, [`mod@split`] cuts it.

mod repeat;
pub mod row;
pub mod sort;
pub mod columns;
mod chunk;
pub mod file;
pub mod split;
