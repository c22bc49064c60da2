//! The SHA-256 of a file's text, as CloudTrail's digests state it, and whether the text was packed as CloudTrail packs it.
//!
//! In: the text as it is delivered, and where the first gzip member ended. Out: [`Content`]. A digest vouches for the
//! inflated bytes of exactly one gzip member. Files that were unpacked and saved again often have a newline more at their
//! end, so the hash without it is kept, too; and where members were appended, the hash of the first, which may be genuine.

use sha2::{Digest, Sha256};

/// What is known about the text of a file that is no archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// SHA-256 of the text: of all gzip members together.
    pub sha256: [u8; 32],
    /// The same without the newline at its end, when it has one.
    pub without_newline: Option<[u8; 32]>,
    /// SHA-256 of the text of the first gzip member, when there are more.
    pub first_member: Option<[u8; 32]>,
    /// How it was packed.
    pub form: Form,
}

/// How a text was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Not at all, or as one sound member (or frame) with nothing behind it.
    Sound,
    /// Something follows the first member: from this byte of the stored file on.
    Appended(u64),
    /// Damaged or cut: the text may be incomplete.
    Damaged,
    /// Larger than the bounds allow: only its beginning was read.
    Cut,
    /// Not one text: an archive, or a format that is not opened.
    Archive,
}

/// A hash, and the same without a final newline.
pub(super) struct NewlineHash {
    hash: Sha256,
    keeps: bool,
    before_newline: Option<Sha256>,
}

impl NewlineHash {
    /// `keeps` says whether the hash without a final newline is wanted.
    pub(super) fn new(keeps: bool) -> NewlineHash {
        NewlineHash { hash: Sha256::new(), keeps, before_newline: None }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.before_newline = None;
        match bytes.split_last() {
            Some((b'\n', before)) if self.keeps => {
                self.hash.update(before);
                self.before_newline = Some(self.hash.clone());
                self.hash.update(b"\n");
            }
            _ => self.hash.update(bytes),
        }
    }

    /// The hash, and the one without the final newline if there is one.
    pub(super) fn finish(self) -> ([u8; 32], Option<[u8; 32]>) {
        (self.hash.finalize().into(), self.before_newline.map(|hash| hash.finalize().into()))
    }
}

/// The hash of a text that arrives in pieces.
pub(super) struct ContentHash {
    hash: NewlineHash,
    length: u64,
    first_member: Option<[u8; 32]>,
}

impl ContentHash {
    pub(super) fn new() -> ContentHash {
        ContentHash { hash: NewlineHash::new(true), length: 0, first_member: None }
    }

    /// Adds the next piece. `first_end` is the length of the first member's text, once a second one has begun.
    pub(super) fn update(&mut self, text: &[u8], first_end: Option<u64>) {
        let split = first_end
            .filter(|_| self.first_member.is_none())
            .and_then(|end| usize::try_from(end.checked_sub(self.length)?).ok())
            .and_then(|at| text.split_at_checked(at));
        if let Some((first, rest)) = split {
            self.hash.update(first);
            self.first_member = Some(self.hash.hash.clone().finalize().into());
            self.hash.update(rest);
        } else {
            self.hash.update(text);
        }
        self.length += text.len() as u64;
    }

    pub(super) fn finish(self, form: Form) -> Content {
        let (sha256, without_newline) = self.hash.finish();
        Content { sha256, without_newline, first_member: self.first_member, form }
    }
}
