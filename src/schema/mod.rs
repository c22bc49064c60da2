//! What one row is: the event and its child rows.
//!
//! In: the column list of `columns`. Out: [`Event`], which normalising fills, the four child row types, and
//! [`EVENT_COLUMNS`], from which documentation and DDL are generated. It stands above normalising and the tables so that
//! both can use it; it holds no logic, so that a reader finds every column with its meaning in one place.

mod columns;
pub(crate) use columns::for_each_event_column;

use std::borrow::Cow;

/// Text of an event: borrowed from the record where it stands there unescaped.
pub type Text<'a> = Option<Cow<'a, str>>;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// True or false.
    Boolean,
    /// Signed 64-bit integer.
    Integer,
    /// Microseconds since 1970-01-01 UTC, stored without a zone.
    Timestamp,
    /// Days since 1970-01-01 UTC.
    Date,
}

/// One column of a table: its name, type, group and meaning.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The group it is documented in.
    pub group: &'static str,
    /// Its name, the same in Rust, SQL, CSV and HTML.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it means, one sentence.
    pub doc: &'static str,
}

macro_rules! field_type {
    (Text) => { Text<'a> };
    (Boolean) => { Option<bool> };
    (Integer) => { Option<i64> };
    (Timestamp) => { Option<i64> };
    (Date) => { Option<i32> };
}

macro_rules! define_event {
    ($(($group:ident, $name:ident, $kind:ident, $doc:literal),)*) => {
        /// One normalised CloudTrail record: a row of the `events` table and its child rows.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Event<'a> {
            $(#[doc = $doc] pub $name: field_type!($kind),)*
            /// Rows of `policy_entries`.
            pub policy_entries: Vec<PolicyEntry<'a>>,
            /// Rows of `tag_entries`.
            pub tag_entries: Vec<TagEntry<'a>>,
            /// Rows of `foreign_keys`.
            pub foreign_keys: Vec<ForeignKey<'a>>,
            /// Rows of `trail_selectors`.
            pub trail_selectors: Vec<TrailSelector<'a>>,
        }

        /// Every column of `events`, in table order.
        pub const EVENT_COLUMNS: &[Column] = &[
            $(Column { group: stringify!($group), name: stringify!($name), kind: Kind::$kind, doc: $doc },)*
        ];
    };
}
for_each_event_column!(define_event);

/// One principal x action of a key policy that was set, or one action x resource of an IAM policy that reaches KMS: a row
/// of `policy_entries` (with the event's id, key and time).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyEntry<'a> {
    /// `Allow` or `Deny`.
    pub effect: Cow<'a, str>,
    /// The principal as written (`*`, an ARN, `service:NAME`); `NotPrincipal` entries start with `!`. For an IAM policy what
    /// it was put on (`user/NAME`, `role/NAME`, `group/NAME`), or `policy/NAME` for a managed one.
    pub principal: Cow<'a, str>,
    /// The account the principal belongs to, when it names one.
    pub principal_account_id: Text<'a>,
    /// The action as written; `NotAction` entries start with `!`.
    pub action: Cow<'a, str>,
    /// The resource as written, for IAM policies; `NotResource` entries start with `!`.
    pub resource: Text<'a>,
    /// The statement has a condition.
    pub is_conditioned: bool,
    /// The condition keys, sorted, comma-separated.
    pub condition_keys: Text<'a>,
}

/// One tag set or removed: a row of `tag_entries`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagEntry<'a> {
    /// Tag key.
    pub tag_key: Cow<'a, str>,
    /// Tag value; NULL when removed.
    pub tag_value: Text<'a>,
    /// `set` or `removed`.
    pub change: Cow<'a, str>,
}

/// One KMS key ARN in a call's parameters whose account is not the recipient's: a row of `foreign_keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignKey<'a> {
    /// Where it stands, such as `requestParameters.kmsKeyId`.
    pub parameter_path: Cow<'a, str>,
    /// The key ARN.
    pub key_arn: Cow<'a, str>,
    /// The account in it.
    pub key_account_id: Text<'a>,
}

/// One condition of a trail's event selectors: a row of `trail_selectors`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrailSelector<'a> {
    /// The trail or event data store.
    pub trail: Text<'a>,
    /// The field, such as `eventSource`, `readWriteType`, `excludeManagementEventSources`.
    pub field: Cow<'a, str>,
    /// The operator, such as `equals`, `notEquals`.
    pub operator: Cow<'a, str>,
    /// The value.
    pub value: Cow<'a, str>,
}
