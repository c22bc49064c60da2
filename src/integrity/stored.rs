//! Observations as a journal and a case keep them, so that a file need not be read again.
//!
//! In: an [`Observation`]. Out: JSON with the hash, how the text was packed, and its times; for a digest its text, which is
//! parsed again when the observation is needed.

use serde::{Deserialize, Serialize};

use super::digest::parse;
use super::text::{hex, unhex_exactly};
use super::witness::Observation;
use crate::read::{Content, Form};

/// An observation without what can be had from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObservation {
    /// SHA-256 of the text, hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// `sound`, `appended`, `damaged`, `cut`, `archive`.
    form: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    appended_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    without_newline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    first_member: Option<String>,
    /// First and last eventTime, microseconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    times: Option<(i64, i64)>,
    /// The text of a digest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<Box<str>>,
}

impl StoredObservation {
    /// What is kept of an observation; `None` when the file could not be read.
    pub fn new(observation: &Observation) -> Option<StoredObservation> {
        Some(StoredObservation { digest: observation.text.clone(), ..Self::without_digest(observation)? })
    }

    /// The same without the text of a digest.
    pub fn without_digest(observation: &Observation) -> Option<StoredObservation> {
        let content = observation.content.as_ref()?;
        let (form, appended_at) = match content.form {
            Form::Sound => ("sound", None),
            Form::Appended(offset) => ("appended", Some(offset)),
            Form::Damaged => ("damaged", None),
            Form::Cut => ("cut", None),
            Form::Archive => ("archive", None),
        };
        let has_hash = !matches!(content.form, Form::Cut | Form::Archive);
        Some(StoredObservation {
            sha256: has_hash.then(|| hex(&content.sha256)),
            form: form.to_owned(),
            appended_at,
            without_newline: content.without_newline.map(|hash| hex(&hash)),
            first_member: content.first_member.map(|hash| hex(&hash)),
            times: observation.times,
            digest: None,
        })
    }

    /// The observation again.
    pub fn observation(self) -> Observation {
        let hash = |text: Option<&str>| text.and_then(unhex_exactly::<32>);
        let form = match self.form.as_str() {
            "sound" => Form::Sound,
            "appended" => Form::Appended(self.appended_at.unwrap_or_default()),
            "damaged" => Form::Damaged,
            "cut" => Form::Cut,
            _ => Form::Archive,
        };
        let content = Content {
            sha256: hash(self.sha256.as_deref()).unwrap_or_default(),
            without_newline: hash(self.without_newline.as_deref()),
            first_member: hash(self.first_member.as_deref()),
            form,
        };
        let digest = self.digest.as_ref().map(|text| parse(text.as_bytes()).map(Box::new));
        Observation { content: Some(content), times: self.times, digest, text: self.digest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_survive_being_kept() {
        for form in [Form::Sound, Form::Appended(77), Form::Damaged] {
            let content =
                Content { sha256: [1; 32], without_newline: Some([2; 32]), first_member: Some([3; 32]), form };
            let digest = Some(parse(b"{}").map(Box::new));
            let observation =
                Observation { content: Some(content), times: Some((1, 2)), digest, text: Some("{}".into()) };
            let text = serde_json::to_string(&StoredObservation::new(&observation)).unwrap();
            let stored: StoredObservation = serde_json::from_str(&text).unwrap();
            assert_eq!(stored.observation(), observation);
        }
        assert_eq!(StoredObservation::new(&Observation::default()), None);
    }
}
