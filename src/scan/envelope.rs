//! The walk through a text: from envelope to envelope, element to element, down to the records.
//!
//! In: windows of the text that overlap where something is unfinished. Out: records and skips to the sink, through the
//! ledger. An object is taken apart name by name until one name decides: `eventVersion`, `eventSource` or `eventName`
//! make it a record, which is then passed over by counting brackets; `Records`, `Events`, `events`, `logEvents`,
//! `results`, `detail`, `CloudTrailEvent` and `message` lead further down; a digest's names make it a digest. So no
//! envelope needs to be announced, names may stand in any order, and NDJSON, concatenated objects and log lines are just
//! more values at the top level. What does not fit is skipped up to the next plausible start (`recovery`).
//! Deliberately absent: insistence on commas and on closed envelopes; they hold no evidence.

use super::Sink;
use super::Summary;
use super::Verdict;
use super::embedded::{self, Content};
use super::ledger::{Ledger, Seen};
use super::recovery::{self, Found, Limit, Starts};
use super::structural::{self, Brackets, Engine, Nest};
use super::text::{self, MAX_NAME, Window, behind_string, ends_value, is_separator};
use crate::error::ProblemKind;

/// How nearly every record begins.
const RECORD_START: &[u8] = b"{\"eventVersion\"";

/// Envelopes inside envelopes. Real ones have up to five levels, with Logs Insights results.
const MAX_FRAMES: usize = 16;

/// Records above this size are rare enough for a closer look: they may have swallowed others.
const LARGE_RECORD: usize = 8 << 10;

/// What the elements of an array or an object itself are expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A record or an envelope; anything else is reported.
    Outer,
    /// Part of an envelope that may well hold other things than records.
    Inner,
}

/// An array or object that the walk is inside of.
enum Frame {
    Array(Place),
    Object(Object),
}

struct Object {
    start: u64,
    /// Start of the member that is being read.
    member: u64,
    /// No name can make it a record any more.
    decided: bool,
    place: Place,
    /// Found by searching in a broken stretch, so that it may be something nested.
    hunted: bool,
}

enum Mode {
    /// Between values.
    Next,
    /// Inside a record.
    Record { start: u64, nest: Nest, hunted: bool },
    /// Inside a value that is passed over; one that is out of place is reported from `report` on.
    Pass { value: Value, report: Option<u64> },
    /// Inside a string that may hold a record.
    Embedded { start: u64, must: bool },
    /// Inside a broken stretch.
    Hunt(Hunt),
}

#[derive(Clone, Copy)]
enum Value {
    String,
    Scalar,
    Nested(Brackets, Nest),
}

#[derive(Clone, Copy)]
struct Hunt {
    from: u64,
    /// The next place to look at.
    look: u64,
    /// Where structure is known to resume.
    until: Option<u64>,
    cause: Cause,
}

/// Why a stretch is skipped.
#[derive(Clone, Copy)]
enum Cause {
    Garbage,
    Broken,
    NotJson,
    Foreign,
    Oversized,
    Cut,
}

impl Cause {
    fn kind(self) -> ProblemKind {
        match self {
            Cause::Oversized => ProblemKind::OversizedRecord,
            Cause::Cut => ProblemKind::CutRecord,
            _ => ProblemKind::Malformed,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Cause::Garbage => "expected a JSON object or array",
            Cause::Broken => "expected the end of an object; others begin before it",
            Cause::NotJson => "expected JSON; only the brackets match",
            Cause::Foreign => "expected a record or a known envelope; the object is neither",
            Cause::Oversized => "expected a record within the bound on its size",
            Cause::Cut => "expected the rest of a record; the text ends",
        }
    }
}

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

/// Whether the walk goes on or needs more text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Go,
    Wait,
}

/// Why a step sees less than there is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    No,
    Size,
    Starts,
}

/// The state of the walk.
pub(super) struct Walker {
    engine: Engine,
    max_record: u64,
    /// The next byte to look at.
    at: u64,
    stack: Vec<Frame>,
    mode: Mode,
    /// The structure was lost once: what follows is trusted less.
    broken: bool,
    starts: Starts,
    ledger: Ledger,
    unescaped: Vec<u8>,
}

impl Walker {
    pub(super) fn new(max_record: usize) -> Walker {
        Walker {
            engine: Engine::best(),
            max_record: max_record as u64,
            at: 0,
            stack: Vec::new(),
            mode: Mode::Next,
            broken: false,
            starts: Starts::default(),
            ledger: Ledger::default(),
            unescaped: Vec::new(),
        }
    }

    pub(super) fn reset(&mut self) {
        self.at = 0;
        self.stack.clear();
        self.mode = Mode::Next;
        self.broken = false;
        self.starts.clear();
        self.ledger = Ledger::default();
        self.unescaped.clear();
        self.unescaped.shrink_to(1 << 20);
    }

    /// The first byte that is still needed.
    pub(super) fn hold(&self) -> u64 {
        match (&self.mode, self.stack.last()) {
            // One byte more, for the line break before a start.
            (Mode::Hunt(hunt), _) => hunt.look.saturating_sub(1).max(hunt.from),
            (Mode::Record { start, .. } | Mode::Pass { report: Some(start), .. }, _) => *start,
            (_, Some(Frame::Object(object))) if object.decided => object.member,
            (_, Some(Frame::Object(object))) => object.start,
            _ => self.at,
        }
    }

    /// Walks as far as the window allows.
    pub(super) fn run(&mut self, window: &Window<'_>, sink: &mut dyn Sink) {
        loop {
            let hold = self.hold();
            let (view, cut) = self.view(window, hold);
            // A bound counts from what is held; when that moved, the next step may see more.
            if self.step(&view, sink) == Flow::Go || (cut != Cut::No && self.hold() > hold) {
                continue;
            }
            match cut {
                Cut::No => return,
                Cut::Starts => self.fail(Cause::Broken),
                Cut::Size => self.oversized(),
            }
        }
    }

    /// What the next step may see: a record that has no end within its bounds is given up there, whatever the size of
    /// the chunks.
    fn view<'a>(&mut self, window: &Window<'a>, hold: u64) -> (Window<'a>, Cut) {
        if matches!(self.mode, Mode::Hunt(_)) || (hold == self.at && matches!(self.mode, Mode::Next)) {
            return (*window, Cut::No);
        }
        // One byte more, because what follows a record is looked at too.
        let mut end = hold + self.max_record + 1;
        let mut cut = Cut::Size;
        if self.broken {
            match self.starts.limit(window, hold) {
                Limit::At(limit) if limit < end => (end, cut) = (limit, Cut::Starts),
                Limit::Unsure(limit) if limit < end => (end, cut) = (limit, Cut::No),
                _ => {}
            }
        }
        if end < window.end() { (window.until(end), cut) } else { (*window, Cut::No) }
    }

    /// Ends the text: what is unfinished is searched for starts like any broken stretch.
    pub(super) fn finish(&mut self, window: &Window<'_>, torn: bool, sink: &mut dyn Sink) -> Summary {
        loop {
            self.run(window, sink);
            let is_inside = matches!(self.stack.last(), Some(Frame::Object(object)) if !object.decided);
            if self.at >= window.end() && matches!(self.mode, Mode::Next) && !is_inside {
                break;
            }
            self.fail(Cause::Cut);
        }
        if !self.stack.is_empty() && !self.broken && !torn {
            self.ledger.missing(window.end(), "expected the end of the envelope; the text ends", sink);
        }
        self.ledger.close(window.end(), sink)
    }

    /// Gives up what is being read, and looks for a start behind the place where it began.
    fn fail(&mut self, cause: Cause) {
        let from = self.hold().max(self.ledger.accounted());
        let mut look = from;
        if matches!(self.mode, Mode::Record { .. }) {
            self.ledger.saw(Seen::Envelope);
            look = from + 1;
        } else if matches!(self.stack.last(), Some(Frame::Object(object)) if !object.decided) {
            self.stack.pop();
            look = from + 1;
        }
        self.broken = true;
        self.mode = Mode::Hunt(Hunt { from, look, until: None, cause });
    }

    fn oversized(&mut self) {
        match (&self.mode, self.stack.last_mut()) {
            // Part of an envelope: passed over without keeping it.
            (Mode::Pass { report: None, .. }, Some(Frame::Object(object))) if object.decided => object.member = self.at,
            _ => self.fail(Cause::Oversized),
        }
    }

    fn step(&mut self, view: &Window<'_>, sink: &mut dyn Sink) -> Flow {
        match self.mode {
            Mode::Next => match self.stack.last() {
                Some(Frame::Object(_)) => self.in_object(view),
                _ => self.in_array(view, sink),
            },
            Mode::Record { start, nest, hunted } => self.in_record(view, start, nest, hunted, sink),
            Mode::Pass { value, report } => self.pass(view, value, report, sink),
            Mode::Embedded { start, must } => self.in_string(view, start, must, sink),
            Mode::Hunt(hunt) => self.hunt(view, hunt, sink),
        }
    }

    /// Between elements, in an array or at the top level.
    fn in_array(&mut self, view: &Window<'_>, sink: &mut dyn Sink) -> Flow {
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

    /// The hot loop: records as trails deliver them, one after the other.
    fn records(&mut self, view: &Window<'_>, sink: &mut dyn Sink) {
        loop {
            let rest = view.from(self.at);
            let space = rest.iter().position(|byte| !is_separator(*byte)).unwrap_or(0);
            let Some(text) = rest.get(space..).filter(|text| text.starts_with(RECORD_START)) else { return };
            let start = self.at + space as u64;
            let bound = text.get(..self.max_record as usize).unwrap_or(text);
            let (mut walked, mut nest) = (1, Nest::opened());
            match structural::find_close(self.engine, bound, Brackets::Curly, &mut walked, &mut nest) {
                Some(end) if end < text.len() || view.last => self.record(view, start, start + end as u64, sink),
                _ => {
                    self.at = start + walked as u64;
                    self.mode = Mode::Record { start, nest, hunted: false };
                }
            }
            if !matches!(self.mode, Mode::Next) || self.broken {
                return;
            }
        }
    }

    fn in_record(&mut self, view: &Window<'_>, start: u64, nest: Nest, hunted: bool, sink: &mut dyn Sink) -> Flow {
        let mut nest = nest;
        let text = view.from(start);
        let mut walked = (self.at - start) as usize;
        match structural::find_close(self.engine, text, Brackets::Curly, &mut walked, &mut nest) {
            Some(end) if end < text.len() || view.last => {
                let is_nested =
                    hunted && memchr::memmem::find(view.slice(start, start + end as u64), b"\"eventTime\"").is_none();
                if is_nested {
                    self.fail(Cause::Broken);
                } else {
                    self.record(view, start, start + end as u64, sink);
                }
                Flow::Go
            }
            Some(_) => Flow::Wait,
            None => {
                self.at = start + walked as u64;
                self.mode = Mode::Record { start, nest, hunted };
                Flow::Wait
            }
        }
    }

    /// A record whose brackets match. One that lost a quote can run on through its neighbours and end in one of their
    /// strings: what looks like that must prove to be JSON, because the sink parses only what it needs.
    fn record(&mut self, view: &Window<'_>, start: u64, end: u64, sink: &mut dyn Sink) {
        let bytes = view.slice(start, end);
        let is_odd = match view.from(end).first() {
            None | Some(b'}' | b'{') => false,
            Some(byte) => !is_separator(*byte) && *byte != b']',
        };
        let has_others = || bytes.get(1..).is_some_and(|inside| memchr::memmem::find(inside, RECORD_START).is_some());
        let is_suspect = is_odd || (bytes.len() > LARGE_RECORD && has_others());
        self.mode = Mode::Next;
        if is_suspect && !is_json(bytes) {
            self.mode = Mode::Record { start, nest: Nest::opened(), hunted: false };
            self.fail(Cause::NotJson);
        } else if self.ledger.record(bytes, start, end, sink) == Verdict::Malformed {
            self.broken = true;
            self.mode = Mode::Hunt(Hunt { from: start, look: start + 1, until: Some(end), cause: Cause::NotJson });
        } else {
            self.at = end;
            self.behind_value();
        }
    }

    /// Tells the object around a value that the value is done with.
    fn behind_value(&mut self) {
        if let Some(Frame::Object(object)) = self.stack.last_mut() {
            object.member = self.at;
        }
    }

    fn open_object(&mut self, view: &Window<'_>, start: u64, hunted: bool) {
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
    fn in_object(&mut self, view: &Window<'_>) -> Flow {
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

    fn failed(&mut self, cause: Cause) -> Flow {
        self.fail(cause);
        Flow::Go
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
    fn pass(&mut self, view: &Window<'_>, value: Value, report: Option<u64>, sink: &mut dyn Sink) -> Flow {
        let text = view.from(self.at);
        let mut value = value;
        let mut walked = 0;
        let end = match &mut value {
            Value::String => behind_string(text, &mut walked),
            Value::Scalar => {
                walked = text.len();
                let end =
                    |byte: &u8| matches!(byte, b',' | b'}' | b']' | b'{' | b'[' | b'"') || byte.is_ascii_whitespace();
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
    fn in_string(&mut self, view: &Window<'_>, start: u64, must: bool, sink: &mut dyn Sink) -> Flow {
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
        match text::known_text(view.from(self.at), view.last) {
            Some(0) => self.fail(Cause::Garbage),
            Some(length) => {
                self.ledger.saw(if length == text::WRITE_TEST.len() { Seen::Other } else { Seen::Nothing });
                self.at += length as u64;
            }
            None => return Flow::Wait,
        }
        Flow::Go
    }

    /// Looks for the end of a broken stretch.
    fn hunt(&mut self, window: &Window<'_>, hunt: Hunt, sink: &mut dyn Sink) -> Flow {
        let Hunt { from, cause, .. } = hunt;
        match recovery::next_start(window, from, hunt.look, hunt.until) {
            Found::At(start) => {
                // What is not the end of the text was not cut by it.
                let cause = if matches!(cause, Cause::Cut) { Cause::Broken } else { cause };
                self.ledger.skip(from, start, cause.kind(), cause.message(), sink);
                self.broken = true;
                self.open_object(window, start, true);
                Flow::Go
            }
            Found::Wait(look) => {
                self.mode = Mode::Hunt(Hunt { look, ..hunt });
                Flow::Wait
            }
            Found::None => {
                if let Some(end) = hunt.until.or(if window.last { Some(window.end()) } else { None }) {
                    self.ledger.skip(from, end, cause.kind(), cause.message(), sink);
                    self.at = end;
                    self.mode = Mode::Next;
                    self.behind_value();
                    return Flow::Go;
                }
                self.mode = Mode::Hunt(Hunt { look: window.end().max(hunt.look), ..hunt });
                Flow::Wait
            }
        }
    }
}

fn is_json(bytes: &[u8]) -> bool {
    crate::json::parse(&String::from_utf8_lossy(bytes)).is_ok()
}
