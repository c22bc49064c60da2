//! Endless ordinary traffic of an organization, for benchmarks.
//!
//! In: a seed, a number of accounts, the share of KMS. Out: records of about 1.4 KB, one after the other. What a benchmark
//! of such a tool feels is kept as measured on real archives: record size, how well files compress (GUIDs, access keys,
//! S3's request ids), the mix of operations, a few hot keys and principals (Zipf), Decrypt without `keyId`. Everything else
//! is left out: nothing happens in here. Text is appended piece by piece, because a corpus has millions of records.

use crate::random::{ALNUM, BASE32, Random};
use crate::record::{Record, Session, key_resource};

/// Principals of an account (measured: 20 to 40, of which 3 to 5 make most calls).
const PRINCIPALS: usize = 30;
/// Keys of an account and Region.
const KEYS: usize = 40;
/// Keys that one principal uses: a service has its own, and shares the last with nobody or with one neighbor.
const OWN_KEYS: usize = 3;
/// Secrets and parameters that one principal opens.
const OWN_SECRETS: u64 = 6;
/// Containers that hold sessions of one role at a time, each with an access key of its own. Together with the GUIDs this
/// makes half a megabyte of JSON compress to about 70 KB.
const CONTAINERS: u64 = 64;
/// The regions, the first one busiest.
pub(crate) const REGIONS: [&str; 4] = ["us-east-1", "eu-west-1", "us-west-2", "ap-southeast-2"];
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX: &[u8] = b"0123456789abcdef";

/// Chances of ranks 1, 2, 3 ... in proportion to 1, 1/2, 1/3 ...
struct Zipf(Vec<u64>);

impl Zipf {
    fn new(ranks: usize) -> Zipf {
        let mut total = 0;
        Zipf(
            (1..=ranks as u64)
                .map(|rank| {
                    total += 1_000_000 / rank;
                    total
                })
                .collect(),
        )
    }

    fn draw(&self, random: &mut Random) -> usize {
        let point = random.below(self.0.last().copied().unwrap_or(0));
        self.0.partition_point(|bound| *bound <= point)
    }
}

#[derive(Default)]
struct Principal {
    /// An IAM user instead of a role.
    is_user: bool,
    role: String,
    role_id: String,
    address: String,
    agent: &'static str,
}

#[derive(Default)]
struct Account {
    id: String,
    principals: Vec<Principal>,
    /// Per region, per rank: the key's id and its material.
    keys: Vec<Vec<(String, String)>>,
}

/// An organization that is at work.
pub(crate) struct Traffic {
    accounts: Vec<Account>,
    principals: Zipf,
    keys: Zipf,
    /// KMS records in a thousand.
    kms_per_mille: u64,
}

/// Where and when a record is made.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    /// Number of the account.
    pub(crate) account: usize,
    /// Number of the region in [`REGIONS`].
    pub(crate) region: usize,
    /// Seconds since 1970.
    pub(crate) time: i64,
}

/// The parts of a record that are text with inner structure, kept between records so that nothing is allocated anew.
#[derive(Default)]
pub(crate) struct Scratch {
    identity: String,
    request: String,
    response: String,
    additional: String,
    resources: String,
    request_id: String,
    event_id: String,
    access_key: String,
    session: String,
}

fn pushed(characters: &[u8], count: usize, random: &mut Random) -> String {
    let mut out = String::new();
    random.push(characters, count, &mut out);
    out
}

impl Account {
    fn new(number: usize, random: &mut Random) -> Account {
        const AGENTS: [&str; 4] = [
            "aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.24.5 md/GOOS#linux md/GOARCH#arm64 m/E",
            "Boto3/1.40.43 md/Botocore#1.40.43 ua/2.1 os/linux#6.1.150 md/arch#aarch64 lang/python#3.13.7",
            "aws-sdk-java/2.34.6 md/io#sync md/http#Apache ua/2.1 os/Linux#6.1.150 lang/java#21.0.8 m/D",
            "APN/1.0 HashiCorp/1.0 Terraform/1.13.3 (+https://www.terraform.io) terraform-provider-aws/6.14.1",
        ];
        const ROLES: [&str; 6] =
            ["orders-api", "billing-worker", "search-indexer", "image-resizer", "nightly-etl", "deployer"];
        let principals = (0..PRINCIPALS)
            .map(|rank| Principal {
                // Users' records lack the session context and are a third smaller.
                is_user: rank % 2 == 1,
                role: format!("{}-{rank:02}", random.pick(&ROLES)),
                role_id: format!("{}{}", if rank % 2 == 1 { "AIDA" } else { "AROA" }, pushed(BASE32, 17, random)),
                address: format!("{}.{}", random.pick(&["192.0.2", "198.51.100", "203.0.113"]), random.below(254) + 1),
                agent: random.pick(&AGENTS),
            })
            .collect();
        let keys = REGIONS.map(|_| (0..KEYS).map(|_| (random.guid(), pushed(HEX, 64, random))).collect()).into();
        Account {
            id: format!("{}", 100_000_000_000 + 1_010_101_007 * (number as u64 % 800) + number as u64),
            principals,
            keys,
        }
    }
}

impl Traffic {
    /// An organization of `accounts` accounts.
    pub(crate) fn new(seed: u64, accounts: usize, kms_per_mille: u64) -> Traffic {
        let mut random = Random::new(seed);
        let accounts = (0..accounts.max(1)).map(|number| Account::new(number, &mut random)).collect();
        Traffic { accounts, principals: Zipf::new(PRINCIPALS), keys: Zipf::new(OWN_KEYS), kms_per_mille }
    }

    /// The id of an account.
    pub(crate) fn account_id(&self, account: usize) -> &str {
        self.accounts.get(account).map_or("", |account| account.id.as_str())
    }

    /// Appends one record.
    pub(crate) fn push_record(&self, scene: Scene, random: &mut Random, scratch: &mut Scratch, out: &mut String) {
        let Some(account) = self.accounts.get(scene.account) else { return };
        let rank = self.principals.draw(random);
        let Some(principal) = account.principals.get(rank) else { return };
        let region = REGIONS.get(scene.region).copied().unwrap_or_default();
        for text in [
            &mut scratch.identity,
            &mut scratch.request,
            &mut scratch.response,
            &mut scratch.additional,
            &mut scratch.resources,
            &mut scratch.request_id,
            &mut scratch.event_id,
            &mut scratch.access_key,
            &mut scratch.session,
        ] {
            text.clear();
        }
        random.push_guid(&mut scratch.request_id);
        random.push_guid(&mut scratch.event_id);
        let call = if random.below(1_000) < self.kms_per_mille {
            let key = (rank * OWN_KEYS + self.keys.draw(random)) % KEYS;
            let key = account.keys.get(scene.region).and_then(|keys| keys.get(key));
            let Some((key_id, material)) = key else { return };
            let arn = format!("arn:aws:kms:{region}:{}:key/{key_id}", account.id);
            scratch.resources = key_resource(&account.id, &arn);
            scratch.kms(&Names { account: &account.id, region, arn: &arn, material, rank: rank as u64 }, random)
        } else {
            scratch.other(&account.id, region, principal, random)
        };
        scratch.identify(account, principal, (scene.time, random.below(CONTAINERS)), &call);
        let (address, agent, host) = match call.via {
            "" => (principal.address.as_str(), principal.agent, call.host),
            via => (via, via, ""),
        };
        Record {
            identity: &scratch.identity,
            time: scene.time,
            service: call.service,
            name: call.name,
            region,
            address,
            agent,
            error_code: if call.denied { "AccessDenied" } else { "" },
            error_message: if call.denied { &scratch.response } else { "" },
            request: if scratch.request.is_empty() { "null" } else { &scratch.request },
            response: if call.denied || scratch.response.is_empty() { "null" } else { &scratch.response },
            additional: &scratch.additional,
            request_id: &scratch.request_id,
            event_id: &scratch.event_id,
            read_only: call.read_only,
            resources: &scratch.resources,
            event_type: "AwsApiCall",
            is_data: call.is_data,
            account: &account.id,
            shared_event_id: "",
            service_details: "",
            vpc_endpoint: if call.is_data { "vpce-0a11ce0f1a2b3c4d5" } else { "" },
            addendum: "",
            tls_host: host,
        }
        .write(out);
    }
}

/// What kind of call a record is; the texts are in the scratch.
struct Made {
    service: &'static str,
    name: &'static str,
    via: &'static str,
    host: &'static str,
    read_only: bool,
    is_data: bool,
    denied: bool,
}

/// The names a KMS call is about.
struct Names<'a> {
    account: &'a str,
    region: &'a str,
    arn: &'a str,
    material: &'a str,
    /// Rank of the principal in its account.
    rank: u64,
}

fn push_all(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

/// A KMS call by a service, or direct when `via` is empty.
fn kms_call(name: &'static str, via: &'static str) -> Made {
    let read_only = !matches!(name, "CreateGrant" | "RetireGrant");
    Made { service: "kms", name, via, host: "kms.us-east-1.amazonaws.com", read_only, is_data: false, denied: false }
}

/// A direct call of another service, which reads.
fn call(service: &'static str, name: &'static str, host: &'static str) -> Made {
    Made { service, name, via: "", host, read_only: true, is_data: false, denied: false }
}

impl Scratch {
    fn identify(&mut self, account: &Account, principal: &Principal, (time, container): (i64, u64), call: &Made) {
        if call.via == "cloudtrail.amazonaws.com" {
            self.identity.push_str("{\"type\":\"AWSService\",\"invokedBy\":\"cloudtrail.amazonaws.com\"}");
            return;
        }
        let since = time - time.rem_euclid(3_600);
        self.access_key.push_str("ASIA");
        let mut session = Random::named(&principal.role_id);
        let mut session = Random::new(session.draw() ^ since.unsigned_abs() ^ (container << 48));
        session.push(BASE32, 16, &mut self.access_key);
        session.push(HEX, 12, &mut self.session);
        if principal.is_user {
            let Principal { role, role_id, .. } = principal;
            let parts =
                ["{\"type\":\"IAMUser\",\"principalId\":\"", role_id, "\",\"arn\":\"arn:aws:iam::", &account.id];
            push_all(&mut self.identity, &parts);
            push_all(&mut self.identity, &[":user/", role, "\",\"accountId\":\"", &account.id]);
            let parts = ["\",\"accessKeyId\":\"", &self.access_key, "\",\"userName\":\"", role, "\""];
            push_all(&mut self.identity, &parts);
            if !call.via.is_empty() {
                push_all(&mut self.identity, &[",\"invokedBy\":\"", call.via, "\""]);
            }
            self.identity.push('}');
            return;
        }
        Session {
            account: &account.id,
            path: "/",
            role: &principal.role,
            role_id: &principal.role_id,
            session: &self.session,
            access_key: &self.access_key,
            since,
            via: call.via,
        }
        .write(&mut self.identity);
    }

    /// A KMS record: more than nine in ten are Decrypt and GenerateDataKey, nearly all of them through a service.
    fn kms(&mut self, names: &Names<'_>, random: &mut Random) -> Made {
        match random.below(1_000) {
            chance @ 0..950 => self.use_of_key(chance, names, random),
            chance => self.about_key(chance, names, random),
        }
    }

    fn use_of_key(&mut self, chance: u64, names: &Names<'_>, random: &mut Random) -> Made {
        let Names { account, region, arn, material, rank } = *names;
        push_all(&mut self.additional, &["{\"keyMaterialId\":\"", material, "\"}"]);
        let algorithm = "\"encryptionAlgorithm\":\"SYMMETRIC_DEFAULT\",";
        let request = &mut self.request;
        let object = |random: &mut Random, out: &mut String| {
            push_all(out, &["\"encryptionContext\":{\"aws:s3:arn\":\"arn:aws:s3:::", bucket(random), "/2025/10/"]);
            random.push(ALNUM, 20, out);
            out.push_str(".parquet\"}");
        };
        match chance {
            0..420 => {
                push_all(request, &["{", algorithm]);
                object(random, request);
                request.push('}');
                kms_call("Decrypt", "s3.amazonaws.com")
            }
            420..660 => {
                push_all(request, &["{\"keyId\":\"", arn, "\",\"keySpec\":\"AES_256\","]);
                object(random, request);
                request.push('}');
                kms_call("GenerateDataKey", if chance < 600 { "s3.amazonaws.com" } else { "cloudtrail.amazonaws.com" })
            }
            660..780 => {
                let number = format!("{:03}", rank * OWN_SECRETS + random.below(OWN_SECRETS));
                let parts = [
                    "{",
                    algorithm,
                    "\"encryptionContext\":{\"SecretARN\":\"arn:aws:secretsmanager:",
                    region,
                    ":",
                    account,
                ];
                push_all(request, &parts);
                push_all(request, &[":secret:prod/service-", &number, "-AbCdEf\",\"SecretVersionId\":\""]);
                random.push_guid(request);
                request.push_str("\"}}");
                kms_call("Decrypt", "secretsmanager.amazonaws.com")
            }
            780..870 => {
                let number = format!("{:04}", rank * OWN_SECRETS + random.below(OWN_SECRETS));
                let parts =
                    ["{", algorithm, "\"encryptionContext\":{\"PARAMETER_ARN\":\"arn:aws:ssm:", region, ":", account];
                push_all(request, &parts);
                push_all(request, &[":parameter/prod/service/", &number, "\"}}"]);
                kms_call("Decrypt", "AWS Internal")
            }
            870..920 => {
                push_all(request, &["{", algorithm, "\"encryptionContext\":{\"tenant\":\""]);
                random.push(HEX, 12, request);
                request.push_str("\",\"purpose\":\"orders\"}}");
                kms_call("Decrypt", "")
            }
            _ => {
                push_all(request, &["{\"encryptionContext\":{\"aws:ebs:id\":\"vol-0"]);
                random.push(HEX, 16, request);
                push_all(request, &["\"},\"keyId\":\"", arn, "\",\"numberOfBytes\":64}"]);
                kms_call("GenerateDataKeyWithoutPlaintext", "AWS Internal")
            }
        }
    }

    /// Grants, descriptions and refusals.
    fn about_key(&mut self, chance: u64, names: &Names<'_>, random: &mut Random) -> Made {
        let Names { account, arn, .. } = *names;
        let request = &mut self.request;
        match chance {
            950..965 => {
                push_all(request, &["{\"keyId\":\"", arn, "\",\"granteePrincipal\":\"", account]);
                request.push_str(":aws:ec2-infrastructure:i-0");
                random.push(HEX, 16, request);
                request.push_str("\",\"operations\":[\"Decrypt\"],\"constraints\":{\"encryptionContextSubset\":{\"aws:ebs:id\":\"vol-0");
                random.push(HEX, 16, request);
                request.push_str("\"}}}");
                self.response.push_str("{\"grantId\":\"");
                random.push(HEX, 64, &mut self.response);
                push_all(&mut self.response, &["\",\"keyId\":\"", arn, "\"}"]);
                kms_call("CreateGrant", "AWS Internal")
            }
            965..975 => {
                self.additional.push_str("{\"grantId\":\"");
                random.push(HEX, 64, &mut self.additional);
                self.additional.push_str("\"}");
                kms_call("RetireGrant", "AWS Internal")
            }
            975..993 => {
                push_all(request, &["{\"keyId\":\"", arn, "\"}"]);
                kms_call("DescribeKey", "")
            }
            _ => {
                let parts = [
                    "\"User: arn:aws:sts::",
                    account,
                    ":assumed-role/denied/session is not authorized to perform: kms:Decrypt",
                ];
                push_all(&mut self.response, &parts);
                push_all(
                    &mut self.response,
                    &[" on resource: ", arn, " because no identity-based policy allows the kms:Decrypt action\""],
                );
                self.resources.clear();
                Made { denied: true, ..kms_call("Decrypt", "") }
            }
        }
    }

    /// A data event of S3.
    fn object(&mut self, account: &str, is_read: bool, random: &mut Random) -> Made {
        let request = &mut self.request;
        let bucket = bucket(random);
        let mut key = String::with_capacity(20);
        random.push(ALNUM, 20, &mut key);
        push_all(
            request,
            &["{\"bucketName\":\"", bucket, "\",\"Host\":\"", bucket, ".s3.amazonaws.com\",\"key\":\"2025/10/"],
        );
        push_all(request, &[&key, ".parquet\"}"]);
        self.additional.push_str("{\"SignatureVersion\":\"SigV4\",\"CipherSuite\":\"TLS_AES_128_GCM_SHA256\",\"bytesTransferredIn\":0,\"SSEApplied\":\"SSE_KMS\",\"AuthenticationMethod\":\"AuthHeader\",\"x-amz-id-2\":\"");
        random.push(BASE64, 76, &mut self.additional);
        push_all(&mut self.additional, &["\",\"bytesTransferredOut\":", &random.below(9_000_000).to_string(), "}"]);
        self.resources.push_str("[{\"type\":\"AWS::S3::Object\",\"ARN\":\"arn:aws:s3:::");
        push_all(&mut self.resources, &[bucket, "/2025/10/", &key, ".parquet\"},{\"accountId\":\"", account]);
        push_all(&mut self.resources, &["\",\"type\":\"AWS::S3::Bucket\",\"ARN\":\"arn:aws:s3:::", bucket, "\"}]"]);
        let event = if is_read { "GetObject" } else { "PutObject" };
        Made { is_data: true, read_only: is_read, ..call("s3", event, "s3.amazonaws.com") }
    }

    /// A record of another service.
    fn other(&mut self, account: &str, region: &str, principal: &Principal, random: &mut Random) -> Made {
        let request = &mut self.request;
        match random.below(100) {
            chance @ 0..26 => self.object(account, chance < 20, random),
            26..44 => {
                let parts =
                    ["{\"roleArn\":\"arn:aws:iam::", account, ":role/", &principal.role, "\",\"roleSessionName\":\""];
                push_all(request, &parts);
                random.push(ALNUM, 16, request);
                request.push_str("\",\"durationSeconds\":3600}");
                self.response.push_str("{\"credentials\":{\"accessKeyId\":\"ASIA");
                random.push(BASE32, 16, &mut self.response);
                self.response.push_str("\",\"sessionToken\":\"IQoJb3JpZ2luX2Vj");
                random.push(BASE64, 260, &mut self.response);
                self.response.push_str(
                    "\",\"expiration\":\"Oct 6, 2025, 11:00:00 AM\"},\"assumedRoleUser\":{\"assumedRoleId\":\"",
                );
                push_all(
                    &mut self.response,
                    &[&principal.role_id, ":session\",\"arn\":\"arn:aws:sts::", account, ":assumed-role/"],
                );
                push_all(&mut self.response, &[&principal.role, "/session\"}}"]);
                call("sts", "AssumeRole", "sts.us-east-1.amazonaws.com")
            }
            44..64 => {
                request.push_str("{\"instancesSet\":{\"items\":[{\"instanceId\":\"i-0");
                random.push(HEX, 16, request);
                request.push_str("\"}]},\"filterSet\":{\"items\":[{\"name\":\"instance-state-name\",\"valueSet\":{\"items\":[{\"value\":\"running\"}]}}]}}");
                call(
                    "ec2",
                    random.pick(&["DescribeInstances", "DescribeVolumes", "DescribeNetworkInterfaces"]),
                    "ec2.us-east-1.amazonaws.com",
                )
            }
            64..74 => {
                push_all(
                    request,
                    &["{\"secretId\":\"arn:aws:secretsmanager:", region, ":", account, ":secret:prod/service-"],
                );
                push_all(request, &[&format!("{:03}", random.below(200)), "-AbCdEf\"}"]);
                call("secretsmanager", "GetSecretValue", "secretsmanager.us-east-1.amazonaws.com")
            }
            74..84 => {
                push_all(
                    request,
                    &[
                        "{\"name\":\"/prod/service/",
                        &format!("{:04}", random.below(2_000)),
                        "\",\"withDecryption\":true}",
                    ],
                );
                call("ssm", "GetParameter", "ssm.us-east-1.amazonaws.com")
            }
            84..92 => {
                request.push_str(
                    "{\"logGroupName\":\"/aws/lambda/image-resizer\",\"logStreamName\":\"2025/10/06/[$LATEST]",
                );
                random.push(HEX, 32, request);
                request.push_str("\"}");
                Made { read_only: false, ..call("logs", "CreateLogStream", "logs.us-east-1.amazonaws.com") }
            }
            _ => {
                push_all(request, &["{\"roleName\":\"", &principal.role, "\"}"]);
                call("iam", "GetRole", "iam.amazonaws.com")
            }
        }
    }
}

fn bucket(random: &mut Random) -> &'static str {
    random.pick(&["orders-archive-prod", "datalake-raw-zone", "billing-exports", "image-originals", "search-snapshots"])
}

/// Appends one log file's text of records between `slot - 300 s` and `slot`: of so many records, or of so many bytes.
/// `separator` stands between records. One neighboring pair in fourteen is out of order. Gives the number of records.
pub(crate) fn push_records(
    traffic: &Traffic,
    scene: Scene,
    size: Size,
    separator: &str,
    random: &mut Random,
    out: &mut String,
) -> u64 {
    let mut scratch = Scratch::default();
    let start = out.len();
    let mut count = 0;
    let mut swapped = false;
    let expected = match size {
        Size::Records(records) => records,
        Size::Bytes(bytes) => bytes / 1_200,
    }
    .max(1);
    loop {
        let is_enough = match size {
            Size::Records(records) => count >= records,
            Size::Bytes(bytes) => (out.len() - start) as u64 >= bytes && count > 0,
        };
        if is_enough {
            return count;
        }
        // A record that is exchanged with its neighbor gets the neighbor's place in time, and the neighbor gets its.
        let place = if swapped {
            swapped = false;
            count.saturating_sub(1)
        } else {
            swapped = random.below(14) == 0;
            count + u64::from(swapped)
        };
        let into_slot = i64::try_from((place * 300 / expected).min(299)).unwrap_or(0);
        if count > 0 {
            out.push_str(separator);
        }
        traffic.push_record(Scene { time: scene.time - 300 + into_slot, ..scene }, random, &mut scratch, out);
        count += 1;
    }
}

/// How much goes into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// So many records.
    Records(u64),
    /// Until its JSON has at least so many bytes.
    Bytes(u64),
}
