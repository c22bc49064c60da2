//! Chunks made from rows against Arrow batches of the same events, read back from a file.

use crate::schema::{Event, for_each_event_column};
use crate::table::columns::{EVENTS_SCHEMA, EventsBuilder};
use crate::table::file::{EventsEncoder, TableFile};
use crate::table::row::{Row, encode};
use crate::table::sort::Rows;
use crate::time::MICROS;
use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use std::borrow::Cow;
use std::fs::File;

/// Numbers below a bound, the same for each seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

macro_rules! any_value {
    (Text, $dice:ident, $variety:ident) => {
        // Empty, short, longer than a length of one byte, not ASCII.
        Cow::Owned(match $dice.below($variety) {
            0 => String::new(),
            1 => "é".repeat($dice.below(200) as usize),
            value => format!("{value}{}", "x".repeat($dice.below(3) as usize * 130)),
        })
    };
    (Boolean, $dice:ident, $variety:ident) => {
        $dice.below(2) == 0
    };
    (Date, $dice:ident, $variety:ident) => {
        $dice.below($variety) as i32 - 3
    };
    ($kind:ident, $dice:ident, $variety:ident) => {
        $dice.below($variety) as i64 - 3
    };
}

macro_rules! define_any_event {
    ($(($group:ident, $name:ident, $kind:ident, $doc:literal),)*) => {
        /// Any event; a column has a value in `present` of 8 events, of about `variety` different ones.
        fn any_event(dice: &mut Dice, present: u64, variety: u64) -> Event<'static> {
            let mut event = Event::default();
            $(
                if dice.below(8) < present {
                    event.$name = Some(any_value!($kind, dice, variety));
                }
            )*
            let time = dice.below(1 << 40) as i64;
            event.event_id = Some(Cow::Owned(dice.below(1 << 30).to_string()));
            event.event_time = Some(time);
            event.event_epoch = Some(time.div_euclid(MICROS));
            event
        }
    };
}
for_each_event_column!(define_any_event);

fn any_events(seed: u64, count: usize) -> Vec<Event<'static>> {
    let mut dice = Dice(seed);
    let (present, variety) = (dice.below(9), [2, 5, 300, 1 << 20][dice.below(4) as usize]);
    (0..count).map(|_| any_event(&mut dice, present, variety)).collect()
}

fn read_back(groups: &[Vec<Row<'_>>]) -> Vec<RecordBatch> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let mut file = TableFile::create(&path, &EVENTS_SCHEMA).unwrap();
    let mut encoder = EventsEncoder::new().unwrap();
    for rows in groups {
        file.append(encoder.encode(rows.iter().copied()).unwrap()).unwrap();
    }
    file.finish().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    reader.with_batch_size(1 << 20).build().unwrap().map(Result::unwrap).collect()
}

fn batch<'r>(rows: impl Iterator<Item = Row<'r>>) -> RecordBatch {
    let mut builder = EventsBuilder::default();
    rows.for_each(|row| builder.push(&row));
    builder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_written_is_what_arrow_holds(seed: u64, count in 1..300usize) {
        let events = any_events(seed, count);
        let (mut rows, mut plain) = (Rows::default(), Vec::new());
        for event in &events {
            rows.push(event);
            let mut bytes = Vec::new();
            encode(event, &mut bytes);
            plain.push(bytes);
        }
        let expected = batch(plain.iter().map(|bytes| Row::plain(bytes)));
        // One encoder writes all groups: what it kept from one must not show in the next.
        let groups =
            [rows.iter().collect(), plain.iter().map(|bytes| Row::plain(bytes)).collect(), rows.iter().collect()];
        let read = read_back(&groups);
        let starts = (0..3).map(|group| group * count);
        let whole = arrow_select::concat::concat_batches(&expected.schema(), &read).unwrap();
        for start in starts {
            prop_assert_eq!(&whole.slice(start, count), &expected);
        }
    }

    #[test]
    fn references_change_nothing(seed: u64, count in 1..200usize) {
        let events = any_events(seed, count);
        let mut rows = Rows::default();
        events.iter().for_each(|event| rows.push(event));
        for (row, event) in rows.iter().zip(&events) {
            let (mut plain, mut expected) = (Vec::new(), Vec::new());
            row.write_plain(&mut plain);
            encode(event, &mut expected);
            prop_assert_eq!(plain, expected);
            prop_assert_eq!(&row.decode(), event);
        }
        // A buffer that was emptied is not referred to any more.
        rows.clear();
        events.iter().for_each(|event| rows.push(event));
        let decoded: Vec<Event<'_>> = rows.iter().map(|row| row.decode()).collect();
        prop_assert_eq!(decoded, events);
    }
}

#[test]
fn a_column_with_too_much_text_for_a_dictionary_is_whole() {
    let events: Vec<Event<'static>> = (0..3_000)
        .map(|number| Event {
            event_id: Some(number.to_string().into()),
            event_time: Some(number),
            event_epoch: Some(number.div_euclid(MICROS)),
            session_name: Some(format!("{}{}", "s".repeat(200), number % 2_500).into()),
            principal: (number % 3 == 0).then(|| format!("p{number}").into()),
            ..Event::default()
        })
        .collect();
    let mut rows = Rows::default();
    events.iter().for_each(|event| rows.push(event));
    let read = read_back(&[rows.iter().collect()]);
    assert_eq!(arrow_select::concat::concat_batches(&EVENTS_SCHEMA, &read).unwrap(), batch(rows.iter()));
}

#[test]
fn damaged_text_is_an_error_and_not_a_table() {
    let mut bytes = Vec::new();
    let event =
        Event { event_id: Some("e1".into()), event_time: Some(0), user_agent: Some("abc".into()), ..Event::default() };
    encode(&event, &mut bytes);
    let place = bytes.windows(3).position(|text| text == b"abc").unwrap();
    bytes[place] = 0xFF;
    let mut encoder = EventsEncoder::new().unwrap();
    let error = encoder.encode([Row::plain(&bytes)].into_iter()).err().unwrap().to_string();
    assert!(error.contains("user_agent"), "{error}");
    bytes[place] = b'a';
    assert_eq!(encoder.encode([Row::plain(&bytes)].into_iter()).unwrap().rows, 1);
}

#[test]
fn a_damaged_reference_does_not_crash() {
    let mut rows = Rows::default();
    any_events(7, 20).iter().for_each(|event| rows.push(event));
    for row in rows.iter() {
        let mut bytes = Vec::new();
        row.write_plain(&mut bytes);
        for place in 0..bytes.len().min(600) {
            let kept = bytes[place];
            bytes[place] = 254;
            Row::plain(&bytes).decode();
            Row::plain(&bytes).write_plain(&mut Vec::new());
            bytes[place] = kept;
        }
    }
}
