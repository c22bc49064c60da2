//! What is known about a key, a principal or a grant: the head of its timeline.
//!
//! In: a session and the subject. Out: labelled texts from the views of the case. A case made for the moment has no views, and
//! an older one may lack some: then there is less to say, and nothing is guessed.

use super::ask::ask_if;
use super::subject::aliases_of;
use super::summary::{count, plural};
use anyhow::Result;
use keytrail::query::run::Session;
use keytrail::query::table::Row;

/// A label and its text.
pub(crate) type Fact = (&'static str, String);

/// Texts that are not empty, with commas.
fn join(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// `word text`, or nothing when there is no text.
fn with(word: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{word}{text}") }
}

/// A number of things, or nothing when there is none.
fn some(number: u64, what: &str) -> String {
    if number == 0 { String::new() } else { format!("{} {what}", count(number)) }
}

fn state(key: &Row<'_>) -> String {
    if key.text("state").is_empty() {
        return "no change of its state seen".to_owned();
    }
    let deletion = key.time("deletion_time");
    join([
        key.text("state").replace('_', " "),
        with("to be deleted from ", &deletion),
        format!("since {} by {}", key.time("state_time"), key.text("state_by")),
    ])
}

fn rotations(number: u64) -> String {
    if number == 0 { String::new() } else { format!("{} seen", plural(number, "rotation")) }
}

fn rotation(key: &Row<'_>) -> String {
    let setting = match key.cell("is_rotation_enabled") {
        keytrail::output::Cell::Boolean(true) => match key.number("rotation_period_days") {
            0 => "switched on".to_owned(),
            days => format!("every {days} days"),
        },
        keytrail::output::Cell::Boolean(false) => "switched off".to_owned(),
        _ => "no setting seen".to_owned(),
    };
    join([setting, rotations(key.count("rotation_count")), with("the last ", &key.time("last_rotation_time"))])
}

/// The policy in force, and whether an earlier one was worse.
fn policy(session: &mut Session) -> Result<String> {
    let sql = "SELECT v.version_no, v.event_time, v.principal, v.is_known, v.is_public, v.external_accounts,
      v.locks_out_owner, v.until_time FROM policies AS v INNER JOIN shown_keys AS k ON k.shown_arn = v.key_arn
      ORDER BY version_no, event_time, principal";
    let versions = ask_if(session, &["policies"], sql)?;
    let Some(last) = versions.iter().last() else {
        return Ok("none seen".to_owned());
    };
    let judged = |version: &Row<'_>| {
        join([
            if version.is("is_public") { "open to everyone".to_owned() } else { String::new() },
            with("names outside accounts ", version.text("external_accounts")),
            if version.is("locks_out_owner") { "locks its owner out".to_owned() } else { String::new() },
        ])
    };
    let now = match judged(&last) {
        _ if !last.is("is_known") => "set, but its text is not in the record".to_owned(),
        text if text.is_empty() => "names nobody outside".to_owned(),
        text => text,
    };
    let seen = format!(
        "set {} by {} ({} seen)",
        last.time("event_time"),
        last.text("principal"),
        count(versions.iter().len() as u64)
    );
    let past = versions
        .iter()
        .filter(|version| !version.text("until_time").is_empty() || version.micros("until_time").is_some());
    let past = past.filter(|version| !judged(version).is_empty()).map(|version| {
        format!("{} from {} to {}", judged(&version), version.time("event_time"), version.time("until_time"))
    });
    let past: Vec<String> = past.collect();
    Ok(join([now, seen]) + &with("; earlier: ", &past.join("; ")))
}

/// The facts about one key.
///
/// # Errors
/// When a view cannot be read.
pub(crate) fn key(session: &mut Session, arn: &str) -> Result<Vec<Fact>> {
    let mut facts = vec![("key", arn.to_owned())];
    let aliases = aliases_of(session, arn)?;
    if !aliases.is_empty() {
        facts.push(("alias", aliases.join(", ")));
    }
    let sql = "SELECT k.key_spec, k.key_usage, k.key_origin, k.is_multi_region, k.is_aws_managed, k.created_time, k.creator, k.state,
      k.state_time, k.state_by, k.deletion_time, k.is_rotation_enabled, k.rotation_period_days, k.last_rotation_time,
      k.rotation_count, k.use_count, k.reveal_count, k.direct_use_count, k.admin_count, k.denied_count, k.user_count,
      k.user_account_count, k.services, k.data_classes
      FROM keys AS k INNER JOIN shown_keys AS s ON s.shown_arn = k.key_arn ORDER BY use_count";
    let rows = ask_if(session, &["keys"], sql)?;
    let Some(row) = rows.first() else { return Ok(facts) };
    let kind = join([
        row.text("key_spec").to_owned(),
        with("origin ", row.text("key_origin")),
        if row.is("is_multi_region") { "multi-Region".to_owned() } else { String::new() },
        if row.is("is_aws_managed") { "AWS managed".to_owned() } else { String::new() },
        with("made ", &row.time("created_time")) + &with(" by ", row.text("creator")),
    ]);
    if !kind.is_empty() {
        facts.push(("kind", kind));
    }
    facts.push(("state", state(&row)));
    facts.push(("rotation", rotation(&row)));
    facts.push(("policy", policy(session)?));
    facts.push((
        "use",
        join([
            format!(
                "{} by {} of {}",
                plural(row.count("use_count"), "call"),
                plural(row.count("user_count"), "principal"),
                plural(row.count("user_account_count"), "account")
            ),
            some(row.count("reveal_count"), "gave plaintext"),
            some(row.count("direct_use_count"), "direct"),
            some(row.count("denied_count"), "refused calls"),
            some(row.count("admin_count"), "administrative"),
            with("for ", row.text("services")),
        ]),
    ));
    Ok(facts)
}

/// The facts about one principal, by its canonical name.
///
/// # Errors
/// When a view cannot be read.
pub(crate) fn principal(session: &mut Session, name: &str) -> Result<Vec<Fact>> {
    let mut facts = vec![("principal", name.to_owned())];
    session.register_texts("shown_principals", "shown_name", &[name.to_owned()])?;
    let sql =
        "SELECT k.principal_type, k.principal_account_id, k.is_home, k.use_count, k.reveal_count, k.direct_use_count,
      k.admin_count, k.read_count, k.denied_count, k.key_count, k.used_key_count, k.source_ip_count, k.network_count,
      k.access_key_count, k.first_source_ip, k.first_time, k.last_time
      FROM principals AS k INNER JOIN shown_principals AS s ON s.shown_name = k.principal ORDER BY use_count";
    let rows = ask_if(session, &["principals"], sql)?;
    let Some(row) = rows.first() else { return Ok(facts) };
    let home = if row.is("is_home") { "one of our accounts" } else { "not one of our accounts" };
    let account = row.text("principal_account_id");
    facts.push((
        "kind",
        join([
            row.text("principal_type").to_owned(),
            with("account ", account) + &with(": ", if account.is_empty() { "" } else { home }),
        ]),
    ));
    facts.push(("seen", format!("{} to {}", row.time("first_time"), row.time("last_time"))));
    facts.push((
        "use",
        join([
            format!("{} on {}", plural(row.count("use_count"), "call"), plural(row.count("used_key_count"), "key")),
            some(row.count("reveal_count"), "gave plaintext"),
            some(row.count("direct_use_count"), "direct"),
            some(row.count("admin_count"), "administrative"),
            some(row.count("read_count"), "reading"),
            some(row.count("denied_count"), "refused"),
        ]),
    ));
    facts.push((
        "from",
        join([
            plural(row.count("source_ip_count"), "address"),
            plural(row.count("network_count"), "network"),
            plural(row.count("access_key_count"), "access key"),
            with("such as ", row.text("first_source_ip")),
        ]),
    ));
    Ok(facts)
}

/// The facts about one grant.
///
/// # Errors
/// When a view cannot be read.
pub(crate) fn grant(session: &mut Session, id: &str) -> Result<Vec<Fact>> {
    let mut facts = vec![("grant", id.to_owned())];
    session.register_texts("shown_grants", "shown_id", &[id.to_owned()])?;
    let sql =
        "SELECT k.key_arn, k.created_time, k.creator, k.grantee_principal, k.is_grantee_home, k.retiring_principal,
      k.grant_operations, k.grant_constraint, k.ended_time, k.ended_how, k.ended_by, k.use_count, k.first_use_time,
      k.last_use_time FROM grants AS k INNER JOIN shown_grants AS s ON s.shown_id = k.grant_id ORDER BY use_count";
    let rows = ask_if(session, &["grants"], sql)?;
    let Some(row) = rows.first() else { return Ok(facts) };
    let outside = *row.cell("is_grantee_home") == keytrail::output::Cell::Boolean(false);
    let or_older = |time: String| if time.is_empty() { "before the evidence begins".to_owned() } else { time };
    facts.push(("key", row.text("key_arn").to_owned()));
    facts.push(("made", or_older(row.time("created_time")) + &with(" by ", row.text("creator"))));
    facts.push((
        "grantee",
        row.text("grantee_principal").to_owned() + if outside { " (an outside account)" } else { "" },
    ));
    facts.push((
        "allows",
        row.text("grant_operations").replace(',', ", ") + &with("; constraint ", row.text("grant_constraint")),
    ));
    facts.push((
        "ended",
        match row.text("ended_how") {
            "" => "not in the evidence: open".to_owned(),
            how => format!("{} by {how}{}", row.time("ended_time"), with(" of ", row.text("ended_by"))),
        },
    ));
    facts.push((
        "use",
        match row.count("use_count") {
            0 => "none inferred".to_owned(),
            number => format!(
                "{} inferred, {} to {}",
                plural(number, "call"),
                row.time("first_use_time"),
                row.time("last_use_time")
            ),
        },
    ));
    facts.retain(|(_, text)| !text.is_empty());
    Ok(facts)
}
