//! The case folder: everything an analysis leaves behind, written completely or not at all.
//!
//! In: the extraction's rows and input facts. Out: `events/`, the child tables, `inputs.parquet` and `manifest.json` in a
//! temporary sibling that is renamed when it is complete, so that a case is never half. [`folder`] makes and commits it,
//! [`events`] merges and writes rows in parallel, [`existing`] reads a case back for `--append`, [`ids`] finds ids that
//! stand for two records, [`validate`] judges digests and [`provenance`] finds the verdicts behind events, [`build`] puts
//! them together.

pub mod folder;
pub mod ids;
pub mod cells;
pub mod inputs;
pub mod events;
pub mod existing;
pub mod manifest;
pub mod validate;
pub mod provenance;
pub mod build;
pub mod stream;
