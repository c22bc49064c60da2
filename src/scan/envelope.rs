//! What a text is made of: envelopes, their elements, and the records in them.
//!
//! In: the walk's state and the text ahead. Out: the state behind one more bracket, name or value. An object is taken
//! apart name by name until one name decides: `eventVersion`, `eventSource` or `eventName` make it a record; `Records`,
//! `Events`, `events`, `logEvents`, `results`, `detail`, `CloudTrailEvent` and `message` lead further down; a digest's
//! names make it a digest. So no envelope needs to be announced, names may stand in any order, and NDJSON, concatenated
//! objects and log lines are just more values at the top level.
//! Deliberately absent: insistence on commas and on closed envelopes; they hold no evidence.

use super::embedded::{self, Content};
use super::ledger::Seen;
use super::structural::{self, Brackets, Nest};
use super::text::{self, MAX_NAME, Window, behind_string, ends_value, is_separator};
use super::walker::{Cause, Flow, Frame, Hunt, MAX_FRAMES, Mode, Object, Place, RECORD_START, Value, Walker};
use super::{Sink, Verdict};
use crate::error::ProblemKind;

/// What a member's name means.
enum Name {
    Record,
    Elements(Place),
    Detail,
    Text { must: bool },
    Digest,
    Known,
    Other,
}

fn meaning(name: &[u8]) -> Name {
    match name {
        _ if embedded::is_record_name(name) => Name::Record,
        b"Records" => Name::Elements(Place::Outer),
        b"Events" | b"events" | b"logEvents" | b"results" => Name::Elements(Place::Inner),
        b"detail" => Name::Detail,
        b"CloudTrailEvent" => Name::Text { must: true },
        b"message" | b"@message" | b"value" => Name::Text { must: false },
        b"digestStartTime" | b"digestEndTime" | b"digestS3Bucket" | b"digestS3Object" => Name::Digest,
        b"messageType" | b"detail-type" => Name::Known,
        _ => Name::Other,
    }
}

impl Walker {
    /// Between elements, in an array or at the top level.
    pub(super) fn in_array(&mut self, view: &Window<'_>, sink: &mut dyn Sink) -> Flow {
        if !self.broken {
            self.records(view, sink);
            if !matches!(self.mode, Mode::Next) {
                return Flow::Go;
            }
        }
        let rest = view.from(self.at);
        let Some(space) = rest.iter().position(|byte| !is_separator(*byte)) else {
            self.at += rest.len() as u64;
            return Flow::Wait;
        };
        self.at += space as u64;
        let in_array = !self.stack.is_empty();
        match rest.get(space) {
            Some(b'{') => self.open_object(view, self.at, false),
            Some(b'[') if self.stack.len() < MAX_FRAMES => {
                let place = match self.stack.last() {
                    Some(Frame::Array(place)) => *place,
                    _ => Place::Outer,
                };
                self.ledger.saw(Seen::Other);
                self.stack.push(Frame::Array(place));
                self.at += 1;
            }
            Some(b']') if in_array => {
                self.at += 1;
                self.close();
            }
            // Behind a broken stretch, brackets of what was given up are left over.
            Some(b'}' | b']') if self.broken => self.at += 1,
            Some(b'}' | b']' | b'[') | None => self.fail(Cause::Garbage),
            Some(byte) if in_array => {
                let value = if *byte == b'"' { Value::String } else { Value::Scalar };
                self.mode = Mode::Pass { value, report: Some(self.at) };
                self.at += u64::from(*byte == b'"');
            }
            Some(_) => return self.top_level_text(view),
        }
        Flow::Go
    }

    pub(super) fn open_object(&mut self, view: &Window<'_>, start: u64, hunted: bool) {
        self.at = start + 1;
        if hunted && self.stack.len() >= MAX_FRAMES {
            // Broken envelopes inside broken envelopes: where they end is not known anyway.
            self.stack.clear();
        }
        if view.from(start).starts_with(RECORD_START) {
            self.mode = Mode::Record { start, nest: Nest::opened(), hunted };
            return;
        }
        let place = match self.stack.last() {
            Some(Frame::Array(place)) if !hunted => *place,
            _ => Place::Outer,
        };
        self.mode = Mode::Next;
        self.stack.push(Frame::Object(Object { start, member: self.at, decided: false, place, hunted }));
    }

    /// Leaves the innermost frame.
    fn close(&mut self) {
        self.stack.pop();
        self.behind_value();
    }

    /// Between the members of an object.
    pub(super) fn in_object(&mut self, view: &Window<'_>) -> Flow {
        let rest = view.from(self.at);
        let space = rest.iter().position(|byte| !is_separator(*byte)).unwrap_or(rest.len());
        let is_behind = matches!(self.stack.last(), Some(Frame::Object(object)) if object.member == self.at);
        self.at += space as u64;
        if is_behind || rest.get(..space).is_some_and(|separators| separators.contains(&b',')) {
            self.behind_value();
        }
        match rest.get(space) {
            None => Flow::Wait,
            Some(b'"') => self.member(view),
            Some(b'}') => {
                self.close_object();
                Flow::Go
            }
            Some(b']') if self.broken && self.is_decided() => {
                self.at += 1;
                self.behind_value();
                Flow::Go
            }
            Some(_) => self.failed(Cause::Garbage),
        }
    }

    fn is_decided(&self) -> bool {
        matches!(self.stack.last(), Some(Frame::Object(object)) if object.decided)
    }

    /// The object ends at `at`. One that no name decided is reported unless it is inside an envelope.
    fn close_object(&mut self) {
        self.at += 1;
        let Some(Frame::Object(object)) = self.stack.pop() else { return };
        self.behind_value();
        if !object.decided {
            if object.place == Place::Outer {
                let from = object.start.max(self.ledger.accounted());
                let hunt = Hunt { from, look: from + 1, until: Some(self.at), cause: Cause::Foreign };
                self.mode = Mode::Hunt(hunt);
            } else {
                self.ledger.saw(Seen::Other);
            }
        }
    }

    /// A member, from the quote of its name to the first byte of its value.
    fn member(&mut self, view: &Window<'_>) -> Flow {
        let text = view.from(self.at);
        let text = text.get(..MAX_NAME).unwrap_or(text);
        let is_too_long = text.len() == MAX_NAME;
        let more = |walker: &mut Walker| if is_too_long { walker.failed(Cause::Broken) } else { Flow::Wait };
        let Some(end) = embedded::string_end(text) else { return more(self) };
        let name = self.meaning(text.get(1..end - 1).unwrap_or_default());
        if let (Name::Record, Some(Frame::Object(object))) = (&name, self.stack.last())
            && !object.decided
        {
            let Object { start, hunted, .. } = *object;
            self.stack.pop();
            self.at = start + 1;
            self.mode = Mode::Record { start, nest: Nest::opened(), hunted };
            return Flow::Go;
        }
        match text.get(end..).unwrap_or_default().trim_ascii_start() {
            [] => more(self),
            [b':', behind @ ..] => match behind.trim_ascii_start() {
                [] => more(self),
                value @ [first, ..] => self.value(view, name, *first, self.at + (text.len() - value.len()) as u64),
            },
            _ => self.failed(Cause::Broken),
        }
    }

    fn meaning(&mut self, name: &[u8]) -> Name {
        if name.contains(&b'\\') {
            self.unescaped.clear();
            if embedded::unescape(name, &mut self.unescaped).is_some() {
                return meaning(&self.unescaped);
            }
        }
        meaning(name)
    }

    /// Enters or passes over the value that begins at `value` with the byte `first`.
    fn value(&mut self, view: &Window<'_>, name: Name, first: u8, value: u64) -> Flow {
        let name_start = self.at;
        let is_room = self.stack.len() < MAX_FRAMES;
        let Some(Frame::Object(object)) = self.stack.last_mut() else { return Flow::Wait };
        object.member = name_start;
        self.at = value + 1;
        match (name, first) {
            (Name::Elements(place), b'[') if is_room => {
                object.decided = true;
                self.ledger.saw(if place == Place::Outer { Seen::Envelope } else { Seen::Other });
                self.stack.push(Frame::Array(place));
                return Flow::Go;
            }
            (Name::Detail, b'{') if is_room => {
                object.decided = true;
                self.open_object(view, value, false);
                if let Some(Frame::Object(detail)) = self.stack.last_mut()
                    && detail.start == value
                {
                    detail.place = Place::Inner;
                }
                return Flow::Go;
            }
            (Name::Text { must }, b'"') => {
                self.mode = Mode::Embedded { start: value, must };
                return Flow::Go;
            }
            (Name::Digest, _) => {
                object.decided = true;
                self.ledger.saw(Seen::Digest);
            }
            (Name::Known, _) => {
                object.decided = true;
                self.ledger.saw(Seen::Other);
            }
            _ => {}
        }
        let value = match first {
            b'"' => Value::String,
            b'{' => Value::Nested(Brackets::Curly, Nest::opened()),
            b'[' => Value::Nested(Brackets::Square, Nest::opened()),
            b'}' | b']' | b',' | b':' => return self.failed(Cause::Broken),
            _ => Value::Scalar,
        };
        self.mode = Mode::Pass { value, report: None };
        Flow::Go
    }

    /// Goes on through a value that is passed over.
    pub(super) fn pass(&mut self, view: &Window<'_>, value: Value, report: Option<u64>, sink: &mut dyn Sink) -> Flow {
        let text = view.from(self.at);
        let mut value = value;
        let mut walked = 0;
        let end = match &mut value {
            Value::String => behind_string(text, &mut walked),
            Value::Scalar => {
                walked = text.len();
                let end = |byte: &u8| matches!(byte, b'}' | b']' | b'{' | b'[' | b'"') || is_separator(*byte);
                text.iter().position(end).or(if view.last { Some(text.len()) } else { None })
            }
            Value::Nested(brackets, nest) => structural::find_close(self.engine, text, *brackets, &mut walked, nest),
        };
        let Some(end) = end else {
            self.at += walked as u64;
            self.mode = Mode::Pass { value, report };
            return Flow::Wait;
        };
        if report.is_some() && !ends_value(text, end) {
            return if end < text.len() || view.last { self.failed(Cause::Garbage) } else { Flow::Wait };
        }
        self.at += end as u64;
        self.mode = Mode::Next;
        if let Some(start) = report {
            self.ledger.skip(start, self.at, ProblemKind::Malformed, "expected an object", sink);
        }
        Flow::Go
    }

    /// Goes on through a string that may hold a record, and opens it at its end.
    pub(super) fn in_string(&mut self, view: &Window<'_>, start: u64, must: bool, sink: &mut dyn Sink) -> Flow {
        let text = view.from(self.at);
        let mut walked = 0;
        let Some(end) = behind_string(text, &mut walked) else {
            self.at += walked as u64;
            return Flow::Wait;
        };
        if !ends_value(text, end) {
            // A string that lost its quote ends in a neighbor.
            return if end < text.len() || view.last { self.failed(Cause::Broken) } else { Flow::Wait };
        }
        self.at += end as u64;
        self.mode = Mode::Next;
        let escaped = view.slice(start + 1, self.at - 1);
        let content = embedded::open(self.engine, escaped, &mut self.unescaped);
        let taken = match content {
            Content::Record => self.ledger.record(&self.unescaped, start, self.at, sink) == Verdict::Accepted,
            Content::Broken => false,
            Content::Foreign if must => false,
            Content::Foreign => {
                self.ledger.saw(Seen::Other);
                return Flow::Go;
            }
        };
        if !taken {
            self.ledger.skip(start, self.at, ProblemKind::Malformed, "expected a record in the string", sink);
        }
        if let Some(Frame::Object(object)) = self.stack.last_mut() {
            object.decided = true;
        }
        self.behind_value();
        Flow::Go
    }

    /// Text at the top level that is no JSON: the time stamp before an exported log line, a byte order mark, the test
    /// file that an export task leaves.
    fn top_level_text(&mut self, view: &Window<'_>) -> Flow {
        let text = view.from(self.at);
        match text::known_text(text, view.last) {
            Some(0) if matches!(text, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]) => self.fail(Cause::Utf16),
            Some(0) => self.fail(Cause::Garbage),
            Some(length) => {
                self.ledger.saw(if length == text::WRITE_TEST.len() { Seen::Other } else { Seen::Nothing });
                self.at += length as u64;
            }
            None => return Flow::Wait,
        }
        Flow::Go
    }
}
