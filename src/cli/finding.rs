//! `keytrail findings show`: one finding, explained.
//!
//! In: a case and a finding's number. Out: what was found, why the rule looks for it, when it is harmless, what it cannot see,
//! the events it stands on with file and record number, and what to run next. It fits one screen unless `--all` is given; a
//! text that is cut ends with an ellipsis, and events that are left out are counted.

use super::args::FindingShowArgs;
use super::ask::{ask, ask_if};
use super::config::{Display, Screen};
use super::findings::severity_of;
use super::library::load;
use super::paint::{Ink, Line, Page, rows_of, shell_path, shell_word};
use super::query::open;
use super::screen::duration;
use super::subject::{aliases_of, findings, key_word, list};
use super::summary::{count, plural};
use super::{Exit, print};
use anyhow::{Result, bail};
use keytrail::output::Cell;
use keytrail::output::terminal::{brief, shorten, table};
use keytrail::query::library::Library;
use keytrail::query::params::Overrides;
use keytrail::query::run::Session;
use keytrail::query::table::{Row, Table};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// A labelled text that gets as many rows as there are.
struct Part {
    label: &'static str,
    text: String,
    /// Rows it gets in any case.
    least: usize,
}

/// What the page tells, gathered.
struct Told<'t> {
    number: usize,
    total: usize,
    finding: Row<'t>,
    details: serde_json::Map<String, Value>,
    incident: String,
    aliases: Vec<String>,
    events: Table,
    /// Ids in `event_ids`, of which the case may have more events or fewer.
    listed: usize,
}

/// The incident that the details name, in words.
fn incident(session: &mut Session, number: i64) -> Result<String> {
    let sql = format!(
        "SELECT i.finding_count, i.event_count, i.severity, i.first_time FROM incidents AS i WHERE i.incident = {number} ORDER BY i.first_time"
    );
    let rows = ask_if(session, &["incidents"], &sql)?;
    Ok(rows.first().map_or_else(String::new, |row| {
        format!(
            "#{number}, {}, from {}: {}, {}",
            row.text("severity"),
            row.time("first_time"),
            plural(row.count("finding_count"), "finding"),
            plural(row.count("event_count"), "event")
        )
    }))
}

/// The events that a finding names, in the order of time.
fn events(session: &mut Session, ids: &[String]) -> Result<Table> {
    session.register_texts("finding_events", "wanted_id", ids)?;
    let sql =
        "SELECT e.event_time, e.event_name, e.outcome, e.error_code, e.principal, e.via, e.source_ip, e.source_service,
      e.region, e.key_arn, e.source_file, e.record_no, e.event_id
      FROM events AS e INNER JOIN finding_events AS w ON w.wanted_id = e.event_id
      ORDER BY e.event_time, e.event_id, e.source_file, e.record_no";
    ask(session, "finding_events", sql)
}

/// The details as `name: value`, without what stands elsewhere on the page.
fn details(members: &serde_json::Map<String, Value>) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    let mut shown: Vec<_> = members.iter().filter(|(name, value)| *name != "incident" && !value.is_null()).collect();
    // Names tell more than numbers; the sort is stable.
    shown.sort_by_key(|(_, value)| value.is_number() || value.is_boolean());
    shown.into_iter().map(|(name, value)| format!("{name}: {}", text(value))).collect::<Vec<_>>().join("; ")
}

/// What the rule's file says about itself.
fn rule_parts(library: &Library, rule: &str) -> Vec<Part> {
    let Some(query) = library.get(rule) else {
        let text = "the library has no rule of this name: --queries DIR names the folder of your own rules".to_owned();
        return vec![Part { label: "rule says", text, least: 1 }];
    };
    let header = &query.header;
    [
        ("rule says", &header.description, 2),
        ("harmless", &header.false_positives, 1),
        ("blind to", &header.blind_spots, 1),
    ]
    .into_iter()
    .filter(|(_, text, _)| !text.is_empty())
    .map(|(label, text, least)| Part { label, text: text.clone(), least })
    .collect()
}

/// From this many rows on nothing needs to be left out that is told elsewhere.
const TALL: usize = 36;

/// What is certain: who, when, where, on which key.
fn facts(page: &mut Page, told: &Told<'_>) {
    let finding = told.finding;
    let severity = severity_of(&finding);
    page.push(
        Line::default()
            .with(Ink::Strong, &format!("#{} of {}  ", told.number, count(told.total as u64)))
            .with(Ink::Severity(severity), severity.as_str())
            .with(Ink::Plain, "  ")
            .with(Ink::Strong, finding.text("title")),
    );
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let attack = finding.text("attack");
    let attack = if attack.is_empty() { String::new() } else { format!("; ATT&CK {attack}") };
    let is_tall = page.screen().height >= TALL;
    let incident = match told.details.get("incident") {
        Some(number) if !is_tall => format!("; incident {number}"),
        _ => String::new(),
    };
    page.labelled("rule", Ink::Plain, &format!("{}{attack}{incident}", finding.text("rule")), 1);
    let (first, last) = (finding.micros("first_time"), finding.micros("last_time"));
    let mut when = or(&finding.time("first_time"), "no time");
    if let (Some(first), Some(last)) = (first, last)
        && last > first
    {
        when.push_str(&format!(" to {} ({})", finding.time("last_time"), duration((last - first) / 1_000_000)));
    }
    page.labelled("when", Ink::Plain, &when, 1);
    page.labelled(
        "who",
        Ink::Plain,
        &shorten(&or(finding.text("principal"), "several, or nobody: see the events"), page.room()),
        1,
    );
    let mut places: Vec<String> = [("", "source_ip"), ("account ", "account_id"), ("", "region")]
        .iter()
        .filter(|(_, column)| !finding.text(column).is_empty())
        .map(|(word, column)| format!("{word}{}", finding.text(column)))
        .collect();
    if places.is_empty() {
        places.push("several places: see the events".to_owned());
    }
    page.labelled("where", Ink::Plain, &places.join(", "), 1);
    let key = or(finding.text("key_arn"), "several, or none: see the events");
    page.labelled("key", Ink::Plain, &shorten(&key, page.room()), 1);
    if !told.aliases.is_empty() {
        page.labelled("alias", Ink::Plain, &told.aliases.join(", "), 1);
    }
    if is_tall && !told.incident.is_empty() {
        page.labelled("incident", Ink::Plain, &told.incident, 1);
    }
    if !finding.text("integrity").is_empty() {
        page.labelled("integrity", Ink::Plain, &format!("worst of its files: {}", finding.text("integrity")), 1);
    }
}

/// From this width on a line of an event says everything.
const WIDE: usize = 150;

/// The events as lines, the first of them the names of the columns.
fn event_lines(told: &Told<'_>, screen: Screen) -> Vec<String> {
    let rows: Vec<Row<'_>> = told.events.iter().collect();
    let is_wide = screen.width >= WIDE;
    // On a narrow screen a column that only repeats what stands above is left out.
    let differs = |column: &str| is_wide || rows.iter().any(|row| row.text(column) != told.finding.text(column));
    let (has_who, has_from) = (differs("principal"), differs("source_ip"));
    let days: BTreeSet<String> = rows.iter().map(|row| row.time("event_time").chars().take(10).collect()).collect();
    // The day of all of them stands over their times.
    let one_day = days.first().filter(|_| days.len() == 1 && !is_wide);
    let mut names = vec![one_day.map_or("time", String::as_str), "operation", "outcome"];
    names.extend(has_who.then_some("principal"));
    names.extend(has_from.then_some("from"));
    names.push("file#record");
    let text = |text: &str| Cell::Text(text.to_owned().into());
    let cells = rows.iter().map(|row| {
        let outcome = match row.text("error_code") {
            code if is_wide && !code.is_empty() => format!("{} {code}", row.text("outcome")),
            _ => row.text("outcome").to_owned(),
        };
        let time = match one_day {
            Some(_) => text(row.time("event_time").get(11..).unwrap_or_default()),
            None => row.cell("event_time").clone(),
        };
        let mut cells = vec![time, text(row.text("event_name")), text(&outcome)];
        if has_who {
            cells.push(text(row.text("principal")));
        }
        if has_from {
            let from =
                if row.text("source_ip").is_empty() { row.text("source_service") } else { row.text("source_ip") };
            cells.push(text(from));
        }
        cells.push(text(&format!("{}#{}", row.text("source_file"), row.number("record_no"))));
        cells
    });
    let cells: Vec<Vec<Cell<'static>>> = cells.collect();
    table(&names, &cells, screen.width).lines().map(str::to_owned).collect()
}

/// The commands that come next.
fn commands(told: &Told<'_>, case: &Path) -> Vec<String> {
    let case = shell_path(case);
    let mut commands = Vec::new();
    if !told.finding.text("key_arn").is_empty() {
        let key = shell_word(key_word(told.finding.text("key_arn")));
        commands.push(format!("keytrail timeline --key {key} --case {case}"));
    }
    if !told.finding.text("principal").is_empty() {
        commands.push(format!(
            "keytrail timeline --principal {} --case {case}",
            shell_word(told.finding.text("principal"))
        ));
    }
    if let Some(number) = told.details.get("incident") {
        commands.push(format!("keytrail incidents --case {case} {number}"));
    }
    commands
}

/// Shares the rows that are left among the parts: each gets its least, then the first ones what they want.
fn shares(parts: &[Part], screen: Screen, mut room: usize) -> Vec<usize> {
    let mut given: Vec<usize> = parts.iter().map(|part| rows_of(&part.text, screen, part.least)).collect();
    room = room.saturating_sub(given.iter().sum());
    for (part, rows) in parts.iter().zip(&mut given) {
        let more = (rows_of(&part.text, screen, usize::MAX) - *rows).min(room);
        *rows += more;
        room -= more;
    }
    given
}

/// How many events are shown, and where the others are.
fn counted(told: &Told<'_>, shown: usize, has_more: bool) -> String {
    let total = told.finding.count("event_count").max(told.listed as u64);
    let mut text = format!("{} of {} shown", count(shown as u64), count(total));
    if has_more {
        text.push_str("; --all shows more");
    }
    if total > told.listed as u64 {
        text.push_str(&format!("; the finding names {}", count(told.listed as u64)));
    }
    text
}

/// Events that a screen shows at least, however much there is to say.
const LEAST_EVENTS: usize = 3;

/// The page. `is_all` leaves nothing out, however long it gets.
fn page(told: &Told<'_>, library: &Library, case: &Path, screen: Screen, is_all: bool) -> String {
    let mut page = Page::new(screen);
    facts(&mut page, told);
    let short = |text: &str| if is_all || screen.width >= WIDE { text.to_owned() } else { brief(text) };
    let mut parts = vec![Part { label: "what", text: short(told.finding.text("summary")), least: 3 }];
    let details = details(&told.details);
    if !details.is_empty() {
        parts.push(Part { label: "details", text: short(&details), least: 1 });
    }
    parts.extend(rule_parts(library, told.finding.text("rule")));
    let mut end = Page::new(screen);
    for (i, command) in commands(told, case).iter().enumerate() {
        end.command(if i == 0 { "next" } else { "" }, command);
    }
    let lines = event_lines(told, screen);
    let events = lines.len().saturating_sub(1);
    // The heading of the events, the names of their columns, and the prompt take a row each; a tall screen has a blank row on
    // either side of the events.
    let is_tall = is_all || screen.height >= TALL;
    let fixed = end.rows() + 3 + if is_tall { 2 } else { 0 };
    let room = |page: &Page| if is_all { usize::MAX } else { screen.height.saturating_sub(page.rows() + fixed) };
    let for_texts = room(&page).saturating_sub(events.min(LEAST_EVENTS));
    let given = if is_all { vec![usize::MAX; parts.len()] } else { shares(&parts, screen, for_texts) };
    for (part, rows) in parts.iter().zip(given) {
        page.labelled(part.label, Ink::Plain, &part.text, rows);
    }
    let shown = events.min(room(&page));
    if is_tall {
        page.blank();
    }
    page.labelled("events", Ink::Plain, &counted(told, shown, shown < events), 1);
    for (i, line) in lines.iter().take(shown + 1).enumerate() {
        page.push(Line::default().with(if i == 0 { Ink::Faint } else { Ink::Plain }, line));
    }
    if is_tall {
        page.blank();
    }
    page.text() + &end.text()
}

/// Runs the command.
///
/// # Errors
/// When the case is not usable, or has no such finding.
pub(crate) fn run(args: &FindingShowArgs, case: &Path) -> Result<Exit> {
    let display = Display::new(&args.display);
    let library = load(&args.folders)?;
    let mut session = open(case, &[], Overrides::default())?;
    let found = findings(&mut session, &[])?;
    let total = found.iter().len();
    let Some(finding) = args.number.checked_sub(1).and_then(|place| found.iter().nth(place)) else {
        bail!("there is no finding {}: the case has {}", args.number, plural(total as u64, "finding"));
    };
    let details: serde_json::Map<String, Value> = serde_json::from_str(finding.text("details")).unwrap_or_default();
    let ids = list(finding.text("event_ids"));
    let key = finding.text("key_arn");
    let told = Told {
        number: args.number,
        total,
        finding,
        incident: match details.get("incident").and_then(Value::as_i64) {
            Some(number) => incident(&mut session, number)?,
            None => String::new(),
        },
        aliases: if key.is_empty() { Vec::new() } else { aliases_of(&mut session, key)? },
        events: events(&mut session, &ids)?,
        listed: ids.len(),
        details,
    };
    print(page(&told, &library, case, display.stdout, args.all))?;
    Ok(Exit::Done)
}
