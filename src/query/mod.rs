//! Queries.
pub mod header;
pub mod params;
pub mod table;
pub mod library;
pub mod findings;
pub mod engine;
pub mod guard;
pub mod run;
pub mod testfile;
pub mod check;
