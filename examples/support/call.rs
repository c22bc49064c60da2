//! One call of the sample story, and the tape that all calls are recorded on.
//!
//! In: who calls what, when, with which parameters. Out: records as text, each with the account and region whose log gets
//! it. What every record has by nature (ids, identity, host header, read or write) is derived here, so that the story's
//! own files hold only what is particular to a call.

use crate::cast::{Actor, Key, Kind};
use crate::clock::{instant, push_time};
use crate::random::{BASE32, Random};
use crate::record::{Record, Session, key_resource};

/// JSON text of a string.
pub(crate) fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// JSON text of an object with its members in the order given; values are JSON text already.
pub(crate) fn object(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", text(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// JSON text of a list of strings.
pub(crate) fn list(values: &[&str]) -> String {
    let values: Vec<String> = values.iter().map(|value| text(value)).collect();
    format!("[{}]", values.join(","))
}

/// An id that belongs to a name, such as a role's `AROA...`.
fn id_of(prefix: &str, name: &str, characters: usize) -> String {
    let mut out = String::from(prefix);
    Random::named(&format!("{prefix}{name}")).push(BASE32, characters, &mut out);
    out
}

/// The long-term access key id of a user.
pub(crate) fn access_key_of(user: &Actor) -> String {
    id_of("AKIA", user.name, 16)
}

/// The id of a key's current material: 64 hex digits.
pub(crate) fn material_of(key: &Key) -> String {
    let mut random = Random::named(key.id);
    (0..4).map(|_| format!("{:016x}", random.draw())).collect()
}

/// A record in the making.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    service: &'static str,
    name: &'static str,
    actor: Actor,
    time: i64,
    region: &'static str,
    /// Whose log gets the record.
    account: &'static str,
    via: &'static str,
    request: String,
    response: String,
    additional: String,
    resources: String,
    error: (String, String),
    shared: String,
    details: String,
    addendum: &'static str,
    lateness: i64,
    request_id: Option<String>,
}

impl Call {
    /// A call of any service.
    pub(crate) fn new(
        service: &'static str,
        name: &'static str,
        actor: &Actor,
        region: &'static str,
        time: i64,
    ) -> Call {
        Call {
            service,
            name,
            actor: *actor,
            time,
            region,
            account: actor.account,
            via: "",
            request: "null".into(),
            response: "null".into(),
            additional: String::new(),
            resources: String::new(),
            error: (String::new(), String::new()),
            shared: String::new(),
            details: String::new(),
            addendum: "",
            lateness: 0,
            request_id: None,
        }
    }

    /// A KMS call about a key, in the key's region.
    pub(crate) fn kms(name: &'static str, actor: &Actor, key: &Key, time: i64) -> Call {
        let mut call = Call::new("kms", name, actor, key.region, time);
        call.resources = key_resource(key.account, &key.arn());
        if matches!(actor.kind, Kind::Service | Kind::Stranger) {
            call.account = key.account;
        }
        call
    }

    /// A cryptographic call, which names the material it used.
    pub(crate) fn crypto(name: &'static str, actor: &Actor, key: &Key, time: i64) -> Call {
        let mut call = Call::kms(name, actor, key, time);
        call.additional = object(&[("keyMaterialId", text(&material_of(key)))]);
        call
    }

    /// Made by a service on the actor's behalf.
    pub(crate) fn via(mut self, service: &'static str) -> Call {
        self.via = service;
        self
    }

    /// With these request parameters.
    pub(crate) fn asks(mut self, members: &[(&str, String)]) -> Call {
        self.request = object(members);
        self
    }

    /// With these response elements.
    pub(crate) fn answers(mut self, members: &[(&str, String)]) -> Call {
        self.response = object(members);
        self
    }

    /// With this additional event data.
    pub(crate) fn adds(mut self, members: &[(&str, String)]) -> Call {
        self.additional = object(members);
        self
    }

    /// With these `resources`, JSON; empty text for none.
    pub(crate) fn resources(mut self, resources: String) -> Call {
        self.resources = resources;
        self
    }

    /// Failed, in a way that leaves the parameters in the record.
    pub(crate) fn fails(mut self, code: &str, message: &str) -> Call {
        self.error = (code.into(), text(message));
        self.response = "null".into();
        self.additional = String::new();
        self
    }

    /// Refused: CloudTrail leaves parameters and resources out, and the action and key stand in the message only.
    pub(crate) fn denied(self, resource: &str, because: &str) -> Call {
        let arn = principal_arn(&self.actor);
        let (service, name) = (self.service, self.name);
        let target = if resource.is_empty() { String::new() } else { format!(" on resource: {resource}") };
        let message = format!("User: {arn} is not authorized to perform: {service}:{name}{target} because {because}");
        let mut call = self.fails("AccessDenied", &message);
        call.request = "null".into();
        call.resources = String::new();
        call
    }

    /// A record that two accounts get: the same shared id and request id.
    fn shared(mut self, shared: &str, request_id: &str) -> Call {
        self.shared = shared.into();
        self.request_id = Some(request_id.into());
        self
    }

    /// The caller's record of a call on another account's key, when we have no logs of that account.
    pub(crate) fn shared_abroad(mut self) -> Call {
        self.shared = Random::named(&format!("{}{}{}", self.actor.name, self.name, self.time)).guid();
        self
    }

    /// With `serviceEventDetails`, which makes it KMS's own doing.
    pub(crate) fn details(mut self, members: &[(&str, String)]) -> Call {
        self.details = object(members);
        self.additional = String::new();
        self
    }

    /// Delivered one slot later than usual: two accounts' logs do not arrive together.
    fn one_slot_later(mut self) -> Call {
        self.lateness = 300;
        self
    }

    /// Delivered three hours late, with the reason in an addendum.
    pub(crate) fn delayed(mut self) -> Call {
        self.addendum = "{\"reason\":\"DELIVERY_DELAY\"}";
        self.lateness = 3 * 3_600;
        self
    }
}

/// True for the calls CloudTrail marks as reading: all cryptographic KMS operations are among them.
fn is_read(name: &str) -> bool {
    const READS: [&str; 10] = [
        "Decrypt",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "ReEncrypt",
        "AssumeRole",
        "GetCallerIdentity",
        "LookupEvents",
        "Sign",
        "Verify",
    ];
    READS.contains(&name) || ["Get", "List", "Describe", "Head"].iter().any(|verb| name.starts_with(verb))
}

fn principal_arn(actor: &Actor) -> String {
    let Actor { account, name, session, .. } = actor;
    match actor.kind {
        Kind::User | Kind::ConsoleUser => format!("arn:aws:iam::{account}:user/{name}"),
        _ => format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
    }
}

/// Credentials of a session change every six hours, on the hour.
const SESSION_SECONDS: i64 = 6 * 3_600;

fn identity(call: &Call) -> String {
    let Actor { kind, account, path, name, session, .. } = call.actor;
    let since = call.time - call.time.rem_euclid(SESSION_SECONDS);
    let temporary = id_of("ASIA", &format!("{name}{session}{since}"), 16);
    let mut since_text = String::new();
    push_time(since, &mut since_text);
    let invoked_by = |via: &str| if via.is_empty() { String::new() } else { format!(",\"invokedBy\":\"{via}\"") };
    match kind {
        Kind::User | Kind::ConsoleUser => {
            let (access_key, context) = if kind == Kind::ConsoleUser {
                let attributes = format!("{{\"creationDate\":\"{since_text}\",\"mfaAuthenticated\":\"true\"}}");
                (temporary, format!(",\"sessionContext\":{{\"sessionIssuer\":{{}},\"attributes\":{attributes}}}"))
            } else {
                (access_key_of(&call.actor), String::new())
            };
            format!(
                "{{\"type\":\"IAMUser\",\"principalId\":\"{}\",\"arn\":\"arn:aws:iam::{account}:user/{name}\",\
                 \"accountId\":\"{account}\",\"accessKeyId\":\"{access_key}\",\"userName\":\"{name}\"{context}{}}}",
                id_of("AIDA", name, 17),
                invoked_by(call.via)
            )
        }
        Kind::Role => {
            let mut out = String::new();
            let (role_id, access_key) = (id_of("AROA", name, 17), if path == "/" { temporary } else { String::new() });
            let (role_id, access_key) = (role_id.as_str(), access_key.as_str());
            Session { account, path, role: name, role_id, session, access_key, since, via: call.via }.write(&mut out);
            out
        }
        Kind::Instance => format!(
            "{{\"type\":\"AssumedRole\",\"principalId\":\"{account}:{name}:{session}\",\
             \"arn\":\"arn:aws:sts::{account}:assumed-role/{name}/{session}\",\"accountId\":\"{account}\"{}}}",
            invoked_by(call.via)
        ),
        Kind::Service => format!("{{\"type\":\"AWSService\",\"invokedBy\":\"{name}\"}}"),
        Kind::Stranger => format!(
            "{{\"type\":\"AWSAccount\",\"principalId\":\"{}:{session}\",\"accountId\":\"{account}\"{}}}",
            id_of("AROA", name, 17),
            invoked_by(call.via)
        ),
        Kind::Kms => format!("{{\"accountId\":\"{account}\",\"invokedBy\":\"{name}\"}}"),
    }
}

/// A record and the log it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Whose log.
    pub(crate) account: &'static str,
    /// Which region's log.
    pub(crate) region: &'static str,
    /// Event time, seconds since 1970.
    pub(crate) time: i64,
    /// Seconds by which the delivery was late.
    pub(crate) lateness: i64,
    /// A KMS record, which a trail may exclude.
    pub(crate) is_kms: bool,
    /// The record.
    pub(crate) text: String,
}

/// All records in the order they were told, not in the order of time.
#[derive(Debug)]
pub(crate) struct Tape {
    /// The story's chance.
    pub(crate) random: Random,
    /// What was recorded.
    pub(crate) events: Vec<Event>,
}

impl Tape {
    /// An empty tape.
    pub(crate) fn new(seed: u64) -> Tape {
        Tape { random: Random::new(seed), events: Vec::new() }
    }

    /// Records a call.
    pub(crate) fn add(&mut self, call: Call) {
        let by_service = !call.via.is_empty() || !matches!(call.actor.kind, Kind::User | Kind::Role | Kind::Stranger);
        let by_console = call.actor.kind == Kind::ConsoleUser;
        let direct = !by_service && call.actor.address != call.actor.agent;
        let (address, agent) =
            if call.via.is_empty() { (call.actor.address, call.actor.agent) } else { (call.via, call.via) };
        let tls_host = match call.service {
            _ if !direct => String::new(),
            "iam" => "iam.amazonaws.com".into(),
            service => format!("{service}.{}.amazonaws.com", call.region),
        };
        let is_internal = call.actor.kind == Kind::Kms;
        let request_id = if is_internal { String::new() } else { self.random.guid() };
        let event_id = self.random.guid();
        // KMS calls of the application's network go through its endpoint.
        let inside = direct && !by_console && call.service == "kms" && address == "198.51.100.20";
        let shared = match call.actor.kind {
            Kind::Service => self.random.guid(),
            _ => call.shared.clone(),
        };
        let mut out = String::new();
        Record {
            identity: &identity(&call),
            time: call.time,
            service: call.service,
            name: call.name,
            region: call.region,
            address,
            agent,
            error_code: &call.error.0,
            error_message: &call.error.1,
            request: &call.request,
            response: &call.response,
            additional: &call.additional,
            request_id: call.request_id.as_deref().unwrap_or(&request_id),
            event_id: &event_id,
            read_only: is_read(call.name),
            resources: &call.resources,
            event_type: if is_internal { "AwsServiceEvent" } else { "AwsApiCall" },
            is_data: false,
            account: call.account,
            shared_event_id: &shared,
            service_details: &call.details,
            vpc_endpoint: if inside { "vpce-0a11ce0f1a2b3c4d5" } else { "" },
            addendum: call.addendum,
            tls_host: &tls_host,
        }
        .write(&mut out);
        self.events.push(Event {
            account: call.account,
            region: call.region,
            time: call.time,
            lateness: call.lateness,
            is_kms: call.service == "kms",
            text: out,
        });
    }

    /// Records both copies of a call across accounts: the caller's with the full identity, the owner's with account and
    /// id only (AWS CloudTrail User Guide, "sharedEventID").
    pub(crate) fn add_twins(&mut self, caller: Call, owner: Call) {
        let (shared, request_id) = (self.random.guid(), self.random.guid());
        self.add(caller.shared(&shared, &request_id).one_slot_later());
        self.add(owner.shared(&shared, &request_id));
    }

    /// Records the owner's copy of a call whose other copy lies in an account we have no logs of.
    pub(crate) fn add_owner_copy(&mut self, owner: Call) {
        let (shared, request_id) = (self.random.guid(), self.random.guid());
        self.add(owner.shared(&shared, &request_id));
    }
}

/// Seconds of a moment in October 2025, `16 02:41:08`.
pub(crate) fn october(day_and_time: &str) -> i64 {
    instant(&format!("2025-10-{}T{}Z", day_and_time.get(..2).unwrap_or(""), day_and_time.get(3..).unwrap_or("")))
}
