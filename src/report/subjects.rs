//! Which keys and principals get a section of their own, and where names lead.
//!
//! In: findings, and the most used keys and principals. Out: their names in the order of the report, and links to their
//! sections. A case can have a hundred thousand principals: sections are for those that findings of at least medium
//! severity name, and for the busiest; the tables list the others.

use super::findings::Findings;
use super::format::short;
use super::model::Item;
use std::collections::{BTreeSet, HashMap};

/// Sections of each kind.
pub(super) const SECTIONS: usize = 250;

/// The keys and principals with a section.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    /// Keys, the worst first.
    pub(super) keys: Vec<String>,
    /// Principals, the worst first.
    pub(super) principals: Vec<String>,
    key_places: HashMap<String, usize>,
    principal_places: HashMap<String, usize>,
}

/// Those that findings name, the worst first, then the busiest, each once.
fn choose(named: &HashMap<String, (usize, i64)>, busiest: Vec<String>) -> Vec<String> {
    let mut worst: Vec<(usize, i64, &String)> =
        named.iter().filter(|(_, (rank, _))| *rank <= 2).map(|(name, (rank, count))| (*rank, -count, name)).collect();
    worst.sort();
    let mut seen = BTreeSet::new();
    let all = worst.into_iter().map(|(_, _, name)| name.clone()).chain(busiest);
    all.filter(|name| !name.is_empty() && seen.insert(name.clone())).take(SECTIONS).collect()
}

fn places(names: &[String]) -> HashMap<String, usize> {
    names.iter().enumerate().map(|(i, name)| (name.clone(), i + 1)).collect()
}

impl Subjects {
    /// Chooses.
    pub(super) fn new(findings: &Findings, busy_keys: Vec<String>, busy_principals: Vec<String>) -> Subjects {
        let keys = choose(&findings.by_key, busy_keys);
        let principals = choose(&findings.by_principal, busy_principals);
        Subjects { key_places: places(&keys), principal_places: places(&principals), keys, principals }
    }

    /// Where the section of a key is; empty when it has none.
    pub(super) fn key_link(&self, key: &str) -> String {
        self.key_places.get(key).map(|place| format!("#key-{place}")).unwrap_or_default()
    }

    /// Where the section of a principal is; empty when it has none.
    pub(super) fn principal_link(&self, principal: &str) -> String {
        self.principal_places.get(principal).map(|place| format!("#principal-{place}")).unwrap_or_default()
    }

    /// A key as a cell.
    pub(super) fn key(&self, key: &str) -> Item {
        Item::name(shown(key)).to(self.key_link(key))
    }

    /// A principal as a cell.
    pub(super) fn principal(&self, principal: &str) -> Item {
        Item::name(shown(principal)).to(self.principal_link(principal))
    }
}

/// A name as tables show it.
pub(super) fn shown(name: &str) -> String {
    super::ask::visible(short(name), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_come_first_and_nobody_twice() {
        let named = HashMap::from([
            ("low".to_owned(), (3, 9)),
            ("one".to_owned(), (0, 1)),
            ("many".to_owned(), (0, 5)),
            ("medium".to_owned(), (2, 50)),
        ]);
        let chosen = choose(&named, vec!["busy".to_owned(), "one".to_owned(), String::new()]);
        assert_eq!(chosen, ["many", "one", "medium", "busy"]);
    }

    #[test]
    fn names_without_a_section_lead_nowhere() {
        let findings = Findings::default();
        let subjects = Subjects::new(&findings, vec!["arn:aws:kms:r:1:key/a".to_owned()], Vec::new());
        let known = subjects.key("arn:aws:kms:r:1:key/a");
        assert_eq!((known.text.as_str(), known.link.as_str()), ("r:1:key/a", "#key-1"));
        assert_eq!(subjects.principal("x").link, "");
    }
}
