//! What is remembered of a file while it is read.
//!
//! In: the path and the text, in pieces. Out: [`Observation`]: the first and the last eventTime, and the digest, if it is one.
//! A file is a digest when its path says so, or when its text begins like one, because copies are renamed. eventTime is
//! searched as text: a log's hash decides, and the times are a hint where no hash is trusted, so a parser would be too much.

use memchr::memmem::{Finder, find};

use super::digest::{Digest, MAX_TEXT, parse};
use crate::discover::{Folder, parse_key};
use crate::read::Content;
use crate::time::parse_timestamp;

/// What reading one file gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Its text; `None` when it could not be read.
    pub content: Option<Content>,
    /// First and last eventTime found in the text, microseconds since 1970-01-01 UTC.
    pub times: Option<(i64, i64)>,
    /// For a digest: what it states, or why it is none.
    pub digest: Option<Result<Box<Digest>, String>>,
    /// The text of a digest, if it is kept.
    pub text: Option<Box<str>>,
}

/// Makes observations, one file after the other. Each reading thread has its own.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is known of the file at hand; no combination is a state of its own"
)]
pub struct Witness {
    finder: Finder<'static>,
    keeps_text: bool,
    /// The path says that the file is a digest.
    is_claimed: bool,
    has_begun: bool,
    is_archive: bool,
    keeps: bool,
    text: Vec<u8>,
    /// The end of the piece before, in which an eventTime may have begun.
    rest: Vec<u8>,
    times: Times,
}

/// `2024-03-05T10:14:07Z`.
type Instant = [u8; 20];

/// The first and the last of the times seen.
#[derive(Default)]
struct Times {
    range: Option<(i64, i64)>,
    /// Of those written as CloudTrail writes them, which are in order as texts, so that only two are parsed.
    texts: Option<(Instant, Instant)>,
}

impl Times {
    fn add(&mut self, text: &[u8]) {
        match Instant::try_from(text) {
            Ok(text) if is_usual(&text) => {
                self.texts = Some(self.texts.map_or((text, text), |(first, last)| (first.min(text), last.max(text))));
            }
            _ => self.parse(text),
        }
    }

    fn parse(&mut self, text: &[u8]) {
        if let Some(time) = std::str::from_utf8(text).ok().and_then(parse_timestamp) {
            self.range = Some(self.range.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
        }
    }

    fn finish(&mut self) -> Option<(i64, i64)> {
        if let Some((first, last)) = self.texts.take() {
            self.parse(&first);
            self.parse(&last);
        }
        self.range.take()
    }
}

impl Default for Witness {
    fn default() -> Witness {
        Witness::new(false)
    }
}

/// Bytes in which an eventTime with its value must begin and end.
const WIDTH: usize = 64;

impl Witness {
    /// `keeps_text` says whether observations of digests have their text.
    pub fn new(keeps_text: bool) -> Witness {
        Witness {
            finder: Finder::new(b"\"eventTime\""),
            keeps_text,
            is_claimed: false,
            has_begun: false,
            is_archive: false,
            keeps: false,
            text: Vec::new(),
            rest: Vec::new(),
            times: Times::default(),
        }
    }

    /// The file at `path` begins.
    pub fn begin(&mut self, path: &str) {
        let may_be_digest = find(path.as_bytes(), b"CloudTrail-Digest").is_some();
        self.is_claimed = may_be_digest && parse_key(path).is_some_and(|key| key.folder == Folder::Digest);
        self.has_begun = false;
        self.is_archive = false;
        self.keeps = false;
        self.text.clear();
        self.rest.clear();
        self.times = Times::default();
    }

    /// A text begins: the file's own, or that of a member of an archive, which is not looked at.
    pub fn open(&mut self, member: Option<&str>) {
        self.is_archive |= member.is_some();
    }

    /// The next bytes of the text.
    pub fn data(&mut self, text: &[u8]) {
        if self.is_archive {
            return;
        }
        if !self.has_begun {
            self.has_begun = true;
            self.keeps = self.is_claimed || begins_like_digest(text);
        }
        if self.keeps {
            // One byte more than a digest may have, so that a larger one shows.
            let room = (MAX_TEXT + 1).saturating_sub(self.text.len()).min(text.len());
            self.text.extend_from_slice(text.get(..room).unwrap_or_default());
        }
        self.find_times(text);
    }

    fn find_times(&mut self, text: &[u8]) {
        if !self.rest.is_empty() {
            let mut seam = std::mem::take(&mut self.rest);
            seam.extend_from_slice(text.get(..WIDTH.min(text.len())).unwrap_or_default());
            self.find_in(&seam);
        }
        self.find_in(text);
        // A text in one piece, the usual case, has no seam; the copy of its end costs nothing.
        self.rest.extend_from_slice(text.get(text.len().saturating_sub(WIDTH)..).unwrap_or_default());
    }

    fn find_in(&mut self, text: &[u8]) {
        for at in self.finder.find_iter(text) {
            let value = text.get(at + "\"eventTime\"".len()..).unwrap_or_default();
            if let Some(value) = time_value(value) {
                self.times.add(value);
            }
        }
    }

    /// The file ends. `content` is what the reader hashed.
    pub fn finish(&mut self, content: Option<Content>) -> Observation {
        let mut observation = Observation { content, times: self.times.finish(), digest: None, text: None };
        if self.is_archive || observation.content.is_none() {
            return observation;
        }
        if self.keeps || self.is_claimed {
            let digest = parse(&self.text).map(Box::new);
            if self.is_claimed || digest.is_ok() {
                observation.digest = Some(digest);
                observation.text = self.keeps_text.then(|| String::from_utf8_lossy(&self.text).into());
            }
        }
        if self.text.capacity() > 1 << 20 {
            self.text = Vec::new();
        }
        observation
    }
}

/// True when a text may be a digest although its path does not say so.
fn begins_like_digest(text: &[u8]) -> bool {
    let head = text.get(..text.len().min(4096)).unwrap_or_default();
    head.trim_ascii_start().starts_with(b"{") && find(head, b"\"digestS3Object\"").is_some()
}

/// The text of the time in `: "2024-03-05T10:14:07Z"`.
fn time_value(text: &[u8]) -> Option<&[u8]> {
    let value = text.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let value = value.get(..value.len().min(40))?;
    value.get(..memchr::memchr(b'"', value)?)
}

/// True for `2024-03-05T10:14:07Z` with any digits: such texts are in the order of their times, and an impossible one, which
/// is no time, only takes the place of another.
fn is_usual(text: &Instant) -> bool {
    text.iter().zip(b"0000-00-00T00:00:00Z").all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == form,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Form;
    use crate::time::format_timestamp;

    fn content() -> Option<Content> {
        Some(Content { sha256: [0; 32], without_newline: None, first_member: None, form: Form::Sound })
    }

    #[test]
    fn times_are_found_wherever_the_text_is_cut() {
        let text = r#"{"Records":[{"eventTime":"2024-03-05T10:14:07Z"},{"eventTime" : "2024-03-05T10:10:00Z"},{"eventTime":7}]}"#;
        for cut in 0..text.len() {
            let mut witness = Witness::default();
            witness.begin("x.json");
            witness.open(None);
            witness.data(&text.as_bytes()[..cut]);
            witness.data(&text.as_bytes()[cut..]);
            let (first, last) = witness.finish(content()).times.unwrap();
            let times = [format_timestamp(first), format_timestamp(last)];
            assert_eq!(times, ["2024-03-05T10:10:00Z", "2024-03-05T10:14:07Z"], "cut at {cut}");
        }
    }

    #[test]
    fn a_digest_is_known_by_its_place_or_its_beginning() {
        let path = "AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2024/03/05/x.json.gz";
        let seen = |path: &str, text: &str| {
            let mut witness = Witness::default();
            witness.begin(path);
            witness.open(None);
            witness.data(text.as_bytes());
            witness.finish(content()).digest
        };
        assert!(matches!(seen(path, "{\"Records\":[]}"), Some(Err(_))));
        assert!(matches!(seen(path, ""), Some(Err(_))));
        assert!(seen("x.json.gz", "{\"Records\":[{\"digestS3Object\":1}]}").is_none());
        assert!(seen("x.json.gz", "prose").is_none());
    }
}
