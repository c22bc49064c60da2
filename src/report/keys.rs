//! Keys: the table of all, and a section for those that matter.
//!
//! In: the views about keys. Out: rows for the table, and [`Subject`]s with life-cycle, use, principals, networks, grants,
//! policy versions and acts of administration.

use super::acts::{self, Acts};
use super::ask::{Asked, Row, Rows};
use super::chart::{self, Scale};
use super::diff;
use super::evidence::Evidence;
use super::findings::{Findings, SEVERITIES};
use super::format::{count, many, span, when};
use super::model::{EachSubject, Fact, Grid, Item, Paged, PolicyVersion, Subject, fact};
use super::paged::{Texts, block};
use super::shared::{self, Kind, Question, ROWS, finding_grid, network_grid, ranked};
use super::subjects::{Subjects, shown};
use crate::error::Result;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Keys in the table for scripts.
const LISTED: usize = 20_000;

/// Keys, or principals, in the table that needs no script.
const STATIC: usize = 200;

/// Policy versions of one key that are shown.
const VERSIONS: usize = 12;

/// Bytes of the data block.
const BUDGET: usize = 2_500_000;

const COLUMNS: &str = "k.key_arn, k.key_account_id, k.key_region, k.aliases, k.state, k.use_count, k.reveal_count, \
                       k.user_count, k.denied_count, k.first_use_time, k.last_use_time";

const FACTS: &str = "x.key_arn, x.aliases, x.alias_count, x.is_home, x.is_aws_managed, x.created_time, x.creator, \
                     x.key_origin, x.key_spec, x.key_usage, x.mrk_id, x.state, x.state_time, x.state_by, x.deletion_time, \
                     x.is_rotation_enabled, x.rotation_period_days, x.last_rotation_time, x.rotation_count, x.tags, \
                     x.services, x.data_classes, x.first_time, x.last_time, x.first_use_time, x.last_use_time, \
                     x.event_count, x.use_count, x.reveal_count, x.direct_use_count, x.admin_count, x.denied_count, \
                     x.failed_count, x.user_count, x.user_account_count";

/// The keys that are used most or are in a state that somebody must look at.
pub(super) fn busy(asked: &mut Asked<'_>) -> Vec<String> {
    let states = "SELECT k.key_arn FROM keys AS k WHERE k.state IN ('pending_deletion', 'disabled', 'pending_import', \
                  'deleted') ORDER BY key_arn LIMIT 60";
    let used = "SELECT k.key_arn, k.use_count FROM keys AS k ORDER BY use_count DESC, key_arn LIMIT 60";
    let mut names = Vec::new();
    for sql in [states, used] {
        names.extend(asked.rows("keys", sql).iter().map(|row| row.raw("key_arn").to_owned()));
    }
    names
}

/// The worst severity and the number of findings of a subject, as cells.
pub(super) fn worst(found: Option<&(usize, i64)>) -> [Item; 2] {
    match found {
        Some((rank, number)) => {
            [Item::severity(SEVERITIES.get(*rank).copied().unwrap_or("info")), Item::number(*number)]
        }
        None => [Item::default(), Item::number(0)],
    }
}

fn list_row(row: &Row<'_>, findings: &Findings, subjects: &Subjects) -> Vec<Item> {
    let key = row.raw("key_arn");
    let [worst, number] = worst(findings.by_key.get(key));
    vec![
        subjects.key(key),
        Item::text(row.text("aliases")),
        Item::text(row.text("state").replace('_', " ")),
        worst,
        number,
        Item::number(row.number("use_count")),
        Item::number(row.number("reveal_count")),
        Item::number(row.number("user_count")),
        Item::number(row.number("denied_count")),
        Item::time(row.instant("first_use_time")),
        Item::time(row.instant("last_use_time")),
    ]
}

/// The table of all keys: for paper, and for scripts.
pub(super) fn list(asked: &mut Asked<'_>, findings: &Findings, subjects: &Subjects) -> (Grid, Paged) {
    let sql = format!("SELECT {COLUMNS} FROM keys AS k ORDER BY use_count DESC, key_arn LIMIT {LISTED}");
    let rows = asked.rows("keys", &sql);
    let list = List {
        title: "Keys",
        subject: "key_arn",
        heads: &[
            "Key",
            "Aliases",
            "State seen last",
            "Worst",
            "#Findings",
            "#Uses",
            "#Gave plaintext",
            "#Principals",
            "#Refused",
            "First use",
            "Last use",
        ],
        kinds: &["link", "text", "text", "severity", "number", "number", "number", "number", "number", "time", "time"],
        id: "keys-data",
        budget: BUDGET,
        rest: "The others are in the table keys.",
        all: "All are in the table keys.",
    };
    list.of(&rows, &findings.by_key, |row| list_row(row, findings, subjects))
}

/// A table of all keys or of all principals.
pub(super) struct List<'l> {
    /// What stands above it.
    pub(super) title: &'static str,
    /// The column that names what a row is about.
    pub(super) subject: &'l str,
    /// Heads of the columns.
    pub(super) heads: &'l [&'static str],
    /// Kinds of the columns in the data block.
    pub(super) kinds: &'l [&'l str],
    /// The data block.
    pub(super) id: &'static str,
    /// Its bytes.
    pub(super) budget: usize,
    /// Where what the data block leaves out is.
    pub(super) rest: &'l str,
    /// Where what the table without a script leaves out is.
    pub(super) all: &'l str,
}

impl List<'_> {
    /// The table for paper and the one for scripts: those with the worst findings first, then as `rows` stand.
    pub(super) fn of(
        &self,
        rows: &Rows,
        worst: &HashMap<String, (usize, i64)>,
        items: impl Fn(&Row<'_>) -> Vec<Item>,
    ) -> (Grid, Paged) {
        let mut sorted: Vec<Row<'_>> = rows.iter().collect();
        // Stable: among equals the most used comes first.
        sorted.sort_by_key(|row| worst.get(row.raw(self.subject)).map_or((9, 0), |(rank, count)| (*rank, -count)));
        let mut grid = Grid::new(self.title, self.heads);
        let items: Vec<Vec<Item>> = sorted.iter().map(items).collect();
        let paged = paged(self.id, &items, self.kinds, &grid, self.budget, self.rest);
        grid.rows = items;
        (grid.cut(STATIC, self.all), paged)
    }
}

/// A grid as a data block: its first column is a link and written once per text.
fn paged(id: &'static str, rows: &[Vec<Item>], kinds: &[&str], grid: &Grid, budget: usize, rest: &str) -> Paged {
    let mut texts = Texts::default();
    let columns: Vec<[&str; 2]> =
        grid.heads.iter().map(|head| head.text).zip(kinds.iter().copied()).map(|(a, b)| [a, b]).collect();
    let rows: Vec<Value> = rows
        .iter()
        .map(|items| {
            let cells = items.iter().zip(kinds).map(|(item, kind)| match *kind {
                "link" => texts.linked(&item.text, &item.link),
                "severity" => json!(SEVERITIES.iter().position(|name| *name == item.text)),
                "number" => json!(item.text.replace(',', "").parse::<i64>().unwrap_or_default()),
                _ => json!(item.text),
            });
            Value::Array(cells.collect())
        })
        .collect();
    block(id, &columns, &texts, &rows, budget, rest)
}

/// What the sections of all chosen keys are made of.
struct Asides {
    facts: Rows,
    usage: Rows,
    life: Rows,
    pairs: Rows,
    networks: Rows,
    grants: Rows,
    policies: Rows,
    aliases: Rows,
}

const PAIRS: Question<'_> = Question {
    table: "pairs",
    subject: "key_arn",
    select: "x.principal, x.use_count, x.reveal_count, x.direct_count, x.via, x.data_class, x.first_time, x.last_time",
    order: "x.use_count DESC, x.principal DESC",
    limit: ROWS,
};

/// Columns of a grant that the sections show.
pub(super) const GRANT_COLUMNS: &str = "x.grant_id, x.key_arn, x.created_time, x.creator, x.grantee_principal, \
                                        x.grant_operations, x.is_open, x.ended_time, x.ended_how, x.use_count";

const GRANTS: Question<'_> = Question {
    table: "grants",
    subject: "key_arn",
    select: GRANT_COLUMNS,
    order: "x.is_service_grant, x.created_time, x.grant_id",
    limit: ROWS,
};

const POLICIES: Question<'_> = Question {
    table: "policies",
    subject: "key_arn",
    select: "x.version_no, x.event_time, x.action, x.principal, x.is_default, x.is_known, x.is_public, \
             x.external_accounts, x.bypasses_lockout, x.locks_out_owner, x.policy, x.until_time",
    order: "x.version_no",
    limit: VERSIONS,
};

const ALIASES: Question<'_> = Question {
    table: "aliases",
    subject: "key_arn",
    select: "x.alias_name, x.from_time, x.until_time, x.how, x.set_by, x.previous_key_arn, x.set_event_id",
    order: "x.from_time, x.alias_name",
    limit: ROWS,
};

fn asides(asked: &mut Asked<'_>, scale: Scale) -> Asides {
    let life = "x.event_time, x.event_epoch, x.event_name, x.action_class, x.key_origin, x.event_id";
    let facts = Question { table: "keys", subject: "key_arn", select: FACTS, order: "x.key_arn", limit: 1 };
    Asides {
        facts: ranked(asked, Kind::Key, facts),
        usage: shared::usage(asked, Kind::Key, scale),
        life: life_rows(asked, life),
        pairs: ranked(asked, Kind::Key, PAIRS),
        networks: shared::networks(asked, Kind::Key),
        grants: ranked(asked, Kind::Key, GRANTS),
        policies: ranked(asked, Kind::Key, POLICIES),
        aliases: ranked(asked, Kind::Key, ALIASES),
    }
}

/// Successful acts in the order of time, for the ribbon.
fn life_rows(asked: &mut Asked<'_>, select: &str) -> Rows {
    let names: Vec<String> =
        select.split(", ").filter_map(|item| item.strip_prefix("x.")).map(|name| format!("r.{name}")).collect();
    let sql = format!(
        "WITH done AS (SELECT {select}, x.key_arn AS subject, CASE WHEN x.action_class = 'lifecycle' THEN 0 ELSE 1 END AS \
         place FROM admin_events AS x JOIN report_keys AS c ON c.key_arn = x.key_arn WHERE x.is_ok AND NOT \
         COALESCE(x.is_service_grant, FALSE)), \
         ranked AS (SELECT {0}, r.subject, CAST(ROW_NUMBER() OVER (PARTITION BY r.subject ORDER BY r.place, r.event_epoch, \
         r.event_id) AS BIGINT) AS row_no FROM done AS r) \
         SELECT {0}, r.subject FROM ranked AS r WHERE r.row_no <= 300 ORDER BY subject, event_epoch, event_id",
        names.join(", ")
    );
    asked.rows("admin_events", &sql)
}

/// Facts of a key, as far as they are known.
fn facts(row: &Row<'_>, subjects: &Subjects) -> Vec<Fact> {
    let mut facts = Vec::new();
    let state = row.text("state").replace('_', " ");
    let since = row.instant("state_time").map(when).unwrap_or_default();
    let state = if state.is_empty() { "not seen changing".to_owned() } else { format!("{state} since {since}") };
    fact(&mut facts, "State seen last", Item::text(state));
    fact(&mut facts, "Changed by", subjects.principal(row.raw("state_by")));
    fact(&mut facts, "Earliest deletion", Item::time(row.instant("deletion_time")));
    fact(&mut facts, "Made", Item::time(row.instant("created_time")));
    fact(&mut facts, "Made by", subjects.principal(row.raw("creator")));
    let made_as = ["key_spec", "key_usage", "key_origin"].map(|name| row.text(name)).join(" ");
    fact(&mut facts, "Made as", Item::text(made_as.trim()));
    fact(&mut facts, "Multi-Region id", Item::name(row.text("mrk_id")));
    fact(&mut facts, "Aliases seen", Item::text(row.text("aliases")));
    fact(&mut facts, "Tags", Item::text(row.text("tags")));
    let rotation = match row.flag("is_rotation_enabled") {
        Some(true) => format!("enabled, every {} days", row.number("rotation_period_days")),
        Some(false) => "disabled".to_owned(),
        None => String::new(),
    };
    fact(&mut facts, "Automatic rotation", Item::text(rotation));
    fact(&mut facts, "Last rotation", Item::time(row.instant("last_rotation_time")));
    fact(&mut facts, "Used by services", Item::text(row.text("services")));
    fact(&mut facts, "Kinds of data", Item::text(row.text("data_classes")));
    let uses = row.number("use_count");
    let used = format!(
        "{}, {} gave plaintext, {} direct; {} in {}",
        many(uses, "use"),
        count(row.number("reveal_count")),
        count(row.number("direct_use_count")),
        many(row.number("user_count"), "principal"),
        many(row.number("user_account_count"), "account"),
    );
    fact(&mut facts, "Use", Item::text(used));
    if uses > 0 {
        let (first, last) = (row.instant("first_use_time"), row.instant("last_use_time"));
        fact(&mut facts, "Used from", Item::text(span(first, last)));
    }
    let refused =
        format!("{} refused, {} failed", count(row.number("denied_count")), count(row.number("failed_count")));
    fact(&mut facts, "Without success", Item::text(refused));
    facts
}

fn pair_grid(rows: &[Row<'_>], subjects: &Subjects) -> Grid {
    let heads = ["Principal", "#Uses", "#Gave plaintext", "#Direct", "Through", "Kind of data", "First", "Last"];
    let mut grid = Grid::new("Principals that used it", &heads);
    grid.rows = rows
        .iter()
        .map(|row| {
            vec![
                subjects.principal(row.raw("principal")),
                Item::number(row.number("use_count")),
                Item::number(row.number("reveal_count")),
                Item::number(row.number("direct_count")),
                Item::text(row.text("via")),
                Item::text(row.text("data_class")),
                Item::time(row.instant("first_time")),
                Item::time(row.instant("last_time")),
            ]
        })
        .collect();
    grid.cut(ROWS, "The others are in the table pairs.")
}

/// Grants, of one key or about one principal.
pub(super) fn grant_grid(caption: &str, rows: &[Row<'_>], subjects: &Subjects) -> Grid {
    let heads = ["Made", "Made by", "For", "Key", "Allows", "Ended", "#Uses inferred"];
    let mut grid = Grid::new(caption, &heads);
    grid.rows = rows
        .iter()
        .map(|row| {
            let ended = match row.instant("ended_time") {
                Some(time) => format!("{} {}", when(time), row.text("ended_how")),
                None => "open".to_owned(),
            };
            vec![
                Item::time(row.instant("created_time")),
                subjects.principal(row.raw("creator")),
                subjects.principal(row.raw("grantee_principal")),
                subjects.key(row.raw("key_arn")),
                Item::text(row.text("grant_operations").replace(',', ", ")),
                Item::text(ended),
                Item::number(row.number("use_count")),
            ]
        })
        .collect();
    grid.cut(ROWS, "The others are in the table grants.")
}

fn alias_grid(rows: &[Row<'_>], subjects: &Subjects) -> Grid {
    let mut grid = Grid::new("Aliases", &["Alias", "From", "Until", "How", "By", "Named before"]);
    grid.rows = rows
        .iter()
        .map(|row| {
            vec![
                Item::name(row.text("alias_name")),
                Item::time(row.instant("from_time")),
                Item::time(row.instant("until_time")),
                Item::text(row.text("how")),
                subjects.principal(row.raw("set_by")),
                subjects.key(row.raw("previous_key_arn")),
            ]
        })
        .collect();
    grid.cut(ROWS, "The others are in the table aliases.")
}

/// What of a policy is dangerous, in words.
pub(super) fn dangers(row: &Row<'_>) -> Vec<String> {
    let mut dangers = Vec::new();
    if row.is("is_public") {
        dangers.push("public".to_owned());
    }
    let accounts = row.text("external_accounts");
    if !accounts.is_empty() {
        dangers.push(format!("other accounts: {}", accounts.replace(',', ", ")));
    }
    if row.is("locks_out_owner") {
        dangers.push("locks the owner out".to_owned());
    }
    if row.is("bypasses_lockout") {
        dangers.push("set without the lockout safety check".to_owned());
    }
    dangers
}

/// The versions of a policy, each compared with the one before.
fn policy_versions(rows: &[Row<'_>]) -> Vec<PolicyVersion> {
    let mut before: Option<&str> = None;
    let mut versions = Vec::new();
    for row in rows.iter().take(VERSIONS) {
        let policy = row.raw("policy");
        let (lines, is_cut) = if policy.is_empty() { (Vec::new(), false) } else { diff::lines(before, policy) };
        let what = match (policy.is_empty(), row.is("is_default")) {
            (true, true) => " (the default policy)",
            (true, false) => " (not in the record)",
            (false, _) => "",
        };
        versions.push(PolicyVersion {
            title: format!(
                "Version {}, {} by {} on {}{what}",
                row.number("version_no"),
                row.text("action"),
                shown(row.raw("principal")),
                row.instant("event_time").map(when).unwrap_or_default()
            ),
            in_force: row.instant("until_time").is_none(),
            dangers: dangers(row),
            note: if is_cut { "The policy is longer: see the table policies.".to_owned() } else { String::new() },
            lines,
        });
        before = (!policy.is_empty()).then_some(policy);
    }
    if rows.len() > VERSIONS
        && let Some(last) = versions.last_mut()
    {
        last.note.push_str(" Later versions are in the table policies.");
    }
    versions
}

/// What the sections of all chosen keys show, in their order, one after the other.
///
/// # Errors
/// Those of `each`.
pub(super) fn sections(
    asked: &mut Asked<'_>,
    findings: &Findings,
    subjects: &Subjects,
    evidence: &Evidence,
    scale: Scale,
    each: EachSubject<'_>,
) -> Result<()> {
    let asides = asides(asked, scale);
    let mut acts = acts::read(asked, Kind::Key, subjects, evidence);
    let [facts_by, usage, life, pairs, networks, grants, policies, aliases] = [
        &asides.facts,
        &asides.usage,
        &asides.life,
        &asides.pairs,
        &asides.networks,
        &asides.grants,
        &asides.policies,
        &asides.aliases,
    ]
    .map(|rows| rows.by("subject"));
    let none = Vec::new();
    for (i, key) in subjects.keys.iter().enumerate() {
        let row = facts_by.get(key).and_then(|rows| rows.first());
        let [worst, number] = worst(findings.by_key.get(key));
        let Acts { acts, note: acts_note } = acts.remove(key).unwrap_or_default();
        let mut grids = vec![
            finding_grid(findings, Kind::Key, key),
            pair_grid(pairs.get(key).unwrap_or(&none), subjects),
            network_grid(networks.get(key).unwrap_or(&none)),
            grant_grid("Grants", grants.get(key).unwrap_or(&none), subjects),
            alias_grid(aliases.get(key).unwrap_or(&none), subjects),
        ];
        grids.retain(|grid| !grid.rows.is_empty());
        each(Subject {
            anchor: format!("key-{}", i + 1),
            name: super::ask::visible(key, 300),
            also: row.map(|row| row.text("aliases")).unwrap_or_default(),
            brief: brief(row, &number),
            worst,
            facts: row.map(|row| facts(row, subjects)).unwrap_or_default(),
            ribbon: super::ribbon::ribbon(scale, life.get(key).unwrap_or(&none)),
            usage: chart::usage(scale, usage.get(key).unwrap_or(&none)),
            grids,
            policies: policy_versions(policies.get(key).unwrap_or(&none)),
            acts,
            acts_note,
        })?;
    }
    Ok(())
}

fn brief(row: Option<&Row<'_>>, findings: &Item) -> String {
    let Some(row) = row else { return format!("{} findings", findings.text) };
    let state = row.text("state").replace('_', " ");
    let state = if state.is_empty() { state } else { format!("{state}, ") };
    format!("{state}{}, findings: {}", many(row.number("use_count"), "use"), findings.text)
}
