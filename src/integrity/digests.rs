//! Digests judged one by one: signature, place, and what their successors say about them.
//!
//! In: a [`Trial`] and the state of each signature. Out: [`Digests`]: a verdict for each digest, and findings. A digest that
//! contradicts its successor is at fault, unless it is signed and the successor is not.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::chain::{Chain, Walk, chains};
use super::code::{Code, Codes, Verdict};
use super::evidence::{FileKind, Packing, StatedDigest};
use super::finding::{Finding, Findings};
use super::location::is_in_place;
use super::text::hex;
use super::trial::{ChainName, SignatureState, Trial};
use crate::time::format_timestamp;

/// What is known about the digests.
#[derive(Debug, Default)]
pub struct Digests {
    /// For each digest: what can be said about it.
    pub verdicts: Vec<Verdict>,
    /// For each digest: what was found.
    pub codes: Vec<Codes>,
    /// The chains, by name.
    pub chains: Vec<Chain>,
    /// Digests that are named and not here: the chain, the key, and the digest that names it.
    pub missing: Vec<(usize, String, u32)>,
}

impl Digests {
    pub(super) fn mark(&mut self, digest: u32, code: Code, verdict: Option<Verdict>) {
        let place = usize::try_from(digest).unwrap_or(usize::MAX);
        if let Some(codes) = self.codes.get_mut(place) {
            codes.add(code);
        }
        if let (Some(old), Some(new)) = (self.verdicts.get_mut(place), verdict) {
            *old = (*old).max(new);
        }
    }

    /// The verdict of a digest.
    pub fn verdict(&self, digest: u32) -> Verdict {
        self.verdicts.get(digest as usize).copied().unwrap_or_default()
    }

    /// The codes of a digest.
    pub fn code_set(&self, digest: u32) -> Codes {
        self.codes.get(digest as usize).copied().unwrap_or_default()
    }
}

/// Judges the digests. `states` has the state of each one's signature.
pub fn judge_digests(trial: &Trial<'_>, states: &[SignatureState], findings: &mut Findings) -> Digests {
    let count = trial.evidence.digests.len();
    let verdict = |state: &SignatureState| match state {
        SignatureState::Valid { .. } => Verdict::Verified,
        SignatureState::Invalid => Verdict::Failed,
        SignatureState::Unavailable | SignatureState::KeyMissing => Verdict::Consistent,
    };
    let mut digests = Digests {
        verdicts: states.iter().map(verdict).collect(),
        codes: vec![Codes::default(); count],
        ..Digests::default()
    };
    let mut judge = DigestJudge { trial, states, digests: &mut digests, findings };
    judge.no_digests();
    judge.packing();
    judge.signatures();
    judge.keys();
    judge.places();
    judge.conflicts();
    judge.links();
    judge.forks();
    judge.cycles();
    judge.contents();
    judge.copies();
    digests.chains = chains(trial);
    for number in 0..digests.chains.len() {
        Walk::new(trial, number).run(&mut digests, findings);
    }
    digests
}

struct DigestJudge<'a, 't> {
    trial: &'a Trial<'t>,
    states: &'a [SignatureState],
    digests: &'a mut Digests,
    findings: &'a mut Findings,
}

/// What to fetch when keys are missing.
#[derive(Default)]
struct Wanted {
    digests: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl<'t> DigestJudge<'_, 't> {
    fn state(&self, digest: u32) -> SignatureState {
        self.states.get(digest as usize).copied().unwrap_or(SignatureState::Unavailable)
    }

    /// A finding about one digest.
    fn found(&mut self, code: Code, number: u32, digest: &StatedDigest, summary: String) {
        let name = ChainName::of(digest);
        let place = (name.account.as_str(), name.region.as_str(), name.trail.as_str());
        let path = self.trial.names.shown(digest.file);
        self.findings.add(code, place, Some(digest.end), || {
            let finding = Finding::new(code, place, format!("{path}: {summary}"));
            finding.at(Some(digest.start), Some(digest.end)).file(path.clone()).object(&digest.key)
        });
        self.digests.mark(number, code, None);
    }

    /// Files in places of digests that are none.
    fn no_digests(&mut self) {
        for (number, file) in (0..).zip(&self.trial.evidence.files) {
            if file.kind != FileKind::NoDigest {
                continue;
            }
            let fault = file.rare.as_ref().and_then(|rare| rare.fault.as_deref()).unwrap_or("cannot be read");
            let path = self.trial.names.shown(number);
            let (account, region) = self.trial.evidence.place_names(file.place);
            let place = (account, region, "");
            let (code, summary) = if file.packing == Packing::Appended {
                let at = file.rare.as_ref().map_or(0, |rare| rare.appended_at);
                (
                    Code::TrailingData,
                    format!("{path}: bytes follow the gzip member at byte {at}; with them it is no digest"),
                )
            } else {
                (Code::DigestInvalid, format!("{path}: {fault}"))
            };
            self.findings.add(code, place, file.delivery, || {
                Finding::new(code, place, summary).at(file.delivery, file.delivery).file(path.clone())
            });
        }
    }

    /// Digests that are not one sound gzip member.
    fn packing(&mut self) {
        for (number, digest) in (0..).zip(&self.trial.evidence.digests) {
            let Some(file) = self.trial.evidence.file(digest.file) else { continue };
            let at = file.rare.as_ref().map_or(0, |rare| rare.appended_at);
            let (code, summary) = match file.packing {
                Packing::Sound => continue,
                Packing::Appended => (Code::TrailingData, format!("bytes follow the gzip member at byte {at}")),
                Packing::Damaged => (Code::Corrupt, "the file is damaged or cut".to_owned()),
                Packing::Unknown | Packing::Unreadable => (Code::NotJudged, "was not read to its end".to_owned()),
            };
            self.found(code, number, digest, summary);
            if code != Code::NotJudged {
                self.digests.mark(number, code, Some(Verdict::Failed));
            }
        }
    }

    fn signatures(&mut self) {
        let mut wanted: BTreeMap<(String, String), Wanted> = BTreeMap::new();
        for (number, digest) in self.trial.originals() {
            match self.state(number) {
                SignatureState::Valid { is_timely: true } => {}
                SignatureState::Valid { is_timely: false } => {
                    let key = hex(&digest.fingerprint);
                    let summary = format!("made at {}, outside the times of its key {key}", digest.end_text);
                    self.found(Code::PublicKeyValidity, number, digest, summary);
                }
                SignatureState::Invalid => {
                    let key = hex(&digest.fingerprint);
                    let summary = format!("its signature does not hold under key {key}");
                    self.found(Code::SignatureInvalid, number, digest, summary);
                }
                SignatureState::Unavailable => {
                    let summary = "no signature: its successor is not here, nor its object's metadata".to_owned();
                    self.found(Code::SignatureUnavailable, number, digest, summary);
                }
                SignatureState::KeyMissing => {
                    self.digests.mark(number, Code::PublicKeyMissing, None);
                    let wanted = wanted.entry((ChainName::of(digest).region, hex(&digest.fingerprint))).or_default();
                    wanted.digests += 1;
                    wanted.first = wanted.first.map_or(Some(digest.start), |first| Some(first.min(digest.start)));
                    wanted.last = wanted.last.max(Some(digest.end));
                }
            }
        }
        for ((region, key), wanted) in wanted {
            let time = |time: Option<i64>| time.map(format_timestamp).unwrap_or_default();
            let summary = format!(
                "key {key} of {} digests is not in the list of public keys: aws cloudtrail list-public-keys --region \
                 {region} --start-time {} --end-time {}",
                wanted.digests,
                time(wanted.first),
                time(wanted.last)
            );
            let finding = Finding::new(Code::PublicKeyMissing, ("", &region, ""), summary);
            let mut finding = finding.at(wanted.first, wanted.last);
            finding.count = wanted.digests;
            self.findings.push(finding);
        }
    }

    fn keys(&mut self) {
        for (fingerprint, key) in self.trial.keys.iter() {
            if let Some(label) = &key.wrong_label {
                let label = super::digest::shorten(label);
                let summary = format!("the key listed as {label} has the fingerprint {}", hex(fingerprint));
                self.findings.push(Finding::new(Code::PublicKeyMislabelled, ("", "", ""), summary));
            }
        }
    }

    /// Digests that lie elsewhere than they say.
    fn places(&mut self) {
        for (number, digest) in (0..).zip(&self.trial.evidence.digests) {
            let path = self.trial.names.path(digest.file);
            if !is_in_place(&path, &digest.key) {
                let summary = format!("says it was delivered to {}", digest.key);
                self.found(Code::DigestMoved, number, digest, summary);
            } else if let Some(bucket) = self.trial.settings.bucket.filter(|bucket| **bucket != *digest.bucket) {
                let summary = format!("says it was delivered to the bucket {}, not {bucket}", digest.bucket);
                self.found(Code::DigestMoved, number, digest, summary);
            }
        }
    }

    /// True when a digest is signed, or a digest after it states its hash.
    fn is_confirmed(&self, number: u32, digest: &StatedDigest) -> bool {
        self.state(number).is_valid()
            || self.trial.successors(number).iter().any(|successor| {
                let previous = self.trial.evidence.digest(*successor).and_then(|digest| digest.previous.as_ref());
                previous.is_some_and(|previous| self.trial.hashes(digest).any(|hash| hash == previous.sha256))
            })
    }

    fn conflicts(&mut self) {
        for (number, digest) in self.trial.originals() {
            let rivals = self.trial.with_key(&digest.bucket, &digest.key).count();
            if rivals < 2 {
                continue;
            }
            let (is_confirmed, key) = (self.is_confirmed(number, digest), &digest.key);
            let word = if is_confirmed { "is signed or named by its successor" } else { "is not confirmed" };
            let summary = format!("one of {rivals} different digests that claim to be {key}; this one {word}");
            self.found(Code::DigestConflict, number, digest, summary);
            if !is_confirmed {
                self.digests.mark(number, Code::DigestConflict, Some(Verdict::Failed));
            }
        }
    }

    /// Compares what each digest says about the one before with that one.
    fn links(&mut self) {
        for (number, digest) in self.trial.originals() {
            let Some(previous) = &digest.previous else { continue };
            let before: Vec<u32> = self.trial.with_key(&previous.bucket, &previous.key).collect();
            let has_hash = |other: &u32| {
                let other = self.trial.evidence.digest(*other);
                other.is_some_and(|other| self.trial.hashes(other).any(|hash| hash == previous.sha256))
            };
            let (right, wrong): (Vec<u32>, Vec<u32>) = before.into_iter().partition(has_hash);
            let signed: Vec<u32> = wrong.iter().copied().filter(|other| self.state(*other).is_valid()).collect();
            if right.is_empty() && !signed.is_empty() && !self.state(number).is_valid() {
                // The digest before is authentic, so this one lies about it.
                let expected = hex(&previous.sha256);
                let summary = format!("states the hash {expected} for its signed predecessor, which has another");
                self.found(Code::DigestModified, number, digest, summary);
                self.digests.mark(number, Code::DigestModified, Some(Verdict::Failed));
                continue;
            }
            let accused = wrong.into_iter().filter(|other| !signed.contains(other));
            for other in accused.collect::<Vec<_>>() {
                let Some(stated) = self.trial.evidence.digest(other) else { continue };
                let found = self.trial.hashes(stated).next().map(|hash| hex(&hash)).unwrap_or_default();
                let summary = format!(
                    "expected SHA-256 {}, found {found}; {} says so",
                    hex(&previous.sha256),
                    self.trial.names.shown(digest.file)
                );
                self.found(Code::DigestModified, other, stated, summary);
                self.digests.mark(other, Code::DigestModified, Some(Verdict::Failed));
            }
        }
    }

    fn forks(&mut self) {
        for (number, digest) in self.trial.originals() {
            let name = ChainName::of(digest);
            let is_own =
                |other: &&u32| self.trial.evidence.digest(**other).is_some_and(|other| ChainName::of(other) == name);
            let branches: Vec<u32> = self.trial.successors(number).iter().filter(is_own).copied().collect();
            // Digests that claim one place are a conflict already.
            let keys: HashSet<&str> = branches
                .iter()
                .filter_map(|branch| self.trial.evidence.digest(*branch).map(|digest| &*digest.key))
                .collect();
            if keys.len() < 2 {
                continue;
            }
            let signed = branches.iter().filter(|branch| self.state(**branch).is_valid()).count();
            for branch in &branches {
                let Some(stated) = self.trial.evidence.digest(*branch) else { continue };
                let summary = format!(
                    "one of {} digests that name {} as their predecessor; {signed} of them signed",
                    branches.len(),
                    digest.key
                );
                self.found(Code::ChainFork, *branch, stated, summary);
                if !self.state(*branch).is_valid() {
                    let verdict = if signed > 0 { Verdict::Failed } else { Verdict::Unverifiable };
                    self.digests.mark(*branch, Code::ChainFork, Some(verdict));
                }
            }
        }
    }

    /// Follows each digest to its predecessor, each step once.
    fn cycles(&mut self) {
        let before: HashMap<u32, u32> = self
            .trial
            .originals()
            .filter_map(|(number, digest)| {
                let previous = digest.previous.as_ref()?;
                Some((number, self.trial.with_key(&previous.bucket, &previous.key).next()?))
            })
            .collect();
        let mut walk_of: HashMap<u32, u32> = HashMap::new();
        for (start, _) in self.trial.originals() {
            let mut here = start;
            while !walk_of.contains_key(&here) {
                walk_of.insert(here, start);
                match before.get(&here) {
                    Some(next) => here = *next,
                    None => break,
                }
            }
            let is_new = walk_of.get(&here) == Some(&start) && before.contains_key(&here);
            if !is_new {
                continue;
            }
            let mut circle = vec![here];
            let mut next = before.get(&here).copied();
            while let Some(digest) = next.filter(|digest| *digest != here && circle.len() <= before.len()) {
                circle.push(digest);
                next = before.get(&digest).copied();
            }
            if next != Some(here) {
                continue;
            }
            for number in &circle {
                if let Some(digest) = self.trial.evidence.digest(*number) {
                    let summary = format!("one of {} digests that follow each other in a circle", circle.len());
                    self.found(Code::ChainCycle, *number, digest, summary);
                    self.digests.mark(*number, Code::ChainCycle, Some(Verdict::Failed));
                }
            }
        }
    }

    /// What a digest says about account and Region.
    fn contents(&mut self) {
        for (number, digest) in self.trial.originals() {
            let name = ChainName::of(digest);
            if !digest.account.is_empty() && *digest.account != *name.account {
                let summary = format!("is for account {}, its name for {}", digest.account, name.account);
                self.found(Code::DigestInconsistent, number, digest, summary);
            }
            if let Some((count, first)) = &digest.foreign {
                let summary = format!("lists {count} logs of another account or Region, the first is {first}");
                self.found(Code::DigestInconsistent, number, digest, summary);
            }
        }
    }

    /// Copies have the verdicts of their originals.
    fn copies(&mut self) {
        for (number, original) in (0u32..).zip(&self.trial.copy_of) {
            let Some(original) = *original else { continue };
            let (verdict, codes) = (self.digests.verdict(original), self.digests.code_set(original));
            let place = number as usize;
            if let Some(slot) = self.digests.verdicts.get_mut(place) {
                *slot = verdict;
            }
            // Where a file lies is its own affair.
            for code in Code::ALL.iter().filter(|code| codes.has(**code) && **code != Code::DigestMoved) {
                self.digests.mark(number, *code, None);
            }
        }
    }
}
