//! keytrail: offline CloudTrail forensics for AWS KMS.
//!
//! ```text
//! paths -> discover -> read+inflate -> scan records -> prefilter -> normalize -> events table -> case folder
//!                                                                                    |
//!                                   queries/views/*.sql (keys, timelines, exposure ...)         <- SQL
//!                                   queries/detect/**.sql                          -> findings  <- SQL
//!                                   report/                                        -> one HTML file
//! ```
//!
//! Modules stand in the order the data flows; a module uses only modules above it, and a test keeps it so.

pub mod error;
pub mod time;
pub mod severity;
pub mod json;
pub mod discover;
pub mod read;
pub mod scan;
pub mod schema;
pub mod normalize;
pub mod table;
pub mod output;
pub mod integrity;
pub mod pipeline;
pub mod case;
pub mod query;
pub mod report;
