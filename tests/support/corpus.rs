//! Sixty-one deliveries of sixty records in five files: every kind that has its own rule, and noise that looks like it.
//!
//! In: nothing. Out: record texts in delivery order. They are texts and not values, because a JSON writer would smooth
//! away the escapes and number forms that the extraction must hand on unchanged.

pub(crate) const KEY_A: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
pub(crate) const KEY_B: &str = "arn:aws:kms:us-east-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";
pub(crate) const KEY_MRK: &str = "arn:aws:kms:eu-west-1:444455556666:key/mrk-1234abcd12ab34cd56ef1234567890ab";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/service/app";
pub(crate) const ALICE: &str = "arn:aws:iam::111122223333:user/Alice";
pub(crate) const BOB: &str = "arn:aws:iam::444455556666:user/Bob";

/// Files in which the corpus is delivered.
pub(crate) const FILES: usize = 5;

/// The id of record `n`.
pub(crate) fn id(n: u32) -> String {
    format!("6f1c0e3a-0000-4000-8000-{n:012}")
}

/// A call before it becomes text. Members are JSON texts.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) n: u32,
    pub(crate) time: String,
    pub(crate) source: &'static str,
    pub(crate) name: &'static str,
    pub(crate) account: &'static str,
    pub(crate) region: &'static str,
    pub(crate) identity: String,
    pub(crate) ip: &'static str,
    pub(crate) agent: String,
    pub(crate) read_only: bool,
    pub(crate) request: String,
    pub(crate) response: String,
    pub(crate) keys: Vec<&'static str>,
    /// More members, each with its leading comma.
    pub(crate) more: String,
}

impl Call {
    /// The record as CloudTrail would write it: compact.
    pub(crate) fn text(&self) -> String {
        let Self {
            n,
            time,
            source,
            name,
            account,
            region,
            identity,
            ip,
            agent,
            read_only,
            request,
            response,
            keys,
            more,
        } = self;
        let resource = |arn: &&str| {
            let owner = arn.split(':').nth(4).unwrap();
            format!("{{\"accountId\":\"{owner}\",\"type\":\"AWS::KMS::Key\",\"ARN\":\"{arn}\"}}")
        };
        let resources = match keys.is_empty() {
            true => String::new(),
            false => format!("\"resources\":[{}],", keys.iter().map(resource).collect::<Vec<_>>().join(",")),
        };
        let kind = if more.contains("\"serviceEventDetails\"") { "AwsServiceEvent" } else { "AwsApiCall" };
        format!(
            "{{\"eventVersion\":\"1.11\",\"userIdentity\":{identity},\"eventTime\":\"{time}\",\"eventSource\":\"{source}\",\
             \"eventName\":\"{name}\",\"awsRegion\":\"{region}\",\"sourceIPAddress\":\"{ip}\",\"userAgent\":\"{agent}\",\
             \"requestParameters\":{request},\"responseElements\":{response},\"requestID\":\"6f1c0e3a-0000-4000-9000-{n:012}\",\
             \"eventID\":\"{}\",\"readOnly\":{read_only},{resources}\"eventType\":\"{kind}\",\"managementEvent\":true,\
             \"recipientAccountId\":\"{account}\",\"eventCategory\":\"Management\"{more}}}",
            id(*n)
        )
    }

    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub(crate) fn writes(mut self) -> Self {
        self.read_only = false;
        self
    }

    pub(crate) fn at(mut self, time: &str) -> Self {
        self.time = time.to_owned();
        self
    }

    pub(crate) fn by(mut self, identity: &str) -> Self {
        self.identity = identity.to_owned();
        self
    }

    pub(crate) fn agent(mut self, agent: &str) -> Self {
        self.agent = agent.to_owned();
        self
    }

    pub(crate) fn from(mut self, source: &'static str, name: &'static str) -> Self {
        (self.source, self.name, self.keys) = (source, name, Vec::new());
        self
    }

    pub(crate) fn on(mut self, keys: &[&'static str]) -> Self {
        self.keys = keys.to_vec();
        self
    }

    pub(crate) fn asks(mut self, request: &str) -> Self {
        self.request = request.to_owned();
        self
    }

    pub(crate) fn answers(mut self, response: &str) -> Self {
        self.response = response.to_owned();
        self
    }

    pub(crate) fn with(mut self, more: &str) -> Self {
        self.more = more.to_owned();
        self
    }

    /// The same call in the other account and Region.
    pub(crate) fn elsewhere(mut self) -> Self {
        (self.account, self.region, self.keys) = ("444455556666", "eu-west-1", vec![KEY_MRK]);
        self.identity = user("Bob", "444455556666");
        self
    }
}

/// `userIdentity` of an IAM user.
pub(crate) fn user(name: &str, account: &str) -> String {
    format!(
        "{{\"type\":\"IAMUser\",\"principalId\":\"AIDA{name}EXAMPLE\",\"arn\":\"arn:aws:iam::{account}:user/{name}\",\
         \"accountId\":\"{account}\",\"accessKeyId\":\"AKIA{name}EXAMPLE\",\"userName\":\"{name}\"}}"
    )
}

/// `userIdentity` of a session of [`ROLE`]; `more` are members with their leading comma.
pub(crate) fn session(name: &str, more: &str) -> String {
    format!(
        "{{\"type\":\"AssumedRole\",\"principalId\":\"AROAEXAMPLE:{name}\",\
         \"arn\":\"arn:aws:sts::111122223333:assumed-role/app/{name}\",\"accountId\":\"111122223333\",\
         \"accessKeyId\":\"ASIAEXAMPLE\",\"sessionContext\":{{\"sessionIssuer\":{{\"type\":\"Role\",\
         \"principalId\":\"AROAEXAMPLE\",\"arn\":\"{ROLE}\",\"accountId\":\"111122223333\",\"userName\":\"app\"}},\
         \"webIdFederationData\":{{}},\"attributes\":{{\"creationDate\":\"2024-05-01T09:00:00Z\",\
         \"mfaAuthenticated\":\"false\"}}}}{more}}}"
    )
}

/// The plain case: Alice decrypts with key A, and the key stands in `resources` only.
pub(crate) fn decrypt(n: u32) -> Call {
    Call {
        n,
        time: format!("2024-05-0{}T10:{:02}:07Z", 1 + n % 3, n % 60),
        source: "kms.amazonaws.com",
        name: "Decrypt",
        account: "111122223333",
        region: "us-east-1",
        identity: user("Alice", "111122223333"),
        ip: "192.0.2.10",
        agent: "aws-cli/2.15.0".to_owned(),
        read_only: true,
        request: "{\"encryptionContext\":{\"tenant\":\"blue\"},\"encryptionAlgorithm\":\"SYMMETRIC_DEFAULT\"}"
            .to_owned(),
        response: "null".to_owned(),
        keys: vec![KEY_A],
        more: String::new(),
    }
}

/// Two good records that no other test data uses, as neighbors of whatever is broken.
pub(crate) fn neighbors() -> Vec<String> {
    vec![decrypt(901).text(), decrypt(902).named("Encrypt").text()]
}

/// The ids of [`neighbors`].
pub(crate) fn neighbor_ids() -> Vec<String> {
    vec![id(901), id(902)]
}

/// A JSON string literal.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Grants, policies, aliases, key changes.
fn administration() -> Vec<Call> {
    let key = format!("{{\"keyId\":{}}}", quoted(KEY_B));
    let policy = format!(
        "{{\n  \"Version\" : \"2012-10-17\",\n  \"Statement\" : [ {{ \"Effect\":\"Allow\", \"Principal\":{{\"AWS\":\"*\"}},\
         \"Action\":\"kms:*\",\"Resource\":\"*\" }}, {{ \"Effect\":\"Allow\",\"Principal\":{{\"AWS\":\"{BOB}\"}},\
         \"Action\":[\"kms:Decrypt\",\"kms:DescribeKey\"],\"Resource\":\"*\"}} ]\n}}"
    );
    let grant = "{\"keyId\":\"0987dcba-09fe-87dc-65ba-ab0987654321\",\"granteePrincipal\":\"arn:aws:iam::444455556666:user/Bob\",\
                 \"operations\":[\"Encrypt\",\"Decrypt\"],\"constraints\":{\"encryptionContextSubset\":{\"tenant\":\"blue\"}}}";
    let doomed = format!(
        "{{\"keyId\":{},\"deletionDate\":\"May 8, 2024, 11:02:03 AM\",\"keyState\":\"PendingDeletion\",\"pendingWindowInDays\":7}}",
        quoted(KEY_B)
    );
    let created = format!(
        "{{\"keyMetadata\":{{\"aWSAccountId\":\"111122223333\",\"keyId\":\"0987dcba-09fe-87dc-65ba-ab0987654321\",\"arn\":{},\
         \"keySpec\":\"SYMMETRIC_DEFAULT\",\"keyUsage\":\"ENCRYPT_DECRYPT\",\"origin\":\"AWS_KMS\",\"multiRegion\":false}}}}",
        quoted(KEY_B)
    );
    let alias = "arn:aws:kms:us-east-1:111122223333:alias/app";
    vec![
        decrypt(1).writes().on(&[KEY_B]).named("CreateGrant").asks(grant).answers("{\"grantId\":\"grant0001\"}"),
        decrypt(2).writes().on(&[KEY_B]).named("PutKeyPolicy").asks(&format!(
            "{{\"keyId\":{},\"policyName\":\"default\",\"policy\":{},\"bypassPolicyLockoutSafetyCheck\":true}}",
            quoted(KEY_B),
            quoted(&policy)
        )),
        decrypt(3).writes().on(&[KEY_B]).named("ScheduleKeyDeletion").at("2024-05-01T11:02:03Z")
            .asks(&format!("{{\"keyId\":{},\"pendingWindowInDays\":7}}", quoted(KEY_B))).answers(&doomed),
        decrypt(4).writes().on(&[KEY_B]).named("RetireGrant").asks("null").with(",\"additionalEventData\":{\"grantId\":\"grant0001\"}"),
        decrypt(5).writes().on(&[alias, KEY_A]).named("CreateAlias")
            .asks(&format!("{{\"aliasName\":\"alias/app\",\"targetKeyId\":{}}}", quoted(KEY_A))),
        decrypt(6).writes().on(&[KEY_B]).named("TagResource")
            .asks(&format!("{{\"keyId\":{},\"tags\":[{{\"tagKey\":\"team\",\"tagValue\":\"x=\\u003d\"}}]}}", quoted(KEY_B))),
        decrypt(7).writes().on(&[KEY_B]).named("CreateKey").asks("{\"description\":\"\",\"multiRegion\":false}").answers(&created),
        decrypt(8).writes().on(&[KEY_B]).named("DisableKey").asks(&key).answers(&key),
        decrypt(9).writes().named("TransmogrifyKey").asks(&format!("{{\"keyId\":{},\"shape\":\"toad\"}}", quoted(KEY_A))),
        decrypt(10).writes().on(&[KEY_A]).named("RotateKey").asks("null").by("{\"accountId\":\"111122223333\",\"invokedBy\":\"AWS Internal\"}")
            .agent("AWS Internal").with(",\"serviceEventDetails\":{\"keyId\":\"1234abcd-12ab-34cd-56ef-1234567890ab\",\"rotationType\":\"AUTOMATIC\"}"),
        decrypt(11).elsewhere().writes().named("UpdatePrimaryRegion")
            .asks("{\"keyId\":\"mrk-1234abcd12ab34cd56ef1234567890ab\",\"primaryRegion\":\"us-west-2\"}"),
    ]
}

/// Uses of keys that are not the plain case.
fn uses() -> Vec<Call> {
    let denied = format!(
        ",\"errorCode\":\"AccessDenied\",\"errorMessage\":\"User: {ALICE} is not authorized to perform: kms:Decrypt on resource: \
         {KEY_B} because no identity-based policy allows the kms:Decrypt action\""
    );
    let forwarded = session("worker", ",\"invokedBy\":\"secretsmanager.amazonaws.com\"");
    let mut via = decrypt(22).by(&forwarded).agent("secretsmanager.amazonaws.com");
    via.ip = "secretsmanager.amazonaws.com";
    let mut mangled = decrypt(26).named("Verify");
    mangled.source = "kms.amazonAWS.com";
    vec![
        decrypt(21).on(&[KEY_A, KEY_B]).named("ReEncrypt").asks(&format!(
            "{{\"sourceKeyId\":{},\"destinationKeyId\":{},\"sourceEncryptionContext\":{{\"b\":\"2\",\"a\":\"1\"}}}}",
            quoted(KEY_A),
            quoted(KEY_B)
        )),
        via,
        decrypt(23).on(&[]).with(&denied),
        decrypt(24).on(&[]).named("GenerateRandom").asks("{\"numberOfBytes\":32}"),
        decrypt(25).named("Encrypt").asks("{\"keyId\":\"alias/app\",\"encryptionContext\":{\"z\":\"\\u003d\\/\\ud83d\\ude00 \u{e9}\",\"a\":\"1\"},\"x\":1.0,\"y\":1e3}"),
        mangled,
        decrypt(27).elsewhere().named("GenerateDataKey").asks("{\"keyId\":\"mrk-1234abcd12ab34cd56ef1234567890ab\",\"keySpec\":\"AES_256\"}"),
        decrypt(28).elsewhere().at("2024-05-02T23:59:59Z"),
        decrypt(29).by(&session("night shift", "")).at("2024-05-03T00:00:00Z"),
    ]
}

/// Records of other services that belong to the table.
fn adjacent() -> Vec<Call> {
    let selectors = "{\"trailName\":\"main\",\"eventSelectors\":[{\"readWriteType\":\"All\",\"includeManagementEvents\":true,\
                     \"excludeManagementEventSources\":[\"kms.amazonaws.com\"]}]}";
    let volume =
        format!("{{\"size\":\"8\",\"zone\":\"us-east-1a\",\"encrypted\":true,\"kmsKeyId\":{}}}", quoted(KEY_MRK));
    vec![
        decrypt(31).writes().from("cloudtrail.amazonaws.com", "PutEventSelectors").asks(selectors),
        decrypt(32).writes().from("ec2.amazonaws.com", "CreateVolume").asks(&volume),
    ]
}

/// Records that the table leaves out, some with the words that a careless search would take.
fn noise() -> Vec<Call> {
    vec![
        decrypt(41).from("s3.amazonaws.com", "ListBuckets").asks("null"),
        decrypt(42).from("s3.amazonaws.com", "GetBucketAcl").agent("kms.amazonaws.com").asks("{\"bucketName\":\"x\"}"),
        decrypt(43)
            .from("ec2.amazonaws.com", "DescribeInstances")
            .asks("{\"filter\":\"\\\"eventSource\\\":\\\"kms.amazonaws.com\\\"\"}"),
        decrypt(44).from("dynamodb.amazonaws.com", "ListTables").asks("{\"limit\":10}"),
        decrypt(45).from("logs.amazonaws.com", "DescribeLogGroups").asks("{\"braces\":\"]}}{[\\\\\\\"\"}"),
    ]
}

/// The corpus as delivered: five files, out of order, one record twice.
pub(crate) fn files() -> Vec<Vec<String>> {
    let mut calls = administration();
    calls.extend(uses());
    calls.extend(adjacent());
    calls.extend(noise());
    for n in 101..=133 {
        let call = decrypt(n);
        calls.push(if n % 4 == 0 { call.by(&session("worker", "")) } else { call });
    }
    let mut files = vec![Vec::new(); FILES];
    for (at, call) in calls.iter().enumerate() {
        files[at * 7 % FILES].push(call.text());
    }
    let again = files[0][1].clone();
    files[FILES - 1].insert(0, again);
    files
}

/// All deliveries, file after file.
pub(crate) fn deliveries() -> Vec<String> {
    files().concat()
}

/// The ids that the table must hold: each KMS record and each adjacent record, once. Sorted.
pub(crate) fn ids() -> Vec<String> {
    let mut ids: Vec<String> = [administration(), uses(), adjacent()].concat().iter().map(|call| id(call.n)).collect();
    ids.extend((101..=133).map(id));
    ids.sort();
    ids
}

/// The name that file `at` has in a bucket.
pub(crate) fn key_of(at: usize) -> String {
    let day = 1 + at % 3;
    format!(
        "AWSLogs/111122223333/CloudTrail/us-east-1/2024/05/0{day}/\
         111122223333_CloudTrail_us-east-1_2024050{day}T10{:02}Z_AbCdEfGh1234567{at}.json",
        at * 5
    )
}
