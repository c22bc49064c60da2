//! Which key a record is about.
//!
//! In: a record's resources, response, parameters, service details and error message. Out: the canonical key ARN with the
//! evidence that gave it. The order of trust is KMS's own word first (`resources`, then the response), then the caller's
//! (an ARN, then a bare id completed with the caller's account and Region), then the text of an error. A Decrypt made
//! through a service names its key only in `resources`. Deliberately absent: aliases that only other records resolve; they
//! stay in `alias_name` and `key_ref`, and SQL joins them.

use super::fields::{Fields, first_text, part_of, scalar};
use super::identity::is_account_id;
use crate::json::Value;
use crate::schema::{Event, Text};
use std::borrow::Cow;

/// A key and the evidence for it: a value of `key_source`.
struct Found<'a> {
    arn: Cow<'a, str>,
    source: &'static str,
}

/// Sets the key columns. The outcome and the Region must be set.
pub(super) fn apply<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>, is_kms: bool) {
    let resources = Resources::of(fields.resources);
    if is_kms {
        match event.event_name.as_deref() {
            Some("ReEncrypt") => re_encrypt(event, fields, &resources),
            _ => single_key(event, fields, resources),
        }
        if event.key_arn.is_none() {
            from_error_message(event, fields);
        }
    } else {
        named_by_service(event, fields, resources);
    }
    finish(event);
}

/// The keys and the alias in `resources`. Aliases and keys stand there in either order and with the same type.
#[derive(Default)]
struct Resources<'a> {
    first: Text<'a>,
    second: Text<'a>,
    /// Some key stands there twice, as when ReEncrypt keeps the key.
    is_repeated: bool,
    alias: Text<'a>,
    account: Text<'a>,
}

impl<'a> Resources<'a> {
    fn of(list: &Value<'a>) -> Self {
        let mut found = Resources::default();
        for item in list.items() {
            if found.account.is_none() {
                found.account = scalar(item.get("accountId"));
            }
            let Some(arn) = item.get("ARN").text() else { continue };
            let Some(Parts { resource, .. }) = parts(&arn) else { continue };
            if resource.starts_with("alias/") {
                found.alias = found.alias.or(Some(arn));
                continue;
            }
            let length = resource.len();
            if let Some(key) = key_of_resource(arn, length) {
                if found.first.is_none() {
                    found.first = Some(key);
                } else if found.first.as_deref() == Some(&*key) || found.second.as_deref() == Some(&*key) {
                    found.is_repeated = true;
                } else if found.second.is_none() {
                    found.second = Some(key);
                }
            }
        }
        found
    }

    /// The key meant when there should be one: of two, the one that the caller named and that is no new replica.
    fn one(self, wanted: Option<&str>, replica_region: Option<&str>) -> Option<Found<'a>> {
        let is_meant = |arn: &str| {
            wanted.is_some_and(|wanted| names_key(wanted, arn))
                && !(replica_region.is_some() && parts(arn).map(|arn| arn.region) == replica_region)
        };
        let arn = match self.second {
            Some(second) if is_meant(&second) && !self.first.as_deref().is_some_and(is_meant) => second,
            _ => self.first?,
        };
        Some(Found { arn, source: "resources" })
    }
}

fn single_key<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>, resources: Resources<'a>) {
    let request = fields.request;
    let alias = request.get("aliasName").text();
    let listed_alias = resources.alias.as_ref().map(alias_of_arn);
    let wanted = first_text(request, &["keyId", "targetKeyId", "sourceKeyId", "destinationKeyId"]);
    let replica_region = request.get("replicaRegion").as_str();
    let account = resources.account.clone();
    let found = resources
        .one(wanted.as_deref(), replica_region)
        .or_else(|| from_response(fields, wanted.as_deref()))
        .or_else(|| from_reference(event, fields, wanted.clone()?, account.as_deref(), "request_id"))
        .or_else(|| {
            let id = fields.service_details.get("keyId").text()?;
            from_reference(event, fields, id, account.as_deref(), "service_event")
        });
    event.key_ref = wanted.or_else(|| alias.clone());
    event.alias_name = alias.or_else(|| event.key_ref.as_ref().and_then(alias_of_reference)).or(listed_alias);
    match event.event_name.as_deref() {
        Some("CreateAlias" | "UpdateAlias") => event.target_key_arn = found.as_ref().map(|found| found.arn.clone()),
        Some("ReplicateKey") => event.target_key_arn = replica(event, fields, found.as_ref()),
        _ => {}
    }
    set(event, found);
}

/// The ARN of the replica: from the response, else the primary's with the new Region, which is how replicas are named.
fn replica<'a>(event: &Event<'a>, fields: &Fields<'_, 'a>, primary: Option<&Found<'a>>) -> Text<'a> {
    if let Some(arn) = fields.response.get("replicaKeyMetadata").get("arn").text().and_then(key_arn) {
        return Some(arn);
    }
    let region = fields.request.get("replicaRegion").text().filter(|_| event.outcome.as_deref() == Some("ok"))?;
    let primary = parts(&primary?.arn)?;
    Some(key_arn_of(primary.partition, &region, primary.account, primary.resource))
}

/// ReEncrypt has two keys: `resources` holds the source and then the destination. In the copy of one key's owner the
/// other key may be missing.
fn re_encrypt<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>, resources: &Resources<'a>) {
    let request = fields.request;
    let (from, to) = (request.get("sourceKeyId").text(), request.get("destinationKeyId").text());
    // A bare id means the caller's account, while the resource may be the other key's.
    let caller = event.principal_account_id.clone().or_else(|| event.account_id.clone());
    let resolve =
        |reference: &Text<'a>| from_reference(event, fields, reference.clone()?, caller.as_deref(), "request_id");
    let listed = |arn: &Text<'a>| arn.clone().map(|arn| Found { arn, source: "resources" });
    let names = |reference: &Text<'a>, arn: &Text<'a>| match (reference, arn) {
        (Some(reference), Some(arn)) => names_key(reference, arn),
        _ => false,
    };
    let (source, destination) = match (&resources.first, &resources.second) {
        (first, Some(_)) => (listed(first), listed(&resources.second)),
        (first @ Some(_), None) if resources.is_repeated => (listed(first), listed(first)),
        (first @ Some(_), None) if names(&to, first) => {
            (if names(&from, first) { listed(first) } else { resolve(&from) }, listed(first))
        }
        (first @ Some(_), None) => (listed(first), resolve(&to)),
        (None, None) => (resolve(&from), resolve(&to)),
    };
    event.target_key_arn = destination.map(|found| found.arn);
    event.alias_name = from.as_ref().and_then(alias_of_reference);
    event.key_ref = from;
    set(event, source);
}

/// The key in a response. Where the response and an ARN given by the caller disagree, the caller's is taken: AWS's own
/// UpdatePrimaryRegion example answers with another key's ARN.
fn from_response<'a>(fields: &Fields<'_, 'a>, wanted: Option<&str>) -> Option<Found<'a>> {
    let found = |arn| Found { arn, source: "response" };
    if let Some(arn) = fields.response.get("keyMetadata").get("arn").text().and_then(key_arn) {
        return Some(found(arn));
    }
    let arn = fields.response.get("keyId").text().and_then(key_arn)?;
    let is_contradicted = wanted.is_some_and(|wanted| parts(wanted).is_some() && !names_key(wanted, &arn));
    (!is_contradicted).then(|| found(arn))
}

/// The key behind a reference: an ARN as it is, a bare id with the given account and the record's Region. Aliases have no
/// answer here. `id_source` is the evidence to name for a bare id.
fn from_reference<'a>(
    event: &Event<'a>,
    fields: &Fields<'_, 'a>,
    reference: Cow<'a, str>,
    account: Option<&str>,
    id_source: &'static str,
) -> Option<Found<'a>> {
    if reference.starts_with("arn:") {
        let source = if id_source == "request_id" { "request_arn" } else { id_source };
        return key_arn(reference).map(|arn| Found { arn, source });
    }
    // What a failed call names may be a guess; only what looks like an id is taken for one.
    let is_id = is_key_id(&reference)
        || (event.outcome.as_deref() == Some("ok")
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    let recipient = scalar(fields.recipient_account);
    let account = account.or(recipient.as_deref()).or(event.principal_account_id.as_deref())?;
    let region = event.region.as_deref()?;
    is_id.then(|| Found { arn: key_arn_of(partition(region), region, account, &reference), source: id_source })
}

/// Bytes of the longest KMS ARN: alias names have up to 256. The bound keeps a hostile message from being read again and
/// again to its end.
const MAX_ARN: usize = 512;

/// What an error message says about the key: denied and disabled-key errors carry its ARN. An alias ARN stands in for what
/// the caller typed, since a denied call is logged without its parameters.
fn from_error_message(event: &mut Event<'_>, fields: &Fields<'_, '_>) {
    let Some(message) = fields.error_message.as_str() else { return };
    for (start, _) in message.match_indices("arn:") {
        let rest = message.get(start..).unwrap_or_default();
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'/' | b'_' | b'-');
        let length = rest.bytes().take(MAX_ARN).take_while(|byte| is_part(*byte)).count();
        let text = rest.get(..length).unwrap_or_default();
        if is_alias_arn(text) {
            let arn = Cow::Owned(text.to_owned());
            event.alias_name = event.alias_name.take().or_else(|| Some(alias_of_arn(&arn)));
            event.key_ref = event.key_ref.take().or(Some(arn));
            return;
        }
        if let Some(arn) = key_arn(Cow::Owned(text.to_owned())) {
            let is_destination = event.denied_action.as_deref() == Some("kms:ReEncryptTo")
                || event.target_key_arn.as_ref() == Some(&arn) && event.event_name.as_deref() == Some("ReEncrypt");
            if is_destination {
                event.target_key_arn = Some(arn);
            } else {
                set(event, Some(Found { arn, source: "error_message" }));
            }
            return;
        }
    }
}

/// Parameters by which other services name the key they are to use, without their capitals.
const SERVICE_PARAMETERS: &[&str] =
    &["kmskeyid", "kmskeyarn", "kmsmasterkeyid", "masterkeyarn", "x-amz-server-side-encryption-aws-kms-key-id"];

/// The key that another service's call names: in its resources, else in a parameter for it.
fn named_by_service<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>, resources: Resources<'a>) {
    let mut named = fields
        .request
        .members()
        .iter()
        .filter(|(name, _)| SERVICE_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name)));
    event.key_ref = named.find_map(|(_, value)| value.text());
    event.alias_name = event.key_ref.as_ref().and_then(alias_of_reference);
    let found = resources.one(event.key_ref.as_deref(), None).or_else(|| {
        let reference =
            event.key_ref.clone().filter(|reference| reference.starts_with("arn:") || is_key_id(reference))?;
        from_reference(event, fields, reference, event.principal_account_id.as_deref(), "request_id")
    });
    set(event, found);
}

fn set<'a>(event: &mut Event<'a>, found: Option<Found<'a>>) {
    if let Some(found) = found {
        event.key_arn = Some(found.arn);
        event.key_source = Some(Cow::Borrowed(found.source));
    }
}

/// Takes the ARNs apart. An alias ARN that nothing resolves still tells the key's account and Region.
fn finish(event: &mut Event<'_>) {
    if let Some(arn) = &event.key_arn {
        let id = part_of(arn, |arn| arn.rsplit_once('/').map_or("", |(_, id)| id));
        event.mrk_id = id.starts_with("mrk-").then(|| id.clone());
        event.key_id = Some(id);
    }
    let alias = event.key_ref.as_ref().filter(|reference| is_alias_arn(reference));
    if let Some(arn) = event.key_arn.as_ref().or(alias) {
        let (account, region) = place_of(arn);
        event.key_account_id = is_account_id(&account).then_some(account);
        event.key_region = Some(region);
    }
    event.target_key_account_id = event.target_key_arn.as_ref().and_then(account_of);
}

/// The account and the Region in a KMS ARN; empty when the text is none.
fn place_of<'a>(arn: &Cow<'a, str>) -> (Cow<'a, str>, Cow<'a, str>) {
    match arn {
        Cow::Borrowed(arn) => parts(arn).map(|arn| (arn.account.into(), arn.region.into())).unwrap_or_default(),
        Cow::Owned(arn) => {
            parts(arn).map(|arn| (arn.account.to_owned().into(), arn.region.to_owned().into())).unwrap_or_default()
        }
    }
}

fn account_of<'a>(arn: &Cow<'a, str>) -> Text<'a> {
    let (account, _) = place_of(arn);
    is_account_id(&account).then_some(account)
}

/// The parts of a KMS ARN.
struct Parts<'t> {
    partition: &'t str,
    region: &'t str,
    account: &'t str,
    /// `key/ID` or `alias/NAME`.
    resource: &'t str,
}

/// What stands before and behind the byte at `at`.
fn cut_at(text: &str, at: usize) -> Option<(&str, &str)> {
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn parts(arn: &str) -> Option<Parts<'_>> {
    // Fields of a dozen bytes: walking over them is faster than any search that has to be set up.
    let field = |text: &'_ str| text.bytes().position(|byte| byte == b':');
    let rest = arn.strip_prefix("arn:")?;
    let (partition, rest) = cut_at(rest, field(rest)?)?;
    let (service, rest) = cut_at(rest, field(rest)?)?;
    let (region, rest) = cut_at(rest, field(rest)?)?;
    let (account, resource) = cut_at(rest, field(rest)?)?;
    (service == "kms" && !region.is_empty() && !account.is_empty()).then_some(Parts {
        partition,
        region,
        account,
        resource,
    })
}

fn is_alias_arn(text: &str) -> bool {
    parts(text).is_some_and(|arn| arn.resource.starts_with("alias/"))
}

/// `alias/NAME` in an alias ARN.
fn alias_of_arn<'a>(arn: &Cow<'a, str>) -> Cow<'a, str> {
    part_of(arn, |arn| parts(arn).map_or("", |arn| arn.resource))
}

/// The alias that a caller's reference names, when it names one.
fn alias_of_reference<'a>(reference: &Cow<'a, str>) -> Text<'a> {
    if reference.starts_with("alias/") {
        return Some(reference.clone());
    }
    is_alias_arn(reference).then(|| alias_of_arn(reference))
}

/// A key ARN in canonical form, `None` when the text is no key ARN. KMS writes its ids in lower case; a caller's spelling
/// must not make a second key of one.
fn key_arn(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let length = parts(&text)?.resource.len();
    key_of_resource(text, length)
}

/// The same for a KMS ARN whose resource has `length` bytes.
fn key_of_resource(text: Cow<'_, str>, length: usize) -> Option<Cow<'_, str>> {
    let id = text.get(text.len() - length..)?.strip_prefix("key/")?;
    if id.is_empty() || id.bytes().any(|byte| byte == b'/') {
        return None;
    }
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) && is_key_id(id) {
        let prefix = text.get(..text.len() - id.len()).unwrap_or_default();
        return Some(Cow::Owned([prefix, &id.to_ascii_lowercase()].concat()));
    }
    Some(text)
}

/// True for a UUID and for `mrk-` with 32 hexadecimal digits: all shapes that key ids have.
fn is_key_id(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("mrk-") {
        return digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let is_hyphen = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(place, byte)| if is_hyphen(place) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

/// True when `reference`, an ARN or a bare id, names the key `arn`.
fn names_key(reference: &str, arn: &str) -> bool {
    if reference.starts_with("arn:") {
        return reference.eq_ignore_ascii_case(arn);
    }
    arn.rsplit_once('/').is_some_and(|(_, id)| id.eq_ignore_ascii_case(reference))
}

/// Puts a key ARN together; `resource` is an id or already `key/ID`.
fn key_arn_of<'a>(partition: &str, region: &str, account: &str, resource: &str) -> Cow<'a, str> {
    let id = resource.strip_prefix("key/").unwrap_or(resource);
    let id = if is_key_id(id) { Cow::Owned(id.to_ascii_lowercase()) } else { Cow::Borrowed(id) };
    Cow::Owned(["arn:", partition, ":kms:", region, ":", account, ":key/", &id].concat())
}

/// The partition that a Region belongs to.
fn partition(region: &str) -> &'static str {
    const PARTITIONS: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}
