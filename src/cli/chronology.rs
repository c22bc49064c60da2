//! A timeline for people: bars of use over the covered period, then what happened, line by line.
//!
//! In: what was done (one row per act), everything else counted by hour and by day, and the findings of the subject. Out: lines.
//! A day on which something was done or found is told hour by hour; a quiet day takes one line per operation, because
//! the same thousand calls every day are not what a reader looks for.

use super::config::Screen;
use super::findings::severity_of;
use super::paint::{Ink, Line, Page};
use super::summary::{count, plural};
use keytrail::output::sparkline::sparkline;
use keytrail::output::terminal::{brief, wrap};
use keytrail::query::table::{Row, Table};
use keytrail::severity::Severity;
use keytrail::time::{MICROS, format_timestamp};
use std::collections::BTreeSet;

/// Whose timeline it is, which decides what each line must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a key: lines say who.
    Key,
    /// Of a principal: lines say on which key.
    Principal,
    /// Of a grant: as of a key.
    Grant,
}

/// What happened.
pub(crate) struct Happened<'h> {
    /// Whose timeline.
    pub(crate) kind: Kind,
    /// The subject's account: names of it are shown without it.
    pub(crate) account: &'h str,
    /// What was done, one row per event.
    pub(crate) acts: &'h Table,
    /// Everything, by hour.
    pub(crate) hours: &'h Table,
    /// Everything, by day.
    pub(crate) days: &'h Table,
    /// The findings that concern the subject: number and row.
    pub(crate) findings: Vec<(usize, Row<'h>)>,
}

/// The rows of bars: what they count, and the series of the buckets.
const BARS: [&str; 4] = ["plaintext", "other use", "admin", "denied"];

/// Columns of a bar row besides its bars: label, total, peak.
pub(crate) const BESIDE_BARS: usize = 36;

/// Names that are longer lose the path between their kind and their last part.
const LONG_NAME: usize = 40;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Bars of what the subject did or suffered from `first` to `last`, seconds since 1970-01-01 UTC, each bar `step` seconds of
/// `buckets`.
pub(crate) fn bars(page: &mut Page, buckets: &Table, (first, last): (i64, i64), step: i64) {
    let screen = page.screen();
    let begin = first.div_euclid(step);
    let number = usize::try_from(last.div_euclid(step) - begin + 1).unwrap_or(1);
    for series in BARS {
        let mut counts = vec![0u64; number];
        for bucket in buckets.iter().filter(|bucket| bucket.text("series") == series) {
            let place = usize::try_from(bucket.number("bucket_epoch").div_euclid(step) - begin).ok();
            if let Some(slot) = place.and_then(|place| counts.get_mut(place)) {
                *slot = slot.saturating_add(bucket.count("calls"));
            }
        }
        let total: u64 = counts.iter().sum();
        let most = counts.iter().copied().max().unwrap_or(0);
        let peak = if total == 0 { String::new() } else { format!("  peak {}", count(most)) };
        page.push(
            Line::default()
                .column(Ink::Faint, series, 11)
                .with(Ink::Plain, &format!("{:>9}  ", count(total)))
                .with(
                    if series == "denied" { Ink::Severity(Severity::High) } else { Ink::Plain },
                    &sparkline(&counts, screen.is_unicode),
                )
                .with(Ink::Faint, &peak),
        );
    }
    let label = |seconds: i64| {
        let text = format_timestamp(seconds.saturating_mul(MICROS));
        let length = if step >= DAY { 10 } else { 16 };
        text.get(..length).unwrap_or(&text).replace('T', " ")
    };
    let (from, to) = (label(begin * step), label(last));
    let gap = number.saturating_sub(from.len() + to.len());
    let axis = if gap > 0 { format!("{from}{}{to}", " ".repeat(gap)) } else { format!("{from} to {to}") };
    page.push(Line::plain(&" ".repeat(22)).with(Ink::Faint, &axis));
}

/// One thing that is told, with the lines it takes.
struct Entry {
    /// Microseconds since 1970-01-01 UTC.
    time: i64,
    /// Among equal times: counts, acts, findings.
    rank: u8,
    /// What stands in the time's column.
    label: String,
    ink: Ink,
    text: String,
}

/// Equal calls of an hour or a day.
struct Counted<'r> {
    row: Row<'r>,
    /// The operations.
    names: Vec<String>,
    calls: u64,
    /// Who made them, from where, through what.
    round: String,
    first: i64,
    last: i64,
    /// Other operations of the same round may join.
    is_shared: bool,
}

impl Counted<'_> {
    /// The begin of the hour or day, seconds since 1970-01-01 UTC.
    fn bucket(&self) -> i64 {
        self.row.number("bucket_epoch")
    }

    fn join(&mut self, other: Self) {
        self.names.extend(other.names);
        self.calls += other.calls;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    fn sentence(&self) -> String {
        if self.names.len() > 1 {
            return format!("{} of {}{}", plural(self.calls, "call"), self.names.join(", "), self.round);
        }
        let times = if self.calls > 1 { format!(" x {}", count(self.calls)) } else { String::new() };
        let how = match self.row.text("series") {
            "denied" => " refused",
            "failed" => " failed",
            "dry run" => " (dry run)",
            _ => "",
        };
        format!("{}{times}{how}{}", self.names.join(", "), self.round)
    }
}

/// The time of day of an instant.
fn clock(micros: i64) -> String {
    format_timestamp(micros).get(11..19).unwrap_or_default().to_owned()
}

/// The times of day from one instant to another of the same day.
fn stretch(first: i64, last: i64) -> String {
    let minutes = |micros| clock(micros).chars().take(5).collect::<String>();
    match (minutes(first), minutes(last)) {
        _ if first == last => clock(first),
        (first, last) if first == last => first,
        (first, last) => format!("{first}-{last}"),
    }
}

/// The day of an instant.
fn day(micros: i64) -> String {
    format_timestamp(micros).get(..10).unwrap_or_default().to_owned()
}

impl Happened<'_> {
    /// A name in short: without the account when it is the subject's, and never with more than the reader needs to tell it.
    fn name(&self, name: &str) -> String {
        let short = brief(name);
        let short = match short.strip_prefix("…:") {
            Some(rest) if !self.account.is_empty() => {
                rest.strip_prefix(self.account).and_then(|rest| rest.strip_prefix(':')).unwrap_or(rest)
            }
            _ => &short,
        };
        // `role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling`: what lies between tells nothing.
        match (short.split_once('/'), short.rsplit_once('/')) {
            (Some((kind, rest)), Some((_, last)))
                if rest.len() > last.len() && short.len() > LONG_NAME && name.starts_with("arn:") =>
            {
                format!("{kind}/…/{last}")
            }
            _ => short.to_owned(),
        }
    }

    /// Who did it, or for a principal's own timeline what it was done to.
    fn whom(&self, row: &Row<'_>, principal: &str, key: &str) -> String {
        match self.kind {
            Kind::Key | Kind::Grant if !row.text(principal).is_empty() => {
                format!(" by {}", self.name(row.text(principal)))
            }
            Kind::Principal if !row.text(key).is_empty() => format!(" on {}", self.name(row.text(key))),
            _ => String::new(),
        }
    }

    /// One act as a sentence.
    fn act(&self, row: &Row<'_>) -> String {
        let mut text = row.text("event_name").to_owned();
        if row.text("outcome") != "ok" {
            let how = if row.text("outcome") == "denied" { "refused" } else { row.text("outcome") };
            text.push_str(&format!(" {how} ({})", row.text("error_code")));
        }
        text.push_str(&self.whom(row, "principal", "key_arn"));
        if !row.text("source_ip").is_empty() {
            text.push_str(&format!(" from {}", row.text("source_ip")));
        } else if !row.text("via").is_empty() && !row.text("principal").ends_with(row.text("via")) {
            text.push_str(&format!(" via {}", row.text("via")));
        }
        let mut more = Vec::new();
        let mut say = |word: &str, column: &str| {
            if !row.text(column).is_empty() {
                more.push(format!("{word}{}", self.name(row.text(column)).replace(',', ", ")));
            }
        };
        say("to ", "grantee_principal");
        say("", "grant_operations");
        say("", "alias_name");
        say("target ", "target_key_arn");
        say("trail ", "trail_name");
        say("names outside accounts ", "policy_external_accounts");
        if row.number("pending_window_days") > 0 {
            more.push(format!("waiting period {} days", row.number("pending_window_days")));
        }
        for (column, what) in
            [("policy_is_public", "open to everyone"), ("policy_locks_out_owner", "locks its owner out")]
        {
            if row.is(column) {
                more.push(what.to_owned());
            }
        }
        if !more.is_empty() {
            text.push_str(&format!(": {}", more.join(", ")));
        }
        text
    }

    /// Who made equal calls of an hour or a day, from where, through what.
    fn round(&self, row: &Row<'_>) -> String {
        let mut text = String::new();
        let (number, noun) = match self.kind {
            Kind::Principal => (row.count("key_count"), "key"),
            Kind::Key | Kind::Grant => (row.count("principal_count"), "principal"),
        };
        match number {
            0 => {}
            1 => text.push_str(&self.whom(row, "first_principal", "first_key")),
            number => {
                let word = if self.kind == Kind::Principal { "on" } else { "by" };
                text.push_str(&format!(" {word} {}", plural(number, noun)));
            }
        }
        match (row.count("source_ip_count"), row.count("network_count")) {
            (0, _) => {}
            (1, _) => text.push_str(&format!(" from {}", row.text("first_source_ip"))),
            (_, 1) => text.push_str(&format!(" from {}", row.text("first_network"))),
            (_, networks) => text.push_str(&format!(" from {}", plural(networks, "network"))),
        }
        match row.count("via_count") {
            0 => {}
            1 if row.count("direct_count") == 0 => text.push_str(&format!(" via {}", row.text("first_via"))),
            1 => text.push_str(&format!(", some via {}", row.text("first_via"))),
            number => text.push_str(&format!(" via {}", plural(number, "service"))),
        }
        text
    }

    /// Equal calls of each hour or day. Calls that only look, and that one caller made from one place, share a sentence.
    fn counted<'r>(&self, rows: impl Iterator<Item = Row<'r>>) -> Vec<Counted<'r>> {
        let mut told: Vec<Counted<'r>> = Vec::new();
        for row in rows {
            let (Some(first), Some(last)) = (row.micros("first_time"), row.micros("last_time")) else { continue };
            let whom = if self.kind == Kind::Principal { row.count("key_count") } else { row.count("principal_count") };
            let is_one = whom <= 1 && row.count("source_ip_count") <= 1 && row.count("via_count") <= 1;
            let next = Counted {
                row,
                names: vec![row.text("event_name").to_owned()],
                calls: row.count("calls"),
                round: self.round(&row),
                first,
                last,
                is_shared: is_one && row.text("series") == "reading",
            };
            let mut same = told.iter_mut().rev().take_while(|other| other.bucket() == next.bucket());
            match same.find(|other| other.is_shared && next.is_shared && other.round == next.round) {
                Some(other) => other.join(next),
                None => told.push(next),
            }
        }
        told
    }

    /// The days on which something was done or found.
    fn eventful(&self) -> BTreeSet<String> {
        let acts = self.acts.iter().filter_map(|row| row.micros("event_time"));
        let found = self.findings.iter().filter_map(|(_, row)| row.micros("first_time"));
        acts.chain(found).map(day).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        let eventful = self.eventful();
        let mut entries = Vec::new();
        for (rows, is_hour) in [(self.hours, true), (self.days, false)] {
            let is_told = |row: &Row<'_>| {
                !row.is("is_act")
                    && row.micros("first_time").is_some_and(|time| eventful.contains(&day(time)) == is_hour)
            };
            for counted in self.counted(rows.iter().filter(is_told)) {
                let is_denied = counted.row.text("series") == "denied";
                entries.push(Entry {
                    // The operations of a quiet day stand in one order on every day.
                    time: if is_hour { counted.first } else { counted.bucket().saturating_mul(MICROS) },
                    rank: 0,
                    label: stretch(counted.first, counted.last),
                    ink: if is_denied { Ink::Severity(Severity::High) } else { Ink::Plain },
                    text: counted.sentence(),
                });
            }
        }
        for row in self.acts.iter() {
            let Some(time) = row.micros("event_time") else { continue };
            entries.push(Entry { time, rank: 1, label: clock(time), ink: Ink::Strong, text: self.act(&row) });
        }
        for (number, row) in &self.findings {
            let time = row.micros("first_time");
            let severity = severity_of(row);
            let text = format!("#{number} {severity}: {}", row.text("title"));
            let label = time.map(clock).unwrap_or_default();
            entries.push(Entry { time: time.unwrap_or(i64::MAX), rank: 2, label, ink: Ink::Severity(severity), text });
        }
        // The sort is stable: rows come in a total order.
        entries.sort_by_key(|entry| (entry.time, entry.rank));
        entries
    }

    /// The chronology, at most `limit` entries of it, 0 for all; gives the number of entries left out.
    pub(crate) fn tell(&self, page: &mut Page, limit: usize) -> usize {
        let Screen { width, .. } = page.screen();
        let eventful = self.eventful();
        let entries = self.entries();
        let shown = if limit == 0 { entries.len() } else { limit.min(entries.len()) };
        let mut today = String::new();
        for entry in entries.iter().take(shown) {
            let date = if entry.time == i64::MAX { "no time".to_owned() } else { day(entry.time) };
            let is_new = date != today;
            let is_eventful = eventful.contains(&date);
            if is_new && is_eventful {
                page.push(Line::default().with(Ink::Strong, &date));
            }
            let label = match (is_eventful, is_new) {
                (true, _) => format!("  {}", entry.label),
                (false, true) => date.clone(),
                (false, false) => String::new(),
            };
            for (i, line) in wrap(&entry.text, width.saturating_sub(15), 3).iter().enumerate() {
                let label = if i == 0 { label.as_str() } else { "" };
                page.push(Line::default().column(Ink::Faint, label, 15).with(entry.ink, line));
            }
            today = date;
        }
        entries.len() - shown
    }
}
