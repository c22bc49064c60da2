//! Logs that no digest lists, and chains that do not reach as far as the logs do.
//!
//! In: logs that were looked up in vain, the chains of their account and Region. Out: why no digest lists them, where that can
//! be told; a log that a digest should list has failed. What is left of a chain whose ends were cut off shows in the logs
//! around it, and in the chains of the same trail in other Regions.

use super::chain::{Chain, GapKind, HOUR};
use super::code::{Code, Verdict};
use super::evidence::{FileKind, Packing};
use super::finding::Finding;
use super::logs::LogJudge;
use crate::severity::Severity;
use crate::time::{MICROS, format_timestamp};

/// Why a log that no digest lists has no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Uncovered {
    /// Digests of that time are missing or have failed.
    Lost,
    /// Logging or validation was off.
    Off,
    /// Before the first digest.
    Before,
    /// After the last digest, or so shortly before its end that the next one may list it.
    After,
    /// There are no digests of this account and Region.
    NoChain,
    /// The name does not say where and when the file was delivered.
    Unplaced,
}

impl Uncovered {
    fn reason(self) -> &'static str {
        match self {
            Uncovered::Lost => "the digests of the time of delivery are missing or not trustworthy",
            Uncovered::Off => "logging with validation was off at the time of delivery",
            Uncovered::Before => "delivered before the first digest",
            Uncovered::After => "delivered after the last digest, or within an hour of its end",
            Uncovered::NoChain => "there is no digest of this account and Region",
            Uncovered::Unplaced => {
                "no digest lists them, and their names do not say where and when they were delivered"
            }
        }
    }
}

/// Logs of one place without a digest for one reason.
#[derive(Default)]
pub(super) struct Group {
    count: u64,
    first: Option<i64>,
    last: Option<i64>,
    example: Option<u32>,
}

impl LogJudge<'_, '_> {
    pub(super) fn unlisted_files(&mut self) {
        let evidence = self.trial.evidence;
        for (number, file) in (0..).zip(&evidence.files) {
            let is_log = matches!(file.kind, FileKind::Log | FileKind::Other);
            if !is_log || self.logs.files.get(number as usize).is_none_or(|file| file.listed.is_some()) {
                continue;
            }
            if matches!(file.packing, Packing::Unknown | Packing::Unreadable) {
                let summary = "was not hashed: it could not be read to its end, is an archive, or was read by a run without validation".to_owned();
                self.found(Code::NotJudged, (number, file), None, summary);
                continue;
            }
            let uncovered = match (file.kind, file.place, file.delivery) {
                (FileKind::Log, Some(place), Some(delivery)) => {
                    if let Some(times) = self.logs.unlisted.get_mut(place as usize) {
                        times.push(delivery);
                    }
                    self.uncovered(place, delivery)
                }
                _ => Some(Uncovered::Unplaced),
            };
            match uncovered {
                None => {
                    self.slot(number).verdict = Verdict::Failed;
                    let summary = "no digest lists it, although digests cover the time of its delivery".to_owned();
                    self.found(Code::LogUnlisted, (number, file), None, summary);
                }
                Some(reason) => {
                    let code = if reason == Uncovered::Lost { Code::LogUnlisted } else { Code::LogNotCovered };
                    self.slot(number).codes.add(code);
                    let group = self.groups.entry((reason, file.place)).or_default();
                    group.count += 1;
                    group.example.get_or_insert(number);
                    group.first = group
                        .first
                        .map_or(file.delivery, |first| Some(file.delivery.map_or(first, |time| time.min(first))));
                    group.last = group.last.max(file.delivery);
                }
            }
        }
        self.logs.unlisted.iter_mut().for_each(|times| times.sort_unstable());
    }

    /// Why no digest lists a log delivered in the slot `time`; `None` when a digest should.
    ///
    /// A slot is a label: the file comes some minutes later, so the digest of the next hour may list it. A log should be
    /// listed when one chain covers the slot and the hour after it, and no chain of the place has lost digests there.
    fn uncovered(&self, place: u32, time: i64) -> Option<Uncovered> {
        let Some(chains) = self.chains.get(&place) else { return Some(Uncovered::NoChain) };
        let until = time.saturating_add(HOUR);
        let touches = |chain: &&&Chain, kind: GapKind| {
            chain.gaps.iter().any(|gap| gap.kind == kind && gap.from < until && time < gap.until)
        };
        if chains.iter().any(|chain| touches(&chain, GapKind::Missing)) {
            return Some(Uncovered::Lost);
        }
        let is_covered = |chain: &&Chain| chain.covered.iter().any(|(from, end)| *from <= time && until <= *end);
        if chains.iter().any(is_covered) {
            return None;
        }
        if chains.iter().any(|chain| touches(&chain, GapKind::Off)) {
            return Some(Uncovered::Off);
        }
        let first = chains.iter().filter_map(|chain| chain.from(self.trial)).min();
        let last = chains.iter().filter_map(|chain| chain.until(self.trial)).max();
        if first.is_some_and(|first| time < first) {
            Some(Uncovered::Before)
        } else if last.is_some_and(|last| until > last) {
            Some(Uncovered::After)
        } else {
            Some(Uncovered::Lost)
        }
    }

    pub(super) fn report_groups(&mut self) {
        for ((reason, place), group) in std::mem::take(&mut self.groups) {
            let (account, region) = self.trial.evidence.place_names(place);
            let code = if reason == Uncovered::Lost { Code::LogUnlisted } else { Code::LogNotCovered };
            let example = group.example.map(|file| self.trial.names.shown(file)).unwrap_or_default();
            let noun = if reason == Uncovered::Unplaced { "files" } else { "logs" };
            let summary = format!("{} {noun}: {}; the first is {example}", group.count, reason.reason());
            let mut finding = Finding::new(code, (account, region, ""), summary).at(group.first, group.last);
            finding.count = group.count;
            if reason == Uncovered::Lost {
                // The digests that are missing have their own finding: these logs may well be theirs.
                finding.severity = Severity::Medium;
                finding.is_tampering = false;
                finding.proves =
                    "No digest on hand lists these logs; the digests of that time are missing or have failed.";
                finding.does_not_prove = "That the logs are false: the digests of that time may well have listed them.";
            }
            self.findings.push(finding);
        }
    }

    /// Digests before the first one of a chain: named, so they existed. Where logs of that time are here, somebody took the
    /// digests away; else the collection may just begin there.
    pub(super) fn heads(&mut self) {
        for chain in &self.digests.chains {
            let (Some(key), Some(from)) = (&chain.missing_head, chain.from(self.trial)) else { continue };
            let place = self.trial.evidence.find_place(&chain.name.account, &chain.name.region);
            let times = place.and_then(|place| self.logs.unlisted.get(place as usize));
            let margin = 15 * 60 * MICROS;
            let range = from.saturating_sub(25 * HOUR)..from.saturating_sub(margin);
            // Backfill digests are rare, and logs of the time before say nothing about them.
            let times = times.filter(|_| !chain.name.is_backfill);
            let orphans = times.map_or(0, |times| times.iter().filter(|time| range.contains(time)).count());
            let is_collection_start = orphans == 0;
            let word = if is_collection_start {
                "no log that it would list is here either, so the collection may begin there".to_owned()
            } else {
                format!("{orphans} logs of the 24 hours before are here")
            };
            let summary = format!("the first digest on hand names one before it, {key}, which is missing; {word}");
            let mut finding = Finding::new(Code::DigestMissing, chain.place(), summary);
            if is_collection_start {
                finding.severity = Severity::Medium;
                finding.is_tampering = false;
            }
            self.findings.push(finding.at(Some(from.saturating_sub(HOUR)), Some(from)).object(key));
        }
    }

    /// Chains that end although deliveries go on.
    pub(super) fn tails(&mut self) {
        for chain in self.digests.chains.iter().filter(|chain| !chain.name.is_backfill) {
            let Some(until) = chain.until(self.trial) else { continue };
            let place = self.trial.evidence.find_place(&chain.name.account, &chain.name.region);
            let times = place.and_then(|place| self.logs.unlisted.get(place as usize));
            let logs = times.and_then(|times| times.last().copied()).filter(|last| *last > until.saturating_add(HOUR));
            let is_relative = |other: &&Chain| {
                other.name.trail == chain.name.trail
                    && other.name.home_region == chain.name.home_region
                    && !other.name.is_backfill
                    && other.name != chain.name
            };
            let relatives = self.digests.chains.iter().filter(is_relative).filter_map(|other| other.until(self.trial));
            let digests = relatives.max().filter(|last| *last > until.saturating_add(2 * HOUR));
            let mut words = Vec::new();
            if let Some(last) = logs {
                words.push(format!(
                    "logs of its account and Region that no digest lists go on until {}",
                    format_timestamp(last)
                ));
            }
            if let Some(last) = digests {
                let last = format_timestamp(last);
                words.push(format!("digests of the same trail in other Regions or accounts go on until {last}"));
            }
            if words.is_empty() {
                continue;
            }
            let summary = format!("the chain ends at {}, but {}", format_timestamp(until), words.join(", and "));
            let finding = Finding::new(Code::ChainEndsEarly, chain.place(), summary);
            self.findings.push(finding.at(Some(until), logs.max(digests)));
        }
    }
}
