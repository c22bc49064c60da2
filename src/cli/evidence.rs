//! What the evidence of a case covers and whether it holds, in one line each.
//!
//! In: a session, a manifest. Out: the coverage line and the integrity line of every screen that has them. A case without what
//! they are made from says so, because no line at all would read as no problem.

use super::summary::{self, plural};
use anyhow::Result;
use keytrail::case::manifest::Manifest;
use keytrail::query::run::Session;

/// The coverage line, from `evidence_limits`, which has the worst limit first.
///
/// # Errors
/// When that table cannot be read.
pub(crate) fn coverage(session: &mut Session) -> Result<String> {
    if !session.has_table("evidence_limits") {
        return Ok("not assessed; what is missing from the logs is not known".to_owned());
    }
    let limits = session.rows_of("evidence_limits", &["severity", "summary"])?;
    let place = limits.index("summary");
    let worst = limits.rows.first().and_then(|row| row.get(place?)).map(|cell| cell.to_text().into_owned());
    Ok(match worst {
        Some(worst) => format!("{}, worst: {worst}", plural(limits.rows.len() as u64, "limit")),
        None => "no limits found".to_owned(),
    })
}

/// The integrity line, from what the manifest counts.
pub(crate) fn integrity(manifest: &Manifest) -> String {
    match &manifest.integrity {
        Some(counts) => summary::integrity(counts),
        None => "not checked: no digest files, or --no-verify".to_owned(),
    }
}
