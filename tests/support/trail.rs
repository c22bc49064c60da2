//! A trail with log file validation, as CloudTrail keeps it: logs, an hourly digest chained to the one before and signed.
//!
//! In: a trail's description and a number of hours. Out: the objects of a bucket with their metadata, and the public keys as
//! `list-public-keys` prints them. Written for tests and benchmarks from the user guide and independent of the program: hashes,
//! texts to sign and signatures are made here a second time. The private keys are throw-away keys that sign nothing else.

#![allow(dead_code, reason = "every test binary and example includes this module and uses its own part of it")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// RSA-2048, PKCS#1 DER.
const KEYS: [&str; 3] = [
    "\
     MIIEpAIBAAKCAQEA24D5iV/FmldlHQkdHNP8ECAKldQIXiedXp9+1ee8EY0hZ97PCg9qNGRkWVhnw3+oNTAE15Id+XtqpYzbDVhK5fZ7vG1sWLPp\
     lk2RUAkwdhuECqVh6HiqeCTW2MsrhPWtqaIn5+QsGKuoSfokEXHxt1hUL8KTF8EJ5QQDuGWgA//FhoIvwrGIdz+BB4Aw2Z0J0BItLEVIYEdL9d2O\
     h1/+nRRcQTM2ffcYYtoPfK2/N+Hz2VJ0M/t8rm78RZifTaFC9mAPXpMxdgS851Obw9SmLdPcgj5+fTvuJW34Eyq926QygeCA5jrNzFjO0MGhz+qN\
     7bQJ1dH9vcCuQi7ELT5mawIDAQABAoIBAAOZKKi3g4i/2AN9gRcA4/KWY+Cy5MmOWAZovO6KvvWBXRkpI4xkVkxc55w4q8geUUaV7pkOEc8OK+Bi\
     NRER78sMmwNVaTTxthQ7BJ/NlsLI5AWR/SSPcylHCVKXz13S8obZBqhxgBuOF33RoO0RnhxwUT5QhT1wHQETwMUxZ/Rzds+FJmnNdiIlet5mw+5D\
     yzgsmDLK5LDGIi3XHaVWLWgV3bbtgAuHCXcHWUDD3SnZI2bMXID/JG6kadY9nOcO2DDID0EaUhWNFJCn3FELiGf1AEFeETbd99JpFLmtgKrIedoC\
     X69ArSBz2nYGTzyPJ9/SNZK5WafZ8r7RZs2FrSkCgYEA9+wh6sVuQ0QP2kdQ8Ptxx0HIOScsfBqtyOxrdsP/6HmhfmXcPpeWqMCiZSOqqQS3iBeB\
     lEbVOs4AgYEDbuXz1cHeEEDEzH2s+a5/Pvdvf/DYtIldXAgWbQMWgjIkpy4DC+CW5itZ7nOlZFR0EwcbT4HdCBTiYtQmXW3/Y66p+q0CgYEA4qfP\
     FsXZ4hYgtw/cFmYO8n+336xaSpBiZjXbD8q5lbfqiNZdK5oGmoJ9fvPKoTChqfcXBJ3iUpuuyEsv9ldgFTUVaI9Auk649MTrpE6dhBYLEh7ttGJv\
     7JdI0Cr/VZjxnsUiwdGWrLgt6o3pVd1ycl+WfvMnRh0WeucN3mhiYHcCgYAcUa62IIMtz9J3vnmybSZb+lminaTpMCr1rnu//zd2GJ6nz37O74XY\
     FNj38JEH6XAFbZnxk/27T9ii8lewDThDDHgPJzbTnO9rPdFvIdhsptg6Fw7A+nOFVDr3+D5Tkl/qtWbHN+B36mHUCgmQOtmVxWG4EJqja1ROi8gG\
     XOcxqQKBgQCxxwW7yvwXRVvruljaiLp4oozKuBkqGw3TNbLZNB1UvakMI3d415sOXgOpK/dnbwmektxPFreKK+pv1+mKwwXuHHDqTlJqz4xrEHnz\
     qmYKUG/mirPPpNY9MHxAKzmTHh+GdQHKHGaemugI7b5zRvqZkzgr4vSPHgmf5NMP+7gOCQKBgQDLpMUZ7SYhzwgnq5MnYcUlIVJC3+5fM1+wDig6\
     b1bNnh90lk/78ao+lgMO8dlhlFNHqED5dP9+zcBlZGN1BbuZ5UcT3HyRj2bVoyheMJFr5+a3qYWu53eUGZnmHyLgMQlt6bXbAWVc7PBnGM6UoVIp\
     19js7ffBm7V8l/ID61nQ4Q==\
    ",
    "\
     MIIEpAIBAAKCAQEA5EALgjSN+Z3tR0VfkUURJNMJBKJsNnEA7XIsQgtvOm6yQf+c/4De585eGrWHWRCiRadJwbbLTt+e/bJlrMIHNRusIHGjUa2n\
     /OG8DSeqxRqxkF1YZhKFBrwrv2FFxTpLDxIVzPyNQ4VJFSMjFx1WWy1VePZolWbtINVPJA3RmvfhMWPvidKLnefs9XE+3cgSARUtFA0ahUuNF4dw\
     Mf4zeidYSjS1F00ySLuoATCcTqlmJrdOARzXs7tpf4LIfwtMg9GuHSf95Gf4IdNmlpj0b/+BoBRXUC5kgwmis+CLu+8anYVXSMtizZFO2vahm6N0\
     3Rp83YucNbdLfHx3geYgrwIDAQABAoIBAFJmGIGBzXs+mwkuryh3YZAEq23D4QLqWqZdoEKbdCUJD0sqJxhKAq52XpyPyfPKQHqawNKw1cZ8jh4S\
     CAiM5yMyATqZK5dx9IIjT8sD9e9ACrgOKrp2lxVuWvC1AgYIXE5tffdJeQnWFSMPUzyl96XkwMVxVyIQTSycNPzUDEY/5ZRmT4yeBuICWKxNSH6m\
     /qV129PPmZax32jiKJGwh1I14UID5Vs7mxG0MXxBm5uQQ+EB9BiqdAztDSdJYgf6HQPXWCZ4zdgbh08eGYTKYuLF7jBtgNlo/wxP4rK6YXUrKIVe\
     dbUg2fbmNNWOqIhVH/9Vt8d4ll5S3GczQ74hVdECgYEA/Mjg9ZPLzK1PqowPD64ujTsg/mW4labXUGALODKldg+hejFev6a1Ps5pJMwgD6FzTocY\
     ejnc0vRoWPY6pzDpp0lmQFccRcTgGyds5EhMUTn0V4qprQXJ6cgXKnHgMnusz49ciaMD8DJhr0dEgr0qJL1nhs+tBmrL8xtay1pHSykCgYEA5ydG\
     zf+eKUWFiyZ1tN9tDeq/oqWX7QMekiWAP/aBXA6RpVses0hPQZ6UIuEQmCIxLM6SbQrs/yNmvDhRUvIBQpF3Rvk/mYNgnPJgyfh5EdOO6gBXgpSk\
     0AYxZrCNd2QGSVyTOJ9g0KuyNPdNmRiw/cEAf7sh9y1h7dSI5le3YBcCgYEA0QGalxJDoJDv3Nh/H3zqOpXYGt+qNfpD7s3qmOWvTyVvYyPs7lN9\
     aleqMeWg4KuiNhyXTYAIKFgy6tNz/YcAufODWtFrq/gzP+BiNYHdsA9WCwe4cTnnD6gEF3EeaT8+zEMBxT+G4xQVFqK7b8nOTaBZN+sAadzlkrVc\
     ZeTYK7kCgYAvuYlB4OPry4HOAAvPY03l0LDuSNg8RCecrwdyrVd6BTwG8vA8vdI3TyFwrh05+91BTgknYFkcOFfuxoXr5TFjaBtDWRTLgjeBT/2x\
     1Y5Roudf4uAugrgghxbOB+e9XbZ6kRWIXEel7b0meGTaFiH80ktjE+ToXsNYUkhNnpCq0wKBgQCWkTf4F3H54NshuqkzItbfDfFk3tAzodhUHJl4\
     JwIQ3era8sqyUFv6PlePV30fv2PFuphDtLK1Ntbv/NIBuWHAvD3oww7j9rbmQQtTjEBgFql/PCEw8uAL0mr++xbriWxQtaENgL8qeE7PBehozWqj\
     v1/UbbEGSXivu9BVpjsTuA==\
    ",
    "\
     MIIEowIBAAKCAQEAvCX78PZ915XWCR1qBCJQS1z65pCdZDjG5vkxEPitlr0pp8YgYILfI9bkfR+MXV8sYLdUbH+nSdRkTYM38bCe7f1byl/LO2gc\
     9h1BEwYHA2A0YgHikol1Rh5BAGE8dkXbrfokFXKuvJZL1bXYY25fAKHRjhpVU1IP7pSD2nj03RJA3Q2JUzWWTX5zSkCxeY+RnH5jfEoSN5GWSgFe\
     9tYYVPfK6YivnoXCGco+ZNSyFa4lM02DqhTuEQ+So4Kpl1jNcihMZzpsLZTdGZ+GmUXLaZvXihaEjkK3+s6X3LeXqa1K9x3qjEtFEiiJkjG7JTXx\
     CoZ/R+i72OB8TM9XDBRpLQIDAQABAoIBAAdlZdtB0U4Xe4e1soxxjd78i3djUXCWY8lCG/nrEKXXj0rjWLP6iQuHX8mEYzfrbRrrMgQm23xlP0El\
     yp3zX7gCyOgyblKKQ/Mv0LZO+xkYn86HfPDeOvAz8cGyUNZkZh+XcPIv5SsQLHB8+sHj3ZOwiMSRh++jzvEFwQ4mSZfkFcFKLF1u1y4Rkw0PPcr7\
     isSFeBUEliFig2r7fXd2Skf3PfCmAx8u0HfvAjBKx4zhuS+Y0tu1cSLiBC8rvzNP2RRKKqswbDCIlL0kYzOgWuIxmurQzzdrHduC/PZFRVHDb3pp\
     FBV3YGPIadzERo3CJLhAXKUOBUfYt9vOLbz623kCgYEA60HzubiP+Xs49C6onFLH0CITkMsTB51A37A9ZG3wa5Jd8yADfJcOYnevHjXVwna1xvPj\
     pGDhEbI10eadGH7cw53wizZfPF126F5mLUQh5WRmWxRDMKyt7+/KaGM2fpSi/Fbu2W3g6EFXu9fSg5URJX0J4Yd5wY4gWgdM9Hzns3UCgYEAzLy4\
     NwlysxBzitHuspRtAb0rfVw2dI7foDfYpwtkpQI+oZ3znxLmbbG1juaVa+p2r0Bhp2M1Hktoo6EBc+AQFaPmYBi5qWVEqHfW0KYYfrJC9up2Y67e\
     qO1+gvgAx0xDpN5iJKpOdEBAwOQ3r5kEhvLcMeUI3gjea81q+q2Fv9kCgYEA00zOSt4xOmPpmLAbsyRK4W7p4d/zvKAKN59E1OJF0WiKR6dWWl4W\
     hmx29gxmbR5QUFyX9vkozcshueCG8wxm3rAJ8A+q5D4SYcz/uuJ6C13s7Rs66gn+xAW855tMw85ewYSXTOT638Bou4eyRYrq9p/i8xTKUAWGmzX5\
     cZKKTU0CgYABV+OliMxV3G/Fo2b7iPnGHyWf5vD8hst006j6P5rjckZS7SRiEM+uPJJCY8TrNlidAcEiRgZdMoV3PWEzD29LlQ2357GgKOfwawjf\
     yZczjZve3t7z/Hu9hAFmfpYSuK9g74yZTPzCyoEiQt0Sq+BZulIziZsrSceb0Xc4Odc80QKBgCZfr7vP3YLpIYyxz8ntIUBQpEH/sH+ZKy1mbewt\
     BcDGu7kK/3rJQ8KcEOp0F2vrfHQXpdsJKbvmLBhWaUubSTiFRDOX9IuJ+rrsTjbnwyKtxcCdHRHVLlGeKuqzG6275OUU0CJ8umfw6mC6gF5HF2F8\
     JF9ZAG0FvPEqBR9J9Rqp\
    ",
];

/// The first instant of every trail: 2024-03-05T00:01:31Z, seconds.
pub(crate) const START: i64 = 1_709_596_891;
const HOUR: i64 = 3600;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A signing key.
pub(crate) struct Key {
    pair: RsaKeyPair,
    pub(crate) fingerprint: String,
}

impl Key {
    pub(crate) fn new(number: usize) -> Key {
        let der = STANDARD.decode(KEYS[number]).unwrap();
        let pair = RsaKeyPair::from_der(&der).unwrap();
        let fingerprint = hex(&Md5::digest(pair.public_key().as_ref()));
        Key { pair, fingerprint }
    }

    fn sign(&self, message: &str) -> String {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        hex(&signature)
    }

    /// PKCS#1 DER of the public key.
    pub(crate) fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }
}

/// The key list as the AWS CLI prints it, valid for a month around [`START`].
pub(crate) fn key_list(keys: &[&Key]) -> Value {
    let list: Vec<Value> = keys.iter().map(|key| key_entry(key, START - 86_400, START + 29 * 86_400)).collect();
    json!({ "PublicKeyList": list })
}

pub(crate) fn key_entry(key: &Key, from: i64, until: i64) -> Value {
    json!({
        "Value": STANDARD.encode(key.public()), "ValidityStartTime": from as f64, "ValidityEndTime": until as f64,
        "Fingerprint": key.fingerprint,
    })
}

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    /// User metadata.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Objects by key.
pub(crate) type Objects = BTreeMap<String, Object>;

/// A digest that was delivered.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) key: String,
    pub(crate) logs: Vec<String>,
    sha256: String,
    signature: String,
}

/// A trail in one account and Region.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    pub(crate) account: &'static str,
    pub(crate) region: &'static str,
    pub(crate) home: &'static str,
    pub(crate) name: &'static str,
    pub(crate) bucket: &'static str,
    /// With a slash at its end, or empty.
    pub(crate) prefix: &'static str,
    /// With a slash at its end, or empty.
    pub(crate) organization: &'static str,
    /// Minutes of each hour in which a log is delivered.
    pub(crate) minutes: &'static [i64],
    /// Records in each log.
    pub(crate) records: usize,
}

pub(crate) const TRAIL: Trail = Trail {
    account: "111122223333",
    region: "us-east-2",
    home: "us-east-2",
    name: "main",
    bucket: "example-trail-bucket",
    prefix: "",
    organization: "",
    minutes: &[5, 20, 50],
    records: 2,
};

/// Hours without deliveries: their digests list nothing.
const QUIET: i64 = 7;

impl Trail {
    /// Delivers the logs and digests of `hours`, numbered from [`START`]; `previous` is the digest before, `None` for a
    /// starting digest.
    pub(crate) fn deliver(
        &self,
        objects: &mut Objects,
        key: &Key,
        hours: std::ops::Range<i64>,
        mut previous: Option<Delivered>,
    ) -> Vec<Delivered> {
        let mut all = Vec::new();
        for hour in hours {
            let start = START + hour * HOUR;
            let minutes = if hour % 24 == QUIET { &[] } else { self.minutes };
            let logs: Vec<Value> =
                minutes.iter().map(|minute| self.log(objects, start / HOUR * HOUR + minute * 60)).collect();
            let delivered = self.digest(objects, key, (start, start + HOUR), &logs, previous.as_ref(), "");
            previous = Some(delivered.clone());
            all.push(delivered);
        }
        all
    }

    pub(crate) fn folder(&self, kind: &str, time: i64) -> String {
        let date = stamp(time);
        format!(
            "{}AWSLogs/{}{}/{kind}/{}/{}/{}/{}/",
            self.prefix,
            self.organization,
            self.account,
            self.region,
            &date[..4],
            &date[4..6],
            &date[6..8]
        )
    }

    /// Delivers the log of the slot `time`, and returns its entry in a digest.
    pub(crate) fn log(&self, objects: &mut Objects, time: i64) -> Value {
        let seed = format!("{} {} {} {time}", self.account, self.region, self.name);
        let unique = &sha256(seed.as_bytes())[..16];
        let slot = stamp(time);
        let key = format!(
            "{}{}_CloudTrail_{}_{}Z_{unique}.json.gz",
            self.folder("CloudTrail", time),
            self.account,
            self.region,
            &slot[..13]
        );
        let (oldest, newest) = (time - 240, time - 180);
        let records: Vec<String> = (0..self.records)
            .map(|number| {
                let at = if number == 0 { oldest } else { newest };
                self.record(at, &sha256(format!("{seed} {number}").as_bytes()))
            })
            .collect();
        let text = format!("{{\"Records\":[{}]}}", records.join(","));
        let hash = sha256(text.as_bytes());
        objects.insert(key.clone(), Object { bytes: gzip(text.as_bytes()), metadata: BTreeMap::new() });
        json!({
            "s3Bucket": self.bucket, "s3Object": key, "hashValue": hash, "hashAlgorithm": "SHA-256",
            "newestEventTime": iso(if self.records > 1 { newest } else { oldest }), "oldestEventTime": iso(oldest),
        })
    }

    fn record(&self, time: i64, id: &str) -> String {
        let (account, region) = (self.account, self.region);
        let id = format!("{}-{}-4{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..32]);
        format!(
            r#"{{"eventVersion":"1.11","userIdentity":{{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::{account}:user/Alice","accountId":"{account}","accessKeyId":"AKIAEXAMPLE","userName":"Alice"}},"eventTime":"{}","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"{region}","sourceIPAddress":"192.0.2.10","userAgent":"aws-cli/2.15.0","requestParameters":{{"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}},"responseElements":null,"requestID":"{id}","eventID":"{id}","readOnly":true,"resources":[{{"accountId":"{account}","type":"AWS::KMS::Key","ARN":"arn:aws:kms:{region}:{account}:key/1234abcd-12ab-34cd-56ef-1234567890ab"}}],"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"{account}","eventCategory":"Management"}}"#,
            iso(time)
        )
    }

    /// Delivers a digest for the seconds `interval`. `suffix` is `_backfill` for a backfill digest.
    pub(crate) fn digest(
        &self,
        objects: &mut Objects,
        key: &Key,
        interval: (i64, i64),
        logs: &[Value],
        previous: Option<&Delivered>,
        suffix: &str,
    ) -> Delivered {
        let end = stamp(interval.1);
        let object = format!(
            "{}{}_CloudTrail-Digest_{}_{}_{}_{end}Z{suffix}.json.gz",
            self.folder("CloudTrail-Digest", interval.1),
            self.account,
            self.region,
            self.name,
            self.home
        );
        let time = |name: &str, pick: fn(Vec<&str>) -> Option<&str>| {
            json!(pick(logs.iter().filter_map(|log| log[name].as_str()).collect()))
        };
        let text = |value: Option<&str>| json!(value);
        // In the order in which CloudTrail writes the members.
        let members = [
            ("awsAccountId", json!(self.account)),
            ("digestStartTime", json!(iso(interval.0))),
            ("digestEndTime", json!(iso(interval.1))),
            ("digestS3Bucket", json!(self.bucket)),
            ("digestS3Object", json!(object)),
            ("digestPublicKeyFingerprint", json!(key.fingerprint)),
            ("digestSignatureAlgorithm", json!("SHA256withRSA")),
            ("newestEventTime", time("newestEventTime", |times| times.into_iter().max())),
            ("oldestEventTime", time("oldestEventTime", |times| times.into_iter().min())),
            ("previousDigestS3Bucket", text(previous.map(|_| self.bucket))),
            ("previousDigestS3Object", text(previous.map(|digest| digest.key.as_str()))),
            ("previousDigestHashValue", text(previous.map(|digest| digest.sha256.as_str()))),
            ("previousDigestHashAlgorithm", text(previous.map(|_| "SHA-256"))),
            ("previousDigestSignature", text(previous.map(|digest| digest.signature.as_str()))),
            ("logFiles", json!(logs)),
        ];
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let body = format!("{{{}}}", members.join(","));
        let hash = sha256(body.as_bytes());
        let before = previous.map_or("null", |digest| digest.signature.as_str());
        let signature = key.sign(&format!("{}\n{}/{object}\n{hash}\n{before}", iso(interval.1), self.bucket));
        let metadata = BTreeMap::from([
            ("signature".to_owned(), signature.clone()),
            ("signature-algorithm".to_owned(), "SHA256withRSA".to_owned()),
        ]);
        objects.insert(object.clone(), Object { bytes: gzip(body.as_bytes()), metadata });
        let logs = logs.iter().map(|log| log["s3Object"].as_str().unwrap().to_owned()).collect();
        Delivered { key: object, logs, sha256: hash, signature }
    }
}

/// `20240305T000131`.
pub(crate) fn stamp(time: i64) -> String {
    chrono::DateTime::from_timestamp(time, 0).unwrap().format("%Y%m%dT%H%M%S").to_string()
}

/// `2024-03-05T00:01:31Z`.
pub(crate) fn iso(time: i64) -> String {
    chrono::DateTime::from_timestamp(time, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// One gzip member.
pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut packed = vec![0; packer.gzip_compress_bound(text.len())];
    let length = packer.gzip_compress(text, &mut packed).unwrap();
    packed.truncate(length);
    packed
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut text).unwrap();
    text
}

/// Writes the objects as `aws s3 sync` does: bytes without metadata.
pub(crate) fn sync(objects: &Objects, folder: &Path) {
    for (key, object) in objects {
        let path = folder.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &object.bytes).unwrap();
    }
}

/// The signatures in the objects' metadata, as the documented map.
pub(crate) fn signatures(bucket: &str, objects: &Objects) -> Value {
    let named = objects.iter().filter(|(_, object)| object.metadata.contains_key("signature"));
    named
        .map(|(key, object)| (format!("{bucket}/{key}"), json!(object.metadata)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Changes the text of an object, which is packed again.
pub(crate) fn edit(objects: &mut Objects, key: &str, change: impl FnOnce(String) -> String) {
    let object = objects.get_mut(key).unwrap();
    let text = String::from_utf8(gunzip(&object.bytes)).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "nothing was changed in {key}");
    object.bytes = gzip(changed.as_bytes());
}

/// Moves an object, with its metadata.
pub(crate) fn rename(objects: &mut Objects, from: &str, to: &str) {
    let object = objects.remove(from).unwrap();
    objects.insert(to.to_owned(), object);
}
