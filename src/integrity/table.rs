//! The three tables: files, findings, chains.
//!
//! In: a [`Judgement`] with its [`Trial`]. Out: rows of cells, made one at a time, so that a million files cost no memory.

use super::code::{Code, Codes, Verdict};
use super::digests::Digests;
use super::evidence::{FileKind, Listed};
use super::finding::Finding;
use super::judgement::{ChainReport, Judgement};
use super::trial::{ChainName, Trial};
use crate::output::Cell;
use crate::schema::{Column, Kind};

const fn column(group: &'static str, name: &'static str, kind: Kind, doc: &'static str) -> Column {
    Column { group, name, kind, doc }
}

/// The columns of `integrity`.
pub const FILE_COLUMNS: [Column; 10] = {
    const fn text(name: &'static str, doc: &'static str) -> Column {
        column("integrity", name, Kind::Text, doc)
    }
    [
        text("kind", "log or digest."),
        text("path", "Path as in `inputs`; NULL when a digest names the file and it is absent."),
        text("s3_bucket", "Bucket, as the digests state it."),
        text("s3_key", "Key of the object, as the digests state it; NULL when none does."),
        text("account_id", "Account in the path or key."),
        text("region", "Region in the path or key."),
        text("trail", "Trail of the digest."),
        text("digest_path", "The digest that lists the log, or names the digest as its predecessor."),
        text("verdict", "VERIFIED, CONSISTENT, UNVERIFIABLE or FAILED."),
        text(
            "codes",
            "What was found about it: codes of `integrity_findings`, sorted, comma-separated; NULL when nothing.",
        ),
    ]
};

/// The columns of `integrity_findings`.
pub const FINDING_COLUMNS: [Column; 13] = {
    const fn text(name: &'static str, doc: &'static str) -> Column {
        column("integrity_findings", name, Kind::Text, doc)
    }
    [
        text("code", "What was found."),
        text("severity", "critical, high, medium, low or info."),
        text("account_id", "Account."),
        text("region", "Region."),
        text("trail", "Trail."),
        column("integrity_findings", "first_time", Kind::Timestamp, "Begin of the time it is about."),
        column("integrity_findings", "last_time", Kind::Timestamp, "End of that time."),
        text("path", "The file, when one is on hand."),
        text("s3_key", "The object."),
        column("integrity_findings", "event_count", Kind::Integer, "Files or digests concerned."),
        text("summary", "What was found, one sentence."),
        text("proves", "What it proves."),
        text("does_not_prove", "What it does not prove."),
    ]
};

/// The columns of `integrity_digests`: what a later `--append` judges all files by.
pub const DIGEST_COLUMNS: [Column; 2] = [
    column("integrity_digests", "path", Kind::Text, "Path as in `inputs`."),
    column("integrity_digests", "digest", Kind::Text, "The digest, as it was read."),
];

/// The tables of every case, with their columns.
pub const TABLES: [(&str, &[Column]); 4] = [
    ("integrity", &FILE_COLUMNS),
    ("integrity_findings", &FINDING_COLUMNS),
    ("integrity_chains", &CHAIN_COLUMNS),
    ("integrity_digests", &DIGEST_COLUMNS),
];

/// The columns of `integrity_chains`.
pub const CHAIN_COLUMNS: [Column; 14] = {
    const fn text(name: &'static str, doc: &'static str) -> Column {
        column("integrity_chains", name, Kind::Text, doc)
    }
    const fn number(name: &'static str, doc: &'static str) -> Column {
        column("integrity_chains", name, Kind::Integer, doc)
    }
    [
        text("account_id", "Account the digests are for."),
        text("region", "Region the digests are for."),
        text("trail", "Trail."),
        text("home_region", "Region of the trail."),
        column("integrity_chains", "is_backfill", Kind::Boolean, "Digests of intervals that had been missed."),
        number("digests", "Digests on hand."),
        number("logs_listed", "Logs that they list."),
        number("logs_present", "Of those, logs on hand."),
        column("integrity_chains", "covered_from", Kind::Timestamp, "First instant of delivery that is covered."),
        column("integrity_chains", "covered_until", Kind::Timestamp, "Last instant of delivery that is covered."),
        number("signatures_verified", "Digests whose signature holds."),
        number("signatures_unavailable", "Digests whose signature or public key is not at hand."),
        number("gaps", "Stretches between these instants that no digest covers."),
        text("summary", "One sentence."),
    ]
};

fn text(text: &str) -> Cell<'static> {
    if text.is_empty() { Cell::Null } else { Cell::Text(text.to_owned().into()) }
}

fn number(number: u64) -> Cell<'static> {
    Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn instant(time: Option<i64>) -> Cell<'static> {
    time.map_or(Cell::Null, Cell::Timestamp)
}

/// A finding as a row of [`FINDING_COLUMNS`].
pub fn finding_cells(finding: &Finding) -> Vec<Cell<'static>> {
    vec![
        text(finding.code.as_str()),
        text(finding.severity.as_str()),
        text(&finding.account),
        text(&finding.region),
        text(&finding.trail),
        instant(finding.first_time),
        instant(finding.last_time),
        text(finding.path.as_deref().unwrap_or_default()),
        text(finding.key.as_deref().unwrap_or_default()),
        number(finding.count),
        text(&finding.summary),
        text(finding.proves),
        text(finding.does_not_prove),
    ]
}

/// A chain as a row of [`CHAIN_COLUMNS`].
pub fn chain_cells(chain: &ChainReport) -> Vec<Cell<'static>> {
    vec![
        text(&chain.name.account),
        text(&chain.name.region),
        text(&chain.name.trail),
        text(&chain.name.home_region),
        Cell::Boolean(chain.name.is_backfill),
        number(chain.digests),
        number(chain.logs_listed),
        number(chain.logs_present),
        instant(chain.covered.map(|(from, _)| from)),
        instant(chain.covered.map(|(_, until)| until)),
        number(chain.signatures_verified),
        number(chain.signatures_unavailable),
        number(chain.gaps),
        text(&chain.summary),
    ]
}

/// One row of `integrity`, before it is cells.
struct Row<'r> {
    kind: &'static str,
    path: &'r str,
    bucket: &'r str,
    key: &'r str,
    place: (&'r str, &'r str, &'r str),
    digest_path: &'r str,
    verdict: Verdict,
    codes: Codes,
}

impl Row<'_> {
    fn cells(&self) -> Vec<Cell<'static>> {
        let (account, region, trail) = self.place;
        vec![
            text(self.kind),
            text(self.path),
            text(self.bucket),
            text(self.key),
            text(account),
            text(region),
            text(trail),
            text(self.digest_path),
            text(self.verdict.as_str()),
            text(&self.codes.text().unwrap_or_default()),
        ]
    }
}

/// The rows of `integrity`: the files in their order, then the logs and digests that are absent.
pub fn file_rows<'j>(trial: &'j Trial<'_>, judgement: &'j Judgement) -> impl Iterator<Item = Vec<Cell<'static>>> + 'j {
    let files = (0u32..).zip(&trial.evidence.files).filter_map(move |(number, file)| match file.kind {
        FileKind::Digest(digest) => digest_row(trial, &judgement.digest_details, digest),
        FileKind::NoDigest => Some(plain_row(trial, judgement, number, "digest")),
        FileKind::Log | FileKind::Other => {
            let verdict = judgement.log_details.files.get(number as usize)?;
            match verdict.listed.and_then(|listed| trial.evidence.listed(listed)) {
                Some(listed) => {
                    let path = trial.names.shown(number);
                    Some(log_row(trial, listed, &path, verdict.verdict, verdict.codes))
                }
                None => Some(plain_row(trial, judgement, number, "log")),
            }
        }
    });
    let missing_logs = judgement.log_details.missing.iter().filter_map(move |number| {
        let mut codes = Codes::default();
        codes.add(Code::LogMissing);
        Some(log_row(trial, trial.evidence.listed(*number)?, "", Verdict::Failed, codes))
    });
    let missing_digests = judgement.digest_details.missing.iter().filter_map(move |(chain, key, by)| {
        let chain = judgement.digest_details.chains.get(*chain)?;
        let by = trial.evidence.digest(*by)?;
        let mut codes = Codes::default();
        codes.add(Code::DigestMissing);
        let digest_path = trial.names.shown(by.file);
        let bucket = by.previous.as_ref().map_or("", |previous| &*previous.bucket);
        let row = Row {
            kind: "digest",
            path: "",
            bucket,
            key,
            place: chain.place(),
            digest_path: &digest_path,
            verdict: Verdict::Failed,
            codes,
        };
        Some(row.cells())
    });
    files.chain(missing_logs).chain(missing_digests)
}

fn plain_row(trial: &Trial<'_>, judgement: &Judgement, number: u32, kind: &'static str) -> Vec<Cell<'static>> {
    let place = trial.evidence.file(number).and_then(|file| file.place);
    let (account, region) = trial.evidence.place_names(place);
    let path = trial.names.shown(number);
    let found = judgement.log_details.files.get(number as usize).copied().unwrap_or_default();
    let (verdict, codes) = (found.verdict, found.codes);
    let place = (account, region, "");
    Row { kind, path: &path, bucket: "", key: "", place, digest_path: "", verdict, codes }.cells()
}

fn log_row(trial: &Trial<'_>, listed: &Listed, path: &str, verdict: Verdict, codes: Codes) -> Vec<Cell<'static>> {
    let key = trial.evidence.key_of(listed);
    let parsed = crate::discover::parse_key(&key);
    let digest = trial.evidence.digest(listed.digest);
    let trail = digest.map(ChainName::of).map(|name| name.trail).unwrap_or_default();
    let digest_path = digest.map(|digest| trial.names.shown(digest.file)).unwrap_or_default();
    let account = parsed.as_ref().and_then(|key| key.account).unwrap_or_default();
    let region = parsed.as_ref().and_then(|key| key.region).unwrap_or_default();
    let bucket = digest.map_or("", |digest| digest.log_bucket.as_deref().unwrap_or(&digest.bucket));
    let place = (account, region, trail.as_str());
    Row { kind: "log", path, bucket, key: &key, place, digest_path: &digest_path, verdict, codes }.cells()
}

fn digest_row(trial: &Trial<'_>, digests: &Digests, number: u32) -> Option<Vec<Cell<'static>>> {
    let digest = trial.evidence.digest(number)?;
    let name = ChainName::of(digest);
    let successor = trial.successors(number).first().and_then(|successor| trial.evidence.digest(*successor));
    let digest_path = successor.map(|successor| trial.names.shown(successor.file)).unwrap_or_default();
    let path = trial.names.shown(digest.file);
    let row = Row {
        kind: "digest",
        path: &path,
        bucket: &digest.bucket,
        key: &digest.key,
        place: (&name.account, &name.region, &name.trail),
        digest_path: &digest_path,
        verdict: digests.verdict(number),
        codes: digests.code_set(number),
    };
    Some(row.cells())
}
