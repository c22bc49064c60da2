//! Are the logs those that CloudTrail delivered? CloudTrail's digests, judged without AWS.
//!
//! In: facts about files (hashes, never the files), the texts of digests, public keys, and signatures that were fetched
//! beside them. Out: a [`Judgement`]: a verdict for each file, findings with what they prove and what not, and the chains
//! with the time they cover. Nothing in here touches the file system or starts a thread, and no text from a digest is ever
//! used as a path, so a hostile digest can make findings and nothing else.
//!
//! CloudTrail writes, for each trail, account and Region, one digest an hour. It lists the logs delivered in that hour with
//! their SHA-256, names its predecessor with hash and signature, and is signed itself; its own signature stands in its
//! successor and in the metadata of its S3 object. So logs hang on digests, digests on each other, and all of it on public
//! keys that AWS publishes ("Validating CloudTrail log file integrity" in the CloudTrail user guide). [`witness`] makes the
//! facts on the reading threads, [`evidence`] collects them in about a hundred bytes for each log, [`trial`] links digests
//! and checks signatures, [`digests`] judges them, [`chain`] finds what is missing between them, [`logs`] judges the logs, [`table`] has the rows.

mod text;
pub mod code;
pub mod digest;
pub mod keys;
pub mod location;
pub mod sidecar;
pub mod witness;
pub mod stored;
pub mod evidence;
pub mod finding;
pub mod trial;
pub mod chain;
pub mod digests;
pub mod logs;
mod uncovered;
pub mod judgement;
pub mod table;

pub use code::{Code, Codes, Verdict};
pub use evidence::{Evidence, Names};
pub use finding::Finding;
pub use judgement::{Judgement, judge};
pub use keys::PublicKeys;
pub use sidecar::Signatures;
pub use stored::StoredObservation;
pub use text::hex;
pub use trial::{Settings, SignatureState, Trial};
pub use witness::{Observation, Witness};
