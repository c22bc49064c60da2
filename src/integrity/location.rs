//! Whether a file lies where an S3 key says.
//!
//! In: a path on disk and a key. Out: yes or no, and the name a file is found by. The bucket never stands in a path, and what
//! lies above `AWSLogs` is the analyst's business; a copy may also begin further down, with the folder of an account or of
//! the digests, or hold all files in one folder. So only folders that can be seen count: a file is elsewhere when its name
//! differs, or when a folder that looks like the one in the key (a day, a Region, an account) has another name. Extensions
//! are not compared, because files are unpacked.

use crate::discover::parse_key;

/// The file name in a path or key, without `.gz`, `.zst` and `.json`: what files are found by.
pub fn stem(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    name.strip_suffix(".json").unwrap_or(name)
}

/// The part of a path from the last `AWSLogs` on, if it has the layout that CloudTrail writes.
fn from_anchor(path: &str) -> Option<&str> {
    let prefix = parse_key(path)?.prefix;
    let tail = path.get(prefix.len()..)?.trim_start_matches('/');
    (tail.starts_with("AWSLogs/") && tail.contains("/CloudTrail")).then_some(tail)
}

/// True when the file at `path` may be the object `key`: nothing that can be seen differs.
pub fn is_in_place(path: &str, key: &str) -> bool {
    #[cfg(windows)]
    let path = &path.replace('\\', "/");
    // Nearly every file: its path ends like the key. Only what differs needs to be taken apart.
    if path.strip_suffix(key).is_some_and(|before| before.is_empty() || before.ends_with('/')) {
        return true;
    }
    if stem(path) != stem(key) {
        return false;
    }
    let folders = |text: &str| text.rsplit_once('/').map_or(String::new(), |(folders, _)| folders.to_owned());
    if let (Some(ours), Some(theirs)) = (from_anchor(path), from_anchor(key)) {
        return folders(ours) == folders(theirs);
    }
    let (ours, theirs) = (folders(path), folders(key));
    for (our, their) in ours.rsplit('/').zip(theirs.rsplit('/')) {
        if our != their {
            return kind(our).is_none_or(|ours| kind(their) != Some(ours));
        }
    }
    true
}

/// What a folder of CloudTrail's layout can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Day,
    Year,
    Account,
    Region,
    Folder,
    Organization,
}

fn kind(folder: &str) -> Option<Kind> {
    if !folder.is_empty() && folder.bytes().all(|byte| byte.is_ascii_digit()) {
        return match folder.len() {
            2 => Some(Kind::Day),
            4 => Some(Kind::Year),
            12 => Some(Kind::Account),
            _ => None,
        };
    }
    if folder == "CloudTrail" || folder.starts_with("CloudTrail-") {
        return Some(Kind::Folder);
    }
    let (words, number) = folder.rsplit_once('-')?;
    if words.len() == 1 && words == "o" {
        return Some(Kind::Organization);
    }
    let is_region = number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.is_empty()
        && (2..=3).contains(&words.split('-').count())
        && words.split('-').all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
    is_region.then_some(Kind::Region)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "corp/AWSLogs/o-example/111122223333/CloudTrail/us-east-2/2015/08/01/111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz";

    #[test]
    fn what_cannot_be_seen_does_not_count() {
        let name = KEY.rsplit_once('/').unwrap().1;
        for path in [
            KEY.to_owned(),
            format!("/evidence/AWSLogs/2024/{KEY}"),
            format!("bucket/{}", KEY.strip_prefix("corp/").unwrap()),
            KEY.replace(".json.gz", ".json"),
            format!("us-east-2/2015/08/01/{name}"),
            format!("evidence/08/01/{name}").replace("evidence/", ""),
            format!("flat/{name}"),
            format!("/home/analyst/case 7/{name}"),
            name.to_owned(),
        ] {
            assert!(is_in_place(&path, KEY), "{path}");
        }
    }

    #[test]
    fn a_visible_folder_that_differs_is_elsewhere() {
        let name = KEY.rsplit_once('/').unwrap().1;
        for path in [
            KEY.replace("/01/", "/02/"),
            KEY.replace("/111122223333/", "/444455556666/"),
            KEY.replace("/o-example/", "/"),
            KEY.replace("/us-east-2/", "/us-east-1/"),
            KEY.replace("/CloudTrail/", "/CloudTrail-Digest/"),
            KEY.replace("0210Z", "0215Z"),
            format!("2015/08/02/{name}"),
            format!("2015/09/01/{name}"),
            format!("us-west-1/2015/08/01/{name}"),
            KEY.replace("/01/", "/01/copies/"),
        ] {
            assert!(!is_in_place(&path, KEY), "{path}");
        }
    }
}
