//! What one worker does with one file: read, scan, prefilter, parse, normalise, encode.
//!
//! In: a [`Source`]. Out: rows appended to the worker's buffer and an [`InputRow`] that accounts for every byte and every
//! record. Nothing in here can fail the run: what cannot be read or understood is counted and described.

use super::RowBuffer;
use super::filter::RecordFilter;
use super::texts::TextFacts;
use crate::discover::{Source, parse_key};
use crate::error::{Problem, ProblemKind};
use crate::integrity::{Observation, Witness};
use crate::json;
use crate::normalize;
use crate::read::{End, Reader, Visitor};
use crate::scan::prefilter::Prefilter;
use crate::scan::relevance::{Adjacent, Relevance, relevance};
use crate::scan::{ContentKind, RawRecord, Scanner, Sink, Skip, Verdict};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Problems described per file; further ones are only counted, because one file of rubbish must not fill the manifest.
const DESCRIBED: usize = 8;

/// How a file fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputStatus {
    /// Read to the end, everything understood.
    Ok,
    /// Some of it was lost; `problem` says what.
    Partial,
    /// It could not be opened.
    Unreadable,
    /// It was read, but holds nothing known.
    Unrecognized,
    /// It holds what is not parsed for records: a digest, Insights, aggregated events, plain prose such as a LICENSE.
    SetApart,
}

impl InputStatus {
    /// The status of that name.
    pub fn parse(text: &str) -> Option<InputStatus> {
        let all = [
            InputStatus::Ok,
            InputStatus::Partial,
            InputStatus::Unreadable,
            InputStatus::Unrecognized,
            InputStatus::SetApart,
        ];
        all.into_iter().find(|status| status.as_str() == text)
    }

    /// The name used in `inputs`.
    pub fn as_str(self) -> &'static str {
        match self {
            InputStatus::Ok => "ok",
            InputStatus::Partial => "partial",
            InputStatus::Unreadable => "unreadable",
            InputStatus::Unrecognized => "unrecognized",
            InputStatus::SetApart => "set_apart",
        }
    }
}

/// One row of `inputs`.
#[derive(Clone, Debug)]
pub struct InputRow {
    /// Path relative to the input root.
    pub path: String,
    /// SHA-256 of the file as stored; `None` when it could not be read.
    pub sha256: Option<[u8; 32]>,
    /// Bytes as stored.
    pub size: u64,
    /// Bytes after inflation.
    pub inflated: u64,
    /// Records found.
    pub records: u64,
    /// KMS records that became rows, before deduplication.
    pub kms: u64,
    /// Other records that became rows, before deduplication.
    pub adjacent: u64,
    /// Relevant records that the filters left out.
    pub filtered: u64,
    /// Bytes in skipped stretches.
    pub bytes_skipped: u64,
    /// How it fared.
    pub status: InputStatus,
    /// Problems, also those that are not described.
    pub problem_count: u64,
    /// The problems, described.
    pub problem: Option<String>,
    /// What digests are compared with, when that was asked for.
    pub observation: Option<Box<Observation>>,
    /// What its texts show of coverage, when that was asked for: one for a file, one for each member of an archive, none when
    /// it holds no logs.
    pub texts: Vec<TextFacts>,
}

impl InputRow {
    /// True when the file's folder says that it holds no records: the walk counts those.
    pub fn is_named_apart(&self) -> bool {
        self.status == InputStatus::SetApart && parse_key(&self.path).is_some_and(|key| !key.folder.holds_records())
    }
}

/// What one thread needs to read files, one after the other.
pub struct FileWorker {
    scanner: Scanner,
    prefilter: Prefilter,
    filter: RecordFilter,
    witness: Option<Witness>,
    is_surveying: bool,
    /// Accounts that received records.
    pub recipients: BTreeSet<String>,
}

#[derive(Default)]
struct Counts {
    records: u64,
    kms: u64,
    adjacent: u64,
    filtered: u64,
    bytes_skipped: u64,
    unrecognized: bool,
    set_apart: bool,
    problem_count: u64,
    problems: Vec<Problem>,
}

impl Counts {
    fn problem(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < DESCRIBED {
            self.problems.push(problem);
        }
    }

    fn describe(&self) -> Option<String> {
        let mut text = String::new();
        for problem in &self.problems {
            if !text.is_empty() {
                text.push_str("; ");
            }
            // Writing into a String cannot fail.
            let _ = write!(text, "{problem}");
        }
        let more = self.problem_count - self.problems.len() as u64;
        if more > 0 {
            let _ = write!(text, "; and {more} more");
        }
        (!text.is_empty()).then_some(text)
    }
}

/// A file being read: the reader hands texts to the scanner, which hands records to the keeper.
struct Visit<'w, 's> {
    scanner: &'w mut Scanner,
    keeper: Keeper<'w, 's>,
    witness: Option<&'w mut Witness>,
    is_surveying: bool,
    prose: Prose,
}

/// Whether a text is plain prose, such as a LICENSE beside the logs: valid UTF-8 without a single brace that does not
/// begin like JSON. That is no CloudTrail
/// record and no piece of one, so it is set apart and counted instead of reported as damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prose {
    /// Nothing but prose so far; the problems that were known before, and whether its first character was seen.
    SoFar { problems: usize, problem_count: u64, has_begun: bool },
    /// Something else.
    No,
}

/// Takes the records of one file.
struct Keeper<'w, 's> {
    prefilter: Prefilter,
    filter: &'w RecordFilter,
    recipients: &'w mut BTreeSet<String>,
    /// The file's name, and the member's after a `!`.
    place: String,
    /// Length of the file's name in `place`.
    name_length: usize,
    counts: Counts,
    /// The text at hand, when coverage is surveyed.
    text: Option<TextFacts>,
    texts: Vec<TextFacts>,
    rows: &'w mut RowBuffer<'s>,
}

impl FileWorker {
    /// A worker for files whose records have at most `max_record` bytes.
    pub fn new(max_record: usize, filter: &RecordFilter) -> FileWorker {
        FileWorker {
            scanner: Scanner::new(max_record),
            prefilter: Prefilter::default(),
            filter: filter.clone(),
            witness: None,
            is_surveying: false,
            recipients: BTreeSet::new(),
        }
    }

    /// The same worker, with a witness for what digests are compared with. The reader must hash texts.
    pub fn witnessed(mut self, witness: Option<Witness>) -> FileWorker {
        self.witness = witness;
        self
    }

    /// The same worker, which notes what each text shows of coverage when it surveys: that costs parsing a record of every
    /// file.
    pub fn surveying(mut self, surveys: bool) -> FileWorker {
        self.is_surveying = surveys;
        self
    }

    /// Reads one file and appends its rows to `rows`.
    pub fn read(&mut self, reader: &mut Reader, source: &Source, rows: &mut RowBuffer<'_>) -> InputRow {
        let place = source.name();
        let FileWorker { scanner, prefilter, filter, witness, is_surveying, recipients } = self;
        if let Some(witness) = witness {
            witness.begin(&source.path().to_string_lossy());
        }
        let keeper = Keeper {
            prefilter: *prefilter,
            filter,
            recipients,
            name_length: place.len(),
            place,
            counts: Counts::default(),
            text: None,
            texts: Vec::new(),
            rows,
        };
        let mut visit =
            Visit { scanner, keeper, witness: witness.as_mut(), is_surveying: *is_surveying, prose: Prose::No };
        let facts = reader.read(source, &mut visit);
        let Keeper { counts, texts, .. } = visit.keeper;
        let mut input = InputRow {
            path: source.name(),
            sha256: None,
            size: source.size,
            inflated: 0,
            records: counts.records,
            kms: counts.kms,
            adjacent: counts.adjacent,
            filtered: counts.filtered,
            bytes_skipped: counts.bytes_skipped,
            status: if counts.problem_count > 0 {
                InputStatus::Partial
            } else if counts.set_apart && counts.records == 0 {
                InputStatus::SetApart
            } else {
                InputStatus::Ok
            },
            problem_count: counts.problem_count,
            problem: counts.describe(),
            observation: None,
            texts,
        };
        if counts.unrecognized && counts.records == 0 {
            input.status = InputStatus::Unrecognized;
        }
        if let Some(witness) = witness {
            let content = facts.as_ref().ok().and_then(|facts| facts.content.clone());
            input.observation = Some(Box::new(witness.finish(content)));
        }
        match facts {
            Ok(facts) => {
                input.sha256 = Some(facts.sha256);
                input.size = facts.size;
                input.inflated = facts.inflated;
            }
            Err(message) => {
                input.status = InputStatus::Unreadable;
                input.problem_count += 1;
                input.problem = Some(message.to_string());
                // It is there, although nothing is known of what it holds.
                input.texts.extend(is_surveying.then(TextFacts::default));
            }
        }
        input
    }
}

impl Visitor for Visit<'_, '_> {
    fn open(&mut self, member: Option<&str>) {
        self.keeper.place.truncate(self.keeper.name_length);
        if let Some(member) = member {
            self.keeper.place.push('!');
            self.keeper.place.push_str(member);
        }
        self.scanner.reset();
        if let Some(witness) = &mut self.witness {
            witness.open(member);
        }
        self.keeper.text =
            self.is_surveying.then(|| TextFacts { member: member.map(str::to_owned), ..TextFacts::default() });
        let counts = &self.keeper.counts;
        self.prose =
            Prose::SoFar { problems: counts.problems.len(), problem_count: counts.problem_count, has_begun: false };
    }

    fn data(&mut self, text: &[u8]) {
        if let Prose::SoFar { has_begun, .. } = &mut self.prose {
            let first = text.iter().find(|byte| !byte.is_ascii_whitespace()).filter(|_| !*has_begun);
            *has_begun |= first.is_some();
            let opens_json = matches!(first, Some(b'[' | b'{'));
            if opens_json || memchr::memchr(b'{', text).is_some() || std::str::from_utf8(text).is_err() {
                self.prose = Prose::No;
            }
        }
        if let Some(witness) = &mut self.witness {
            witness.data(text);
        }
        self.scanner.feed(text, &mut self.keeper);
    }

    fn close(&mut self, end: End) {
        let torn = !matches!(end, End::Complete);
        let summary = self.scanner.finish(torn, &mut self.keeper);
        let member = self.keeper.member();
        let counts = &mut self.keeper.counts;
        if let (Prose::SoFar { problems, problem_count, .. }, End::Complete, true) =
            (self.prose, &end, summary.bytes_total > 0)
        {
            counts.problems.truncate(problems);
            counts.problem_count = problem_count;
            counts.set_apart = true;
            return;
        }
        counts.records += summary.records;
        counts.bytes_skipped += summary.bytes_skipped;
        if let Some(problem) = end.problem(member.as_deref(), summary.bytes_total) {
            counts.problem(problem);
        }
        let is_log = !matches!(summary.kind, ContentKind::Digest | ContentKind::Insight | ContentKind::Aggregated);
        let text = self.keeper.text.take().filter(|_| is_log);
        self.keeper.texts.extend(text.map(|text| TextFacts { records: summary.records, ..text }));
        match summary.kind {
            ContentKind::Records | ContentKind::Empty => {}
            ContentKind::Unrecognized => {
                counts.unrecognized = true;
                if counts.problem_count == 0 {
                    counts.problem(Problem {
                        kind: ProblemKind::Unrecognized,
                        member,
                        offset: 0,
                        length: summary.bytes_total,
                        message: "expected CloudTrail records in one of the known envelopes".to_owned(),
                    });
                }
            }
            _ => counts.set_apart = true,
        }
    }

    fn problem(&mut self, problem: Problem) {
        self.keeper.counts.problem(problem);
    }
}

impl Sink for Keeper<'_, '_> {
    fn record(&mut self, record: RawRecord<'_>) -> Verdict {
        if !self.prefilter.may_matter(record.bytes) {
            self.see_first(&record);
            return Verdict::Accepted;
        }
        // The lossy conversion is several times slower than the check, and hardly ever needed.
        let text = match std::str::from_utf8(record.bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(record.bytes),
        };
        let value = match json::parse(&text) {
            Ok(value) => value,
            Err(_) => return Verdict::Malformed,
        };
        if matches!(text, Cow::Owned(_)) {
            self.note(&record, ProblemKind::NotUtf8, "bytes that are not UTF-8 were replaced by U+FFFD".to_owned());
        }
        self.keep(&record, &value);
        Verdict::Accepted
    }

    fn skip(&mut self, skip: Skip) {
        let Skip { kind, offset, length, message } = skip;
        let member = self.member();
        self.counts.problem(Problem { kind, member, offset, length, message });
    }
}

/// The `action_class` of another service's record.
fn action_class(class: Adjacent) -> &'static str {
    match class {
        Adjacent::Trail => "trail",
        Adjacent::Monitoring => "monitoring",
        Adjacent::Identity => "identity",
        Adjacent::ServiceConfig => "service_config",
    }
}

impl Keeper<'_, '_> {
    /// The archive member at hand.
    fn member(&self) -> Option<String> {
        self.place.get(self.name_length + 1..).map(str::to_owned)
    }

    fn note(&mut self, record: &RawRecord<'_>, kind: ProblemKind, message: String) {
        let member = self.member();
        self.counts.problem(Problem { kind, member, offset: record.offset, length: 0, message });
    }

    /// The text at hand, when it is surveyed and none of its records was looked at.
    fn unseen(&mut self) -> Option<&mut TextFacts> {
        self.text.as_mut().filter(|facts| facts.first.is_none())
    }

    /// Looks at the first record of a text when it has no row: a file without KMS events covers its hour, too.
    fn see_first(&mut self, record: &RawRecord<'_>) {
        if let Some(facts) = self.unseen()
            && let Ok(text) = std::str::from_utf8(record.bytes)
            && let Ok(value) = json::parse(text)
        {
            facts.see_record(&value);
        }
    }

    /// Normalises a record that may matter and appends its row.
    fn keep(&mut self, record: &RawRecord<'_>, value: &json::Value<'_>) {
        let parameters = value.get("requestParameters");
        let source_name = value.get("eventSource").as_str().unwrap_or_default();
        let event_name = value.get("eventName").as_str().unwrap_or_default();
        let class = relevance(source_name, event_name, value.get("readOnly").as_bool(), parameters);
        let hint = match class {
            Relevance::No => {
                if let Some(facts) = self.unseen() {
                    facts.see_record(value);
                }
                return;
            }
            Relevance::Kms => None,
            Relevance::Adjacent(class) => Some(action_class(class)),
        };
        let mut event = match normalize::normalize(value, hint) {
            Ok(event) => event,
            Err(_) => {
                let message =
                    "expected eventTime as YYYY-MM-DDTHH:MM:SSZ; the record has no place in time and was left out";
                return self.note(record, ProblemKind::NoEventTime, message.to_owned());
            }
        };
        if let Some(facts) = &mut self.text {
            facts.see(event.account_id.as_deref(), event.region.as_deref(), event.event_time);
        }
        if !self.filter.accepts(&event) {
            self.counts.filtered += 1;
            return;
        }
        let is_kms = class == Relevance::Kms;
        self.counts.kms += u64::from(is_kms);
        self.counts.adjacent += u64::from(!is_kms);
        if let Some(facts) = &mut self.text {
            facts.kms += u64::from(is_kms);
            facts.adjacent += u64::from(!is_kms);
        }
        if let Some(account) = event.account_id.as_deref()
            && !self.recipients.contains(account)
        {
            self.recipients.insert(account.to_owned());
        }
        let hash = value.content_hash();
        if event.event_id.is_none() {
            // Records of event version 1.0 have no eventID: their content is their name.
            event.event_id = Some(Cow::Owned(format!("no-id-{hash:016x}")));
        }
        event.content_hash = Some(hash.cast_signed());
        event.source_file = Some(Cow::Borrowed(self.place.as_str()));
        event.record_no = i64::try_from(record.number).ok();
        self.rows.push(&event);
    }
}
