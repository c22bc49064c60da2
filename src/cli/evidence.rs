//! What the evidence of a case covers and whether it holds, in one line each.
//!
//! In: a session. Out: the coverage line and the integrity line of every screen that has them. A case without the tables they
//! are made from says so, because no line at all would read as no problem.

use super::rows::ask_if;
use super::summary::{count, plural};
use anyhow::Result;
use keytrail::query::run::Session;

/// The two lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// What the evidence cannot show.
    pub(crate) coverage: String,
    /// Whether digest files prove it complete and unchanged.
    pub(crate) integrity: String,
}

impl Evidence {
    /// The lines of an open case.
    ///
    /// # Errors
    /// When a table of the case cannot be read.
    pub(crate) fn of(session: &mut Session) -> Result<Evidence> {
        Ok(Evidence { coverage: coverage(session)?, integrity: integrity(session)? })
    }
}

/// The coverage line, from `evidence_limits`, which has the worst limit first.
fn coverage(session: &mut Session) -> Result<String> {
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

/// The integrity line, from `integrity_chains` and the worst row of `integrity_findings`.
fn integrity(session: &mut Session) -> Result<String> {
    if !session.has_table("integrity_chains") {
        return Ok("not checked against digest files".to_owned());
    }
    let sums =
        "SELECT CAST(COUNT(*) AS BIGINT) AS chains, SUM(c.digests) AS digests, SUM(c.logs_listed) AS logs_listed,
      SUM(c.logs_present) AS logs_present, SUM(c.signatures_verified) AS signatures_verified,
      SUM(c.signatures_unavailable) AS signatures_unavailable, SUM(c.gaps) AS gaps FROM integrity_chains AS c";
    let chains = ask_if(session, &["integrity_chains"], sums)?;
    let Some(sum) = chains.first().filter(|sum| sum.count("chains") > 0) else {
        return Ok("not checked: no digest files among the input".to_owned());
    };
    let digests = sum.count("digests");
    let mut line = format!(
        "{}, {}, {} of {} listed logs present, signatures verified: {}",
        plural(sum.count("chains"), "chain"),
        plural(digests, "digest"),
        count(sum.count("logs_present")),
        count(sum.count("logs_listed")),
        count(sum.count("signatures_verified")),
    );
    for (number, noun) in [("signatures_unavailable", "not checkable"), ("gaps", "gaps")] {
        if sum.count(number) > 0 {
            line.push_str(&format!(", {noun}: {}", count(sum.count(number))));
        }
    }
    let worst = "SELECT f.code, f.severity, f.summary,
      CASE f.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 WHEN 'low' THEN 3 ELSE 4 END AS place
      FROM integrity_findings AS f ORDER BY place, code, summary";
    let problems = ask_if(session, &["integrity_findings"], worst)?;
    if let Some(first) = problems.first() {
        let number = plural(problems.iter().len() as u64, "problem");
        line = format!("{number}, worst ({}): {}; {line}", first.text("severity"), first.text("summary"));
    }
    Ok(line)
}
