//! Turns one CloudTrail record into one [`Event`].
//!
//! In: a record's JSON tree. Out: the row of the `events` table, each column as its documentation says. Every rule here is
//! local to one record: what needs a second record (which key an alias meant, which grant a call used) is SQL. Nothing
//! here can fail but a missing time, without which an event has no place: a member of another type than expected counts
//! as absent, and the rest of the record is kept. Text stays borrowed from the record wherever it stands there unescaped.
//!
//! The order of the steps matters: the key needs the outcome and the caller, the key's changes need the key, and the
//! policy needs the key's owner.

mod fields;
mod class;
mod outcome;
mod place;
mod identity;
mod key;
mod context;
mod grant;
mod keychange;
mod attestation;
mod policy;
mod trail;
mod foreign;

#[cfg(test)]
mod tests;

pub use keychange::parse_aws_date;

use crate::json::Value;
use crate::schema::Event;
use crate::time::{DAY, MICROS, parse_timestamp};
use fields::{Fields, raw_text, scalar};
use std::borrow::Cow;

/// A record without a usable `eventTime`: it cannot be placed in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no usable eventTime")]
pub struct NoEventTime;

/// Normalizes one record. `action_class` is the class of a record of another service (`trail`, `monitoring`, `identity`,
/// `service_config`), and `None` for KMS records, whose class their name decides. The provenance columns and an
/// `event_id` for records without one are left to the caller.
///
/// # Errors
/// [`NoEventTime`] when `eventTime` is absent or no timestamp.
pub fn normalize<'a>(record: &Value<'a>, action_class: Option<&'static str>) -> Result<Event<'a>, NoEventTime> {
    let fields = Fields::of(record);
    let time = fields.event_time.as_str().and_then(parse_timestamp).ok_or(NoEventTime)?;
    let mut event = Event::default();
    set_time(&mut event, time);
    set_record(&mut event, &fields);
    let is_kms = action_class.is_none();
    outcome::apply(&mut event, &fields, is_kms);
    place::apply(&mut event, &fields);
    identity::apply(&mut event, &fields);
    event.account_id = scalar(fields.recipient_account).or_else(|| event.principal_account_id.clone());
    key::apply(&mut event, &fields, is_kms);
    if event.account_id.is_none() {
        event.account_id = event.key_account_id.clone();
    }
    event.is_cross_account = Some(is_cross_account(&event));
    match action_class {
        Some(class) => event.action_class = Some(Cow::Borrowed(class)),
        None => apply_kms(&mut event, &fields),
    }
    policy::apply(&mut event, record);
    trail::apply(&mut event, record);
    foreign::apply(&mut event, record);
    Ok(event)
}

/// The columns that only KMS's own records have.
fn apply_kms<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>) {
    let operation = class::operation(event.event_name.as_deref().unwrap_or_default());
    event.action_class = Some(Cow::Borrowed(operation.class));
    event.reveals_plaintext = Some(operation.reveals_plaintext);
    context::apply(event, fields, operation);
    grant::apply(event, fields);
    keychange::apply(event, fields, operation.class);
    attestation::apply(event, fields, operation);
}

fn set_time(event: &mut Event<'_>, time: i64) {
    event.event_time = Some(time);
    event.event_epoch = Some(time.div_euclid(MICROS));
    event.event_date = i32::try_from(time.div_euclid(DAY * MICROS)).ok();
}

/// The columns that are members of the record as they stand.
fn set_record<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>) {
    event.event_id = fields.event_id.text();
    event.event_source = fields.event_source.text().map(lower_case);
    event.event_name = fields.event_name.text();
    event.event_version = scalar(fields.event_version);
    event.event_type = fields.event_type.text();
    event.event_category = fields.event_category.text();
    event.read_only = fields.read_only.as_bool();
    event.request_id = fields.request_id.text();
    event.shared_event_id = fields.shared_event_id.text();
    event.region = fields.region.text();
    event.request_parameters = raw_text(fields.request);
    event.response_elements = raw_text(fields.response);
    event.additional_event_data = raw_text(fields.additional).or_else(|| raw_text(fields.service_details));
}

fn lower_case(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(text.to_ascii_lowercase()) } else { text }
}

/// True when the accounts of the caller, of the recipient and of the call's keys, as far as they are known, are not all one.
fn is_cross_account(event: &Event<'_>) -> bool {
    let accounts =
        [&event.account_id, &event.key_account_id, &event.target_key_account_id, &event.principal_account_id];
    let mut known = accounts.into_iter().flatten();
    known.next().is_some_and(|first| known.any(|other| other != first))
}
