//! The whole judgement.
//!
//! In: a [`Trial`] and the state of each digest's signature. Out: [`Judgement`]: verdicts, findings, chains and counts.

use super::code::{Code, Verdict};
use super::digests::{Digests, judge_digests};
use super::evidence::FileKind;
use super::finding::{Finding, Findings};
use super::logs::{Logs, judge_logs};
use super::trial::{ChainName, SignatureState, Trial};
use crate::time::format_timestamp;

/// How many files have each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// See [`Verdict::Verified`].
    pub verified: u64,
    /// See [`Verdict::Consistent`].
    pub consistent: u64,
    /// See [`Verdict::Unverifiable`].
    pub unverifiable: u64,
    /// See [`Verdict::Failed`]; files that are absent are not among them.
    pub failed: u64,
}

impl Tally {
    fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Verified => &mut self.verified,
            Verdict::Consistent => &mut self.consistent,
            Verdict::Unverifiable => &mut self.unverifiable,
            Verdict::Failed => &mut self.failed,
        } += 1;
    }

    /// Of all verdicts together.
    pub fn total(&self) -> u64 {
        self.verified + self.consistent + self.unverifiable + self.failed
    }
}

/// One chain, for the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// Whose it is.
    pub name: ChainName,
    /// Digests on hand.
    pub digests: u64,
    /// Logs that they list.
    pub logs_listed: u64,
    /// Of those, logs on hand.
    pub logs_present: u64,
    /// The first and the last instant of delivery that is covered, microseconds since 1970-01-01 UTC.
    pub covered: Option<(i64, i64)>,
    /// Digests whose signature holds.
    pub signatures_verified: u64,
    /// Digests whose signature or key is not here.
    pub signatures_unavailable: u64,
    /// Stretches between these instants that are not covered.
    pub gaps: u64,
    /// One sentence.
    pub summary: String,
}

/// Everything that was found.
#[derive(Debug)]
pub struct Judgement {
    /// Problems, worst first.
    pub findings: Vec<Finding>,
    /// The chains, by name.
    pub chains: Vec<ChainReport>,
    /// Logs and other files that are no digests.
    pub logs: Tally,
    /// Digest files.
    pub digests: Tally,
    /// Logs that digests list and that are not here.
    pub missing_logs: u64,
    /// Logs that digests list and that filters left out.
    pub left_out: u64,
    pub(super) digest_details: Digests,
    pub(super) log_details: Logs,
}

impl Judgement {
    /// True when something is not as CloudTrail delivered it.
    pub fn has_tampering(&self) -> bool {
        self.findings.iter().any(|finding| finding.is_tampering)
    }

    /// True when every file on hand is verified and nothing else is open.
    pub fn is_complete(&self) -> bool {
        let are_verified = |tally: &Tally| tally.verified == tally.total();
        are_verified(&self.logs)
            && are_verified(&self.digests)
            && self.logs.total() > 0
            && self.digests.total() > 0
            && !self
                .findings
                .iter()
                .any(|finding| matches!(finding.code, Code::ValidationOff | Code::ChainEndsEarly | Code::DigestMissing))
    }

    /// The verdict of a file, by its number.
    pub fn verdict(&self, trial: &Trial<'_>, file: u32) -> Verdict {
        match trial.evidence.file(file).map(|file| file.kind) {
            Some(FileKind::Digest(digest)) => self.digest_details.verdict(digest),
            _ => self.log_details.files.get(file as usize).map(|file| file.verdict).unwrap_or_default(),
        }
    }
}

/// Judges everything. `states` has the state of each digest's signature, in their order.
pub fn judge(trial: &Trial<'_>, states: &[SignatureState]) -> Judgement {
    let mut findings = Findings::default();
    let digests = judge_digests(trial, states, &mut findings);
    let logs = judge_logs(trial, &digests, &mut findings);
    let chains = reports(trial, states, &digests, &logs);
    let (mut log_tally, mut digest_tally) = (Tally::default(), Tally::default());
    for (number, file) in (0u32..).zip(&trial.evidence.files) {
        match file.kind {
            FileKind::Digest(digest) => digest_tally.add(digests.verdict(digest)),
            FileKind::NoDigest => digest_tally.add(Verdict::Failed),
            FileKind::Log | FileKind::Other => {
                log_tally.add(logs.files.get(number as usize).map(|file| file.verdict).unwrap_or_default());
            }
        }
    }
    Judgement {
        findings: findings.finish(),
        chains,
        logs: log_tally,
        digests: digest_tally,
        missing_logs: logs.missing.len() as u64,
        left_out: logs.left_out,
        digest_details: digests,
        log_details: logs,
    }
}

fn reports(trial: &Trial<'_>, states: &[SignatureState], digests: &Digests, logs: &Logs) -> Vec<ChainReport> {
    let report = |chain: &super::chain::Chain| {
        let count = |test: &dyn Fn(SignatureState) -> bool| {
            let states = chain.digests.iter().filter_map(|digest| states.get(*digest as usize));
            states.filter(|state| test(**state)).count() as u64
        };
        let ranges = chain.digests.iter().filter_map(|digest| Some(trial.evidence.digest(*digest)?.logs.clone()));
        let (mut listed, mut present) = (0, 0);
        for range in ranges {
            listed += u64::from(range.end - range.start);
            present += range.filter(|number| logs.present.get(*number as usize) == Some(&true)).count() as u64;
        }
        let covered = chain.from(trial).zip(chain.until(trial));
        let verified = count(&SignatureState::is_valid);
        let digest_count = chain.digests.len() as u64;
        let gaps = chain.gaps.len() as u64;
        let time = |time: Option<i64>| time.map(format_timestamp).unwrap_or_default();
        let summary = format!(
            "{verified} of {digest_count} digests signed; covers deliveries from {} until {}{}{}; digests before and after \
             may have been taken away without a trace",
            time(covered.map(|(from, _)| from)),
            time(covered.map(|(_, until)| until)),
            if gaps == 0 { " without a gap".to_owned() } else { format!(" with {gaps} gaps") },
            if chain.missing_head.is_some() { ", and one before them is named" } else { "" },
        );
        ChainReport {
            name: chain.name.clone(),
            digests: digest_count,
            logs_listed: listed,
            logs_present: present,
            covered,
            signatures_verified: verified,
            signatures_unavailable: count(&|state| {
                matches!(state, SignatureState::Unavailable | SignatureState::KeyMissing)
            }),
            gaps,
            summary,
        }
    };
    digests.chains.iter().map(report).collect()
}
