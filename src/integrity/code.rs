//! The codes of findings: what each one proves, and what it does not.
//!
//! In: nothing. Out: [`Code`], its name in tables, its severity, and two sentences that a report can quote. A code is
//! *tampering* when something that CloudTrail delivered is not as it was delivered, or is not where it was; the others say
//! that something could not be checked, or was not protected.

use crate::severity::Severity;
use std::fmt;

macro_rules! define_codes {
    ($($(#[$doc:meta])+ $variant:ident, $name:literal, $severity:ident, $is_tampering:literal, $proves:literal, $limits:literal;)*) => {
        /// What was found about a log or a digest.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])+ $variant,)*
        }

        impl Code {
            /// Every code, in the order of their names' meaning: logs, digests, chains, signatures, keys.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name used in tables.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// How bad it is, where nothing makes it milder.
            pub fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity,)* }
            }

            /// True when it shows that something is not as CloudTrail delivered it.
            pub fn is_tampering(self) -> bool {
                match self { $(Code::$variant => $is_tampering,)* }
            }

            /// What the finding proves.
            pub fn proves(self) -> &'static str {
                match self { $(Code::$variant => $proves,)* }
            }

            /// What it does not prove.
            pub fn does_not_prove(self) -> &'static str {
                match self { $(Code::$variant => $limits,)* }
            }
        }
    };
}

define_codes! {
    /// The text of a log is not the one its digest states.
    LogModified, "LOG_MODIFIED", Critical, true,
    "The inflated bytes of this file are not those whose hash the digest states.",
    "Who changed them, when, and whether events were added, removed or only re-formatted.";
    /// A log that a digest lists is absent.
    LogMissing, "LOG_MISSING", High, true,
    "CloudTrail delivered a log of this name; it is not among the inputs.",
    "That somebody deleted it: it may not have been collected, or have expired by a lifecycle rule.";
    /// Something follows the first gzip member.
    TrailingData, "TRAILING_DATA", Critical, true,
    "Bytes follow the one gzip member that CloudTrail writes: somebody appended them.",
    "That the delivered part is changed; a check of its hash alone would pass, and many readers show the appended records as genuine.";
    /// A file that cannot be inflated to its end.
    Corrupt, "CORRUPT", High, true,
    "The stored file is damaged or cut, so its text cannot be the delivered one.",
    "That it was done on purpose: an interrupted copy looks the same.";
    /// A log that no digest lists, from a time that digests cover.
    LogUnlisted, "LOG_UNLISTED", High, true,
    "No digest lists this log, although digests cover the time of its delivery.",
    "That it was planted: a trail without digests, or one whose digests are not here, delivers into the same folder, and a backfill digest may still follow.";
    /// A log that no digest can vouch for.
    LogNotCovered, "LOG_NOT_COVERED", Info, false,
    "Nothing: no digest covers the time of its delivery.",
    "That the log is genuine, or that it is not.";
    /// A log lies elsewhere than its digest says.
    LogMoved, "LOG_MOVED", Medium, true,
    "The log lies under another name or in another folder than the one CloudTrail delivered it to.",
    "That its content changed: its hash is compared on its own.";
    /// A log has a newline more than the delivered one.
    LogNewlineAdded, "LOG_NEWLINE_ADDED", Info, false,
    "The log is the delivered one and a newline at its end, as editors and export tools add it.",
    "That the file is the object that was delivered; its records are.";
    /// Two digests state different hashes for one log.
    LogConflict, "LOG_CONFLICT", Critical, true,
    "Two digests state different hashes for one log, so one of the digests is false or the log was replaced.",
    "Which of the two is right, unless exactly one of them is signed.";
    /// The times in a log are not those its digest states.
    LogTimesDiffer, "LOG_TIMES_DIFFER", Low, false,
    "The first or the last eventTime in the log is not the one its digest states.",
    "That records were changed when the hash is right: the digest itself may have been made up.";
    /// A digest that is not one.
    DigestInvalid, "DIGEST_INVALID", High, true,
    "The file in the place of a digest is not a digest as CloudTrail writes them.",
    "What the digest said; the logs it listed cannot be judged by it.";
    /// The bytes of a digest are not those its successor states.
    DigestModified, "DIGEST_MODIFIED", Critical, true,
    "The bytes of this digest are not those whose hash the next digest of its chain states.",
    "Which of its entries were changed; the logs it lists count as not judged by it.";
    /// A digest lies elsewhere than it says.
    DigestMoved, "DIGEST_MOVED", High, true,
    "The digest says that it was delivered to another place than the one it lies in.",
    "That its content changed: a signature that is right still holds.";
    /// A digest is absent.
    DigestMissing, "DIGEST_MISSING", High, true,
    "Digests of this time existed and are not among the inputs.",
    "What they listed, whether logs of that time are complete, and that somebody deleted them: they may not have been collected.";
    /// Two different digests claim one place.
    DigestConflict, "DIGEST_DUPLICATE_CONFLICT", Critical, true,
    "Two digests with different content claim to be the same object.",
    "Which one is genuine, unless exactly one of them is signed or named by its successor.";
    /// What a digest says does not fit together.
    DigestInconsistent, "DIGEST_INCONSISTENT", Medium, false,
    "The digest contradicts itself or its name about account or Region.",
    "That it is forged when its signature is right.";
    /// Several digests follow one.
    ChainFork, "CHAIN_FORK", Critical, true,
    "More than one digest names the same predecessor; CloudTrail writes one.",
    "Which branch is genuine, unless only one of them is signed.";
    /// Digests that follow each other in a circle.
    ChainCycle, "CHAIN_CYCLE", Critical, true,
    "Digests name each other as predecessors in a circle, which cannot come from CloudTrail.",
    "What the genuine chain looked like.";
    /// Intervals that overlap, run backwards, or leave a hole in an unbroken chain.
    ChainOrder, "CHAIN_ORDER", High, true,
    "The intervals of the digests overlap, run backwards or leave a hole, which a chain of CloudTrail does not.",
    "That a digest was changed when all signatures are right.";
    /// Logging or validation was off.
    ValidationOff, "LOGGING_OR_VALIDATION_OFF", Medium, false,
    "A new chain begins here: logging or validation had been off, so nothing protects the logs of the time between.",
    "That logs of that time are false, or that somebody meant to hide something: look for StopLogging, UpdateTrail, DeleteTrail and StartLogging.";
    /// A chain ends although deliveries go on.
    ChainEndsEarly, "CHAIN_ENDS_EARLY", High, false,
    "The chain ends while deliveries of the same trail or into the same folder go on for more than an hour.",
    "That digests were deleted: validation may have been turned off, the Region disabled, or the digests not been collected.";
    /// A signature that does not hold.
    SignatureInvalid, "SIGNATURE_INVALID", Critical, true,
    "The signature does not belong to this digest: the digest, its place, its predecessor's signature or the stored signature was changed.",
    "Which of these was changed.";
    /// No signature is at hand.
    SignatureUnavailable, "SIGNATURE_UNAVAILABLE", Info, false,
    "Nothing: the signature stands in the next digest, which is not here, or in the object's metadata, which copies lose.",
    "That the digest is genuine; give the metadata with --signatures.";
    /// The key is not in the list.
    PublicKeyMissing, "PUBLIC_KEY_MISSING", Medium, false,
    "Nothing: the public key of these signatures is not in the list of keys.",
    "That the digests are genuine; they fit together, which a forger can arrange.";
    /// The key was not valid then.
    PublicKeyValidity, "PUBLIC_KEY_VALIDITY", Low, false,
    "The signature is right, but the key list says that the key was not valid at that time.",
    "A forgery: the times in key lists are margins. An old key that leaked could sign later digests.";
    /// The fingerprint of a key is wrong.
    PublicKeyMislabelled, "PUBLIC_KEY_MISLABELLED", High, false,
    "The list states a fingerprint that is not the MD5 of the key it stands with, so the list is not as AWS gave it.",
    "That other keys of the list are false; each is used under the fingerprint computed from it.";
    /// A file that was not judged.
    NotJudged, "NOT_JUDGED", Info, false,
    "Nothing: the file was not hashed. Members of archives are not judged.",
    "That its logs are genuine, or that they are not; unpack archives to judge them.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of codes, four bytes: one for each of a million files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes(u32);

impl Codes {
    /// Adds a code.
    pub fn add(&mut self, code: Code) {
        self.0 |= 1 << code as u32;
    }

    /// True when the code is in the set.
    pub fn has(self, code: Code) -> bool {
        self.0 & (1 << code as u32) != 0
    }

    /// The names, sorted and comma-separated; `None` for the empty set.
    pub fn text(self) -> Option<String> {
        let mut names: Vec<&str> = Code::ALL.iter().filter(|code| self.has(**code)).map(|code| code.as_str()).collect();
        names.sort_unstable();
        (!names.is_empty()).then(|| names.join(","))
    }
}

/// What can be said about one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// As delivered: its hash stands in a digest whose signature is right (a digest: its signature is right).
    Verified,
    /// It fits the digests, but no signature could be checked: a forger could have made all of it.
    Consistent,
    /// Nothing vouches for it and nothing contradicts it.
    #[default]
    Unverifiable,
    /// It contradicts a digest, is damaged, or is absent.
    Failed,
}

impl Verdict {
    /// The name used in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Verified => "VERIFIED",
            Verdict::Consistent => "CONSISTENT",
            Verdict::Unverifiable => "UNVERIFIABLE",
            Verdict::Failed => "FAILED",
        }
    }

    /// The verdict of that name.
    pub fn parse(text: &str) -> Option<Verdict> {
        [Verdict::Verified, Verdict::Consistent, Verdict::Unverifiable, Verdict::Failed]
            .into_iter()
            .find(|verdict| verdict.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_fits_into_a_set_and_has_a_name_of_its_own() {
        assert!(Code::ALL.len() <= 32);
        let mut all = Codes::default();
        Code::ALL.iter().for_each(|code| all.add(*code));
        let text = all.text().unwrap();
        assert_eq!(text.split(',').count(), Code::ALL.len());
        assert!(text.split(',').is_sorted_by(|one, other| one < other), "{text}");
        assert_eq!(Codes::default().text(), None);
    }
}
