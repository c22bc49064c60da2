//! The walk through a text: where it stands, what bounds it, and what happens when it is lost.
//!
//! In: windows of the text that overlap where something is unfinished. Out: records and skips to the sink, through the
//! ledger. Each step looks at what comes next (`envelope`), takes a record whose brackets match, or searches for the end
//! of a broken stretch (`recovery`). All bounds count from the start of what is being read, never from the end of a
//! chunk, so that the size of the chunks cannot show in the result.
//! Deliberately absent: recursion. The stack of envelopes is short and explicit; everything below is passed over.

use super::ledger::{Ledger, Seen};
use super::recovery::{self, Found, Limit, Starts};
use super::structural::{self, Brackets, Engine, Nest};
use super::text::{Window, is_separator};
use super::{Sink, Summary, Verdict};
use crate::error::ProblemKind;

/// How nearly every record begins.
pub(super) const RECORD_START: &[u8] = b"{\"eventVersion\"";

/// Envelopes inside envelopes. Real ones have up to five levels, with Logs Insights results.
pub(super) const MAX_FRAMES: usize = 16;

/// Records above this size are rare enough for a closer look: they may have swallowed others.
const LARGE_RECORD: usize = 4 << 10;

/// What the elements of an array or an object itself are expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A record or an envelope; anything else is reported.
    Outer,
    /// Part of an envelope that may well hold other things than records.
    Inner,
}

/// An array or object that the walk is inside of.
pub(super) enum Frame {
    Array(Place),
    Object(Object),
}

pub(super) struct Object {
    pub(super) start: u64,
    /// Start of the member that is being read.
    pub(super) member: u64,
    /// No name can make it a record any more.
    pub(super) decided: bool,
    pub(super) place: Place,
    /// Found by searching in a broken stretch, so that it may be something nested.
    pub(super) hunted: bool,
}

pub(super) enum Mode {
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
pub(super) enum Value {
    String,
    Scalar,
    Nested(Brackets, Nest),
}

#[derive(Clone, Copy)]
pub(super) struct Hunt {
    pub(super) from: u64,
    /// The next place to look at.
    pub(super) look: u64,
    /// Where structure is known to resume.
    pub(super) until: Option<u64>,
    pub(super) cause: Cause,
}

/// Why a stretch is skipped.
#[derive(Clone, Copy)]
pub(super) enum Cause {
    Garbage,
    Utf16,
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
            Cause::Utf16 => "expected UTF-8 and found UTF-16, as PowerShell redirects it; convert the file first",
            Cause::Broken => "expected the end of an object; others begin before it",
            Cause::NotJson => "expected JSON; only the brackets match",
            Cause::Foreign => "expected a record or a known envelope; the object is neither",
            Cause::Oversized => "expected a record within the bound on its size",
            Cause::Cut => "expected the rest of a record; the text ends",
        }
    }
}

/// Whether the walk goes on or needs more text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Go,
    Wait,
}

/// Why a step sees less than there is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    No,
    Size,
    Starts,
}

/// The state of the walk.
pub(super) struct Walker {
    pub(super) engine: Engine,
    pub(super) max_record: u64,
    /// The next byte to look at.
    pub(super) at: u64,
    pub(super) stack: Vec<Frame>,
    pub(super) mode: Mode,
    /// The structure was lost once: what follows is trusted less.
    pub(super) broken: bool,
    pub(super) starts: Starts,
    pub(super) ledger: Ledger,
    pub(super) unescaped: Vec<u8>,
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
    pub(super) fn fail(&mut self, cause: Cause) {
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

    /// The hot loop: records as trails deliver them, one after the other.
    pub(super) fn records(&mut self, view: &Window<'_>, sink: &mut dyn Sink) {
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

    /// A record whose brackets match. One that lost a quote can run on through its neighbors and end in one of their
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
    pub(super) fn behind_value(&mut self) {
        if let Some(Frame::Object(object)) = self.stack.last_mut() {
            object.member = self.at;
        }
    }

    pub(super) fn failed(&mut self, cause: Cause) -> Flow {
        self.fail(cause);
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
