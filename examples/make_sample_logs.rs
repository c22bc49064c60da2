//! Writes the sample archive: twelve days of an invented organization, with one attack in them.
//!
//! In: the folder to write into (default `sample-logs`). Out: `AWSLogs/...` as an organization trail delivers it, with a
//! few files of an account's own trail that bring the same events a second time. No clock and no chance: each run writes
//! the same bytes. STORY.md, which lies in the same folder, is prose and is left alone.
//!
//! ```text
//! cargo run --example make_sample_logs [-- OUT_DIR]
//! ```
//! The story is in `support/`: the cast, twelve quiet days, the near misses, planned work, the attack. Here is only what CloudTrail does
//! with it: collect events into five-minute slots, disorder them a little, name the files, compress.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[path = "support/attack.rs"]
mod attack;
#[path = "support/background.rs"]
mod background;
#[path = "support/call.rs"]
mod call;
#[path = "support/cast.rs"]
mod cast;
#[path = "support/clock.rs"]
mod clock;
#[path = "support/near_misses.rs"]
mod near_misses;
#[path = "support/night.rs"]
mod night;
#[path = "support/random.rs"]
mod random;
#[path = "support/record.rs"]
mod record;
#[path = "support/staff.rs"]
mod staff;

use call::{Call, Event, Tape, object, october, text};
use cast::{CLOUDTRAIL, DATA, ORG_TRAIL, PROD, TRAIL_LOGS, US};
use clock::{DAY, instant, log_key};
use random::{ALNUM, Random};

/// Any number would do; this one stays.
const SEED: u64 = 0x0005_eaf0_0d20_2510;
/// The first of the twelve days, a Monday.
const FIRST_DAY: &str = "2025-10-06T00:00:00Z";
const DAYS: i64 = 12;
/// When the applications work: five rounds a day, so that every role has sixty active hours.
const HOURS: [i64; 5] = [1, 6, 10, 15, 20];
/// A delivery slot.
const SLOT: i64 = 300;
/// CloudTrail delivers on average about five minutes after the call.
const LAG: i64 = 180;

/// Account, region and slot of a log file.
type Place = (&'static str, &'static str, i64);

fn main() -> std::io::Result<()> {
    let out = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("sample-logs"), PathBuf::from);
    let mut tape = Tape::new(SEED);
    let mut rounds = Vec::new();
    for day in 0..DAYS {
        for hour in HOURS {
            // The minute changes from round to round; 120 s make a round end with a slot.
            let minute = i64::try_from(tape.random.below(10)).unwrap_or(0) * SLOT + SLOT - LAG;
            let start = instant(FIRST_DAY) + day * DAY + hour * 3_600 + minute;
            background::round(&mut tape, start, hour);
            rounds.push(start);
        }
    }
    background::failing_hour(&mut tape, october("16 03:02:00"));
    near_misses::plant(&mut tape);
    attack::happen(&mut tape);
    for start in rounds {
        background::customs(&mut tape, start);
    }
    staff::plan(&mut tape);
    night::happen(&mut tape);
    let files = files_of_the_night(&tape);
    staff::investigate(&mut tape, &files);

    let mut files = deliver(&mut tape);
    let local = local_trail(&files);
    let mut written = BTreeSet::new();
    let mut bytes = 0;
    for (place, events) in &mut files {
        bytes += write_file(&out, &organization_key(*place), events, &mut written)?;
    }
    for (place, mut events) in local {
        bytes += write_file(&out, &local_key(place), &mut events, &mut written)?;
    }
    refuse_strangers(&out, &written)?;
    let mut report = std::io::stdout().lock();
    writeln!(report, "{}: {} events, {} files, {bytes} bytes", out.display(), tape.events.len(), written.len())
}

fn unique(name: &str) -> String {
    let mut out = String::new();
    Random::named(name).push(ALNUM, 16, &mut out);
    out
}

fn organization_key((account, region, slot): Place) -> String {
    let unique = unique(&format!("organization {account} {region} {slot}"));
    log_key(Some("o-exampleorgid"), (account, region), slot, &unique, ".json.gz")
}

fn local_key((account, region, slot): Place) -> String {
    log_key(None, (account, region), slot, &unique(&format!("local {account} {region} {slot}")), ".json.gz")
}

/// The production account's log files from the first rattle to the last smoke, by name.
fn files_of_the_night(tape: &Tape) -> Vec<String> {
    let night = october("16 01:10:00")..october("16 03:10:00");
    let of_night = tape.events.iter().filter(|event| event.account == PROD && event.region == US);
    let slots: BTreeSet<i64> = of_night.filter(|event| night.contains(&event.time)).map(slot_of).collect();
    slots.into_iter().map(|slot| organization_key((PROD, US, slot))).collect()
}

fn slot_of(event: &Event) -> i64 {
    (event.time + LAG + event.lateness).div_euclid(SLOT) * SLOT + SLOT
}

/// Sorts the events into files. CloudTrail encrypts each file it delivers with the data account's key, which is an event
/// of that account's own log: that event's file is again such a file, and so on for ever. The chain is cut where the data
/// account would get a file for nothing else.
fn deliver(tape: &mut Tape) -> BTreeMap<Place, Vec<Event>> {
    let mut files: BTreeMap<Place, Vec<Event>> = BTreeMap::new();
    for event in &tape.events {
        files.entry((event.account, event.region, slot_of(event))).or_default().push(event.clone());
    }
    let told = tape.events.len();
    let is_log_account = |place: &Place| (place.0, place.1) == (DATA, US);
    let first: Vec<Place> = files.keys().filter(|place| !is_log_account(place)).copied().collect();
    let second: Vec<Place> = files
        .keys()
        .filter(|place| is_log_account(place) && files.contains_key(&(DATA, US, place.2 + SLOT)))
        .copied()
        .collect();
    for place in first.into_iter().chain(second) {
        let object_arn = format!("arn:aws:s3:::larkspur-org-trail-logs/{}", organization_key(place));
        let context = object(&[("aws:cloudtrail:arn", text(ORG_TRAIL)), ("aws:s3:arn", text(&object_arn))]);
        let time = place.2 + 4 + i64::try_from(tape.random.below(40)).unwrap_or(0);
        tape.add(Call::crypto("GenerateDataKey", &CLOUDTRAIL, &TRAIL_LOGS, time).asks(&[
            ("keyId", text(&TRAIL_LOGS.arn())),
            ("keySpec", text("AES_256")),
            ("encryptionContext", context),
        ]));
    }
    for event in tape.events.iter().skip(told) {
        files.entry((event.account, event.region, slot_of(event))).or_default().push(event.clone());
    }
    for events in files.values_mut() {
        events.sort_by_key(|event| event.time);
        disorder(events, &mut tape.random);
    }
    files
}

/// Exchanges one neighboring pair in twelve: real files are not sorted either.
fn disorder(events: &mut [Event], random: &mut Random) {
    for pair in events.chunks_exact_mut(2) {
        if random.below(6) == 0
            && let [one, other] = pair
        {
            std::mem::swap(one, other);
        }
    }
}

/// What the production account's own trail still holds: its bucket keeps two days. The same records, except what the
/// stranger took from it: KMS first, then everything.
fn local_trail(files: &BTreeMap<Place, Vec<Event>>) -> BTreeMap<Place, Vec<Event>> {
    let span = |(from, to): (&str, &str)| october(from)..october(to);
    let (excluded, stopped) = (span(attack::LOCAL_TRAIL_EXCLUDES_KMS), span(attack::LOCAL_TRAIL_STOPPED));
    let kept = october("15 12:00:00")..october("17 12:00:00");
    let mut local = BTreeMap::new();
    for (place, events) in files {
        if (place.0, place.1) != (PROD, US) || !kept.contains(&place.2) {
            continue;
        }
        let mut events = events.clone();
        events.retain(|event| {
            let is_hidden = event.is_kms && excluded.contains(&event.time);
            !is_hidden && (!stopped.contains(&event.time) || event.time == stopped.start)
        });
        if !events.is_empty() {
            local.insert(*place, events);
        }
    }
    local
}

fn write_file(out: &Path, key: &str, events: &mut [Event], written: &mut BTreeSet<PathBuf>) -> std::io::Result<usize> {
    let path = out.join(key);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let records: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
    // The encoder's header carries no name and time 0, so that equal records are equal files.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    write!(gzip, "{{\"Records\":[{}]}}", records.join(","))?;
    let bytes = gzip.finish()?;
    std::fs::write(&path, &bytes)?;
    written.insert(path);
    Ok(bytes.len())
}

/// Files of an earlier story under other names would stay and be read as evidence.
fn refuse_strangers(out: &Path, written: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    let mut folders = vec![out.join("AWSLogs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if !written.contains(&entry.path()) {
                let message = format!("{}: not of this archive; remove AWSLogs and run again", entry.path().display());
                return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, message));
            }
        }
    }
    Ok(())
}
