//! Archives and envelopes: the same records as a trail file, a zip, a page of `lookup-events`, and so on.
//!
//! In: record texts. Out: bytes. The texts go in unchanged, so that columns with the text as received can be compared.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::io::{Cursor, Write};

/// A trail file: one compact object.
pub(crate) fn trail(records: &[String]) -> Vec<u8> {
    format!("{{\"Records\":[{}]}}", records.join(",")).into_bytes()
}

/// One gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zip of named members, deflated and stored in turn.
pub(crate) fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (at, (name, bytes)) in members.iter().enumerate() {
        let method = if at % 2 == 0 { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A tar of named members.
pub(crate) fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A zstd frame.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// One record a line.
pub(crate) fn lines(records: &[String], end: &str) -> Vec<u8> {
    records.iter().map(|record| format!("{record}{end}")).collect::<String>().into_bytes()
}

/// The record with white space between its tokens; the tokens stay as they are.
pub(crate) fn pretty(record: &str, newline: &str) -> String {
    let (mut out, mut depth, mut is_text, mut is_escaped) = (String::new(), 0_usize, false, false);
    for c in record.chars() {
        let closes = !is_text && matches!(c, '}' | ']');
        if closes {
            depth -= 1;
            out.push_str(newline);
            out.push_str(&"    ".repeat(depth));
        }
        out.push(c);
        if is_text {
            is_text = is_escaped || c != '"';
            is_escaped = c == '\\' && !is_escaped;
            continue;
        }
        match c {
            '"' => is_text = true,
            '{' | '[' => depth += 1,
            ':' => out.push(' '),
            _ => {}
        }
        if matches!(c, '{' | '[' | ',') {
            out.push_str(newline);
            out.push_str(&"    ".repeat(depth));
        }
    }
    out
}

/// The output of `aws cloudtrail lookup-events`: pages of 20, one after the other.
pub(crate) fn lookup_events(records: &[String]) -> Vec<u8> {
    let event = |record: &String| {
        json!({"EventId": "6f1c0e3a-ffff-4000-8000-000000000000", "EventName": "OuterName", "ReadOnly": "true",
            "AccessKeyId": "AKIAEXAMPLE", "EventTime": "2031-11-18T09:41:02-08:00", "EventSource": "outer.amazonaws.com",
            "Username": "Outer", "Resources": [{"ResourceType": "AWS::KMS::Key", "ResourceName": "outer"}],
            "CloudTrailEvent": record})
    };
    let page = |records: &[String]| {
        let events: Vec<_> = records.iter().map(event).collect();
        serde_json::to_string_pretty(&json!({"Events": events, "NextToken": "AAAA"})).unwrap() + "\n"
    };
    records.chunks(20).map(page).collect::<String>().into_bytes()
}

/// EventBridge events, one a line.
pub(crate) fn event_bridge(records: &[String]) -> Vec<u8> {
    let event = |record: &String| {
        format!(
            "{{\"version\":\"0\",\"id\":\"0d1f0000-0000-4000-8000-000000000000\",\"detail-type\":\"AWS API Call via CloudTrail\",\
             \"source\":\"aws.kms\",\"account\":\"999999999999\",\"time\":\"2031-03-05T10:14:07Z\",\"region\":\"sa-east-1\",\
             \"resources\":[],\"detail\":{record}}}\n"
        )
    };
    records.iter().map(event).collect::<String>().into_bytes()
}

/// CloudWatch Logs subscription messages of 7 log events, one a line, and a control message between them.
pub(crate) fn subscription(records: &[String], end: &str) -> Vec<u8> {
    let message = |kind: &str, records: &[String]| {
        let event = |(at, record): (usize, &String)| json!({"id": at.to_string(), "timestamp": 1_709_633_647_000_u64, "message": record});
        let events: Vec<_> = records.iter().enumerate().map(event).collect();
        let log = "CloudTrail/logs";
        let stream = "111122223333_CloudTrail_us-east-1";
        format!(
            "{{\"messageType\":\"{kind}\",\"owner\":\"111122223333\",\"logGroup\":\"{log}\",\"logStream\":\"{stream}\",\
             \"subscriptionFilters\":[\"all\"],\"logEvents\":{}}}{end}",
            serde_json::to_string(&events).unwrap()
        )
    };
    let control = message("CONTROL_MESSAGE", &[]);
    let data: String = records.chunks(7).map(|records| message("DATA_MESSAGE", records)).collect();
    format!("{control}{data}").into_bytes()
}

/// The output of `aws logs filter-log-events`.
pub(crate) fn filter_log_events(records: &[String]) -> Vec<u8> {
    let event = |record: &String| {
        json!({"logStreamName": "111122223333_CloudTrail_us-east-1", "timestamp": 1_709_633_647_000_u64, "message": record,
            "ingestionTime": 1_709_633_648_000_u64, "eventId": "36951234"})
    };
    let events: Vec<_> = records.iter().map(event).collect();
    serde_json::to_vec_pretty(&json!({"events": events, "searchedLogStreams": []})).unwrap()
}

/// An export task of CloudWatch Logs: a time, a space, the record.
pub(crate) fn export_task(records: &[String]) -> Vec<u8> {
    records.iter().map(|record| format!("2024-05-01T10:14:07.000Z {record}\n")).collect::<String>().into_bytes()
}
