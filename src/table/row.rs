//! Events as compact rows of bytes, so that sorting, spilling and merging move bytes and not columns.
//!
//! In: [`Event`]s. Out: [`Row`]s that can be compared, written to disk and turned into an [`Event`] again without copying
//! their text. Columns are built only once, at the very end, when the order of rows is known: shuffling some ninety Arrow
//! columns twice costs more than inflating the archives.
//!
//! Layout, little endian: a byte of flags, the content hash, the bytes that references save, the presence bits of all columns,
//! then each present value in table order (text as its length and its bytes), then the child rows. `event_id` and
//! `event_time` come first, so that they are found without decoding; the provenance columns come last. A text that stands in
//! the same buffer already is a reference to its place there (`table::repeat`); rows that leave the buffer are written
//! without references.

use crate::schema::{
    EVENT_COLUMNS, Event, ForeignKey, Kind, PolicyEntry, TagEntry, TrailSelector, for_each_event_column,
};
use crate::table::repeat::Repeats;
use std::borrow::Cow;
use std::cmp::Ordering;

macro_rules! count_columns {
    ($(($group:ident, $name:ident, $kind:ident, $doc:literal),)*) => {
        /// Bytes of the presence bits at the start of a row.
        const PRESENCE: usize = ([$(stringify!($name)),*].len()).div_ceil(8);
    };
}
for_each_event_column!(count_columns);

/// Bytes of a value of each column in a row, 0 for text, which tells its own.
static WIDTHS: [u8; EVENT_COLUMNS.len()] = {
    let mut widths = [0; EVENT_COLUMNS.len()];
    let mut column = 0;
    while column < widths.len() {
        #[expect(clippy::indexing_slicing, reason = "checked by the compiler: this runs when it compiles")]
        {
            widths[column] = match EVENT_COLUMNS[column].kind {
                Kind::Text => 0,
                Kind::Boolean => 1,
                Kind::Date => 4,
                Kind::Integer | Kind::Timestamp => 8,
            };
        }
        column += 1;
    }
    widths
};

/// The number of this layout, with that of the columns: runs on disk with other numbers are not read. It changes with the layout.
pub const LAYOUT: (u32, usize) = (2, EVENT_COLUMNS.len());

/// Bytes before the bytes that references save.
const HASHED: usize = 1 + size_of::<i64>();
/// Bytes before the presence bits.
const HEADER: usize = HASHED + size_of::<u32>();

/// Flag of an event of KMS itself.
const IS_KMS: u8 = 1;
/// Flag of an event with child rows.
const HAS_CHILDREN: u8 = 2;
/// Flag of a row with references into its buffer.
const HAS_REPEATS: u8 = 4;

/// Stands for a length, before the offset of a text in the buffer.
const REPEAT: u8 = 254;
/// Bytes of a reference.
const REFERENCE: usize = 1 + size_of::<u32>();

/// `eventSource` of KMS.
const KMS: &str = "kms.amazonaws.com";

/// One encoded event.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    bytes: &'a [u8],
    /// The buffer that its references point into; empty for a row without any.
    buffer: &'a [u8],
}

/// Where rows are written: a growing buffer.
struct Out<'b>(&'b mut Vec<u8>);

/// Bytes that [`Out::count`] takes.
pub(super) fn count_size(count: usize) -> usize {
    if count < usize::from(REPEAT) { 1 } else { 5 }
}

impl Out<'_> {
    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.0.push(1);
                self.text(text);
            }
            None => self.0.push(0),
        }
    }

    /// A text of `column`, or a reference to its place; gives the bytes that the reference saves.
    fn column_text(&mut self, text: &str, column: usize, repeats: Option<&mut Repeats>) -> usize {
        let repeated = repeats.and_then(|repeats| repeats.find(column, text.as_bytes(), self.0));
        if let Some(offset) = repeated {
            self.0.push(REPEAT);
            self.0.extend_from_slice(&offset.to_le_bytes());
            return (count_size(text.len()) + text.len()).saturating_sub(REFERENCE);
        }
        self.text(text);
        0
    }

    /// One byte for counts below 254, which nearly all lengths are; else 255 and four bytes.
    fn count(&mut self, count: usize) {
        match u8::try_from(count) {
            Ok(small) if small < REPEAT => self.0.push(small),
            _ => {
                self.0.push(u8::MAX);
                self.0.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
            }
        }
    }
}

/// Reads what [`Out`] wrote. A row is only ever our own writing, but one read back from a damaged disk must not crash: what
/// is missing reads as zero or empty.
struct In<'a> {
    rest: &'a [u8],
    buffer: &'a [u8],
}

impl<'a> In<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, tail) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = tail;
        head
    }

    /// A text of a column, and whether it stands elsewhere in the buffer.
    fn column_text(&mut self) -> (&'a [u8], bool) {
        if self.rest.first() != Some(&REPEAT) {
            let length = self.count();
            return (self.take(length), false);
        }
        self.take(1);
        let offset = u32::from_le_bytes(self.array()) as usize;
        let mut there = In { rest: self.buffer.get(offset..).unwrap_or_default(), buffer: &[] };
        let length = there.count();
        (there.take(length), true)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    fn count(&mut self) -> usize {
        match self.array() {
            [u8::MAX] => u32::from_le_bytes(self.array()) as usize,
            [small] => usize::from(small),
        }
    }

    /// A count of child rows: never more than there are bytes left, so that a damaged count cannot run away.
    fn rows(&mut self) -> usize {
        self.count().min(self.rest.len())
    }

    fn text(&mut self) -> &'a str {
        let length = self.count();
        std::str::from_utf8(self.take(length)).unwrap_or_default()
    }

    fn optional(&mut self) -> Option<Cow<'a, str>> {
        (self.array() == [1u8]).then(|| Cow::Borrowed(self.text()))
    }
}

/// True for columns whose texts are looked for in the buffer. Those of the others hardly repeat, and the id must be found
/// without decoding.
macro_rules! may_repeat {
    ($name:ident) => {
        !matches!(
            stringify!($name).as_bytes(),
            b"event_id" | b"request_id" | b"shared_event_id" | b"request_parameters" | b"encryption_context"
        )
    };
}

macro_rules! put {
    (Text, $name:ident, $out:ident, $value:expr, $column:ident, $repeats:ident, $saved:ident) => {
        $value.as_deref().map(|value| {
            let repeats = if may_repeat!($name) { $repeats.as_deref_mut() } else { None };
            $saved += $out.column_text(value, $column, repeats);
        })
    };
    (Boolean, $name:ident, $out:ident, $value:expr, $($rest:ident),*) => {
        $value.map(|value| $out.0.push(u8::from(value)))
    };
    ($kind:ident, $name:ident, $out:ident, $value:expr, $($rest:ident),*) => {
        $value.map(|value| $out.0.extend_from_slice(&value.to_le_bytes()))
    };
}

macro_rules! get {
    (Text, $in:ident) => {
        Cow::Borrowed(std::str::from_utf8($in.column_text().0).unwrap_or_default())
    };
    (Boolean, $in:ident) => {
        $in.array() == [1u8]
    };
    (Date, $in:ident) => {
        i32::from_le_bytes($in.array())
    };
    ($kind:ident, $in:ident) => {
        i64::from_le_bytes($in.array())
    };
}

macro_rules! define_codec {
    ($(($group:ident, $name:ident, $kind:ident, $doc:literal),)*) => {
        /// Appends `event` to `buffer` as one row. Its `event_id` and `event_time` must be set. With `repeats`, which must
        /// have seen all rows of the buffer, texts that stand there already are references.
        pub(super) fn encode_into(event: &Event<'_>, buffer: &mut Vec<u8>, mut repeats: Option<&mut Repeats>) {
            let is_kms = event.event_source.as_deref() == Some(KMS);
            let flags = if is_kms { IS_KMS } else { 0 } | if has_children(event) { HAS_CHILDREN } else { 0 };
            let first = buffer.len();
            buffer.push(flags);
            buffer.extend_from_slice(&event.content_hash.unwrap_or_default().to_le_bytes());
            let start = first + HEADER;
            buffer.resize(start + PRESENCE, 0);
            let mut saved = 0usize;
            let mut presence = [0u8; PRESENCE];
            let mut out = Out(buffer);
            let mut column = 0usize;
            $(
                if put!($kind, $name, out, event.$name, column, repeats, saved).is_some() {
                    if let Some(byte) = presence.get_mut(column / 8) {
                        *byte |= 1 << (column % 8);
                    }
                }
                column += 1;
            )*
            debug_assert_eq!(column.div_ceil(8), PRESENCE);
            encode_children(event, &mut out);
            if let Some(bits) = buffer.get_mut(start..start + PRESENCE) {
                bits.copy_from_slice(&presence);
            }
            if saved > 0 {
                if let Some(byte) = buffer.get_mut(first) {
                    *byte = flags | HAS_REPEATS;
                }
                if let Some(bytes) = buffer.get_mut(first + HASHED..start) {
                    bytes.copy_from_slice(&u32::try_from(saved).unwrap_or(u32::MAX).to_le_bytes());
                }
            }
        }

        impl<'a> Row<'a> {
            /// The event again, borrowing from the row.
            pub fn decode(&self) -> Event<'a> {
                let mut input = self.input();
                input.take(HEADER);
                let presence = input.take(PRESENCE);
                let mut event = Event::default();
                let mut column = 0usize;
                $(
                    if presence.get(column / 8).is_some_and(|byte| byte & (1 << (column % 8)) != 0) {
                        event.$name = Some(get!($kind, input));
                    }
                    column += 1;
                )*
                debug_assert_eq!(column.div_ceil(8), PRESENCE);
                if self.has_children() {
                    decode_children(&mut event, &mut input);
                }
                event
            }
        }
    };
}
for_each_event_column!(define_codec);

/// Appends `event` to `buffer` as one row without references. Its `event_id` and `event_time` must be set.
pub fn encode(event: &Event<'_>, buffer: &mut Vec<u8>) {
    encode_into(event, buffer, None);
}

fn has_children(event: &Event<'_>) -> bool {
    !(event.policy_entries.is_empty()
        && event.tag_entries.is_empty()
        && event.foreign_keys.is_empty()
        && event.trail_selectors.is_empty())
}

fn encode_children(event: &Event<'_>, out: &mut Out<'_>) {
    if !has_children(event) {
        return;
    }
    out.count(event.policy_entries.len());
    for entry in &event.policy_entries {
        out.text(&entry.effect);
        out.text(&entry.principal);
        out.optional(entry.principal_account_id.as_deref());
        out.text(&entry.action);
        out.optional(entry.resource.as_deref());
        out.0.push(u8::from(entry.is_conditioned));
        out.optional(entry.condition_keys.as_deref());
    }
    out.count(event.tag_entries.len());
    for entry in &event.tag_entries {
        out.text(&entry.tag_key);
        out.optional(entry.tag_value.as_deref());
        out.text(&entry.change);
    }
    out.count(event.foreign_keys.len());
    for entry in &event.foreign_keys {
        out.text(&entry.parameter_path);
        out.text(&entry.key_arn);
        out.optional(entry.key_account_id.as_deref());
    }
    out.count(event.trail_selectors.len());
    for entry in &event.trail_selectors {
        out.optional(entry.trail.as_deref());
        out.text(&entry.field);
        out.text(&entry.operator);
        out.text(&entry.value);
    }
}

fn decode_children<'a>(event: &mut Event<'a>, input: &mut In<'a>) {
    for _ in 0..input.rows() {
        event.policy_entries.push(PolicyEntry {
            effect: Cow::Borrowed(input.text()),
            principal: Cow::Borrowed(input.text()),
            principal_account_id: input.optional(),
            action: Cow::Borrowed(input.text()),
            resource: input.optional(),
            is_conditioned: input.array() == [1u8],
            condition_keys: input.optional(),
        });
    }
    for _ in 0..input.rows() {
        event.tag_entries.push(TagEntry {
            tag_key: Cow::Borrowed(input.text()),
            tag_value: input.optional(),
            change: Cow::Borrowed(input.text()),
        });
    }
    for _ in 0..input.rows() {
        event.foreign_keys.push(ForeignKey {
            parameter_path: Cow::Borrowed(input.text()),
            key_arn: Cow::Borrowed(input.text()),
            key_account_id: input.optional(),
        });
    }
    for _ in 0..input.rows() {
        event.trail_selectors.push(TrailSelector {
            trail: input.optional(),
            field: Cow::Borrowed(input.text()),
            operator: Cow::Borrowed(input.text()),
            value: Cow::Borrowed(input.text()),
        });
    }
}

/// Reads the columns of a row one after the other, in table order, without making an event: text stays bytes, because a
/// whole column can be checked for UTF-8 at once, which is many times faster than each value.
pub(super) struct Columns<'a> {
    presence: &'a [u8],
    input: In<'a>,
    column: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn new(row: &Row<'a>) -> Columns<'a> {
        let mut input = row.input();
        input.take(HEADER);
        Columns { presence: input.take(PRESENCE), input, column: 0 }
    }

    /// Moves to the next column; true when it has a value, which must then be read.
    pub(super) fn next_is_present(&mut self) -> bool {
        let column = self.column;
        self.column += 1;
        self.presence.get(column / 8).is_some_and(|byte| byte & (1 << (column % 8)) != 0)
    }

    pub(super) fn text(&mut self) -> &'a [u8] {
        self.input.column_text().0
    }

    pub(super) fn boolean(&mut self) -> bool {
        self.input.array() == [1u8]
    }

    pub(super) fn integer(&mut self) -> i64 {
        i64::from_le_bytes(self.input.array())
    }

    pub(super) fn date(&mut self) -> i32 {
        i32::from_le_bytes(self.input.array())
    }
}

impl<'a> Row<'a> {
    /// A row of bytes that hold no references.
    pub fn plain(bytes: &'a [u8]) -> Row<'a> {
        Row { bytes, buffer: &[] }
    }

    /// A row whose references point into `buffer`.
    pub(super) fn within(bytes: &'a [u8], buffer: &'a [u8]) -> Row<'a> {
        Row { bytes, buffer }
    }

    /// True for a row in the buffer it was encoded into: its texts were text a moment ago.
    pub(super) fn is_in_memory(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn input(&self) -> In<'a> {
        In { rest: self.bytes, buffer: self.buffer }
    }

    /// Bytes it takes without references: what it costs to encode, and the same wherever it stands.
    pub fn size(&self) -> usize {
        let mut input = self.input();
        input.take(HASHED);
        self.bytes.len() + u32::from_le_bytes(input.array()) as usize
    }

    /// Appends the row to `out` without references.
    pub fn write_plain(&self, out: &mut Vec<u8>) {
        if self.flags() & HAS_REPEATS == 0 {
            out.extend_from_slice(self.bytes);
            return;
        }
        out.push(self.flags() & !HAS_REPEATS);
        out.extend_from_slice(self.bytes.get(1..HASHED).unwrap_or_default());
        // Without references nothing is saved.
        out.extend_from_slice(&[0; HEADER - HASHED]);
        out.extend_from_slice(self.bytes.get(HEADER..HEADER + PRESENCE).unwrap_or_default());
        let mut out = Out(out);
        let children = self.for_each_value(|column, value, _| {
            if WIDTHS.get(column) == Some(&0) {
                out.count(value.len());
            }
            out.0.extend_from_slice(value);
        });
        out.0.extend_from_slice(children);
    }

    /// Hands the number of each column that has a value, in table order, the value's bytes and whether they are referred to
    /// by this row, to `each`: text as it is, booleans as 0 or 1, numbers in little endian. Returns the child rows' bytes.
    pub(super) fn for_each_value(&self, mut each: impl FnMut(usize, &'a [u8], bool)) -> &'a [u8] {
        let mut input = self.input();
        input.take(HEADER);
        let presence = input.take(PRESENCE);
        for (word, bytes) in presence.chunks(8).enumerate() {
            let mut bits = bytes.iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            while bits != 0 {
                let column = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let (value, is_repeat) = match WIDTHS.get(column) {
                    Some(0) | None => input.column_text(),
                    Some(width) => (input.take(usize::from(*width)), false),
                };
                each(column, value, is_repeat);
            }
        }
        input.rest
    }

    /// The event id, without decoding the rest.
    pub fn event_id(&self) -> &'a [u8] {
        let mut input = self.input();
        input.take(HEADER + PRESENCE);
        let length = input.count();
        input.take(length)
    }

    /// Event time in microseconds since 1970-01-01 UTC, without decoding the rest.
    pub fn event_time(&self) -> i64 {
        let mut input = self.input();
        input.take(HEADER + PRESENCE);
        let length = input.count();
        input.take(length);
        i64::from_le_bytes(input.array())
    }

    /// True for an event of KMS itself, as opposed to an adjacent one.
    pub fn is_kms(&self) -> bool {
        self.flags() & IS_KMS != 0
    }

    /// True when the event has child rows.
    pub fn has_children(&self) -> bool {
        self.flags() & HAS_CHILDREN != 0
    }

    fn flags(&self) -> u8 {
        self.bytes.first().copied().unwrap_or(0)
    }

    /// The hash of the whole record, without decoding the rest.
    pub fn content_hash(&self) -> i64 {
        let mut input = self.input();
        input.take(1);
        i64::from_le_bytes(input.array())
    }

    /// The total order of the events table: time, id, content, then where it came from.
    pub fn compare(&self, other: &Row<'_>) -> Ordering {
        self.event_time()
            .cmp(&other.event_time())
            .then_with(|| self.event_id().cmp(other.event_id()))
            .then_with(|| self.content_hash().cmp(&other.content_hash()))
            .then_with(|| {
                let (a, b) = (self.decode(), other.decode());
                (a.source_file, a.record_no).cmp(&(b.source_file, b.record_no))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_gives_back_the_event_it_was_made_from() {
        let mut event = Event {
            event_id: Some("e1".into()),
            event_time: Some(1_709_633_647_000_000),
            event_date: Some(19_787),
            read_only: Some(true),
            mfa: Some(false),
            key_arn: Some("arn:aws:kms:us-east-1:111122223333:key/k".into()),
            pending_window_days: Some(-7),
            record_no: Some(3),
            content_hash: Some(-9),
            source_file: Some("é.json".into()),
            ..Event::default()
        };
        event.policy_entries.push(PolicyEntry { effect: "Allow".into(), is_conditioned: true, ..Default::default() });
        event.tag_entries.push(TagEntry { tag_key: "k".into(), tag_value: Some("".into()), change: "set".into() });
        event.foreign_keys.push(ForeignKey { parameter_path: "p".into(), key_arn: "a".into(), key_account_id: None });
        event.trail_selectors.push(TrailSelector {
            trail: None,
            field: "f".into(),
            operator: "equals".into(),
            value: "v".into(),
        });
        let mut buffer = vec![9, 9];
        encode(&event, &mut buffer);
        let row = Row::plain(&buffer[2..]);
        assert_eq!(row.decode(), event);
        assert_eq!(row.event_id(), b"e1");
        assert_eq!(row.content_hash(), -9);
        assert!(!row.is_kms());
        assert_eq!(row.event_time(), 1_709_633_647_000_000);
    }

    #[test]
    fn a_damaged_row_does_not_crash() {
        let mut buffer = Vec::new();
        encode(&Event { event_id: Some("e1".into()), event_time: Some(5), ..Event::default() }, &mut buffer);
        for length in 0..buffer.len() {
            Row::plain(&buffer[..length]).decode();
        }
    }
}
