//! Arrow columns of the events table and its child tables.
//!
//! In: decoded rows. Out: record batches whose schema is made from the column list in `schema`. Plain `Utf8` columns and
//! zone-less microsecond timestamps, because every engine that reads the files later has those. Nothing here decides what
//! a value is.

use crate::schema::{Column, EVENT_COLUMNS, Event, Kind, for_each_event_column};
use crate::table::row::{Columns, Row};
use arrow_array::builder::{
    ArrayBuilder, BooleanBufferBuilder, BooleanBuilder, Date32Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

/// Bytes of rows in one batch or row group, about: bounds memory when records are huge.
pub const PIECE_BYTES: usize = 24 << 20;

/// The Arrow type of a column kind.
pub fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Boolean => DataType::Boolean,
        Kind::Integer => DataType::Int64,
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Kind::Date => DataType::Date32,
    }
}

/// The Arrow schema of a list of columns; every column may be NULL.
pub fn arrow_schema(columns: &[Column]) -> Arc<Schema> {
    let fields: Vec<Field> =
        columns.iter().map(|column| Field::new(column.name, data_type(column.kind), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The Arrow schema of `events`.
pub static EVENTS_SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| arrow_schema(EVENT_COLUMNS));

macro_rules! builder_type {
    (Text) => {
        StringBuilder
    };
    (Boolean) => {
        BooleanBuilder
    };
    (Integer) => {
        Int64Builder
    };
    (Timestamp) => {
        TimestampMicrosecondBuilder
    };
    (Date) => {
        Date32Builder
    };
}

/// A text column being filled with bytes that are checked for UTF-8 all at once, at the end. Arrow's own builder checks and
/// counts at each value, which for ninety columns costs more than copying the text.
#[derive(Debug)]
struct TextColumn {
    values: Vec<u8>,
    /// Where each value ends, after the 0 where the first begins.
    ends: Vec<i32>,
    present: BooleanBufferBuilder,
}

impl Default for TextColumn {
    fn default() -> TextColumn {
        TextColumn::with_capacity(0, 0)
    }
}

impl TextColumn {
    fn with_capacity(rows: usize, bytes: usize) -> TextColumn {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        TextColumn { values: Vec::with_capacity(bytes), ends, present: BooleanBufferBuilder::new(rows) }
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// A batch holds far less than 2 GiB of text: see [`PIECE_BYTES`].
    fn end(&self) -> i32 {
        i32::try_from(self.values.len()).unwrap_or(i32::MAX)
    }

    fn append_nulls(&mut self, count: usize) {
        self.ends.resize(self.ends.len() + count, self.end());
        self.present.append_n(count, false);
    }

    fn append_value(&mut self, value: &[u8]) {
        self.values.extend_from_slice(value);
        self.ends.push(self.end());
        self.present.append(true);
    }

    /// The column so far; it is empty afterwards.
    fn finish(&mut self, rows: usize) -> Result<StringArray, ArrowError> {
        let length = self.values.len();
        // The next batch will be about as large: growing each column again from nothing costs more than filling it.
        let full = std::mem::replace(self, TextColumn::with_capacity(rows, length + length / 8));
        let TextColumn { values, ends, mut present } = full;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let nulls = Some(NullBuffer::new(present.finish())).filter(|nulls| nulls.null_count() > 0);
        StringArray::try_new(offsets, Buffer::from_vec(values), nulls)
    }
}

macro_rules! column_builder_type {
    (Text) => {
        TextColumn
    };
    ($kind:ident) => {
        builder_type!($kind)
    };
}

macro_rules! read_column {
    (Text, $columns:expr) => {
        $columns.text()
    };
    (Boolean, $columns:expr) => {
        $columns.boolean()
    };
    (Date, $columns:expr) => {
        $columns.date()
    };
    ($kind:ident, $columns:expr) => {
        $columns.integer()
    };
}

macro_rules! finish_column {
    (Text, $builder:expr, $rows:expr) => {
        Arc::new($builder.finish($rows)?)
    };
    ($kind:ident, $builder:expr, $rows:expr) => {
        Arc::new($builder.finish())
    };
}

macro_rules! define_builder {
    ($(($group:ident, $name:ident, $kind:ident, $doc:literal),)*) => {
        /// Builds batches of the events table.
        #[derive(Debug, Default)]
        pub struct EventsBuilder {
            rows: usize,
            $($name: column_builder_type!($kind),)*
        }

        impl EventsBuilder {
            /// Appends one row. Columns without a value are not touched: their NULLs are filled in later, many at once,
            /// because about half of all values are NULL.
            pub fn push(&mut self, row: &Row<'_>) {
                let mut columns = Columns::new(row);
                $(
                    if columns.next_is_present() {
                        let missing = self.rows - self.$name.len();
                        if missing > 0 {
                            self.$name.append_nulls(missing);
                        }
                        self.$name.append_value(read_column!($kind, columns));
                    }
                )*
                self.rows += 1;
            }

            /// The rows so far as one batch; the builder is empty afterwards.
            ///
            /// # Errors
            /// When a row has text that is not UTF-8, which only a damaged run on disk can have.
            pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
                let rows = std::mem::take(&mut self.rows);
                $(
                    let missing = rows - self.$name.len();
                    if missing > 0 {
                        self.$name.append_nulls(missing);
                    }
                )*
                let columns: Vec<ArrayRef> = vec![$(finish_column!($kind, self.$name, rows),)*];
                RecordBatch::try_new(EVENTS_SCHEMA.clone(), columns)
            }
        }
    };
}
for_each_event_column!(define_builder);

impl EventsBuilder {
    /// Rows appended since the last batch.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True when no row waits.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

macro_rules! array_type {
    (Text) => {
        StringArray
    };
    (Boolean) => {
        BooleanArray
    };
    (Integer) => {
        Int64Array
    };
    (Timestamp) => {
        TimestampMicrosecondArray
    };
    (Date) => {
        Date32Array
    };
}

macro_rules! value {
    (Text, $value:expr) => {
        Cow::Borrowed($value)
    };
    ($kind:ident, $value:expr) => {
        $value
    };
}

macro_rules! define_reader {
    ($(($group:ident, $name:ident, $kind:ident, $doc:literal),)*) => {
        /// The row `row` of a batch of the events table as an event without child rows. Columns that the batch has not,
        /// or has with another type, are NULL.
        pub fn event_at(batch: &RecordBatch, row: usize) -> Event<'_> {
            let mut event = Event::default();
            $(
                let array = batch.column_by_name(stringify!($name)).and_then(|array| array.as_any().downcast_ref::<array_type!($kind)>());
                if let Some(array) = array && row < array.len() && array.is_valid(row) {
                    event.$name = Some(value!($kind, array.value(row)));
                }
            )*
            event
        }
    };
}
for_each_event_column!(define_reader);

macro_rules! define_child {
    ($builder:ident, $static:ident, $columns:ident, $table:literal, $field:ident, $entry:ident, $event:ident,
     { $($name:ident: $kind:ident = $value:expr, $doc:literal;)* }) => {
        #[doc = concat!("The columns of `", $table, "`.")]
        pub const $columns: &[Column] =
            &[$(Column { group: $table, name: stringify!($name), kind: Kind::$kind, doc: $doc },)*];
        static $static: LazyLock<Arc<Schema>> = LazyLock::new(|| arrow_schema($columns));

        #[derive(Debug, Default)]
        struct $builder {
            $($name: builder_type!($kind),)*
            rows: usize,
        }

        impl $builder {
            fn push($event: &Event<'_>, builder: &mut Self) {
                for $entry in &$event.$field {
                    builder.rows += 1;
                    $(builder.$name.append_option($value);)*
                }
            }

            fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
                self.rows = 0;
                RecordBatch::try_new($static.clone(), vec![$(Arc::new(self.$name.finish()) as ArrayRef,)*])
            }
        }
    };
}

define_child!(PolicyEntries, POLICY_ENTRIES, POLICY_ENTRIES_COLUMNS, "policy_entries", policy_entries, entry, event, {
    event_id: Text = event.event_id.as_deref(), "The event that set the policy.";
    key_arn: Text = event.key_arn.as_deref(), "The key whose policy it is; NULL for an IAM policy.";
    event_time: Timestamp = event.event_time, "When it was set, UTC.";
    effect: Text = Some(&entry.effect), "`Allow` or `Deny`.";
    principal: Text = Some(&entry.principal), "The principal as written; `NotPrincipal` starts with `!`. For an IAM policy `user/NAME`, `role/NAME`, `group/NAME`, or `policy/NAME` for a managed one.";
    principal_account_id: Text = entry.principal_account_id.as_deref(), "The account the principal belongs to.";
    action: Text = Some(&entry.action), "The action as written; `NotAction` starts with `!`.";
    resource: Text = entry.resource.as_deref(), "The resource as written, for IAM policies; `NotResource` starts with `!`.";
    is_conditioned: Boolean = Some(entry.is_conditioned), "The statement has a condition.";
    condition_keys: Text = entry.condition_keys.as_deref(), "The condition keys, sorted, comma-separated.";
});

define_child!(TagEntries, TAG_ENTRIES, TAG_ENTRIES_COLUMNS, "tag_entries", tag_entries, entry, event, {
    event_id: Text = event.event_id.as_deref(), "The event that changed the tag.";
    key_arn: Text = event.key_arn.as_deref(), "The tagged key.";
    event_time: Timestamp = event.event_time, "When, UTC.";
    tag_key: Text = Some(&entry.tag_key), "Tag key.";
    tag_value: Text = entry.tag_value.as_deref(), "Tag value; NULL when removed.";
    change: Text = Some(&entry.change), "`set` or `removed`.";
});

define_child!(ForeignKeys, FOREIGN_KEYS, FOREIGN_KEYS_COLUMNS, "foreign_keys", foreign_keys, entry, event, {
    event_id: Text = event.event_id.as_deref(), "The event whose parameters name the key.";
    event_time: Timestamp = event.event_time, "When, UTC.";
    parameter_path: Text = Some(&entry.parameter_path), "Where it stands in the record.";
    key_arn: Text = Some(&entry.key_arn), "The key ARN.";
    key_account_id: Text = entry.key_account_id.as_deref(), "The account in it.";
});

define_child!(TrailSelectors, TRAIL_SELECTORS, TRAIL_SELECTORS_COLUMNS, "trail_selectors", trail_selectors, entry, event, {
    event_id: Text = event.event_id.as_deref(), "The event that set the selectors.";
    event_time: Timestamp = event.event_time, "When, UTC.";
    trail: Text = entry.trail.as_deref(), "The trail or event data store.";
    field: Text = Some(&entry.field), "The selector field.";
    operator: Text = Some(&entry.operator), "The operator, such as `equals`.";
    value: Text = Some(&entry.value), "The value.";
});

/// Names and columns of the child tables, in the order [`ChildrenBuilder::finish`] gives them.
pub const CHILD_TABLES: [(&str, &[Column]); 4] = [
    ("policy_entries", POLICY_ENTRIES_COLUMNS),
    ("tag_entries", TAG_ENTRIES_COLUMNS),
    ("foreign_keys", FOREIGN_KEYS_COLUMNS),
    ("trail_selectors", TRAIL_SELECTORS_COLUMNS),
];

/// Builds batches of the child tables.
#[derive(Debug, Default)]
pub struct ChildrenBuilder {
    policy_entries: PolicyEntries,
    tag_entries: TagEntries,
    foreign_keys: ForeignKeys,
    trail_selectors: TrailSelectors,
}

impl ChildrenBuilder {
    /// Appends the child rows of one event.
    pub fn push(&mut self, event: &Event<'_>) {
        PolicyEntries::push(event, &mut self.policy_entries);
        TagEntries::push(event, &mut self.tag_entries);
        ForeignKeys::push(event, &mut self.foreign_keys);
        TrailSelectors::push(event, &mut self.trail_selectors);
    }

    /// Child rows that wait.
    pub fn len(&self) -> usize {
        self.policy_entries.rows + self.tag_entries.rows + self.foreign_keys.rows + self.trail_selectors.rows
    }

    /// True when no child row waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One batch per table of [`CHILD_TABLES`]; the builder is empty afterwards.
    ///
    /// # Errors
    /// None in practice: the columns are made from the schema.
    pub fn finish(&mut self) -> Result<[RecordBatch; 4], ArrowError> {
        Ok([
            self.policy_entries.finish()?,
            self.tag_entries.finish()?,
            self.foreign_keys.finish()?,
            self.trail_selectors.finish()?,
        ])
    }
}
