//! `keytrail timeline`: one subject's chronology and usage.
//!
//! In: a case, or archives that a case is made of for the moment, and a key, principal or grant. Out: what is known about it,
//! bars of its use, and what happened in the order of time, or its events as rows for programs. The texts behind all of them
//! are library queries, so they can be read and changed.

use super::args::{Format, TimelineArgs};
use super::ask::ask;
use super::chronology::{BESIDE_BARS, Happened, Kind, bars};
use super::config::Display;
use super::facts::{self, Fact};
use super::library::{faults, load};
use super::paint::{Ink, Line, Page};
use super::query::{names, open, write_rows};
use super::screen::duration;
use super::subject::{LISTED, concerned, findings};
use super::summary::count;
use super::temporary::TemporaryCase;
use super::{Exit, note, print};
use anyhow::{Context, Result};
use keytrail::output::sparkline::step;
use keytrail::output::terminal::{sanitize, shorten};
use keytrail::query::library::Library;
use keytrail::query::params::{Overrides, ParamValue};
use keytrail::query::run::Session;
use keytrail::query::table::{Row, Table};
use std::collections::BTreeSet;
use std::path::Path;

/// Whose timeline, and by which name.
#[derive(Clone, Copy)]
struct Subject<'s> {
    kind: Kind,
    word: &'static str,
    name: &'s str,
}

fn subject(args: &TimelineArgs) -> Option<Subject<'_>> {
    let subject = &args.subject;
    let key = subject.key.as_deref().map(|name| Subject { kind: Kind::Key, word: "key", name });
    let principal = subject.principal.as_deref().map(|name| Subject { kind: Kind::Principal, word: "principal", name });
    let grant = subject.grant.as_deref().map(|name| Subject { kind: Kind::Grant, word: "grant", name });
    key.or(principal).or(grant)
}

/// Runs a library query about the subject, its buckets `seconds` long.
fn table(session: &mut Session, library: &Library, id: &str, seconds: i64) -> Result<Table> {
    let query = library.get(id).with_context(|| format!("{id} is not in the library"))?;
    let mut prepared = session.prepare(id, &query.sql, &query.header).map_err(faults)?;
    for param in prepared.params.iter_mut().filter(|param| param.name == "bucket_seconds") {
        param.value = ParamValue::Integer(seconds);
    }
    Ok(session.table(&prepared)?)
}

/// The distinct texts of a column, sorted.
fn texts(rows: &Table, column: &str) -> Vec<String> {
    let all: BTreeSet<&str> = rows.iter().map(|row| row.text(column)).collect();
    all.into_iter().filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// Keys, or canonical principals, that the subject's name stands for.
fn stands_for(session: &mut Session, subject: Subject<'_>) -> Result<Vec<String>> {
    let sql = match subject.kind {
        Kind::Grant => return Ok(vec![subject.name.to_owned()]),
        Kind::Key => {
            "-- params: subject = ''
             SELECT e.key_arn AS named FROM events AS e CROSS JOIN params AS p
             WHERE e.event_source = 'kms.amazonaws.com' AND e.key_arn IS NOT NULL AND (e.key_arn = p.subject
               OR e.key_id = p.subject OR e.mrk_id = p.subject OR e.alias_name = p.subject OR e.key_ref = p.subject)
             UNION SELECT t.target_key_arn AS named FROM events AS t CROSS JOIN params AS q
             WHERE t.event_source = 'kms.amazonaws.com' AND t.target_key_arn = q.subject ORDER BY named"
        }
        Kind::Principal => {
            "-- params: subject = ''
             SELECT DISTINCT e.principal AS named FROM events AS e CROSS JOIN params AS p
             WHERE e.principal = p.subject OR e.principal_arn = p.subject OR e.principal_id = p.subject
               OR e.access_key_id = p.subject OR e.session_name = p.subject ORDER BY named"
        }
    };
    Ok(texts(&ask(session, "subject", sql)?, "named"))
}

/// The subject's events as rows for programs.
fn records(args: &TimelineArgs, session: &mut Session, subject: Subject<'_>) -> Result<()> {
    let events = table(session, &load(&[])?, &format!("{}-events", subject.word), 0)?;
    let mut out = Vec::new();
    write_rows(&names(&events.columns), &events.rows, args.format, 0, &mut out)?;
    print(out)
}

/// Names of one kind whose facts are shown; the others are counted.
const SHOWN: usize = 3;

/// What is known about the subject.
fn heads(session: &mut Session, subject: Subject<'_>, names: &[String]) -> Result<Vec<Fact>> {
    let mut all = Vec::new();
    for name in names.iter().take(SHOWN) {
        all.extend(match subject.kind {
            Kind::Key => facts::key(session, name)?,
            Kind::Principal => facts::principal(session, name)?,
            Kind::Grant => facts::grant(session, name)?,
        });
    }
    if names.len() > SHOWN {
        all.push(("", format!("and {} more of this name", count((names.len() - SHOWN) as u64))));
    }
    Ok(all)
}

/// The first and the last second that the evidence or the subject covers.
fn covered(session: &mut Session, hours: &Table) -> Result<(i64, i64)> {
    let rows =
        ask(session, "evidence", "SELECT v.first_epoch, v.last_epoch FROM evidence AS v ORDER BY v.first_epoch")?;
    let range =
        rows.first().map(|row| (row.number("first_epoch"), row.number("last_epoch"))).filter(|range| range.0 > 0);
    let own = hours
        .iter()
        .filter_map(|row| Some((row.micros("first_time")? / 1_000_000, row.micros("last_time")? / 1_000_000)));
    let all = range.into_iter().chain(own).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    Ok(all.unwrap_or((0, 0)))
}

/// The findings that concern the subject.
fn found(session: &mut Session, subject: Subject<'_>, names: &[String]) -> Result<(Table, BTreeSet<usize>)> {
    if !session.has_table("findings") {
        return Ok((Table::default(), BTreeSet::new()));
    }
    let columns: Vec<&str> = LISTED.into_iter().chain(["event_ids"]).collect();
    let all = findings(session, &columns)?;
    let is_named = |text: &str| names.iter().any(|name| name == text);
    let matches = |row: &Row<'_>| match subject.kind {
        Kind::Key => is_named(row.text("key_arn")) || is_named(row.text("target_key_arn")),
        Kind::Principal => is_named(row.text("principal")),
        Kind::Grant => is_named(row.text("grant_id")),
    };
    let places = concerned(session, &all, &matches)?;
    Ok((all, places))
}

/// The account in the subject's name, or of its key.
fn account(names: &[String], heads: &[Fact]) -> String {
    let arn = names
        .iter()
        .map(String::as_str)
        .chain(heads.iter().map(|(_, text)| text.as_str()))
        .find(|text| text.starts_with("arn:"));
    arn.and_then(|arn| arn.split(':').nth(4)).unwrap_or_default().to_owned()
}

/// The timeline as text.
fn text(args: &TimelineArgs, session: &mut Session, subject: Subject<'_>, display: Display) -> Result<()> {
    let library = load(&[])?;
    let of = |what: &str| format!("{}-{what}", subject.word);
    let acts = table(session, &library, &of("acts"), 0)?;
    let hours = table(session, &library, &of("buckets"), 3_600)?;
    let names = stands_for(session, subject)?;
    if acts.iter().len() == 0 && hours.iter().len() == 0 {
        note(format!(
            "no event of {} {}: expected an ARN, an id or a name as the logs have it",
            subject.word,
            sanitize(subject.name)
        ));
        return Ok(());
    }
    let days = table(session, &library, &of("buckets"), 86_400)?;
    let (first, last) = covered(session, &hours)?;
    let step = step(last - first, display.stdout.width.saturating_sub(BESIDE_BARS));
    // Sums over hours are sums over anything that is made of hours.
    let fine = if step < 3_600 { Some(table(session, &library, &of("buckets"), step)?) } else { None };
    let heads = heads(session, subject, &names)?;
    let (all, places) = found(session, subject, &names)?;
    let account = account(&names, &heads);

    let mut page = Page::new(display.stdout);
    for (label, text) in &heads {
        match *label {
            // The name is there to be copied, and an ARN of a key fits 80 columns only without the room of a label.
            label if label == subject.word => {
                page.whole(Line::default().with(Ink::Faint, label).with(Ink::Strong, &format!(" {text}")))
            }
            "key" | "grantee" => page.labelled(label, Ink::Plain, &shorten(text, page.room()), 1),
            label => page.labelled(label, Ink::Plain, text, 4),
        }
    }
    page.blank();
    bars(&mut page, fine.as_ref().unwrap_or(&hours), (first, last), step);
    page.labelled("", Ink::Faint, &format!("one bar is {}; times are UTC", duration(step)), 1);
    if !account.is_empty() {
        page.labelled("", Ink::Faint, &format!("names without an account belong to {account}"), 1);
    }
    page.blank();
    let findings =
        all.iter().enumerate().filter(|(place, _)| places.contains(place)).map(|(place, row)| (place + 1, row));
    let happened = Happened {
        kind: subject.kind,
        account: &account,
        acts: &acts,
        hours: &hours,
        days: &days,
        findings: findings.collect(),
    };
    let hidden = happened.tell(&mut page, args.limit);
    print(page.text())?;
    if hidden > 0 {
        note(format!("{} more entries: --limit 0 shows all", count(hidden as u64)));
    }
    Ok(())
}

fn show(args: &TimelineArgs, case: &Path, display: Display) -> Result<()> {
    let Some(subject) = subject(args) else { return Ok(()) };
    let overrides = Overrides::parse(&[format!("subject={}", subject.name)])?;
    let mut session = open(case, &[], overrides)?;
    if args.format != Format::Table {
        return records(args, &mut session, subject);
    }
    // A case that was made for the moment has no views; this one decides what is counted once.
    if args.case.is_none() {
        let library = load(&[])?;
        let views = library.views_for(["repeated_copies"])?;
        let folder = case.join("tables");
        let (_, failed) = session.build_views(&views, &folder, |_| {});
        if !failed.is_empty() {
            return Err(faults(failed));
        }
    }
    text(args, &mut session, subject, display)
}

/// Runs the command.
///
/// # Errors
/// When the case or the archives are not usable.
pub(crate) fn run(args: &TimelineArgs) -> Result<Exit> {
    let display = Display::new(&args.display);
    match &args.case {
        Some(case) => show(args, case, display)?,
        None => show(args, TemporaryCase::read(&args.paths, &args.resources)?.path(), display)?,
    }
    Ok(Exit::Done)
}
