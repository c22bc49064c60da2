//! Queries: the library, the guard, the engine, and what becomes of the rows.
//!
//! In: a case's tables and query files. Out: views, findings, results. [`header`] reads front matter and [`params`] its
//! parameters, [`library`] holds the files, [`guard`] decides what is run and how it is spelled, [`engine`] runs it (on the [`stack`] it needs),
//! [`run`] puts both to work on a case, [`findings`] holds the contract of detect and review queries, [`testfile`] and
//! [`check`] test query files, [`docs`] describes them. All that needs more than one record is SQL in here, and none of it is Rust.

pub mod header;
pub mod params;
pub mod table;
pub mod library;
pub mod findings;
pub mod incidents;
mod stage;
mod frame;
pub mod stack;
pub mod engine;
mod shuffle;
pub mod guard;
mod pieces;
pub mod run;
pub mod testfile;
pub mod check;
pub mod docs;
pub mod scorecard;
pub mod compare;
