//! From stored bytes to delivered text: what is in a file, or in a member of an archive, and the decoder for it.
//!
//! In: an [`Input`] and, for the file itself, a handle that can seek. Out: calls of the [`Visitor`], within the file's
//! budget. Files and members take the same road; only a file may be an archive.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;

use super::fingerprint::{Content, ContentHash, Form};
use super::gzip::{Gunzip, inflate_whole};
use super::input::{self, Input};
use super::limits::Budget;
use super::magic::{self, HEAD, Magic};
use super::text::{Text, TextReader, fill};
use super::zstd::Unzstd;
use super::{Container, End, Hashing, Reader, Visitor, archive};
use crate::error::{Problem, ProblemKind};

/// Inflated bytes of one step of streaming: 1 MiB.
const STEP: usize = 1 << 20;

/// The reading of one file.
pub(super) struct Job<'a> {
    pub(super) reader: &'a mut Reader,
    visitor: &'a mut dyn Visitor,
    budget: Budget<'a>,
    /// True when the budget is used up: nothing more may be delivered.
    pub(super) spent: bool,
    container: Container,
    members: u64,
    set_apart: u64,
    /// The text's hash, when it is wanted.
    hash: Option<ContentHash>,
    form: Form,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        reader: &'a mut Reader,
        visitor: &'a mut dyn Visitor,
        known: u64,
        read: &'a Cell<u64>,
    ) -> Job<'a> {
        let budget = Budget::new(reader.limits, known, read);
        let hash = (reader.hashing != Hashing::Stored).then(ContentHash::new);
        Job {
            reader,
            visitor,
            budget,
            spent: false,
            container: Container::Plain,
            members: 0,
            set_apart: 0,
            hash,
            form: Form::Sound,
        }
    }

    /// Bytes delivered, what the file was, members read, members set apart, the text's hash.
    pub(super) fn finish(self) -> (u64, Container, u64, u64, Option<Content>) {
        let form = match self.container {
            Container::Plain | Container::Gzip | Container::Zstd if self.spent => Form::Cut,
            Container::Plain | Container::Gzip | Container::Zstd => self.form,
            _ => Form::Archive,
        };
        let content = self.hash.map(|hash| hash.finish(form));
        (self.budget.delivered, self.container, self.members, self.set_apart, content)
    }

    /// Remembers what is wrong with the packing of the file; the first word stands.
    fn deform(&mut self, form: Form) {
        if self.form == Form::Sound {
            self.form = form;
        }
    }

    /// Reads the file itself.
    pub(super) fn file(&mut self, input: &mut Input<'_>, file: Option<&File>) {
        input.ensure(HEAD);
        match magic::sniff(input.available()) {
            Magic::Zip => {
                self.container = Container::Zip;
                archive::zip(self, input, file);
            }
            Magic::Tar => {
                self.container = Container::Tar;
                archive::tar(self, input);
                if let Some(failure) = input.failure() {
                    let message = failure.to_owned();
                    self.problem(ProblemKind::Unreadable, None, (input.offset(), 0), message);
                }
            }
            _ => self.content(input, None),
        }
    }

    /// Reads a member of an archive, unless its name says that it is a placeholder.
    pub(super) fn member(&mut self, name: &str, stream: &mut dyn Read, size: u64) {
        let is_placeholder =
            |part: &str| !matches!(part, "." | "..") && crate::discover::is_placeholder(std::ffi::OsStr::new(part));
        if name.split(['/', '\\']).any(is_placeholder) {
            self.set_apart += 1;
            return;
        }
        self.members += 1;
        let mut buffer = std::mem::take(&mut self.reader.member);
        let head = input::load(stream, &mut buffer, size, self.reader.first_read(size));
        let mut input = Input::new(&mut buffer, head, stream);
        self.content(&mut input, Some(name));
        self.reader.member = buffer;
    }

    /// Reads what is no archive, or reports that it is one.
    fn content(&mut self, input: &mut Input<'_>, member: Option<&str>) {
        input.ensure(HEAD);
        let magic = magic::sniff(input.available());
        if member.is_none() {
            self.container = match magic {
                Magic::Gzip => Container::Gzip,
                Magic::Zstd => Container::Zstd,
                Magic::Foreign(name) => Container::Foreign(name),
                Magic::Plain | Magic::Zip | Magic::Tar => Container::Plain,
            };
        }
        match magic {
            Magic::Plain => self.plain(input, member),
            Magic::Gzip => self.gzip(input, member),
            Magic::Zstd => {
                let mut text = Unzstd::new(input);
                self.text(&mut text, member);
                if text.is_finished() {
                    self.after_last(input, member, "zstd frame");
                }
            }
            Magic::Zip => self.unopened(member, "a zip archive inside an archive"),
            Magic::Tar => self.unopened(member, "a tar archive inside an archive"),
            Magic::Foreign(name) => self.unopened(member, &format!("{name} data")),
        }
    }

    fn plain(&mut self, input: &mut Input<'_>, member: Option<&str>) {
        self.visitor.open(member);
        let mut end = End::Complete;
        while !self.spent && input.ensure(1) {
            if !self.deliver(input.available(), None) {
                end = End::Bomb { message: self.budget.message() };
            }
            input.consume(usize::MAX);
        }
        if let Some(failure) = input.failure()
            && !self.spent
        {
            end = End::Torn { offset: input.offset(), message: failure.to_owned() };
            self.deform(Form::Damaged);
        }
        self.visitor.close(end);
        if member.is_none() {
            self.members = 1;
        }
    }

    fn gzip(&mut self, input: &mut Input<'_>, member: Option<&str>) {
        let limits = self.reader.limits;
        let stored = input.available();
        if input.is_whole() && input.failure().is_none() && stored.len() <= limits.whole_file {
            let mut text = std::mem::take(&mut self.reader.text);
            let length = inflate_whole(&mut self.reader.inflater, stored, &mut text, limits.whole_text);
            let sound = length.and_then(|length| text.get(..length)).filter(|text| !magic::is_tar(text));
            let is_done = sound.is_some();
            if let Some(text) = sound {
                self.visitor.open(member);
                let end =
                    if self.deliver(text, None) { End::Complete } else { End::Bomb { message: self.budget.message() } };
                self.visitor.close(end);
                input.consume(usize::MAX);
                if member.is_none() {
                    self.members = 1;
                }
            }
            self.reader.text = text;
            if is_done {
                return;
            }
        }
        let mut inflate = self.reader.inflate.take().unwrap_or_else(|| flate2::Decompress::new(false));
        let mut text = Gunzip::new(input, &mut inflate);
        self.text(&mut text, member);
        let is_finished = text.is_finished();
        self.reader.inflate = Some(inflate);
        if is_finished {
            self.after_last(input, member, "gzip member");
        }
    }

    /// Delivers a stream of inflated text; if it turns out to be a tar archive, its members.
    fn text(&mut self, text: &mut dyn Text, member: Option<&str>) {
        let mut head = [0; HEAD];
        let length = fill(text, &mut head);
        let head = head.get(..length).unwrap_or_default();
        if magic::is_tar(head) {
            self.packed_tar(head, text, member);
            return;
        }
        self.visitor.open(member);
        let end = self.stream(head, text);
        self.visitor.close(end);
        if member.is_none() {
            self.members = text.members();
        }
    }

    fn stream(&mut self, head: &[u8], text: &mut dyn Text) -> End {
        let mut buffer = std::mem::take(&mut self.reader.text);
        if buffer.len() < STEP {
            buffer.resize(STEP, 0);
        }
        let step = buffer.get_mut(..STEP).unwrap_or_default();
        let mut length = head.len();
        if let Some(start) = step.get_mut(..length) {
            start.copy_from_slice(head);
        }
        loop {
            length += fill(text, step.get_mut(length..).unwrap_or_default());
            let first_end = text.first_end().map(|(end, _)| end);
            if !self.deliver(step.get(..length).unwrap_or_default(), first_end) || length < STEP {
                break;
            }
            length = 0;
        }
        self.reader.text = buffer;
        if self.spent {
            return End::Bomb { message: self.budget.message() };
        }
        if let Some((_, offset)) = text.first_end() {
            self.deform(Form::Appended(offset));
        }
        match text.tear() {
            Some(tear) => {
                self.deform(Form::Damaged);
                End::Torn { offset: tear.offset, message: tear.message }
            }
            None => End::Complete,
        }
    }

    fn packed_tar(&mut self, head: &[u8], text: &mut dyn Text, member: Option<&str>) {
        if member.is_some() {
            self.unopened(member, "a compressed tar archive inside an archive");
            return;
        }
        self.container = if self.container == Container::Zstd { Container::TarZstd } else { Container::TarGzip };
        // Headers and what is skipped count as well, or an archive of nothing could be inflated for ever.
        let mut reader = TextReader { head, text, most: self.budget.allowed() };
        archive::tar(self, &mut reader);
        let is_over = reader.most == 0;
        if let Some(tear) = text.tear() {
            self.problem(ProblemKind::Torn, None, (tear.offset, 0), tear.message);
        } else if is_over && !self.spent {
            self.spent = true;
            self.problem(ProblemKind::Bomb, None, (self.budget.allowed(), 0), self.budget.message());
        }
    }

    /// Reports bytes behind the last gzip member or zstd frame, and a failure of reading that showed only there.
    fn after_last(&mut self, input: &mut Input<'_>, member: Option<&str>, what: &str) {
        if self.spent {
            return;
        }
        let mut is_zero = true;
        let start = input.offset();
        while input.ensure(1) {
            is_zero &= input.available().iter().all(|byte| *byte == 0);
            input.consume(usize::MAX);
        }
        let length = input.offset() - start;
        if length > 0 {
            self.deform(Form::Appended(start));
            let kind = if is_zero { "zero bytes" } else { "bytes" };
            let message = format!(
                "{length} {kind} follow the last {what} and were not read: CloudTrail writes no such bytes, somebody added them"
            );
            self.problem(ProblemKind::Torn, member, (start, length), message);
        }
        if let Some(failure) = input.failure() {
            self.deform(Form::Damaged);
            self.problem(ProblemKind::Torn, member, (input.offset(), 0), failure.to_owned());
        }
    }

    fn unopened(&mut self, member: Option<&str>, what: &str) {
        let message = format!("{what} is not opened; unpack it first");
        self.problem(ProblemKind::Unrecognized, member, (0, 0), message);
    }

    /// Delivers as much as the budget allows; false when that was not all. `first_end` is where the first gzip member of the
    /// text ended, when others follow.
    fn deliver(&mut self, text: &[u8], first_end: Option<u64>) -> bool {
        let allowed = self.budget.take(text.len());
        if let Some(text) = text.get(..allowed).filter(|text| !text.is_empty()) {
            if let Some(hash) = &mut self.hash
                && matches!(self.container, Container::Gzip | Container::Zstd)
            {
                hash.update(text, first_end);
            }
            self.visitor.data(text);
        }
        self.spent |= allowed < text.len();
        !self.spent
    }

    /// Tells the visitor about trouble with `(offset, length)` bytes of the stored data.
    pub(super) fn problem(
        &mut self,
        kind: ProblemKind,
        member: Option<&str>,
        (offset, length): (u64, u64),
        message: String,
    ) {
        let member = member.map(str::to_owned);
        self.visitor.problem(Problem { kind, member, offset, length, message });
    }
}
