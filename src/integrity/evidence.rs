//! The facts about all files, in little memory.
//!
//! In: one [`Observation`] for each file, in the order of the files. Out: [`Evidence`]: for each file some eighty bytes, for
//! each log that a digest lists about as many and the part of its key that differs from its neighbors'. Texts of paths stay
//! with whoever listed the files and are asked for ([`Names`]) when a row or a finding is made.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use super::digest::{Digest, ListedLog, Previous};
use super::keys::Fingerprint;
use super::location::stem;
use super::text::hash_text;
use super::witness::Observation;
use crate::discover::{Folder, KeyReader, parse_key};
use crate::read::Form;

/// Asks for the names of files, by their number in the order in which they were added.
pub trait Names: Sync {
    /// The path as far as it is known: its folders are compared with keys.
    fn path(&self, file: u32) -> String;
    /// The name shown in tables.
    fn shown(&self, file: u32) -> String;
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A log of the folder `CloudTrail`, by its name.
    Log,
    /// Anything else: another folder's log, or a name that follows no grammar.
    Other,
    /// A digest, by its number.
    Digest(u32),
    /// A file in the place of a digest that is none.
    NoDigest,
}

/// What the hash of a text was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// It is one text, soundly packed.
    Sound,
    /// See [`Form::Appended`].
    Appended,
    /// See [`Form::Damaged`].
    Damaged,
    /// An archive, a format that is not opened, or more than the bounds allow: there is no hash.
    Unknown,
    /// It could not be read.
    Unreadable,
}

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    /// Hash of its stem: see [`stem`].
    pub stem: u64,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// First and last eventTime in it.
    pub times: Option<(i64, i64)>,
    /// The delivery slot in its name.
    pub delivery: Option<i64>,
    /// Account and Region of its path, by number; `None` when it does not say.
    pub place: Option<u32>,
    /// What it is.
    pub kind: FileKind,
    /// How it was packed.
    pub packing: Packing,
    /// What few files have.
    pub rare: Option<Box<Rare>>,
}

/// Facts that few files have.
#[derive(Clone, Debug, Default)]
pub struct Rare {
    /// The hash without a final newline.
    pub without_newline: Option<[u8; 32]>,
    /// The hash of the first gzip member.
    pub first_member: Option<[u8; 32]>,
    /// Where in the stored file something was appended.
    pub appended_at: u64,
    /// Why a file in the place of a digest is none.
    pub fault: Option<String>,
}

/// One digest, without its logs.
#[derive(Clone, Debug)]
pub struct StatedDigest {
    /// Its file.
    pub file: u32,
    /// See [`Digest`].
    pub account: Box<str>,
    /// See [`Digest`].
    pub bucket: Box<str>,
    /// See [`Digest`].
    pub key: Box<str>,
    /// See [`Digest`].
    pub log_bucket: Option<Box<str>>,
    /// See [`Digest`].
    pub fingerprint: Fingerprint,
    /// See [`Digest`].
    pub start: i64,
    /// See [`Digest`].
    pub end: i64,
    /// See [`Digest`].
    pub end_text: Box<str>,
    /// See [`Digest`].
    pub previous: Option<Previous>,
    /// Its logs, as numbers of listed logs.
    pub logs: Range<u32>,
    /// The key of its first log, from which the others are spelled.
    first_key: Box<str>,
    /// Logs of another account or Region than its own, and the first of them.
    pub foreign: Option<(u64, Box<str>)>,
}

/// One log in one digest's list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Hash of its stem.
    pub stem: u64,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// eventTime of its first and last event, if both are stated.
    pub times: Option<(i64, i64)>,
    /// The digest.
    pub digest: u32,
    /// Bytes of its key that are those of the digest's first log.
    shared: u16,
    /// Bytes of its key that are its own.
    length: u16,
    /// Where they stand.
    at: usize,
}

/// All facts.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The files.
    pub files: Vec<File>,
    /// The digests.
    pub digests: Vec<StatedDigest>,
    /// The logs that digests list.
    pub listed: Vec<Listed>,
    tails: String,
    places: Vec<(Box<str>, Box<str>)>,
    place_numbers: HashMap<(Box<str>, Box<str>), u32>,
    /// The place of the last file: the next one is likely to have it, too.
    last_place: u32,
    keys: KeyReader,
}

impl Evidence {
    /// Adds the file at `path`.
    pub fn add(&mut self, path: &str, observation: Observation) {
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let key = self.keys.parse(path);
        let place = key.as_ref().and_then(|key| Some((key.account?, key.region?)));
        let place = place.map(|(account, region)| self.place(account, region));
        let delivery = key.as_ref().and_then(|key| key.file).map(|file| file.delivery);
        let is_log = delivery.is_some() && key.is_some_and(|key| key.folder == Folder::CloudTrail);
        let Observation { content, times, digest, text: _ } = observation;
        let mut rare = Rare::default();
        let mut kind = if is_log { FileKind::Log } else { FileKind::Other };
        match digest {
            Some(Ok(digest)) => kind = FileKind::Digest(self.add_digest(number, *digest)),
            Some(Err(fault)) => {
                kind = FileKind::NoDigest;
                rare.fault = Some(fault);
            }
            None => {}
        }
        let (sha256, packing) = match &content {
            None => ([0; 32], Packing::Unreadable),
            Some(content) => {
                rare.without_newline = content.without_newline;
                rare.first_member = content.first_member;
                let packing = match content.form {
                    Form::Sound => Packing::Sound,
                    Form::Appended(offset) => {
                        rare.appended_at = offset;
                        Packing::Appended
                    }
                    Form::Damaged => Packing::Damaged,
                    Form::Cut | Form::Archive => Packing::Unknown,
                };
                (content.sha256, packing)
            }
        };
        let is_rare = rare.without_newline.is_some() || rare.fault.is_some() || packing == Packing::Appended;
        let rare = is_rare.then(|| Box::new(rare));
        self.files.push(File { stem: hash_text(stem(path)), sha256, times, delivery, place, kind, packing, rare });
    }

    fn add_digest(&mut self, file: u32, digest: Digest) -> u32 {
        let number = u32::try_from(self.digests.len()).unwrap_or(u32::MAX);
        let first = u32::try_from(self.listed.len()).unwrap_or(u32::MAX);
        let own = parse_key(&digest.key).map(|key| (key.account, key.region));
        let first_key: Box<str> = digest.logs.first().map(|log| log.key.as_str()).unwrap_or_default().into();
        let mut foreign: Option<(u64, Box<str>)> = None;
        // Logs of one folder have one account and Region: it is looked at once.
        let (mut folder, mut is_foreign) = ("", false);
        for log in &digest.logs {
            let own_folder = log.key.rsplit_once('/').map_or("", |(folder, _)| folder);
            if own_folder != folder || folder.is_empty() {
                let theirs = parse_key(&log.key).map(|key| (key.account, key.region));
                is_foreign = own.is_some() && theirs.is_some() && own != theirs;
                folder = own_folder;
            }
            if is_foreign {
                foreign.get_or_insert_with(|| (0, log.key.as_str().into())).0 += 1;
            }
            self.add_listed(number, &first_key, log);
        }
        let last = u32::try_from(self.listed.len()).unwrap_or(u32::MAX);
        let Digest { account, bucket, key, log_bucket, fingerprint, start, end, end_text, previous, logs: _ } = digest;
        self.digests.push(StatedDigest {
            file,
            account,
            bucket,
            key,
            log_bucket,
            fingerprint,
            start,
            end,
            end_text,
            previous,
            logs: first..last,
            first_key,
            foreign,
        });
        number
    }

    fn add_listed(&mut self, digest: u32, first_key: &str, log: &ListedLog) {
        let mut shared = first_key.bytes().zip(log.key.bytes()).take_while(|(one, other)| one == other).count();
        while !log.key.is_char_boundary(shared) {
            shared -= 1;
        }
        let tail = log.key.get(shared..).unwrap_or_default();
        self.listed.push(Listed {
            stem: hash_text(stem(&log.key)),
            sha256: log.sha256,
            times: log.oldest.zip(log.newest),
            digest,
            // Keys have at most 1,024 bytes.
            shared: u16::try_from(shared).unwrap_or(0),
            length: u16::try_from(tail.len()).unwrap_or(0),
            at: self.tails.len(),
        });
        self.tails.push_str(tail);
    }

    /// The number of a pair of account and Region.
    fn place(&mut self, account: &str, region: &str) -> u32 {
        if !self.places.is_empty() && self.place_names(Some(self.last_place)) == (account, region) {
            return self.last_place;
        }
        let pair = (Box::from(account), Box::from(region));
        let next = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.last_place = match self.place_numbers.entry(pair) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.places.push(entry.key().clone());
                *entry.insert(next)
            }
        };
        self.last_place
    }

    /// The number of a pair of account and Region, if any file has it.
    pub fn find_place(&self, account: &str, region: &str) -> Option<u32> {
        self.place_numbers.get(&(Box::from(account), Box::from(region))).copied()
    }

    /// Account and Region of a number.
    pub fn place_names(&self, place: Option<u32>) -> (&str, &str) {
        let pair = place.and_then(|place| self.places.get(usize::try_from(place).ok()?));
        pair.map_or(("", ""), |(account, region)| (account, region))
    }

    /// How many pairs of account and Region there are.
    pub fn place_count(&self) -> usize {
        self.places.len()
    }

    /// The file of this number.
    pub fn file(&self, number: u32) -> Option<&File> {
        self.files.get(usize::try_from(number).ok()?)
    }

    /// The digest of this number.
    pub fn digest(&self, number: u32) -> Option<&StatedDigest> {
        self.digests.get(usize::try_from(number).ok()?)
    }

    /// The listed log of this number.
    pub fn listed(&self, number: u32) -> Option<&Listed> {
        self.listed.get(usize::try_from(number).ok()?)
    }

    /// The key of a listed log.
    pub fn key_of(&self, listed: &Listed) -> String {
        let first = self.digest(listed.digest).map_or("", |digest| &digest.first_key);
        let shared = first.get(..usize::from(listed.shared)).unwrap_or_default();
        let own = self.tails.get(listed.at..listed.at + usize::from(listed.length)).unwrap_or_default();
        format!("{shared}{own}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spelled_as_they_were_listed() {
        let keys = ["AWSLogs/a/1\u{e9}x.json.gz", "AWSLogs/a/1\u{e8}x.json.gz", "AWSLogs/a/1", "other", ""];
        let logs = keys.map(|key| ListedLog { key: key.to_owned(), sha256: [0; 32], oldest: None, newest: None });
        let mut evidence = Evidence::default();
        evidence.add_digest(
            0,
            Digest {
                account: "".into(),
                bucket: "".into(),
                key: "".into(),
                log_bucket: None,
                fingerprint: [0; 16],
                start: 0,
                end: 0,
                end_text: "".into(),
                previous: None,
                logs: logs.to_vec(),
            },
        );
        let spelled: Vec<_> = evidence.listed.iter().map(|listed| evidence.key_of(listed)).collect();
        assert_eq!(spelled, keys);
    }

    #[test]
    fn a_file_and_a_listed_log_stay_small() {
        assert!(size_of::<File>() <= 112, "{}", size_of::<File>());
        assert!(size_of::<Listed>() <= 88, "{}", size_of::<Listed>());
    }
}
