//! Chains: what is missing between digests.
//!
//! In: a [`Trial`] and the verdicts of its digests. Out: the chains with the time they cover, their gaps, and findings.
//! Gaps are found twice: by name, because each digest names the one before, and by time, because intervals follow each other
//! without a hole; so a run of missing digests is seen at its full length, although only its last one is named. (The AWS CLI
//! reports such a run as one digest, and a run at the end not at all.)

use std::collections::BTreeMap;

use super::code::{Code, Verdict};
use super::digests::Digests;
use super::evidence::StatedDigest;
use super::finding::{Finding, Findings};
use super::trial::{ChainName, Trial};
use crate::time::{MICROS, format_timestamp};

/// One hour: what a digest covers.
pub const HOUR: i64 = 3600 * MICROS;

/// Why a stretch of time is not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapKind {
    /// Digests existed and are not here.
    Missing,
    /// A new chain begins behind it.
    Off,
    /// The chain is unbroken, yet the time is not covered.
    Hole,
}

/// A stretch of time between two digests that none covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// From, microseconds since 1970-01-01 UTC.
    pub from: i64,
    /// Until.
    pub until: i64,
    /// Why.
    pub kind: GapKind,
}

/// One chain.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Whose it is.
    pub name: ChainName,
    /// Its digests by time, copies left out.
    pub digests: Vec<u32>,
    /// Stretches that no digest covers, between its first and its last.
    pub gaps: Vec<Gap>,
    /// Stretches that digests cover which have not failed, merged.
    pub covered: Vec<(i64, i64)>,
    /// The key of the predecessor of its first digest, which is not here; `None` when the chain starts with it.
    pub missing_head: Option<String>,
}

impl Chain {
    /// From when on it covers deliveries.
    pub fn from(&self, trial: &Trial<'_>) -> Option<i64> {
        self.digests.iter().filter_map(|digest| Some(trial.evidence.digest(*digest)?.start)).min()
    }

    /// Until when.
    pub fn until(&self, trial: &Trial<'_>) -> Option<i64> {
        self.digests.iter().filter_map(|digest| Some(trial.evidence.digest(*digest)?.end)).max()
    }

    /// Whose it is, for findings.
    pub fn place(&self) -> (&str, &str, &str) {
        (&self.name.account, &self.name.region, &self.name.trail)
    }
}

/// The digests by chain and time.
pub(super) fn chains(trial: &Trial<'_>) -> Vec<Chain> {
    let mut chains: BTreeMap<ChainName, Vec<u32>> = BTreeMap::new();
    for (number, digest) in trial.originals() {
        chains.entry(ChainName::of(digest)).or_default().push(number);
    }
    let time = |digest: &u32| trial.evidence.digest(*digest).map(|digest| (digest.end, digest.start, &*digest.key));
    chains
        .into_iter()
        .map(|(name, mut digests)| {
            digests.sort_by(|one, other| time(one).cmp(&time(other)));
            Chain { name, digests, gaps: Vec::new(), covered: Vec::new(), missing_head: None }
        })
        .collect()
}

/// Where the digest before one is.
enum Before {
    /// The digest starts a chain.
    Nothing,
    /// It is here.
    Here(u32),
    /// It is not here.
    Missing(String),
    /// A file lies in its place that is not it.
    Replaced,
}

/// A walk along one chain.
pub(super) struct Walk<'a, 't> {
    trial: &'a Trial<'t>,
    chain: usize,
}

impl<'a, 't> Walk<'a, 't> {
    pub(super) fn new(trial: &'a Trial<'t>, chain: usize) -> Walk<'a, 't> {
        Walk { trial, chain }
    }

    fn before(&self, digest: &StatedDigest) -> Before {
        let Some(previous) = &digest.previous else { return Before::Nothing };
        if let Some(found) = self.trial.with_key(&previous.bucket, &previous.key).next() {
            return Before::Here(found);
        }
        match self.trial.file_at(&previous.key) {
            Some(_) => Before::Replaced,
            None => Before::Missing(previous.key.to_string()),
        }
    }

    pub(super) fn run(&self, digests: &mut Digests, findings: &mut Findings) {
        let Some(mut chain) = digests.chains.get(self.chain).cloned() else { return };
        let mut reached: Option<(i64, u32)> = None;
        for number in chain.digests.clone() {
            let Some(digest) = self.trial.evidence.digest(number) else { continue };
            if digest.start > digest.end {
                self.order(&chain, digests, findings, number, "ends before it begins".to_owned());
            }
            let before = self.before(digest);
            self.moved(&chain, digests, findings, (number, digest), &before);
            match reached {
                None => self.head(&mut chain, digests, (number, digest), &before),
                Some(reached) => self.step(&mut chain, digests, findings, (number, digest), (&before, reached)),
            }
            reached = reached.max(Some((digest.end, number)));
            if matches!(digests.verdict(number), Verdict::Verified | Verdict::Consistent) {
                cover(&mut chain.covered, digest.start, digest.end);
            }
        }
        if let Some(place) = digests.chains.get_mut(self.chain) {
            *place = chain;
        }
    }

    fn head(&self, chain: &mut Chain, digests: &mut Digests, (number, digest): (u32, &StatedDigest), before: &Before) {
        if let Before::Missing(key) = before {
            chain.missing_head = Some(key.clone());
            digests.missing.push((self.chain, key.clone(), number));
            let _ = digest;
        }
    }

    /// A digest that is on hand, but not where its successor names it.
    fn moved(
        &self,
        chain: &Chain,
        digests: &mut Digests,
        findings: &mut Findings,
        (number, digest): (u32, &StatedDigest),
        before: &Before,
    ) {
        let (Before::Here(found), Some(previous)) = (before, &digest.previous) else { return };
        if !digests.code_set(*found).has(Code::DigestMoved) || self.trial.file_at(&previous.key).is_some() {
            return;
        }
        let Some(stated) = self.trial.evidence.digest(*found) else { return };
        let summary = format!(
            "nothing lies at {}; the digest of that name lies at {}",
            previous.key,
            self.trial.names.shown(stated.file)
        );
        let finding = Finding::new(Code::DigestMissing, chain.place(), summary);
        findings.push(finding.at(Some(stated.start), Some(stated.end)).object(&previous.key));
        digests.missing.push((self.chain, previous.key.to_string(), number));
    }

    fn order(&self, chain: &Chain, digests: &mut Digests, findings: &mut Findings, number: u32, what: String) {
        let Some(digest) = self.trial.evidence.digest(number) else { return };
        let path = self.trial.names.shown(digest.file);
        findings.add(Code::ChainOrder, chain.place(), Some(digest.end), || {
            let finding = Finding::new(Code::ChainOrder, chain.place(), format!("{path}: {what}"));
            finding.at(Some(digest.start), Some(digest.end)).file(path.clone()).object(&digest.key)
        });
        digests.mark(number, Code::ChainOrder, None);
    }

    /// One digest and those before it, which reach until `reached`.
    fn step(
        &self,
        chain: &mut Chain,
        digests: &mut Digests,
        findings: &mut Findings,
        (number, digest): (u32, &StatedDigest),
        (before, (reached, last)): (&Before, (i64, u32)),
    ) {
        if let Before::Missing(key) = before {
            digests.missing.push((self.chain, key.clone(), number));
        }
        if chain.name.is_backfill {
            // Backfill digests are made when they are needed: between them lies no time that they should cover.
            if let Before::Missing(key) = before {
                self.missing(chain, findings, digest, (None, Some(key), 1));
            }
            return;
        }
        let gap = digest.start.saturating_sub(reached);
        let hours = u64::try_from((gap + HOUR / 2) / HOUR).unwrap_or(0);
        let codes = digests.code_set(number);
        if gap < 0 {
            // A fork or a conflict has its own finding, and so has a digest that ends before it begins.
            let others = digests.code_set(last);
            let is_told = [Code::ChainFork, Code::DigestConflict, Code::ChainOrder]
                .iter()
                .any(|code| codes.has(*code) || others.has(*code));
            if !is_told {
                let what = format!("begins before {}, where a digest before it ends", format_timestamp(reached));
                self.order(chain, digests, findings, number, what);
            }
            if let Before::Missing(key) = before {
                self.missing(chain, findings, digest, (None, Some(key), 1));
            }
            return;
        }
        let stretch = (gap > 0).then_some((reached, digest.start));
        let kind = match before {
            Before::Missing(key) => {
                self.missing(chain, findings, digest, (stretch, Some(key), hours.max(1)));
                GapKind::Missing
            }
            Before::Replaced => {
                if hours > 1 {
                    self.missing(chain, findings, digest, (stretch, None, hours - 1));
                }
                GapKind::Missing
            }
            Before::Nothing => {
                if let Some((from, until)) = stretch {
                    let summary = format!(
                        "logging or validation was off from {} until {}; logs of that time are not protected: look for \
                         StopLogging, UpdateTrail, DeleteTrail and StartLogging",
                        format_timestamp(from),
                        format_timestamp(until)
                    );
                    let finding = Finding::new(Code::ValidationOff, chain.place(), summary);
                    findings.push(finding.at(Some(from), Some(until)));
                }
                GapKind::Off
            }
            Before::Here(_) => {
                if let Some((from, until)) = stretch {
                    let (from, until) = (format_timestamp(from), format_timestamp(until));
                    let what = format!("no digest covers {from} until {until}, although the chain is unbroken");
                    self.order(chain, digests, findings, number, what);
                }
                GapKind::Hole
            }
        };
        if let Some((from, until)) = stretch {
            chain.gaps.push(Gap { from, until, kind });
        }
    }

    /// Reports `count` digests that are not here, of which the last one may be named.
    fn missing(
        &self,
        chain: &Chain,
        findings: &mut Findings,
        digest: &StatedDigest,
        (stretch, named, count): (Option<(i64, i64)>, Option<&String>, u64),
    ) {
        let by = self.trial.names.shown(digest.file);
        let time = stretch.map_or_else(String::new, |(from, until)| {
            format!(" from {} until {}", format_timestamp(from), format_timestamp(until))
        });
        let summary = match (named, count) {
            (Some(key), 1) => format!("1 digest is missing{time}: {key}, named by {by}"),
            (Some(key), count) => {
                format!(
                    "about {count} digests are missing{time}: the last is {key}, named by {by}; the others are inferred"
                )
            }
            (None, count) => format!("about {count} digests are missing{time}, inferred from the time before {by}"),
        };
        let mut finding = Finding::new(Code::DigestMissing, chain.place(), summary);
        finding.count = count;
        let (from, until) = stretch.unwrap_or((digest.start, digest.start));
        finding = finding.at(Some(from), Some(until));
        findings.push(match named {
            Some(key) => finding.object(key),
            None => finding,
        });
    }
}

/// Adds a stretch to those covered; stretches come by their ends.
fn cover(covered: &mut Vec<(i64, i64)>, mut start: i64, end: i64) {
    while let Some((from, until)) = covered.last().copied() {
        if until < start {
            break;
        }
        start = start.min(from);
        covered.pop();
        if until > end {
            covered.push((start, until));
            return;
        }
    }
    covered.push((start, end));
}

#[cfg(test)]
mod tests {
    use super::cover;

    #[test]
    fn stretches_that_touch_become_one() {
        let mut covered = Vec::new();
        for (start, end) in [(0, 10), (10, 20), (25, 30), (5, 32), (40, 50)] {
            cover(&mut covered, start, end);
        }
        assert_eq!(covered, [(0, 32), (40, 50)]);
    }
}
