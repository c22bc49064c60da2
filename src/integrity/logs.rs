//! Logs judged by the digests that list them, and by the time that digests cover.
//!
//! In: a [`Trial`] and the judged digests. Out: a verdict for each file, the listed logs that are absent, and findings. A log
//! is looked up by its file name, whose random part makes it unique; where it lies is compared afterwards, so a log that was
//! moved is still judged by its hash; and a log that was renamed is recognized by its hash among the absent ones. A log that
//! no digest lists is judged by the chains of its account and Region together: each trail lists only its own files.

use std::collections::{BTreeMap, HashMap};

use super::chain::Chain;
use super::code::{Code, Codes, Verdict};
use super::digests::Digests;
use super::evidence::{File, FileKind, Listed, Packing};
use super::finding::{Finding, Findings};
use super::location::{is_in_place, stem};
use super::text::hex;
use super::trial::Trial;
use super::uncovered::{Group, Uncovered};
use crate::time::format_timestamp;

/// What can be said about one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileVerdict {
    /// In one word.
    pub verdict: Verdict,
    /// What was found.
    pub codes: Codes,
    /// The listed log that it was judged by.
    pub listed: Option<u32>,
}

/// The logs, judged.
#[derive(Debug, Default)]
pub struct Logs {
    /// One for each file; those of digests are left as they are.
    pub files: Vec<FileVerdict>,
    /// Listed logs that are not here.
    pub missing: Vec<u32>,
    /// Listed logs that filters left out.
    pub left_out: u64,
    /// For each listed log: it is here.
    pub present: Vec<bool>,
    /// For each account and Region: delivery times of logs that no digest lists, sorted.
    pub unlisted: Vec<Vec<i64>>,
}

pub(super) struct LogJudge<'a, 't> {
    pub(super) trial: &'a Trial<'t>,
    pub(super) digests: &'a Digests,
    pub(super) findings: &'a mut Findings,
    pub(super) logs: Logs,
    /// The hash of the stem of each listed log and its number, sorted.
    stems: Vec<(u64, u32)>,
    /// Chains by account and Region, backfill left out.
    pub(super) chains: HashMap<u32, Vec<&'a Chain>>,
    pub(super) groups: BTreeMap<(Uncovered, Option<u32>), Group>,
}

/// Judges the files that are no digests.
pub fn judge_logs<'a>(trial: &'a Trial<'_>, digests: &'a Digests, findings: &'a mut Findings) -> Logs {
    let evidence = trial.evidence;
    let mut stems: Vec<(u64, u32)> = evidence.listed.iter().map(|listed| listed.stem).zip(0..).collect();
    stems.sort_unstable();
    let mut chains: HashMap<u32, Vec<&Chain>> = HashMap::new();
    for chain in digests.chains.iter().filter(|chain| !chain.name.is_backfill) {
        if let Some(place) = evidence.find_place(&chain.name.account, &chain.name.region) {
            chains.entry(place).or_default().push(chain);
        }
    }
    let logs = Logs {
        files: vec![FileVerdict::default(); evidence.files.len()],
        present: vec![false; evidence.listed.len()],
        unlisted: vec![Vec::new(); evidence.place_count()],
        ..Logs::default()
    };
    let mut judge = LogJudge { trial, digests, findings, logs, stems, chains, groups: BTreeMap::new() };
    judge.listed_files();
    judge.find_missing();
    judge.moved();
    judge.conflicts();
    judge.unlisted_files();
    judge.report_missing();
    judge.report_groups();
    judge.heads();
    judge.tails();
    judge.logs
}

impl<'a> LogJudge<'a, '_> {
    pub(super) fn slot(&mut self, file: u32) -> &mut FileVerdict {
        let place = file as usize;
        if place >= self.logs.files.len() {
            self.logs.files.resize(place + 1, FileVerdict::default());
        }
        // The line above made room.
        #[expect(clippy::indexing_slicing, reason = "within the length that was just made sure of")]
        &mut self.logs.files[place]
    }

    /// The place of the first entry with this hash, or where it would be. Hashes are spread evenly, so it is near the place
    /// that the hash itself names; a search among all would touch much more memory.
    fn first_with(&self, stem: u64) -> usize {
        let count = self.stems.len();
        let near = usize::try_from((u128::from(stem) * count as u128) >> 64).unwrap_or(0);
        let margin = 64 + 4 * count.isqrt();
        let (from, until) = (near.saturating_sub(margin), (near + margin).min(count));
        let window = self.stems.get(from..until).unwrap_or_default();
        let found = from + window.partition_point(|(other, _)| *other < stem);
        let is_first = (found > from || from == 0) && (found < until || until == count);
        if is_first { found } else { self.stems.partition_point(|(other, _)| *other < stem) }
    }

    /// The entries of digests for a file of this name.
    fn entries(&self, file: &File, path: &str) -> Vec<(u32, &'a Listed, String)> {
        let evidence = self.trial.evidence;
        let start = self.first_with(file.stem);
        let same = self.stems.iter().skip(start).take_while(|(stem, _)| *stem == file.stem).map(|(_, number)| number);
        same.filter_map(|number| {
            let listed = evidence.listed(*number)?;
            let key = evidence.key_of(listed);
            (stem(&key) == stem(path)).then_some((*number, listed, key))
        })
        .collect()
    }

    fn listed_files(&mut self) {
        let evidence = self.trial.evidence;
        for (number, file) in (0..).zip(&evidence.files) {
            match file.kind {
                FileKind::Log | FileKind::Other => {}
                FileKind::Digest(_) => continue,
                FileKind::NoDigest => {
                    let is_appended = file.packing == Packing::Appended;
                    let slot = self.slot(number);
                    slot.verdict = Verdict::Failed;
                    slot.codes.add(if is_appended { Code::TrailingData } else { Code::DigestInvalid });
                    continue;
                }
            }
            let path = self.trial.names.path(number);
            let entries = self.entries(file, &path);
            if entries.is_empty() {
                continue;
            }
            let (here, elsewhere): (Vec<_>, Vec<_>) =
                entries.into_iter().partition(|(_, _, key)| is_in_place(&path, key));
            let in_place = !here.is_empty();
            let entries = if in_place { here } else { elsewhere };
            for (listed, _, _) in &entries {
                if let Some(present) = self.logs.present.get_mut(*listed as usize) {
                    *present = true;
                }
            }
            self.listed_file((number, file), &entries);
            if !in_place {
                self.slot(number).codes.add(Code::LogMoved);
                let key = entries.first().map(|(_, _, key)| key.as_str()).unwrap_or_default();
                self.found(Code::LogMoved, (number, file), Some(key), format!("was delivered to {key}"));
            }
        }
    }

    /// A finding about one file.
    pub(super) fn found(&mut self, code: Code, (number, file): (u32, &File), key: Option<&str>, summary: String) {
        let (account, region) = self.trial.evidence.place_names(file.place);
        let place = (account, region, "");
        let names = self.trial.names;
        self.findings.add(code, place, file.delivery, || {
            let path = names.shown(number);
            let time = file.times.map_or((file.delivery, file.delivery), |(first, last)| (Some(first), Some(last)));
            let finding = Finding::new(code, place, format!("{path}: {summary}")).at(time.0, time.1).file(path);
            match key {
                Some(key) => finding.object(key),
                None => finding,
            }
        });
        self.slot(number).codes.add(code);
    }

    /// What a digest's word is worth for the logs it lists.
    fn trust(&self, listed: &Listed) -> Verdict {
        match self.digests.verdict(listed.digest) {
            Verdict::Failed => Verdict::Unverifiable,
            other => other,
        }
    }

    fn digest_path(&self, listed: &Listed) -> String {
        let digest = self.trial.evidence.digest(listed.digest);
        digest.map(|digest| self.trial.names.shown(digest.file)).unwrap_or_default()
    }

    /// A word about a digest that is not to be trusted.
    fn doubt(&self, listed: &Listed) -> &'static str {
        match self.digests.verdict(listed.digest) {
            Verdict::Failed => ", which has itself failed",
            Verdict::Verified => ", which is signed",
            _ => "",
        }
    }

    fn listed_file(&mut self, (number, file): (u32, &File), entries: &[(u32, &'a Listed, String)]) {
        let rare = file.rare.as_deref();
        let without_newline = rare.and_then(|rare| rare.without_newline);
        let best = |judge: &Self, hash: [u8; 32]| {
            let right = entries.iter().filter(|(_, listed, _)| listed.sha256 == hash);
            right.min_by_key(|(listed_number, listed, _)| (judge.trust(listed), *listed_number))
        };
        let found = best(self, file.sha256);
        let (found, has_newline) = match (found, without_newline) {
            (None, Some(hash)) => (best(self, hash), true),
            (found, _) => (found, false),
        };
        let Some((first, listed, key)) = found.or(entries.first()) else { return };
        self.slot(number).listed = Some(*first);
        let failed = |judge: &mut Self, code: Code, summary: String| {
            judge.found(code, (number, file), Some(key), summary);
            judge.slot(number).verdict = Verdict::Failed;
        };
        match file.packing {
            Packing::Sound => {}
            Packing::Appended => {
                let at = rare.map_or(0, |rare| rare.appended_at);
                let first_member = rare.and_then(|rare| rare.first_member).unwrap_or(file.sha256);
                let word = if entries.iter().any(|(_, listed, _)| listed.sha256 == first_member) {
                    "what stands before them is the delivered log"
                } else {
                    "what stands before them is not the delivered log either"
                };
                let summary = format!(
                    "bytes were appended to the gzip member at byte {at} of the file; {word}, by {}{}",
                    self.digest_path(listed),
                    self.doubt(listed)
                );
                return failed(self, Code::TrailingData, summary);
            }
            Packing::Damaged => {
                return failed(
                    self,
                    Code::Corrupt,
                    "the file is damaged or cut and cannot be the delivered one".to_owned(),
                );
            }
            Packing::Unknown | Packing::Unreadable => {
                let summary = "was not hashed: it could not be read to its end, is an archive, or was read by a run without validation".to_owned();
                return self.found(Code::NotJudged, (number, file), Some(key), summary);
            }
        }
        if found.is_none() {
            let summary = format!(
                "expected SHA-256 {}, found {}; {}{} says so",
                hex(&listed.sha256),
                hex(&file.sha256),
                self.digest_path(listed),
                self.doubt(listed)
            );
            return failed(self, Code::LogModified, summary);
        }
        let trust = self.trust(listed);
        self.slot(number).verdict = trust;
        if has_newline {
            let summary = "is the delivered log with a newline added at its end".to_owned();
            self.found(Code::LogNewlineAdded, (number, file), Some(key), summary);
        }
        if trust != Verdict::Verified
            && let (Some(found), Some(stated)) = (file.times, listed.times)
            && found != stated
        {
            let time = |(first, last)| format!("{} until {}", format_timestamp(first), format_timestamp(last));
            let summary = format!("its events are from {}, its digest states {}", time(found), time(stated));
            self.found(Code::LogTimesDiffer, (number, file), Some(key), summary);
        }
    }

    /// Listed logs that no file of their name is here for.
    fn find_missing(&mut self) {
        let evidence = self.trial.evidence;
        let stems = std::mem::take(&mut self.stems);
        for run in stems.chunk_by(|one, other| one.0 == other.0) {
            if run.iter().any(|(_, number)| self.logs.present.get(*number as usize) == Some(&true)) {
                continue;
            }
            // The same log may be listed twice.
            let mut keys: Vec<String> = Vec::new();
            for (_, number) in run {
                let Some(key) = evidence.listed(*number).map(|listed| evidence.key_of(listed)) else { continue };
                if keys.contains(&key) {
                    continue;
                }
                if self.trial.settings.is_left_out.is_some_and(|is_left_out| is_left_out(&key)) {
                    self.logs.left_out += 1;
                } else {
                    self.logs.missing.push(*number);
                }
                keys.push(key);
            }
        }
        self.stems = stems;
        self.logs.missing.sort_unstable();
    }

    /// Files of other names whose text is that of a missing log.
    fn moved(&mut self) {
        if self.logs.missing.is_empty() {
            return;
        }
        let evidence = self.trial.evidence;
        let mut missing: HashMap<[u8; 32], u32> = HashMap::new();
        for number in self.logs.missing.iter().rev() {
            if let Some(listed) = evidence.listed(*number) {
                missing.insert(listed.sha256, *number);
            }
        }
        let mut back = Vec::new();
        for (number, file) in (0..).zip(&evidence.files) {
            let is_candidate = matches!(file.kind, FileKind::Log | FileKind::Other)
                && file.packing == Packing::Sound
                && self.logs.files.get(number as usize).is_some_and(|file| file.listed.is_none());
            let without = file.rare.as_deref().and_then(|rare| rare.without_newline);
            let found = missing.get(&file.sha256).or_else(|| missing.get(&without?)).copied();
            let (true, Some(found)) = (is_candidate, found) else { continue };
            let Some(listed) = evidence.listed(found) else { continue };
            let key = evidence.key_of(listed);
            let verdict = self.trust(listed);
            let slot = self.slot(number);
            (slot.verdict, slot.listed) = (verdict, Some(found));
            if let Some(present) = self.logs.present.get_mut(found as usize) {
                *present = true;
            }
            let summary = format!("is, by its hash, the log that was delivered to {key}");
            self.found(Code::LogMoved, (number, file), Some(&key), summary);
            missing.remove(&listed.sha256);
            back.push(found);
        }
        self.logs.missing.retain(|number| !back.contains(number));
    }

    /// Logs that are listed with different hashes.
    fn conflicts(&mut self) {
        let evidence = self.trial.evidence;
        let conflicts: Vec<(u32, u32)> = self
            .stems
            .chunk_by(|one, other| one.0 == other.0)
            .filter(|run| run.len() > 1)
            .filter_map(|run| {
                let (_, number) = run.first()?;
                let first = evidence.listed(*number)?;
                let key = evidence.key_of(first);
                let (_, other) = run.iter().skip(1).find(|(_, other)| {
                    let other = evidence.listed(*other);
                    other.is_some_and(|other| other.sha256 != first.sha256 && evidence.key_of(other) == key)
                })?;
                Some((*number, *other))
            })
            .collect();
        for (first, other) in conflicts {
            let (Some(first), Some(other)) = (evidence.listed(first), evidence.listed(other)) else { continue };
            let key = evidence.key_of(first);
            let name = evidence.digest(first.digest).map(super::trial::ChainName::of);
            let place = name.as_ref().map_or(("", "", ""), |name| (&*name.account, &*name.region, ""));
            let summary = format!(
                "{key}: {}{} states SHA-256 {}, {}{} states {}",
                self.digest_path(first),
                self.doubt(first),
                hex(&first.sha256),
                self.digest_path(other),
                self.doubt(other),
                hex(&other.sha256)
            );
            self.findings
                .add(Code::LogConflict, place, None, || Finding::new(Code::LogConflict, place, summary).object(&key));
        }
    }

    fn report_missing(&mut self) {
        let evidence = self.trial.evidence;
        // How many logs each chain lists, and how many of them are here.
        let mut tally: BTreeMap<super::trial::ChainName, (u64, u64, Vec<u32>)> = BTreeMap::new();
        for digest in &evidence.digests {
            let (all, here, _) = tally.entry(super::trial::ChainName::of(digest)).or_default();
            *all += u64::from(digest.logs.end - digest.logs.start);
            let present = |number: &u32| self.logs.present.get(*number as usize) == Some(&true);
            *here += digest.logs.clone().filter(present).count() as u64;
        }
        for number in &self.logs.missing {
            let digest = evidence.listed(*number).and_then(|listed| evidence.digest(listed.digest));
            if let Some(digest) = digest {
                tally.entry(super::trial::ChainName::of(digest)).or_default().2.push(*number);
            }
        }
        for (name, (all, here, missing)) in tally {
            let place = (name.account.as_str(), name.region.as_str(), name.trail.as_str());
            if here == 0 && missing.len() > 1 {
                let time = |pick: fn(&super::evidence::StatedDigest) -> i64| {
                    let times = missing
                        .iter()
                        .filter_map(|number| Some(pick(evidence.digest(evidence.listed(*number)?.digest)?)));
                    times.collect::<Vec<_>>()
                };
                let summary = format!(
                    "none of the {all} logs that the digests of this chain list is here: they were deleted, or not collected"
                );
                let mut finding = Finding::new(Code::LogMissing, place, summary)
                    .at(time(|digest| digest.start).into_iter().min(), time(|digest| digest.end).into_iter().max());
                finding.count = missing.len() as u64;
                self.findings.push(finding);
                continue;
            }
            for number in missing {
                let Some(listed) = evidence.listed(number) else { continue };
                let Some(digest) = evidence.digest(listed.digest) else { continue };
                let key = evidence.key_of(listed);
                let summary = format!(
                    "{key} is missing; {}{} lists it with SHA-256 {}",
                    self.digest_path(listed),
                    self.doubt(listed),
                    hex(&listed.sha256)
                );
                let (first, last) = listed.times.unwrap_or((digest.start, digest.end));
                self.findings.add(Code::LogMissing, place, Some(digest.end), || {
                    Finding::new(Code::LogMissing, place, summary).at(Some(first), Some(last)).object(&key)
                });
            }
        }
    }
}
