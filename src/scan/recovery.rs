//! Where to go on after a broken stretch.
//!
//! In: text whose structure is lost. Out: places where a record or an element of an envelope plausibly starts: `{`
//! followed by a member name that CloudTrail or its envelopes begin with, or `{"` at the start of a line. A broken
//! record swallows what follows it, so the search begins right behind its own start. To keep hostile text from making
//! that quadratic, a record that runs past [`PASSED_STARTS`] further starts is given up: each byte is then walked over
//! at most that many times. Real records contain no start at all.

use super::text::Window;
use std::collections::VecDeque;

/// Plausible starts that a record may run past once the text has proved to be broken.
const PASSED_STARTS: usize = 8;

/// Longest text from `{` to the end of the first name that is looked at.
const REACH: usize = 160;

/// Names that a record begins with. `resources` is left out: EventBridge and nested objects have it as well.
const RECORD_NAMES: [&[u8]; 23] = [
    b"eventVersion",
    b"userIdentity",
    b"eventTime",
    b"eventSource",
    b"eventName",
    b"awsRegion",
    b"sourceIPAddress",
    b"userAgent",
    b"errorCode",
    b"errorMessage",
    b"requestParameters",
    b"responseElements",
    b"additionalEventData",
    b"requestID",
    b"eventID",
    b"readOnly",
    b"apiVersion",
    b"eventType",
    b"recipientAccountId",
    b"sharedEventID",
    b"managementEvent",
    b"eventCategory",
    b"addendum",
];

/// Names that envelopes and their elements begin with.
const ENVELOPE_NAMES: [&[u8]; 9] = [
    b"Records",
    b"Events",
    b"EventId",
    b"CloudTrailEvent",
    b"messageType",
    b"logEvents",
    b"logStreamName",
    b"detail-type",
    b"detail",
];

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A plausible start.
    At(u64),
    /// It depends on text behind the window, from here on.
    Wait(u64),
    /// None before the end of what was searched.
    None,
}

/// The first plausible start at or behind `from` and before `until`, in text that is kept from `floor` on. In the last
/// window nothing is left open.
pub(super) fn next_start(window: &Window<'_>, floor: u64, from: u64, until: Option<u64>) -> Found {
    let mut at = from;
    loop {
        let rest = window.slice(at, until.unwrap_or(u64::MAX).min(window.end()));
        let Some(found) = memchr::memchr(b'{', rest) else { return Found::None };
        at += found as u64;
        match is_start(window, floor, at) {
            Some(true) => return Found::At(at),
            Some(false) => at += 1,
            None => return Found::Wait(at),
        }
    }
}

/// Whether the `{` at `at` is plausible; `None` when the window ends too soon to tell.
fn is_start(window: &Window<'_>, floor: u64, at: u64) -> Option<bool> {
    let text = window.from(at);
    let is_short = text.len() < REACH && !window.last;
    let text = text.get(1..text.len().min(REACH)).unwrap_or_default();
    if text.first() == Some(&b'"') && at > floor && window.slice(at - 1, at) == b"\n" {
        return Some(true);
    }
    let Some(name) = text.trim_ascii_start().strip_prefix(b"\"") else {
        return if is_short && text.trim_ascii_start().is_empty() { None } else { Some(false) };
    };
    let Some(end) = memchr::memchr(b'"', name) else { return if is_short { None } else { Some(false) } };
    let (name, behind) = name.split_at_checked(end).unwrap_or_default();
    if RECORD_NAMES.contains(&name) || ENVELOPE_NAMES.contains(&name) {
        return Some(true);
    }
    let followed = |text: &[u8]| memchr::memmem::find(behind, text).is_some();
    let is_element = match name {
        b"id" => followed(b"\"timestamp\""),
        b"timestamp" => followed(b"\"message\""),
        b"field" => followed(b"\"@"),
        _ => return Some(false),
    };
    if is_element || !is_short { Some(is_element) } else { None }
}

/// How far a record may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// As far as there is text.
    None,
    /// To here; it is given up when it is not complete by then.
    At(u64),
    /// To here until there is more text.
    Unsure(u64),
}

/// The plausible starts ahead, found once and in order.
#[derive(Default)]
pub(super) struct Starts {
    ahead: VecDeque<u64>,
    searched: u64,
}

impl Starts {
    /// How far a record that starts at `start` may reach. Must be asked with growing starts.
    pub(super) fn limit(&mut self, window: &Window<'_>, start: u64) -> Limit {
        while self.ahead.front().is_some_and(|next| *next <= start) {
            self.ahead.pop_front();
        }
        self.searched = self.searched.max(start + 1);
        while self.ahead.len() < PASSED_STARTS {
            match next_start(window, start, self.searched, None) {
                Found::At(next) => {
                    self.ahead.push_back(next);
                    self.searched = next + 1;
                }
                Found::Wait(next) => {
                    self.searched = self.searched.max(next);
                    return Limit::Unsure(next);
                }
                Found::None => {
                    self.searched = self.searched.max(window.end());
                    return Limit::None;
                }
            }
        }
        self.ahead.back().map_or(Limit::None, |last| Limit::At(*last))
    }

    pub(super) fn clear(&mut self) {
        self.ahead.clear();
        self.searched = 0;
    }
}
