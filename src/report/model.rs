//! The report as plain data: what the templates show, and nothing they would have to think about.
//!
//! In: rows of the case, read by the modules that collect. Out: structs of texts and numbers. Every text has passed
//! [`super::ask::visible`]; none is escaped, because the templates do that.

use super::format::when;
use crate::error::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// One cell of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Item {
    /// What is shown.
    pub(super) text: String,
    /// Where it leads to inside the report, such as `#key-3`; empty when it leads nowhere.
    pub(super) link: String,
    /// How it is set: `num`, `time`, `mono`, `sev-high` ...; empty for plain text.
    pub(super) class: &'static str,
}

impl Item {
    /// Plain text.
    pub(super) fn text(text: impl Into<String>) -> Item {
        Item { text: text.into(), ..Item::default() }
    }

    /// A name from the logs: monospaced, and broken anywhere.
    pub(super) fn name(text: impl Into<String>) -> Item {
        Item { text: text.into(), class: "mono", ..Item::default() }
    }

    /// A number, with its thousands apart.
    pub(super) fn number(number: i64) -> Item {
        Item { text: super::format::count(number), class: "num", ..Item::default() }
    }

    /// An instant, microseconds since 1970-01-01 UTC.
    pub(super) fn time(micros: Option<i64>) -> Item {
        Item { text: micros.map(when).unwrap_or_default(), class: "time", ..Item::default() }
    }

    /// A severity.
    pub(super) fn severity(text: &str) -> Item {
        let class = match text {
            "critical" => "sev-critical",
            "high" => "sev-high",
            "medium" => "sev-medium",
            "low" => "sev-low",
            _ => "sev-info",
        };
        Item { text: text.to_owned(), link: String::new(), class }
    }

    /// The item as a link inside the report.
    pub(super) fn to(mut self, link: String) -> Item {
        self.link = link;
        self
    }
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Grid {
    /// What it shows: its caption.
    pub(super) caption: String,
    /// Heads of the columns, and `num` where numbers stand.
    pub(super) heads: Vec<Head>,
    /// The rows, one item per column.
    pub(super) rows: Vec<Vec<Item>>,
    /// What was left out and where it is; empty when everything is shown.
    pub(super) note: String,
}

/// The head of a column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Head {
    /// What is shown.
    pub(super) text: &'static str,
    /// `num` or nothing.
    pub(super) class: &'static str,
}

impl Grid {
    /// A table without rows. A head that begins with `#` stands over numbers.
    pub(super) fn new(caption: impl Into<String>, heads: &[&'static str]) -> Grid {
        let heads = heads.iter().map(|head| match head.strip_prefix('#') {
            Some(text) => Head { text, class: "num" },
            None => Head { text: head, class: "" },
        });
        Grid { caption: caption.into(), heads: heads.collect(), ..Grid::default() }
    }

    /// Cuts the table after `limit` rows, saying so and where `rest` is.
    pub(super) fn cut(mut self, limit: usize, rest: &str) -> Grid {
        if self.rows.len() > limit {
            self.rows.truncate(limit);
            self.note = format!("The first {} are shown. {rest}", super::format::size(limit));
        }
        self
    }
}

/// A name and its value, in a list of facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fact {
    /// What it is.
    pub(super) name: &'static str,
    /// Its value.
    pub(super) value: Item,
}

/// Adds a fact, unless there is nothing to say.
pub(super) fn fact(facts: &mut Vec<Fact>, name: &'static str, value: Item) {
    if !value.text.is_empty() {
        facts.push(Fact { name, value });
    }
}

/// An incident as a story.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Story {
    /// Its number.
    pub(super) number: i64,
    /// The severity of its worst finding.
    pub(super) severity: Item,
    /// From and to.
    pub(super) span: String,
    /// The summary of its worst finding.
    pub(super) summary: String,
    /// Findings and events.
    pub(super) counts: String,
    /// Who, which keys, from where, in which accounts.
    pub(super) facts: Vec<Names>,
    /// Its findings in the order of time.
    pub(super) steps: Vec<Step>,
    /// What was left out; empty when everything is shown.
    pub(super) note: String,
}

/// Some names under one label.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Names {
    /// What they are.
    pub(super) label: &'static str,
    /// The names.
    pub(super) items: Vec<Item>,
    /// What was left out.
    pub(super) note: String,
}

/// A finding in a story.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    /// Its first event.
    pub(super) time: String,
    /// How bad.
    pub(super) severity: Item,
    /// What happened.
    pub(super) summary: String,
    /// The rule.
    pub(super) rule: String,
    /// The finding in the table of all.
    pub(super) link: String,
}

/// A finding in the table that needs no script.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FindingRow {
    /// Its number, from 1, worst first.
    pub(super) number: usize,
    /// How bad.
    pub(super) severity: Item,
    /// First event.
    pub(super) time: String,
    /// What happened.
    pub(super) summary: String,
    /// The rule.
    pub(super) rule: String,
    /// ATT&CK techniques.
    pub(super) attack: String,
    /// Account and Region.
    pub(super) place: String,
    /// The key.
    pub(super) key: Item,
    /// The principal.
    pub(super) principal: Item,
    /// Events.
    pub(super) events: String,
    /// Details that only open when asked for.
    pub(super) facts: Vec<Fact>,
    /// Its events, as far as they are listed, with links to the raw ones.
    pub(super) ids: Vec<Item>,
}

/// Takes the subjects that have a section, one after the other: what one is made of is many times larger than its section.
pub(super) type EachSubject<'e> = &'e mut dyn FnMut(Subject) -> Result<()>;

/// How one key or principal is shown in full.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Subject {
    /// The anchor, such as `key-3`.
    pub(super) anchor: String,
    /// The whole name.
    pub(super) name: String,
    /// Aliases, or kind of principal.
    pub(super) also: String,
    /// State and counts, in a few words.
    pub(super) brief: String,
    /// The worst severity of its findings; empty text when there are none.
    pub(super) worst: Item,
    /// What is known.
    pub(super) facts: Vec<Fact>,
    /// Its life as a ribbon; `None` for principals.
    pub(super) ribbon: Option<super::ribbon::Ribbon>,
    /// Its use over time.
    pub(super) usage: Option<Usage>,
    /// Findings, counterparts, networks, grants ...
    pub(super) grids: Vec<Grid>,
    /// Policy versions, with what changed.
    pub(super) policies: Vec<PolicyVersion>,
    /// Acts of administration with the raw record behind them.
    pub(super) acts: Vec<Act>,
    /// What was left out of the acts.
    pub(super) acts_note: String,
}

/// Use over time, as a drawing and as numbers.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Usage {
    /// The drawing, SVG made by the chart library from numbers and dates only.
    pub(super) svg: String,
    /// What it shows, for those who cannot see it.
    pub(super) label: String,
    /// The classes, in the order of their colors, with their totals.
    pub(super) classes: Vec<UsageClass>,
}

/// A class of operations in a usage chart.
#[derive(Debug, Clone, Serialize)]
pub(super) struct UsageClass {
    /// Number of its color.
    pub(super) color: usize,
    /// Its name.
    pub(super) name: &'static str,
    /// Actions.
    pub(super) total: String,
}

/// A version of a key policy.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PolicyVersion {
    /// When, by what and by whom it was set, and what of it is dangerous.
    pub(super) title: String,
    /// True when it is in force at the end of the evidence.
    pub(super) in_force: bool,
    /// Dangers in words.
    pub(super) dangers: Vec<String>,
    /// The lines, with what changed.
    pub(super) lines: Vec<DiffLine>,
    /// What was left out.
    pub(super) note: String,
}

/// A line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DiffLine {
    /// `+` new, `-` gone, a blank for what stayed.
    pub(super) mark: &'static str,
    /// `add`, `del` or nothing.
    pub(super) class: &'static str,
    /// The line.
    pub(super) text: String,
}

/// An act of administration.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Act {
    /// When.
    pub(super) time: String,
    /// The operation.
    pub(super) action: String,
    /// ok, denied ...
    pub(super) outcome: String,
    /// The principal, or the key.
    pub(super) other: Item,
    /// From where.
    pub(super) source: String,
    /// The record as received, as far as it is shown.
    pub(super) raw: Raw,
}

/// What a record says, as received.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Raw {
    /// Event id.
    pub(super) id: String,
    /// Where the same record is shown already; empty when it is here.
    pub(super) anchor: String,
    /// Name and value; long JSON is set in lines.
    pub(super) fields: Vec<(&'static str, String)>,
}

/// An event that findings cite, with its record.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Cited {
    /// The anchor, such as `event-12`.
    pub(super) anchor: String,
    /// When.
    pub(super) time: String,
    /// The operation.
    pub(super) action: String,
    /// The principal.
    pub(super) principal: String,
    /// Input file and number of the record in it.
    pub(super) place: String,
    /// The record.
    pub(super) raw: Raw,
}

/// What the evidence cannot show.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Limits {
    /// Limits and problems of integrity that the tables list, and those of them that are critical or high.
    pub(super) listed: (usize, usize),
    /// Sentences that stand in the manifest: warnings and inputs that were not understood.
    pub(super) warnings: Vec<String>,
    /// What is not known because the case lacks the table.
    pub(super) missing: Vec<String>,
    /// Limits, integrity, coverage by account and Region.
    pub(super) grids: Vec<Grid>,
    /// The calendar of the whole evidence.
    pub(super) calendar: Option<super::calendar::Calendar>,
    /// Accounts and Regions over time.
    pub(super) places: Option<super::calendar::Calendar>,
}

/// A box at the top: one question, and its answer in numbers.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Glance {
    /// The question.
    pub(super) title: &'static str,
    /// The section that answers it.
    pub(super) link: &'static str,
    /// The answer, line by line.
    pub(super) lines: Vec<String>,
}

/// A table that scripts page, filter and sort: columns and rows as JSON, and the first rows as HTML.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Paged {
    /// Its id.
    pub(super) id: &'static str,
    /// The JSON, safe inside a script element.
    pub(super) json: String,
    /// Rows in the JSON.
    pub(super) rows: usize,
    /// What was left out and where it is; empty when everything is there.
    pub(super) note: String,
}

/// The whole report.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Report {
    /// Name of the case.
    pub(super) case: String,
    /// What is known about the case: version, range, accounts, hashes.
    pub(super) facts: Vec<Fact>,
    /// The four questions.
    pub(super) glance: Vec<Glance>,
    /// Findings per severity, worst first.
    pub(super) severities: Vec<(Item, String)>,
    /// Incidents told in full.
    pub(super) stories: Vec<Story>,
    /// Incidents in one line each.
    pub(super) more_stories: Grid,
    /// What the evidence cannot show.
    pub(super) limits: Limits,
    /// What was exposed.
    pub(super) exposure: super::exposure::Exposure,
    /// What is still open.
    pub(super) open: Vec<Grid>,
    /// The worst findings, already HTML.
    pub(super) findings: Vec<String>,
    /// What was left out of them.
    pub(super) findings_note: String,
    /// All findings for scripts.
    pub(super) paged_findings: Paged,
    /// Keys.
    pub(super) keys: Grid,
    /// Keys for scripts.
    pub(super) paged_keys: Paged,
    /// Sections of keys, already HTML.
    pub(super) key_sections: Vec<String>,
    /// What was left out of them.
    pub(super) key_sections_note: String,
    /// Principals.
    pub(super) principals: Grid,
    /// Principals for scripts.
    pub(super) paged_principals: Paged,
    /// Sections of principals, already HTML.
    pub(super) principal_sections: Vec<String>,
    /// What was left out of them.
    pub(super) principal_sections_note: String,
    /// Events that findings cite, already HTML.
    pub(super) cited: Vec<String>,
    /// What was left out of them.
    pub(super) cited_note: String,
    /// Reviews.
    pub(super) reviews: Grid,
    /// CSV files by table.
    pub(super) csv: BTreeMap<String, String>,
}
