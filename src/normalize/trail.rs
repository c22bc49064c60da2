//! What a call to CloudTrail does to the recording of KMS events.
//!
//! In: the calls that make, change, stop or start a trail or an event data store, successful or not. Out: the tampering
//! columns and the rows of `trail_selectors`. All KMS calls are management events; key use (Decrypt, GenerateDataKey) is
//! read-only and key administration is not, so a trail of write events alone is blind to all key use. Selectors are a
//! union: an event is recorded when any selector takes it (PutEventSelectors API reference), so the selectors are tried
//! on sample KMS events rather than searched for suspicious words.
//!
//! Deliberately absent: what the selectors were before, and whether another trail still records; both need other records.
//! UpdateTrail has no selectors: it gets a trail name and nothing else.

use super::identity::is_omitted;
use super::policy::texts;
use crate::json::Value;
use crate::schema::{Event, Text, TrailSelector};
use std::borrow::Cow;
use std::collections::BTreeSet;

const KMS: &str = "kms.amazonaws.com";

/// Key use is no longer recorded when one of these is not.
const KEY_USE: [&str; 3] = ["Decrypt", "GenerateDataKey", "ReEncrypt"];
/// Key administration is no longer recorded when one of these is not.
const KEY_ADMIN: [&str; 4] = ["CreateGrant", "PutKeyPolicy", "ScheduleKeyDeletion", "DisableKey"];

/// The operators of an advanced field selector (AdvancedFieldSelector API reference).
const OPERATORS: [&str; 6] = ["equals", "notEquals", "startsWith", "notStartsWith", "endsWith", "notEndsWith"];

/// Sets the tampering columns and the rows of `trail_selectors`. The event's name and source must be set.
pub(super) fn apply<'a>(event: &mut Event<'a>, record: &Value<'a>) {
    if event.event_source.as_deref() != Some("cloudtrail.amazonaws.com") {
        return;
    }
    let name = event.event_name.as_deref().unwrap_or_default();
    let Some(change) = Change::of(name) else { return };
    let (request, response) = (record.get("requestParameters"), record.get("responseElements"));
    event.trail_name = trail_name(request, response);
    match change {
        Change::Named => {}
        Change::Stops => set_blindness(event, Blindness { use_: true, admin: true }),
        Change::Starts => set_blindness(event, Blindness { use_: false, admin: false }),
        Change::Makes | Change::Selects => apply_selectors(event, request, response, change),
    }
}

/// What a call changes about the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Nothing that is seen here.
    Named,
    Stops,
    Starts,
    /// A new trail or store: with selectors, or with the default ones, which take all management events.
    Makes,
    /// New selectors of a trail or store that is there.
    Selects,
}

impl Change {
    fn of(event_name: &str) -> Option<Self> {
        Some(match event_name {
            "UpdateTrail" => Change::Named,
            "StopLogging" | "DeleteTrail" | "StopEventDataStoreIngestion" | "DeleteEventDataStore" => Change::Stops,
            "StartLogging" | "StartEventDataStoreIngestion" | "RestoreEventDataStore" => Change::Starts,
            "CreateTrail" | "CreateEventDataStore" => Change::Makes,
            "PutEventSelectors" | "UpdateEventDataStore" => Change::Selects,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blindness {
    use_: bool,
    admin: bool,
}

fn set_blindness(event: &mut Event<'_>, blindness: Blindness) {
    event.blinds_key_use = Some(blindness.use_);
    event.blinds_key_admin = Some(blindness.admin);
}

/// The trail or store by its short name or id, so that a call that names it by ARN and one that does not agree. The id of
/// a new store is in the response.
fn trail_name<'a>(request: &Value<'a>, response: &Value<'a>) -> Text<'a> {
    let stores = [member(request, "eventDataStore"), member(response, "eventDataStoreArn")];
    let trails = [member(request, "trailName"), member(request, "name"), member(response, "trailARN")];
    let full = stores.into_iter().chain(trails).find_map(Value::text)?;
    let is_arn = full.starts_with("arn:");
    let start = full.find(":trail/").map(|at| at + ":trail/".len());
    let start = start.or_else(|| full.find(":eventdatastore/").map(|at| at + ":eventdatastore/".len()));
    Some(match (start.filter(|_| is_arn), full) {
        (None, full) => full,
        (Some(start), Cow::Borrowed(full)) => Cow::Borrowed(full.get(start..).unwrap_or(full)),
        (Some(start), Cow::Owned(full)) => Cow::Owned(full.get(start..).unwrap_or(&full).to_owned()),
    })
}

fn apply_selectors<'a>(event: &mut Event<'a>, request: &Value<'a>, response: &Value<'a>, change: Change) {
    let lists = [request, response]
        .into_iter()
        .flat_map(|parameters| [member(parameters, "eventSelectors"), member(parameters, "advancedEventSelectors")]);
    // The response repeats the request; it serves when the request was too large to be logged.
    let lists: Vec<&Value<'a>> = lists.filter(|list| matches!(list, Value::Array(_))).collect();
    let selectors: Vec<Selector<'_, 'a>> = lists.iter().flat_map(|list| list.items()).map(Selector::of).collect();
    let trail = event.trail_name.clone();
    let rows: BTreeSet<_> = selectors.iter().flat_map(|selector| selector.rows(&trail)).collect();
    event.trail_selectors = rows.into_iter().collect();
    if lists.is_empty() {
        let is_request_known = matches!(request, Value::Object(_)) && !is_omitted(request);
        if change == Change::Makes && is_request_known {
            event.excludes_kms = Some(false);
            set_blindness(event, Blindness { use_: false, admin: false });
        }
        return;
    }
    let kinds: Vec<Kind> = selectors.iter().map(Selector::kind).collect();
    // A store of Config items, audit evidence or outside events has nothing to do with API calls.
    if !kinds.is_empty() && kinds.iter().all(|kind| *kind == Kind::Other) && change == Change::Selects {
        return;
    }
    // A new store for data events takes nothing away from anybody.
    let takes_nothing_away = change == Change::Makes && !kinds.contains(&Kind::Management);
    let is_recorded = |sample: &Sample| selectors.iter().any(|selector| selector.records(sample));
    let key_use: Vec<bool> = KEY_USE.iter().map(|name| is_recorded(&Sample { name, is_read_only: true })).collect();
    let admin: Vec<bool> = KEY_ADMIN.iter().map(|name| is_recorded(&Sample { name, is_read_only: false })).collect();
    let is_kms_recorded = key_use.contains(&true) || admin.contains(&true);
    event.excludes_kms = Some(!is_kms_recorded && selectors.iter().any(Selector::names_kms_out));
    let blindness = Blindness { use_: key_use.contains(&false), admin: admin.contains(&false) };
    set_blindness(event, if takes_nothing_away { Blindness { use_: false, admin: false } } else { blindness });
}

/// A KMS event to try selectors on.
struct Sample {
    name: &'static str,
    is_read_only: bool,
}

/// What events a selector is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Management,
    /// Data or network activity events.
    Data,
    /// What is no API call: Config items, audit evidence, Insights, outside events.
    Other,
}

/// One event selector, of the old form or the advanced one.
enum Selector<'r, 'a> {
    Classic(&'r Value<'a>),
    Advanced(Vec<FieldSelector<'r>>),
}

/// One field's conditions in an advanced selector.
struct FieldSelector<'r> {
    field: &'r str,
    conditions: Vec<(&'static str, Vec<&'r str>)>,
}

impl<'r, 'a> Selector<'r, 'a> {
    fn of(selector: &'r Value<'a>) -> Self {
        let fields = member(selector, "fieldSelectors");
        match fields {
            Value::Array(array) => Selector::Advanced(array.items.iter().map(FieldSelector::of).collect()),
            _ => Selector::Classic(selector),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Selector::Classic(selector) if has_management(selector) => Kind::Management,
            Selector::Classic(_) => Kind::Data,
            Selector::Advanced(fields) => {
                let takes =
                    |category| fields.iter().all(|field| field.field != "eventCategory" || field.takes(category));
                match (takes("Management"), takes("Data") || takes("NetworkActivity")) {
                    (true, _) => Kind::Management,
                    (false, true) => Kind::Data,
                    (false, false) => Kind::Other,
                }
            }
        }
    }

    /// True when the selector takes the event; what it demands of unknown properties of the event, it does not get.
    fn records(&self, sample: &Sample) -> bool {
        match self {
            Selector::Classic(selector) => {
                let read_write = member(selector, "readWriteType").as_str().unwrap_or("All");
                let other = if sample.is_read_only { "WriteOnly" } else { "ReadOnly" };
                has_management(selector) && !read_write.eq_ignore_ascii_case(other) && !excludes_kms(selector)
            }
            Selector::Advanced(fields) => fields.iter().all(|field| match field.field {
                "eventCategory" => field.takes("Management"),
                "eventSource" => field.takes(KMS),
                "eventName" => field.takes(sample.name),
                "eventType" => field.takes("AwsApiCall"),
                "readOnly" => field.takes(if sample.is_read_only { "true" } else { "false" }),
                _ => !field.is_positive(),
            }),
        }
    }

    /// True when the selector is about management events and leaves out those of KMS by their source.
    fn names_kms_out(&self) -> bool {
        self.kind() == Kind::Management
            && match self {
                Selector::Classic(selector) => excludes_kms(selector),
                Selector::Advanced(fields) => {
                    fields.iter().any(|field| field.field == "eventSource" && !field.takes(KMS))
                }
            }
    }

    fn rows(&self, trail: &Text<'a>) -> Vec<TrailSelector<'a>> {
        let row = |field: &str, operator: &'static str, value: &str| TrailSelector {
            trail: trail.clone(),
            field: Cow::Owned(field.to_owned()),
            operator: Cow::Borrowed(operator),
            value: Cow::Owned(value.to_owned()),
        };
        match self {
            Selector::Classic(selector) => {
                let fields = ["includeManagementEvents", "readWriteType", "excludeManagementEventSources"].into_iter();
                fields
                    .flat_map(|field| {
                        texts(member(selector, field)).into_iter().map(move |value| row(field, "equals", value))
                    })
                    .collect()
            }
            Selector::Advanced(fields) => {
                let conditions =
                    fields.iter().flat_map(|field| field.conditions.iter().map(move |found| (field.field, found)));
                conditions
                    .flat_map(|(field, (operator, values))| values.iter().map(move |value| row(field, operator, value)))
                    .collect()
            }
        }
    }
}

impl<'r> FieldSelector<'r> {
    fn of(selector: &'r Value<'_>) -> Self {
        let conditions = OPERATORS.into_iter().map(|operator| (operator, texts(member(selector, operator))));
        FieldSelector {
            field: member(selector, "field").as_str().unwrap_or_default(),
            conditions: conditions.filter(|(_, values)| !values.is_empty()).collect(),
        }
    }

    /// True when the field may have `value`: one of the positive conditions takes it, if there are any, and no negative
    /// one leaves it out (CloudTrail User Guide, "How CloudTrail evaluates multiple conditions for a field").
    fn takes(&self, value: &str) -> bool {
        let (mut is_demanded, mut is_met) = (false, false);
        for (operator, patterns) in &self.conditions {
            let matches = patterns.iter().any(|pattern| match *operator {
                "equals" | "notEquals" => value.eq_ignore_ascii_case(pattern),
                "startsWith" | "notStartsWith" => starts_with(value, pattern),
                _ => ends_with(value, pattern),
            });
            if operator.starts_with("not") {
                if matches {
                    return false;
                }
            } else {
                is_demanded = true;
                is_met |= matches;
            }
        }
        is_met || !is_demanded
    }

    fn is_positive(&self) -> bool {
        self.conditions.iter().any(|(operator, _)| !operator.starts_with("not"))
    }
}

fn starts_with(value: &str, start: &str) -> bool {
    value.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
}

fn ends_with(value: &str, end: &str) -> bool {
    let start = value.len().checked_sub(end.len());
    start.and_then(|start| value.get(start..)).is_some_and(|found| found.eq_ignore_ascii_case(end))
}

/// Whether a selector of the old form takes management events; it does when it does not say (EventSelector API
/// reference).
fn has_management(selector: &Value<'_>) -> bool {
    member(selector, "includeManagementEvents").as_bool() != Some(false)
}

fn excludes_kms(selector: &Value<'_>) -> bool {
    texts(member(selector, "excludeManagementEventSources")).into_iter().any(|source| source.eq_ignore_ascii_case(KMS))
}

static NULL: Value<'static> = Value::Null;

/// The member `name`, whose first letter records write in either case.
fn member<'r, 'a>(value: &'r Value<'a>, name: &str) -> &'r Value<'a> {
    let members = value.members().iter().rev();
    members.into_iter().find(|(member, _)| member.eq_ignore_ascii_case(name)).map_or(&NULL, |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    const BLIND: (Option<bool>, Option<bool>, Option<bool>) = (Some(false), Some(true), Some(true));
    const EXCLUDED: (Option<bool>, Option<bool>, Option<bool>) = (Some(true), Some(true), Some(true));
    const SEEING: (Option<bool>, Option<bool>, Option<bool>) = (Some(false), Some(false), Some(false));
    const UNKNOWN: (Option<bool>, Option<bool>, Option<bool>) = (None, None, None);

    fn read<T>(name: &'static str, members: &str, read: impl FnOnce(&Event<'_>) -> T) -> T {
        let text = format!("{{{members}}}");
        let record = json::parse(&text).unwrap();
        let mut event = Event {
            event_name: Some(name.into()),
            event_source: Some("cloudtrail.amazonaws.com".into()),
            ..Event::default()
        };
        apply(&mut event, &record);
        read(&event)
    }

    #[track_caller]
    fn check(name: &'static str, members: &str, expected: (Option<bool>, Option<bool>, Option<bool>)) {
        let found = read(name, members, |event| (event.excludes_kms, event.blinds_key_use, event.blinds_key_admin));
        assert_eq!(found, expected, "{name} {members}");
    }

    #[track_caller]
    fn check_selectors(selectors: &str, expected: (Option<bool>, Option<bool>, Option<bool>)) {
        check("PutEventSelectors", &format!(r#""requestParameters":{{"trailName":"t",{selectors}}}"#), expected);
    }

    /// Advanced selectors, each written as its field selectors; `M` is the category of management events.
    #[track_caller]
    fn check_advanced(selectors: &[&str], expected: (Option<bool>, Option<bool>, Option<bool>)) {
        let list: Vec<String> =
            selectors.iter().map(|fields| format!(r#"{{"name":"x","fieldSelectors":[{fields}]}}"#)).collect();
        let list = list.join(",").replace('M', r#"{"field":"eventCategory","equals":["Management"]}"#);
        check_selectors(&format!(r#""advancedEventSelectors":[{list}]"#), expected);
        let upper = list
            .replace("\"field\"", "\"Field\"")
            .replace("\"equals\"", "\"Equals\"")
            .replace("\"notEquals\"", "\"NotEquals\"");
        let upper = upper.replace("\"fieldSelectors\"", "\"FieldSelectors\"");
        check_selectors(&format!(r#""AdvancedEventSelectors":[{upper}]"#), expected);
    }

    #[test]
    fn kms_is_excluded_beside_management_events() {
        // Rules that look at includeManagementEvents alone stay silent here.
        check_selectors(
            r#""eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"dataResources":[],"excludeManagementEventSources":["kms.amazonaws.com"]}]"#,
            EXCLUDED,
        );
        check_selectors(
            r#""EventSelectors":[{"ExcludeManagementEventSources":["rdsdata.amazonaws.com","KMS.amazonaws.com"]}]"#,
            EXCLUDED,
        );
        check_selectors(
            r#""eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["rdsdata.amazonaws.com"]}]"#,
            SEEING,
        );
        check_selectors(
            r#""eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"dataResources":[],"excludeManagementEventSources":[]}]"#,
            SEEING,
        );
        check_selectors(r#""eventSelectors":[{}]"#, SEEING);
    }

    #[test]
    fn several_selectors_are_a_union() {
        let excluding = r#"{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]}"#;
        let all = r#"{"readWriteType":"All","includeManagementEvents":true}"#;
        let data = r#"{"readWriteType":"All","includeManagementEvents":false,"dataResources":[{"type":"AWS::S3::Object","values":["arn:aws:s3"]}]}"#;
        let read = r#"{"readWriteType":"ReadOnly","includeManagementEvents":true}"#;
        let write = r#"{"readWriteType":"WriteOnly","includeManagementEvents":true}"#;
        let use_only = (Some(false), Some(false), Some(true));
        for (selectors, expected) in [
            (vec![excluding, all], SEEING),
            (vec![excluding, data], EXCLUDED),
            (vec![excluding, read], use_only),
            (vec![data], BLIND),
            (vec![data, all], SEEING),
            (vec![read, write], SEEING),
            (vec![read, data], use_only),
            (vec![], BLIND),
        ] {
            check_selectors(&format!(r#""eventSelectors":[{}]"#, selectors.join(",")), expected);
        }
    }

    #[test]
    fn half_a_trail_is_blind_to_half_of_the_calls() {
        check_selectors(
            r#""eventSelectors":[{"readWriteType":"WriteOnly","includeManagementEvents":true}]"#,
            (Some(false), Some(true), Some(false)),
        );
        check_selectors(
            r#""eventSelectors":[{"readWriteType":"ReadOnly","includeManagementEvents":"true"}]"#,
            (Some(false), Some(false), Some(true)),
        );
        check_advanced(&[r#"M,{"field":"readOnly","equals":["false"]}"#], (Some(false), Some(true), Some(false)));
        check_advanced(&[r#"M,{"field":"readOnly","equals":["true"]}"#], (Some(false), Some(false), Some(true)));
        check_advanced(
            &[r#"M,{"field":"readOnly","equals":["true"]}"#, r#"M,{"field":"readOnly","equals":["false"]}"#],
            SEEING,
        );
    }

    #[test]
    fn advanced_selectors_are_tried_on_kms_events() {
        check_advanced(&["M"], SEEING);
        check_advanced(&[r#"M,{"field":"eventSource","notEquals":["kms.amazonaws.com"]}"#], EXCLUDED);
        check_advanced(
            &[r#"M,{"field":"eventSource","notEquals":["rdsdata.amazonaws.com","kms.amazonaws.com"]}"#],
            EXCLUDED,
        );
        check_advanced(&[r#"M,{"field":"eventSource","notEquals":["rdsdata.amazonaws.com"]}"#], SEEING);
        check_advanced(&[r#"M,{"field":"eventSource","equals":["iam.amazonaws.com"]}"#], EXCLUDED);
        check_advanced(&[r#"M,{"field":"eventSource","equals":["iam.amazonaws.com","kms.amazonaws.com"]}"#], SEEING);
        check_advanced(&[r#"M,{"field":"eventSource","notStartsWith":["kms"]}"#], EXCLUDED);
        check_advanced(&[r#"M,{"field":"eventSource","notEndsWith":[".amazonaws.com"]}"#], EXCLUDED);
        check_advanced(&[r#"M,{"field":"eventSource","startsWith":["km"],"equals":["iam.amazonaws.com"]}"#], SEEING);
        // The exclusion in one selector is made good by another.
        check_advanced(&[r#"M,{"field":"eventSource","notEquals":["kms.amazonaws.com"]}"#, "M"], SEEING);
        check_advanced(
            &[r#"{"field":"eventCategory","equals":["Data"]},{"field":"resources.type","equals":["AWS::S3::Object"]}"#],
            BLIND,
        );
        check_advanced(&[r#"{"field":"eventCategory","equals":["Data"]}"#, "M"], SEEING);
        check_advanced(&[r#"M,{"field":"eventName","notEquals":["Decrypt"]}"#], (Some(false), Some(true), Some(false)));
        check_advanced(&[r#"M,{"field":"eventName","notEquals":["GenerateRandom"]}"#], SEEING);
        check_advanced(&[r#"M,{"field":"userIdentity.arn","notEquals":["arn:aws:iam::111122223333:user/x"]}"#], SEEING);
        check_advanced(&[r#"M,{"field":"userIdentity.arn","equals":["arn:aws:iam::111122223333:user/x"]}"#], BLIND);
        check_advanced(&[], BLIND);
    }

    #[test]
    fn the_list_that_has_selectors_counts() {
        check_selectors(
            r#""eventSelectors":[],"advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Management"]}]}]"#,
            SEEING,
        );
        check_selectors(r#""eventSelectors":null,"advancedEventSelectors":[]"#, BLIND);
        check_selectors(r#""eventSelectors":"kms.amazonaws.com""#, UNKNOWN);
        check_selectors(r#""x":1"#, UNKNOWN);
        let response = r#""requestParameters":{"omitted":true},"responseElements":{"eventSelectors":[{"includeManagementEvents":false}]}"#;
        check("PutEventSelectors", response, BLIND);
        check("PutEventSelectors", r#""requestParameters":null,"errorCode":"AccessDenied""#, UNKNOWN);
        let failed =
            r#""errorCode":"AccessDenied","requestParameters":{"eventSelectors":[{"includeManagementEvents":false}]}"#;
        check("PutEventSelectors", failed, BLIND);
    }

    #[test]
    fn stopping_blinds_and_starting_does_not() {
        let (stopped, started) = ((None, Some(true), Some(true)), (None, Some(false), Some(false)));
        for name in ["StopLogging", "DeleteTrail", "StopEventDataStoreIngestion", "DeleteEventDataStore"] {
            check(name, r#""requestParameters":{"name":"t"}"#, stopped);
            check(name, r#""requestParameters":null"#, stopped);
        }
        for name in ["StartLogging", "StartEventDataStoreIngestion", "RestoreEventDataStore"] {
            check(name, r#""requestParameters":{"name":"t"}"#, started);
        }
        for name in ["UpdateTrail", "GetEventSelectors", "DescribeTrails", "AddTags", "LookupEvents"] {
            check(name, r#""requestParameters":{"name":"t","eventSelectors":[]}"#, UNKNOWN);
        }
    }

    #[test]
    fn new_trails_and_stores_blind_only_by_what_they_leave_out() {
        check("CreateTrail", r#""requestParameters":{"name":"t"}"#, SEEING);
        check("CreateEventDataStore", r#""requestParameters":{"name":"s"}"#, SEEING);
        check("CreateEventDataStore", r#""requestParameters":null"#, UNKNOWN);
        let store = |fields: &str| {
            format!(r#""requestParameters":{{"name":"s","advancedEventSelectors":[{{"fieldSelectors":[{fields}]}}]}}"#)
        };
        let management = r#"{"field":"eventCategory","equals":["Management"]}"#;
        let without_kms =
            store(&format!(r#"{management},{{"field":"eventSource","notEquals":["kms.amazonaws.com"]}}"#));
        for name in ["CreateEventDataStore", "UpdateEventDataStore"] {
            check(name, &without_kms, EXCLUDED);
            check(name, &store(management), SEEING);
        }
        let data = store(r#"{"field":"eventCategory","equals":["Data"]}"#);
        check("CreateEventDataStore", &data, SEEING);
        check("UpdateEventDataStore", &data, BLIND);
        let config = store(r#"{"field":"eventCategory","equals":["ConfigurationItem"]}"#);
        check("CreateEventDataStore", &config, SEEING);
        check("UpdateEventDataStore", &config, UNKNOWN);
        check("UpdateEventDataStore", r#""requestParameters":{"eventDataStore":"s","retentionPeriod":7}"#, UNKNOWN);
    }

    #[test]
    fn one_trail_has_one_name() {
        for (name, members, expected) in [
            ("StopLogging", r#""requestParameters":{"name":"org-trail"}"#, Some("org-trail")),
            (
                "StopLogging",
                r#""requestParameters":{"name":"arn:aws-us-gov:cloudtrail:us-gov-west-1:111122223333:trail/org-trail"}"#,
                Some("org-trail"),
            ),
            ("PutEventSelectors", r#""requestParameters":{"trailName":"org-trail"}"#, Some("org-trail")),
            ("UpdateTrail", r#""requestParameters":{"name":"org-trail"}"#, Some("org-trail")),
            (
                "DeleteEventDataStore",
                r#""requestParameters":{"eventDataStore":"arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/e1"}"#,
                Some("e1"),
            ),
            (
                "CreateEventDataStore",
                r#""requestParameters":{"name":"s"},"responseElements":{"eventDataStoreArn":"arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/e1"}"#,
                Some("e1"),
            ),
            ("CreateEventDataStore", r#""requestParameters":{"name":"s"}"#, Some("s")),
            ("StopLogging", r#""requestParameters":{"name":"x:trail/y"}"#, Some("x:trail/y")),
            ("StopLogging", r#""requestParameters":null"#, None),
            ("GetTrailStatus", r#""requestParameters":{"name":"org-trail"}"#, None),
        ] {
            assert_eq!(
                read(name, members, |event| event.trail_name.as_deref().map(str::to_owned)).as_deref(),
                expected,
                "{members}"
            );
        }
    }

    #[test]
    fn every_selector_is_a_row() {
        let rows = |members: &str| {
            read("PutEventSelectors", members, |event| {
                let rows = event.trail_selectors.iter();
                rows.map(|row| {
                    format!("{} {} {} {}", row.trail.as_deref().unwrap_or("-"), row.field, row.operator, row.value)
                })
                .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            rows(
                r#""requestParameters":{"trailName":"t","eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]},{"readWriteType":"All"}]}"#
            ),
            [
                "t excludeManagementEventSources equals kms.amazonaws.com",
                "t includeManagementEvents equals true",
                "t readWriteType equals All"
            ]
        );
        assert_eq!(
            rows(
                r#""requestParameters":{"AdvancedEventSelectors":[{"FieldSelectors":[{"Field":"eventSource","NotEquals":["b","a"],"StartsWith":["k"]},7]}]}"#
            ),
            ["- eventSource notEquals a", "- eventSource notEquals b", "- eventSource startsWith k"]
        );
    }

    #[test]
    fn another_service_with_the_same_event_name_is_not_read() {
        let text = r#"{"requestParameters":{"name":"t"}}"#;
        let record = json::parse(text).unwrap();
        let mut event = Event {
            event_name: Some("StopLogging".into()),
            event_source: Some("x.amazonaws.com".into()),
            ..Event::default()
        };
        apply(&mut event, &record);
        assert_eq!((event.trail_name, event.blinds_key_use), (None, None));
    }
}
