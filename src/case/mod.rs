//! The case folder: everything an analysis leaves behind, written completely or not at all.
//!
//! In: the extraction's rows and input facts. Out: `events/`, the child tables, `inputs.parquet` and `manifest.json` in a
//! temporary sibling that is renamed when it is complete, so that a case is never half. [`folder`] makes and commits it,
//! [`events`] merges and writes rows in parallel, [`existing`] reads a case back for `--append`, [`ids`] finds ids that
//! stand for two records, [`log_files`] and [`scope`] keep what coverage is told from, [`validate`] judges digests and
//! [`provenance`] finds the verdicts behind events, [`lookup`] finds the events behind ids, [`build`] puts them together;
//! [`manifest`] and [`custody`] say what a case consists of and whether it still does.

pub mod folder;
pub mod ids;
pub mod cells;
pub mod inputs;
pub mod events;
pub mod existing;
pub mod log_files;
pub mod scope;
pub mod lookup;
pub mod manifest;
pub mod custody;
pub mod validate;
pub mod provenance;
pub mod build;
pub mod stream;

use crate::schema::Column;

/// Tables that a case has besides events, their child tables and `inputs`: facts about the files and the run.
pub const FACT_TABLES: [(&str, &[Column]); 2] =
    [("log_files", log_files::LOG_FILE_COLUMNS), ("scope", scope::SCOPE_COLUMNS)];
