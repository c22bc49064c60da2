//! What the path of a log file claims: prefix, organization, account, folder, region, delivery time.
//!
//! In: a path or S3 key, or only a file name. Out: [`S3Key`], slices of that text. CloudTrail writes
//!
//! ```text
//! [<prefix>/]AWSLogs/[<org-id>/]<account>/<folder>/<region>/<YYYY>/<MM>/<DD>/<file>
//! <account>_CloudTrail_<region>_<YYYYMMDD>T<HHMM>Z_<16 letters or digits>.json.gz
//! <account>_CloudTrail-Digest_<region>_<trail>_<home region>_<YYYYMMDD>T<HHMMSS>Z[_backfill].json.gz
//! ```
//!
//! ("CloudTrail log file examples", "CloudTrail digest file structure" in the CloudTrail user guide.) Researchers rename,
//! move and unpack files, so all of it is a hint: nothing here says what a record is about, and whatever does not fit the
//! grammar is `None` rather than a guess. The dates in the path are left out on purpose: the file name has the same time
//! with minutes, and a path without such a name is never pruned.

use crate::time::{DAY, MICROS, days_from_civil};

/// The folder below the account: what a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Folder {
    /// Management and data events.
    CloudTrail,
    /// Integrity digests: no records.
    Digest,
    /// Insights events: statistics over records.
    Insight,
    /// Network activity of VPC endpoints: records like any other.
    NetworkActivity,
    /// Five-minute aggregates of data events: no records.
    Aggregated,
    /// Saved query results of CloudTrail Lake: CSV.
    Lake,
    /// None of these, or the path does not say.
    Unknown,
}

impl Folder {
    fn parse(text: &str) -> Folder {
        match text {
            "CloudTrail" => Folder::CloudTrail,
            "CloudTrail-Digest" => Folder::Digest,
            "CloudTrail-Insight" => Folder::Insight,
            "CloudTrail-NetworkActivity" => Folder::NetworkActivity,
            "CloudTrail-Aggregated" => Folder::Aggregated,
            "CloudTrail-Lake" => Folder::Lake,
            _ => Folder::Unknown,
        }
    }

    /// True when files of this folder hold CloudTrail records, or may.
    pub fn holds_records(self) -> bool {
        matches!(self, Folder::CloudTrail | Folder::NetworkActivity | Folder::Unknown)
    }
}

/// What a path claims. Folders and file name are kept apart where they can disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Key<'a> {
    /// What stands before `AWSLogs/`, without the last slash; empty when there is nothing or no `AWSLogs/`.
    pub prefix: &'a str,
    /// The organization, such as `o-exampleorgid`, of an organization trail.
    pub organization: Option<&'a str>,
    /// Account of the folder, else of the file name: the account the events belong to, not the bucket's owner.
    pub account: Option<&'a str>,
    /// The folder; the file name wins when it says `CloudTrail`, so that a log moved elsewhere is still read.
    pub folder: Folder,
    /// Region of the folder, else of the file name: where the file was produced. Its events may name another.
    pub region: Option<&'a str>,
    /// What the file name says, when it follows the grammar.
    pub file: Option<FileName<'a>>,
}

/// A file name that follows CloudTrail's grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileName<'a> {
    /// Twelve digits.
    pub account: &'a str,
    /// The kind in the name.
    pub folder: Folder,
    /// Where the file was produced.
    pub region: &'a str,
    /// The delivery slot (logs) or the end of the interval (digests), microseconds since 1970-01-01 UTC.
    pub delivery: i64,
    /// Digests only: the trail's name.
    pub trail: Option<&'a str>,
    /// Digests only: the region in which the trail was created.
    pub home_region: Option<&'a str>,
    /// True for digests made later for an interval that had been missed.
    pub backfill: bool,
}

/// Reads a path, an S3 key or a bare file name. `None` when neither folders nor name follow the grammar.
pub fn parse_key(path: &str) -> Option<S3Key<'_>> {
    let (folders, name) = split(path);
    put_together(find_anchor(folders), parse_file_name(name))
}

/// Reads keys like [`parse_key`], one after the other. The folders of the last are remembered, because most files lie where
/// the one before lay.
#[derive(Debug, Default)]
pub struct KeyReader {
    folders: String,
    anchor: Option<Anchor<Span>>,
}

impl KeyReader {
    /// See [`parse_key`].
    pub fn parse<'a>(&mut self, path: &'a str) -> Option<S3Key<'a>> {
        let (folders, name) = split(path);
        if folders != self.folders {
            self.folders.clear();
            self.folders.push_str(folders);
            self.anchor = find_anchor(folders).map(|anchor| anchor.map(|part| Span::of(part, folders)));
        }
        let anchor = self.anchor.map(|anchor| anchor.map(|span| span.text(folders)));
        put_together(anchor, parse_file_name(name))
    }
}

/// Where a part of a text stands.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// `part` is a slice of `text`.
    fn of(part: &str, text: &str) -> Span {
        let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        Span { start, end: start + part.len() }
    }

    fn text(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// The folders of a path, and the name in them.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once(is_separator).unwrap_or(("", path))
}

fn put_together<'a>(anchor: Option<Anchor<&'a str>>, file: Option<FileName<'a>>) -> Option<S3Key<'a>> {
    if file.is_none() && anchor.is_none() {
        return None;
    }
    let anchor = anchor.unwrap_or(Anchor {
        prefix: "",
        organization: None,
        account: None,
        folder: Folder::Unknown,
        region: None,
    });
    let folder = match file {
        Some(file) if file.folder.holds_records() || anchor.folder == Folder::Unknown => file.folder,
        _ => anchor.folder,
    };
    Some(S3Key {
        prefix: anchor.prefix,
        organization: anchor.organization,
        account: anchor.account.or(file.map(|file| file.account)),
        folder,
        region: anchor.region.or(file.map(|file| file.region)),
        file,
    })
}

/// What stands around the last `AWSLogs/`.
#[derive(Clone, Copy, Debug)]
struct Anchor<T> {
    prefix: T,
    organization: Option<T>,
    account: Option<T>,
    folder: Folder,
    region: Option<T>,
}

impl<T> Anchor<T> {
    fn map<U>(self, each: impl Fn(T) -> U) -> Anchor<U> {
        let Anchor { prefix, organization, account, folder, region } = self;
        let (organization, account, region) = (organization.map(&each), account.map(&each), region.map(&each));
        Anchor { prefix: each(prefix), organization, account, folder, region }
    }
}

/// Finds the last `AWSLogs` folder that an account or an organization and an account follow. A prefix may contain
/// `AWSLogs` and digits itself, hence the last one.
fn find_anchor(folders: &str) -> Option<Anchor<&str>> {
    let mut end = folders.len();
    while let Some(at) = folders.get(..end).and_then(|text| text.rfind("AWSLogs")) {
        end = at;
        let before = folders.get(..at).unwrap_or_default();
        let after = folders.get(at + "AWSLogs".len()..).unwrap_or_default();
        if !(before.is_empty() || before.ends_with(is_separator)) || !after.starts_with(is_separator) {
            continue;
        }
        let mut parts = after.split(is_separator).skip(1);
        let first = parts.next().unwrap_or_default();
        let organization = is_organization(first).then_some(first);
        let account = if organization.is_some() { parts.next().unwrap_or_default() } else { first };
        if !is_account(account) {
            continue;
        }
        let folder = parts.next().map_or(Folder::Unknown, Folder::parse);
        let region = parts.next().filter(|text| is_region(text));
        let prefix = before.strip_suffix(is_separator).unwrap_or(before);
        return Some(Anchor { prefix, organization, account: Some(account), folder, region });
    }
    None
}

/// Reads a file name. The extension is not looked at: exports are unpacked and re-packed.
pub fn parse_file_name(name: &str) -> Option<FileName<'_>> {
    let (account, rest) = name.split_once('_')?;
    let (kind, rest) = rest.split_once('_')?;
    let (region, rest) = rest.split_once('_')?;
    let folder = Folder::parse(kind);
    if !is_account(account) || !is_region(region) || matches!(folder, Folder::Unknown | Folder::Lake) {
        return None;
    }
    if folder == Folder::Digest {
        return parse_digest_name(account, region, rest);
    }
    // `20240305T1015Z_AbCdEfGh12345678.json.gz`; one page of the guide has no underscore before the sixteen.
    let delivery = parse_slot(rest.get(..14)?)?;
    let tail = rest.get(14..)?;
    let tail = tail.strip_prefix('_').unwrap_or(tail);
    let (unique, extension) = tail.split_at_checked(16)?;
    let well_formed = unique.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !well_formed || !(extension.is_empty() || extension.starts_with('.')) {
        return None;
    }
    Some(FileName { account, folder, region, delivery, trail: None, home_region: None, backfill: false })
}

/// The rest of a digest's name, read from its end: a trail name may contain `.`, `_` and `-`.
fn parse_digest_name<'a>(account: &'a str, region: &'a str, rest: &'a str) -> Option<FileName<'a>> {
    let stem = rest.strip_suffix(".gz").unwrap_or(rest);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    let backfill = stem.ends_with("_backfill");
    let stem = stem.strip_suffix("_backfill").unwrap_or(stem);
    let (stem, slot) = stem.rsplit_once('_')?;
    let (trail, home) = stem.rsplit_once('_')?;
    let delivery = parse_slot(slot).filter(|_| slot.len() == 16)?;
    if trail.is_empty() || !is_region(home) {
        return None;
    }
    let (trail, home_region) = (Some(trail), Some(home));
    Some(FileName { account, folder: Folder::Digest, region, delivery, trail, home_region, backfill })
}

/// `20240305T1015Z` or `20240305T110131Z`, in microseconds.
fn parse_slot(text: &str) -> Option<i64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || !(clock.len() == 4 || clock.len() == 6) {
        return None;
    }
    let number = |text: Option<&str>| -> Option<u32> {
        let text = text?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    let (year, month, day) = (number(date.get(..4))?, number(date.get(4..6))?, number(date.get(6..8))?);
    let (hour, minute) = (number(clock.get(..2))?, number(clock.get(2..4))?);
    let second = if clock.len() == 6 { number(clock.get(4..6))? } else { 0 };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_civil(i64::from(year), month, day)?;
    Some((days * DAY + i64::from(hour * 3600 + minute * 60 + second)) * MICROS)
}

fn is_separator(character: char) -> bool {
    character == '/' || (cfg!(windows) && character == '\\')
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `o-` and lower-case letters or digits. The documentation promises 10 to 32; shorter ones occur in test exports.
fn is_organization(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("o-") else { return false };
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Two or three words and a number, as in the endpoint rules of every AWS SDK: `us-east-1`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let count = words.split('-').count();
    (2..=3).contains(&count)
        && words.split('-').all(is_word)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::format_timestamp;

    /// organization, account, folder, region, delivery, trail and home region, prefix.
    fn show(path: &str) -> String {
        let Some(key) = parse_key(path) else { return "-".to_owned() };
        let file = key.file;
        format!(
            "{}|{}|{:?}|{}|{}|{}|{}{}",
            key.organization.unwrap_or("-"),
            key.account.unwrap_or("-"),
            key.folder,
            key.region.unwrap_or("-"),
            file.map_or("-".to_owned(), |file| format_timestamp(file.delivery)),
            file.and_then(|file| file.trail).map_or("-".to_owned(), |trail| format!(
                "{trail}@{}",
                file.and_then(|file| file.home_region).unwrap_or("-")
            )),
            key.prefix,
            if file.is_some_and(|file| file.backfill) { " (backfill)" } else { "" },
        )
    }

    const LOG: &str = "111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz";

    #[test]
    fn keys_as_the_guide_gives_them_are_read() {
        let plain = "-|111122223333|CloudTrail|us-east-2|2015-08-01T02:10:00Z|-|";
        for (path, expected) in [
            (format!("AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/01/{LOG}"), plain.to_owned()),
            (LOG.to_owned(), plain.to_owned()),
            (format!("export/{LOG}"), plain.to_owned()),
            (
                "corp/audit/AWSLogs/o-exampleorgid/444455556666/CloudTrail/us-gov-west-1/2024/03/05/\
                 444455556666_CloudTrail_us-gov-west-1_20240305T1015Z_AbCdEfGh12345678.json.gz"
                    .to_owned(),
                "o-exampleorgid|444455556666|CloudTrail|us-gov-west-1|2024-03-05T10:15:00Z|-|corp/audit".to_owned(),
            ),
            (
                "AWSLogs/o-12345/444455556666/CloudTrail-Digest/cn-north-1/2024/03/05/\
                 444455556666_CloudTrail-Digest_cn-north-1_org-trail_cn-north-1_20240305T110131Z.json.gz"
                    .to_owned(),
                "o-12345|444455556666|Digest|cn-north-1|2024-03-05T11:01:31Z|org-trail@cn-north-1|".to_owned(),
            ),
            (
                "AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2024/03/05/\
                 111122223333_CloudTrail-Digest_us-east-2_my_trail.v1_us-west-2_20240305T110131Z_backfill.json.gz"
                    .to_owned(),
                "-|111122223333|Digest|us-east-2|2024-03-05T11:01:31Z|my_trail.v1@us-west-2| (backfill)".to_owned(),
            ),
            (
                "AWSLogs/111122223333/CloudTrail-Lake/Query/2024/03/05/11111111-1111-4111-8111-111111111111/result_1.csv.gz".to_owned(),
                "-|111122223333|Lake|-|-|-|".to_owned(),
            ),
            (
                "AWSLogs/111122223333/CloudTrail-Insight/eu-isoe-west-1/2024/03/05/\
                 111122223333_CloudTrail-Insight_eu-isoe-west-1_20240305T1015Z_AbCdEfGh12345678.json.gz"
                    .to_owned(),
                "-|111122223333|Insight|eu-isoe-west-1|2024-03-05T10:15:00Z|-|".to_owned(),
            ),
        ] {
            assert_eq!(show(&path), expected, "{path}");
        }
    }

    #[test]
    fn a_prefix_may_hold_an_anchor_digits_and_an_account() {
        for prefix in
            ["AWSLogs/444455556666/old", "2024/AWSLogs", "AWSLogs/AWSLogs", "123456789012", "xAWSLogs/111122223333"]
        {
            let path = format!("{prefix}/AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/01/{LOG}");
            assert_eq!(
                show(&path),
                format!("-|111122223333|CloudTrail|us-east-2|2015-08-01T02:10:00Z|-|{prefix}"),
                "{path}"
            );
        }
        // The last `AWSLogs/` counts only with an account behind it.
        let path = format!("AWSLogs/111122223333/CloudTrail/us-east-2/AWSLogs/copies/{LOG}");
        assert_eq!(show(&path), "-|111122223333|CloudTrail|us-east-2|2015-08-01T02:10:00Z|-|");
    }

    #[test]
    fn names_unpacked_or_without_the_last_underscore_still_parse() {
        for name in [
            "111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json",
            "111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ",
            "111122223333_CloudTrail_us-east-2_20150801T0210ZMu0KsOhtH1ar15ZZ.json.gz",
            "111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.zst",
        ] {
            assert_eq!(show(name), "-|111122223333|CloudTrail|us-east-2|2015-08-01T02:10:00Z|-|", "{name}");
        }
    }

    #[test]
    fn near_misses_are_no_keys() {
        for name in [
            "",
            "x.json.gz",
            "11112222333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz",
            "1111222233334_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz",
            "111122223333_CloudTrial_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz",
            "111122223333_CloudTrail_useast2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz",
            "111122223333_CloudTrail_us-east-2_20151301T0210Z_Mu0KsOhtH1ar15ZZ.json.gz",
            "111122223333_CloudTrail_us-east-2_20150801T2510Z_Mu0KsOhtH1ar15ZZ.json.gz",
            "111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15Z.json.gz",
            "111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ (1).json.gz",
            "111122223333_CloudTrail_us-east-2_+0150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz",
            "111122223333_CloudTrail-Digest_us-east-2__us-west-2_20240305T110131Z.json.gz",
            "111122223333_CloudTrail-Digest_us-east-2_t_20240305T110131Z.json.gz",
            "AWSLogs/1234/CloudTrail/us-east-1/x.json.gz",
            "myAWSLogs/111122223333/CloudTrail/us-east-1/x.json.gz",
            "AWSLogs/o-EXAMPLE/111122223333/CloudTrail/us-east-1/x.json.gz",
            "111122223333_CloudTrail_us-east-2_20150801T021\u{e9}Z_Mu0KsOhtH1ar15ZZ.json.gz",
        ] {
            assert_eq!(show(name), "-", "{name}");
        }
    }

    #[test]
    fn a_log_that_lies_in_the_digest_folder_is_still_a_log() {
        let path = format!("AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/01/{LOG}");
        assert_eq!(parse_key(&path).unwrap().folder, Folder::CloudTrail);
        let digest = "AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/01/renamed.json.gz";
        assert_eq!(parse_key(digest).unwrap().folder, Folder::Digest);
        assert_eq!(parse_key(digest).unwrap().file, None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_grammar_fail(text in "\\PC*", tail in "[AWSLogs/o0-9_TZCloudTrail\u{e9}-]{0,80}") {
            let _ = parse_key(&text);
            let _ = parse_key(&format!("AWSLogs/111122223333/{tail}"));
            let _ = parse_key(&format!("111122223333_CloudTrail_us-east-1_{tail}"));
        }

        #[test]
        fn a_reader_that_remembers_reads_like_one_that_does_not(picks in proptest::collection::vec((0..8_usize, 0..4_usize), 0..20)) {
            const FOLDERS: [&str; 8] = [
                "",
                "x/",
                "AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/01/",
                "AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/01/",
                "AWSLogs/444455556666/CloudTrail/us-east-2/2015/08/01/",
                "corp/AWSLogs/o-exampleorgid/444455556666/CloudTrail/eu-west-1/2015/08/01/",
                "\u{e9}/AWSLogs/444455556666/CloudTrail/",
                "AWSLogs/444455556666/",
            ];
            let names = [LOG, "x.json.gz", "", "444455556666_CloudTrail_eu-west-1_20240305T1015Z_AbCdEfGh12345678.json"];
            let mut reader = KeyReader::default();
            for (folder, name) in picks {
                let path = format!("{}{}", FOLDERS[folder], names[name]);
                proptest::prop_assert_eq!(reader.parse(&path), parse_key(&path), "{}", path);
            }
        }
    }
}
