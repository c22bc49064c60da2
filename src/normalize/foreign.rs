//! STUB of the lead; replaced.
use crate::json::Value;
use crate::schema::Event;
pub(super) fn apply<'a>(_event: &mut Event<'a>, _record: &Value<'a>) {}
