//! Digests linked to each other, and their signatures checked.
//!
//! In: [`Evidence`], keys, signatures that were fetched beside it. Out: [`Trial`], which can check the signature of each
//! digest on its own, so that threads can share them out, and knows for each digest its predecessors and successors. Links go
//! by the key a digest states for itself, not by where its file lies; several files can state one key.
//!
//! A signature is taken from every successor and from metadata, and one that holds is enough: a signature proves itself, so
//! it does not matter who carried it.

use std::collections::HashMap;

use super::evidence::{Evidence, Names, StatedDigest};
use super::keys::PublicKeys;
use super::location::{is_in_place, stem};
use super::sidecar::{Signature, Signatures};
use super::text::{hash_text, hex, unhex};
use crate::discover::parse_key;
use crate::time::MICROS;

/// What a trial is told besides.
#[derive(Default)]
pub struct Settings<'a> {
    /// The bucket the files come from, if the analyst says so.
    pub bucket: Option<&'a str>,
    /// True for keys that filters left out: such a log is not missing.
    pub is_left_out: Option<&'a (dyn Fn(&str) -> bool + Sync)>,
}

/// What is known of a digest's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureState {
    /// It holds.
    Valid {
        /// The digest was made within the times of its key, or they are not known.
        is_timely: bool,
    },
    /// There is one, and it does not hold.
    Invalid,
    /// There is none.
    Unavailable,
    /// There is one, but no key.
    KeyMissing,
}

impl SignatureState {
    /// True when it holds.
    pub fn is_valid(self) -> bool {
        matches!(self, SignatureState::Valid { .. })
    }
}

/// What a chain is made of: its trail, account and Region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainName {
    /// Account the digests are for.
    pub account: String,
    /// Region the digests are for.
    pub region: String,
    /// The trail's name.
    pub trail: String,
    /// The Region of the trail.
    pub home_region: String,
    /// Digests of intervals that had been missed: a chain of its own.
    pub is_backfill: bool,
}

impl ChainName {
    /// The chain of a digest, by the name it states for itself.
    pub fn of(digest: &StatedDigest) -> ChainName {
        let key = parse_key(&digest.key);
        let file = key.as_ref().and_then(|key| key.file);
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let account = key.as_ref().and_then(|key| key.account).unwrap_or(&digest.account);
        ChainName {
            account: account.to_owned(),
            region: text(key.as_ref().and_then(|key| key.region)),
            trail: text(file.and_then(|file| file.trail)),
            home_region: text(file.and_then(|file| file.home_region)),
            is_backfill: file.is_some_and(|file| file.backfill),
        }
    }
}

/// How far outside a key's times a digest may be made: two hours, as the AWS CLI allows at the end.
const VALIDITY_SLACK: i64 = 2 * 3600 * MICROS;

/// Signatures without names that are tried for one digest at most: fractions of a second.
const MAX_TRIES: usize = 10_000;

/// Everything that judging needs.
pub struct Trial<'a> {
    /// The facts.
    pub evidence: &'a Evidence,
    /// The keys.
    pub keys: &'a PublicKeys,
    /// Signatures from metadata.
    pub signatures: &'a Signatures,
    /// Names of files.
    pub names: &'a dyn Names,
    /// Settings.
    pub settings: &'a Settings<'a>,
    /// For each digest the first one with the same bytes and key, if that is another.
    pub copy_of: Vec<Option<u32>>,
    by_key: HashMap<u64, Vec<u32>>,
    successors: HashMap<u32, Vec<u32>>,
    /// Files in places of digests, by the hash of their stems.
    by_stem: HashMap<u64, Vec<u32>>,
}

impl<'a> Trial<'a> {
    /// Links the digests.
    pub fn new(
        evidence: &'a Evidence,
        keys: &'a PublicKeys,
        signatures: &'a Signatures,
        names: &'a dyn Names,
        settings: &'a Settings<'a>,
    ) -> Trial<'a> {
        let copy_of = vec![None; evidence.digests.len()];
        let mut trial = Trial {
            evidence,
            keys,
            signatures,
            names,
            settings,
            copy_of,
            by_key: HashMap::new(),
            successors: HashMap::new(),
            by_stem: HashMap::new(),
        };
        trial.index();
        trial
    }

    fn index(&mut self) {
        let evidence = self.evidence;
        for (number, digest) in (0..).zip(&evidence.digests) {
            let same_key = self.by_key.entry(hash_text(&digest.key)).or_default();
            let hash = |number: u32| evidence.digest(number).and_then(|digest| evidence.file(digest.file));
            let original = same_key.iter().copied().find(|other| {
                let is_same_text = hash(*other).map(|file| file.sha256) == hash(number).map(|file| file.sha256);
                is_same_text && evidence.digest(*other).is_some_and(|other| other.key == digest.key)
            });
            match original {
                Some(original) => {
                    if let Some(place) = self.copy_of.get_mut(usize::try_from(number).unwrap_or(usize::MAX)) {
                        *place = Some(original);
                    }
                }
                None => same_key.push(number),
            }
        }
        for (number, digest) in self.originals() {
            let Some(previous) = &digest.previous else { continue };
            let before: Vec<u32> = self.with_key(&previous.bucket, &previous.key).collect();
            for one in before {
                self.successors.entry(one).or_default().push(number);
            }
        }
        for (number, file) in (0..).zip(&evidence.files) {
            if matches!(file.kind, super::evidence::FileKind::Digest(_) | super::evidence::FileKind::NoDigest) {
                self.by_stem.entry(file.stem).or_default().push(number);
            }
        }
    }

    /// The digests, copies left out.
    pub fn originals(&self) -> impl Iterator<Item = (u32, &'a StatedDigest)> + use<'a> {
        let copies: Vec<bool> = self.copy_of.iter().map(Option::is_some).collect();
        (0..).zip(&self.evidence.digests).zip(copies).filter(|(_, is_copy)| !is_copy).map(|(numbered, _)| numbered)
    }

    /// The digests that state this key for themselves.
    pub fn with_key<'t>(&'t self, bucket: &'t str, key: &'t str) -> impl Iterator<Item = u32> + 't {
        let found = self.by_key.get(&hash_text(key)).into_iter().flatten().copied();
        found.filter(move |number| {
            self.evidence.digest(*number).is_some_and(|digest| &*digest.key == key && &*digest.bucket == bucket)
        })
    }

    /// The digests that name this one as their predecessor.
    pub fn successors(&self, digest: u32) -> &[u32] {
        self.successors.get(&digest).map_or(&[], Vec::as_slice)
    }

    /// A file that lies where `key` says, be it a digest or not.
    pub fn file_at(&self, key: &str) -> Option<u32> {
        let files = self.by_stem.get(&hash_text(stem(key)))?;
        files.iter().copied().find(|file| is_in_place(&self.names.path(*file), key))
    }

    /// The hashes that a digest's file can have: with and without a final newline.
    pub fn hashes(&self, digest: &StatedDigest) -> impl Iterator<Item = [u8; 32]> + use<'a> {
        let file = self.evidence.file(digest.file);
        let without = file.and_then(|file| file.rare.as_ref()).and_then(|rare| rare.without_newline);
        file.map(|file| file.sha256).into_iter().chain(without)
    }

    /// Checks the signature of one digest. Costs some 30 microseconds; digests are independent of each other.
    pub fn signature(&self, number: u32) -> SignatureState {
        let Some(digest) = self.evidence.digest(number) else { return SignatureState::Unavailable };
        let number = self.copy_of.get(number as usize).copied().flatten().unwrap_or(number);
        let mut metadata: Vec<&Signature> = self.signatures.of(&digest.bucket, &digest.key);
        let mut candidates: Vec<Option<Vec<u8>>> = Vec::new();
        for successor in self.successors(number) {
            let previous = self.evidence.digest(*successor).and_then(|digest| digest.previous.as_ref());
            let candidate = previous.map(|previous| unhex(&previous.signature));
            candidates.extend(candidate.filter(|candidate| !candidates.contains(candidate)));
        }
        candidates.extend(metadata.iter().map(|signature| Some(signature.bytes.clone())));
        let is_nameless = candidates.is_empty();
        if is_nameless {
            metadata = self.signatures.nameless().iter().take(MAX_TRIES).collect();
            candidates = metadata.iter().map(|signature| Some(signature.bytes.clone())).collect();
        }
        let Some(key) = self.keys.get(&digest.fingerprint) else {
            return if is_nameless { SignatureState::Unavailable } else { SignatureState::KeyMissing };
        };
        let messages: Vec<String> = self.hashes(digest).map(|hash| string_to_sign(digest, &hash)).collect();
        let holds = candidates
            .iter()
            .flatten()
            .any(|signature| messages.iter().any(|message| key.verifies(message.as_bytes(), signature)));
        if !holds {
            return if is_nameless { SignatureState::Unavailable } else { SignatureState::Invalid };
        }
        // A backfill digest is made later than its interval: only its metadata says when.
        let made = metadata.iter().find_map(|signature| signature.made);
        let is_backfill = ChainName::of(digest).is_backfill;
        let made = made.filter(|_| is_backfill).or((!is_backfill).then_some(digest.end));
        let is_timely = made.is_none_or(|made| {
            key.valid_from.is_none_or(|from| made >= from.saturating_sub(VALIDITY_SLACK))
                && key.valid_until.is_none_or(|until| made <= until.saturating_add(VALIDITY_SLACK))
        });
        SignatureState::Valid { is_timely }
    }
}

/// What is signed: the end, the place, the hash, and the signature of the digest before, each on a line of its own
/// ("CloudTrail digest file signature" in the CloudTrail user guide).
fn string_to_sign(digest: &StatedDigest, sha256: &[u8; 32]) -> String {
    let previous = digest.previous.as_ref().map_or("null", |previous| &previous.signature);
    format!("{}\n{}/{}\n{}\n{previous}", digest.end_text, digest.bucket, digest.key, hex(sha256))
}
