//! The cast of the sample story: two accounts of the invented company Larkspur Freight, its people, roles and keys, and the
//! stranger. STORY.md beside the generated archive introduces them.
//!
//! In: nothing. Out: constants. Accounts and addresses are those AWS and RFC 5737 reserve for documentation.

/// The production account, `larkspur-prod`.
pub(crate) const PROD: &str = "111122223333";
/// The data account, `larkspur-data`; it also holds the bucket of the organization's trail.
pub(crate) const DATA: &str = "444455556666";
/// The stranger's account.
pub(crate) const NEST: &str = "777788889999";
/// A backup vendor that Larkspur had not finished taking on.
pub(crate) const VENDOR: &str = "123456789012";
/// The region of nearly everything.
pub(crate) const US: &str = "us-east-1";
/// The second region.
pub(crate) const EU: &str = "eu-west-1";
/// The organization's trail, made in its management account.
pub(crate) const ORG_TRAIL: &str = "arn:aws:cloudtrail:us-east-1:999999999999:trail/larkspur-org-trail";
/// The production account's own, older trail.
pub(crate) const LOCAL_TRAIL: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/larkspur-prod-local";

/// A KMS key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Owner.
    pub(crate) account: &'static str,
    /// Region.
    pub(crate) region: &'static str,
    /// Key id.
    pub(crate) id: &'static str,
    /// Its alias, with `alias/`.
    pub(crate) alias: &'static str,
}

impl Key {
    /// The key's ARN.
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:kms:{}:{}:key/{}", self.region, self.account, self.id)
    }

    /// The alias's ARN.
    pub(crate) fn alias_arn(&self) -> String {
        format!("arn:aws:kms:{}:{}:{}", self.region, self.account, self.alias)
    }
}

const fn key(account: &'static str, region: &'static str, id: &'static str, alias: &'static str) -> Key {
    Key { account, region, id, alias }
}

/// Freight manifests: what ships where.
pub(crate) const MANIFESTS: Key = key(PROD, US, "5ea51de0-4b1d-4c3e-9f0a-2d7c11e0a001", "alias/dispatch-manifests");
/// Accounts receivable.
pub(crate) const LEDGER: Key = key(PROD, US, "1ed6e400-77aa-4b0b-8c1e-90f3a5e0b002", "alias/customer-ledger");
/// Positions of ships and trucks.
pub(crate) const TELEMETRY: Key = key(PROD, US, "7e1e3e70-0c4a-4d5e-b6f7-18a9c2e0c003", "alias/fleet-telemetry");
/// What the data account may read.
pub(crate) const SHARE: Key = key(PROD, US, "1a4e5a4e-5d6f-4e70-a811-b2c3d4e0d004", "alias/lakehouse-share");
/// Secrets, a multi-Region key.
pub(crate) const VAULT: Key = key(PROD, US, "mrk-5ec2e75a11ce4b0b9d00dfeed5ea51de", "alias/vault-global");
/// The stranger's replica of it, in a Region that nobody uses.
pub(crate) const VAULT_WEST: Key = key(PROD, "us-west-2", "mrk-5ec2e75a11ce4b0b9d00dfeed5ea51de", "alias/vault-global");
/// The same in the second region.
pub(crate) const VAULT_EU: Key = key(PROD, EU, "mrk-5ec2e75a11ce4b0b9d00dfeed5ea51de", "alias/vault-global");
/// The AWS managed key of Parameter Store.
pub(crate) const PARAMETERS: Key = key(PROD, US, "55a10000-6e81-4f92-8a03-c4d5e6f0e005", "alias/aws/ssm");
/// Disks.
pub(crate) const DISKS: Key = key(PROD, US, "d15c0de5-8fa2-4013-9b24-d6e7f8a0f006", "alias/harbor-disks");
/// The number plate table.
pub(crate) const TABLES: Key = key(PROD, US, "7ab1e500-90b3-4124-ac35-e8f90a1b0007", "alias/dispatch-tables");
/// A fax gateway that was switched off last year.
pub(crate) const FAX: Key = key(PROD, US, "0fa80fa8-a1c4-4235-bd46-fa0b1c2d0008", "alias/old-fax-gateway");
/// A key retired in September, whose waiting period ends in the evidence.
pub(crate) const PAGER: Key = key(PROD, US, "9a6e4000-c5f6-4457-8e79-2c3d4e5f0010", "alias/quay-pager");
/// The customs office's key; its material comes by courier.
pub(crate) const CUSTOMS: Key = key(PROD, US, "c0570350-b2d5-4346-8e57-0b1c2d3e0009", "alias/customs-exchange");
/// The key the stranger makes.
pub(crate) const CUCKOO: Key = key(PROD, US, "bad0e660-c3e6-4457-9f68-1c2d3e4f000a", "alias/dispatch-manifests");
/// An alias of the stranger's key, to be taken for the fleet's.
pub(crate) const TELEMETRY_LOOK_ALIKE: Key = Key { alias: "alias/fleet-telemetery", ..CUCKOO };
/// The stranger's own key, for other people's buckets.
pub(crate) const PADLOCK: Key = key(NEST, US, "10cced00-1b2c-4d3e-8f4a-5b6c7d8e0011", "alias/padlock");
/// The stranger's own key, for other people's disks.
pub(crate) const NEST_DISKS: Key = key(NEST, US, "5a1b0bed-2c3d-4e4f-9a5b-6c7d8e9f0012", "alias/disks");
/// The key under which the backup vendor seals its reports.
pub(crate) const VENDOR_REPORTS: Key = key(VENDOR, US, "9e907700-3d4e-4f5a-8b6c-7d8e9fa00013", "alias/reports");
/// Object storage in the second region.
pub(crate) const DEPOT_EU: Key = key(PROD, EU, "de907e00-d4f7-4568-a079-2d3e4f50000b", "alias/depot-eu");
/// The data account's lake.
pub(crate) const LAKE: Key = key(DATA, US, "1a4e0000-e508-4679-b18a-3e4f5061000c", "alias/lakehouse");
/// The organization trail's log files.
pub(crate) const TRAIL_LOGS: Key = key(DATA, US, "7a11c0de-f619-478a-829b-4f506172000d", "alias/org-trail-logs");
/// The data account's copy in the second region.
pub(crate) const MIRROR_EU: Key = key(DATA, EU, "3144040e-072a-489b-93ac-50617283000e", "alias/lakehouse-mirror");

/// What stands behind an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An IAM user with a long-term access key.
    User,
    /// An IAM user at the console, with MFA.
    ConsoleUser,
    /// A role session.
    Role,
    /// An EC2 instance's EBS attachment (`aws:ec2-infrastructure`).
    Instance,
    /// An AWS service on its own behalf.
    Service,
    /// A caller from an account outside, as the key's owner sees it: an account and an id, no name.
    Stranger,
    /// KMS itself, in records that have no identity type.
    Kms,
}

/// Somebody who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    /// What stands behind the identity.
    pub(crate) kind: Kind,
    /// Account.
    pub(crate) account: &'static str,
    /// Path of the role, `/` when none.
    pub(crate) path: &'static str,
    /// Name of user, role or service.
    pub(crate) name: &'static str,
    /// Session name.
    pub(crate) session: &'static str,
    /// Where direct calls come from.
    pub(crate) address: &'static str,
    /// With which program.
    pub(crate) agent: &'static str,
}

const OFFICE: &str = "192.0.2.44";
const NAT: &str = "198.51.100.20";
const NEST_ADDRESS: &str = "203.0.113.66";
const SDK: &str =
    "aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.24.5 md/GOOS#linux md/GOARCH#arm64 api/kms#1.45.6 m/E";
const BOTO: &str = "Boto3/1.40.43 md/Botocore#1.40.43 ua/2.1 os/linux#6.1.150 md/arch#aarch64 lang/python#3.13.7";
const TERRAFORM: &str =
    "APN/1.0 HashiCorp/1.0 Terraform/1.13.3 (+https://www.terraform.io) terraform-provider-aws/6.14.1";
const NEST_AGENT: &str =
    "aws-cli/2.31.6 md/awscrt#0.27.6 ua/2.1 os/linux#6.12.38+kali-amd64 md/arch#x86_64 lang/python#3.13.7";

const fn role(account: &'static str, name: &'static str, session: &'static str, agent: &'static str) -> Actor {
    Actor { kind: Kind::Role, account, path: "/", name, session, address: NAT, agent }
}

const fn linked(account: &'static str, path: &'static str, name: &'static str, session: &'static str) -> Actor {
    Actor { kind: Kind::Role, account, path, name, session, address: "AWS Internal", agent: "AWS Internal" }
}

const fn console(account: &'static str, name: &'static str) -> Actor {
    Actor { kind: Kind::ConsoleUser, account, path: "/", name, session: "", address: OFFICE, agent: "AWS Internal" }
}

/// The application that books freight. Its instance is where the stranger comes in.
pub(crate) const DISPATCH: Actor = role(PROD, "dispatch-api", "i-0d15ea5ebadc0ffee", SDK);
/// The same role's credentials in the stranger's hands.
pub(crate) const DISPATCH_STOLEN: Actor = Actor { address: NEST_ADDRESS, agent: NEST_AGENT, ..DISPATCH };
/// The application in the second region.
pub(crate) const DISPATCH_EU: Actor = role(PROD, "dispatch-api-eu", "i-0eca5cade50ddba11", SDK);
/// A function that files manifests.
pub(crate) const ARCHIVER: Actor = role(PROD, "manifest-archiver", "manifest-archiver", BOTO);
/// A function that changes passwords on Mondays.
pub(crate) const ROTATOR: Actor = role(PROD, "secrets-rotator", "secrets-rotator", BOTO);
/// Takes positions in.
pub(crate) const TELEMETRY_INGEST: Actor = role(PROD, "telemetry-ingest", "telemetry-ingest", BOTO);
/// A function that writes invoices.
pub(crate) const CLERK: Actor = role(PROD, "invoice-clerk", "invoice-clerk", BOTO);
/// Copies disks at night.
pub(crate) const BACKUP: Actor = role(PROD, "nightly-backup", "AWSBackup-nightly", BOTO);
/// The deployment pipeline.
pub(crate) const TUGBOAT: Actor = role(PROD, "tugboat-deployer", "tugboat-4711", TERRAFORM);
/// Starts and stops instances.
pub(crate) const AUTOSCALING: Actor =
    linked(PROD, "/aws-service-role/autoscaling.amazonaws.com/", "AWSServiceRoleForAutoScaling", "AutoScaling");
/// AWS Config's recorder in the production account.
pub(crate) const CONFIG: Actor =
    linked(PROD, "/aws-service-role/config.amazonaws.com/", "AWSServiceRoleForConfig", "LambdaDescribeHandlerSession");
/// The key custodian.
pub(crate) const ODETTE: Actor = console(PROD, "odette.quill");
/// An engineer in the first month, who learns what may not be done by trying it.
pub(crate) const PIP: Actor = console(PROD, "pip.wren");
/// A user for Terraform that everybody forgot: it may administer everything and use no key. Its access key lies in a secret.
pub(crate) const TERRAFORM_LEGACY: Actor = Actor {
    kind: Kind::User,
    account: PROD,
    path: "/",
    name: "terraform-legacy",
    session: "",
    address: NAT,
    agent: TERRAFORM,
};
/// The same access key in the stranger's hands.
pub(crate) const TERRAFORM_STOLEN: Actor = Actor { address: NEST_ADDRESS, agent: NEST_AGENT, ..TERRAFORM_LEGACY };
/// The stranger's own role, as the owner of a key sees it.
pub(crate) const MAGPIE: Actor = Actor {
    kind: Kind::Stranger,
    account: NEST,
    path: "/",
    name: "magpie-nest",
    session: "shiny",
    address: NEST_ADDRESS,
    agent: NEST_AGENT,
};
/// Reads what production shares.
pub(crate) const LAKE_READER: Actor = role(DATA, "lakehouse-reader", "glue-lakehouse", BOTO);
/// The same, as production sees it in its own log.
pub(crate) const LAKE_READER_ABROAD: Actor = Actor { kind: Kind::Stranger, ..LAKE_READER };
/// Moved last quarter's data with a grant that was taken back afterwards.
pub(crate) const MIGRATOR: Actor = role(DATA, "lakehouse-migrator", "migrate-q3", BOTO);
/// The same, as production sees it in its own log.
pub(crate) const MIGRATOR_ABROAD: Actor = Actor { kind: Kind::Stranger, ..MIGRATOR };
/// Opens some fifty objects twice a day, every day.
pub(crate) const BATCH: Actor = role(DATA, "ledger-batch", "ledger-batch", BOTO);
/// The mirror in the second region.
pub(crate) const MIRROR: Actor = role(DATA, "lakehouse-mirror", "mirror", BOTO);
/// The data account's administrator.
pub(crate) const JUNO: Actor = console(DATA, "juno.ashdown");
/// CloudTrail encrypting the log files it delivers.
pub(crate) const CLOUDTRAIL: Actor = Actor {
    kind: Kind::Service,
    account: "",
    path: "",
    name: "cloudtrail.amazonaws.com",
    session: "",
    address: "cloudtrail.amazonaws.com",
    agent: "cloudtrail.amazonaws.com",
};
/// KMS itself.
pub(crate) const KMS_ITSELF: Actor = Actor {
    kind: Kind::Kms,
    account: PROD,
    path: "",
    name: "AWS Internal",
    session: "",
    address: "AWS Internal",
    agent: "AWS Internal",
};

/// The EBS attachment of an instance.
pub(crate) const fn instance(id: &'static str) -> Actor {
    Actor {
        kind: Kind::Instance,
        account: PROD,
        path: "/",
        name: "aws:ec2-infrastructure",
        session: id,
        address: "AWS Internal",
        agent: "AWS Internal",
    }
}
