//! Runs of one to twenty-four digests deleted at every place of a chain: none is missed, none is counted short.
//!
//! In: thirty hours of one trail. Out: what the library says when any run of neighbors is not among the sources. It is called
//! in this process, for there are hundreds of runs.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use keytrail::discover::{Filters, Source, discover};
use keytrail::integrity::{Code, Judgement, PublicKeys, Settings, Signatures, Trial, judge};
use keytrail::pipeline::verify::{SourceNames, check_signatures, observe};
use keytrail::read::Limits;
use std::collections::BTreeSet;
use support::trail::{Key, Objects, START, TRAIL, key_list, signatures, sync};

const DIGESTS: i64 = 30;
const MICROS: i64 = 1_000_000;

struct Chain {
    sources: Vec<Source>,
    /// File names of the digests, in order.
    names: Vec<String>,
    keys: PublicKeys,
    signatures: Signatures,
    _folder: tempfile::TempDir,
}

impl Chain {
    fn new() -> Chain {
        let key = Key::new(0);
        let mut objects = Objects::new();
        let delivered = TRAIL.deliver(&mut objects, &key, 0..DIGESTS, None);
        let folder = tempfile::tempdir().unwrap();
        sync(&objects, folder.path());
        let filters = Filters { digests: true, skips_sizes: true, ..Filters::default() };
        let sources = discover(&[folder.path().to_path_buf()], None, &filters).unwrap().sources;
        let (mut keys, mut sidecar) = (PublicKeys::default(), Signatures::default());
        keys.add(key_list(&[&key]).to_string().as_bytes()).unwrap();
        sidecar.add(signatures(TRAIL.bucket, &objects).to_string().as_bytes(), "signatures.json").unwrap();
        let names = delivered.iter().map(|digest| digest.key.clone()).collect();
        Chain { sources, names, keys, signatures: sidecar, _folder: folder }
    }

    /// The judgement of what is left without the digests `lost`.
    fn without(&self, lost: std::ops::Range<usize>) -> Judgement {
        let lost: BTreeSet<&str> = self.names.get(lost).unwrap().iter().map(String::as_str).collect();
        let mut sources = self.sources.clone();
        sources.retain(|source| !lost.contains(source.name().as_str()));
        let evidence = observe(&sources, 1, Limits::default(), |_| ()).unwrap();
        let (names, settings) = (SourceNames(&sources), Settings::default());
        let trial = Trial::new(&evidence, &self.keys, &self.signatures, &names, &settings);
        judge(&trial, &check_signatures(&trial, 1).unwrap())
    }
}

/// The first instant of the digest of this number.
fn start(digest: usize) -> Option<i64> {
    Some((START + i64::try_from(digest).unwrap() * 3600) * MICROS)
}

#[test]
fn every_run_of_deleted_digests_is_seen_at_its_full_length() {
    let chain = Chain::new();
    let count = chain.names.len();
    let mut runs = 0;
    for length in 1..=24 {
        for first in 0..=count - length {
            runs += 1;
            let judgement = chain.without(first..first + length);
            let what = format!("{length} digests from {first} on: {:#?}", judgement.findings);
            assert_eq!(judgement.digests.verified, (count - length) as u64, "{what}");
            assert!(judgement.logs.failed == 0 && judgement.missing_logs == 0, "{what}");
            let missing: Vec<_> =
                judgement.findings.iter().filter(|finding| finding.code == Code::DigestMissing).collect();
            if first + length == count {
                // Nothing names the digests at the end: only the logs show that time went on.
                assert!(missing.is_empty() && !judgement.is_complete(), "{what}");
                let is_told = judgement.findings.iter().any(|finding| finding.code == Code::ChainEndsEarly);
                assert_eq!(is_told, length > 1, "{what}");
                continue;
            }
            assert_eq!(missing.len(), 1, "{what}");
            let finding = missing.first().unwrap();
            assert_eq!(finding.key.as_deref(), Some(chain.names[first + length - 1].as_str()), "{what}");
            assert!(judgement.has_tampering(), "{what}");
            if first > 0 {
                assert_eq!(finding.count, length as u64, "{what}");
                assert_eq!((finding.first_time, finding.last_time), (start(first), start(first + length)), "{what}");
            }
        }
    }
    assert_eq!(runs, (7..=30).sum::<usize>(), "every place of every length");
}
