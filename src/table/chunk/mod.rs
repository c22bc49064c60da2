//! Columns of rows as Parquet column chunks, without Arrow in between.
//!
//! In: [`Row`]s. Out: one column chunk per column of the events table, ready to be put into a file. A row's values are bytes
//! already, and so are Parquet's; Arrow arrays, and a search for repeated values in them, would cost as much as inflating
//! the archives. Values that repeat are numbered as they come ([`dictionary`]); numbers and NULLs become runs and packed
//! bits ([`hybrid`]). Pages, their headers and the file are the Parquet library's.

mod dictionary;
mod hybrid;
#[cfg(test)]
mod tests;

use crate::schema::{EVENT_COLUMNS, Kind};
use crate::table::row::Row;
use bytes::Bytes;
use dictionary::Dictionary;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// Longest text kept as the least or greatest value of a chunk; readers do without when it is longer.
const MAX_BOUND: usize = 256;

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// Values are looked up in a dictionary, until it is full.
    pub(super) has_dictionary: bool,
    /// Pages are compressed.
    pub(super) is_compressed: bool,
    /// The chunk tells its least and greatest value.
    pub(super) has_bounds: bool,
}

/// Values of a chunk after which is seen whether they repeat.
const SAMPLE: usize = 512;

/// Places remembered per column. A power of two.
const PLACES: usize = 256;

/// Where a text stands in memory, and its number.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: usize,
    length: usize,
    number: u32,
}

/// One column of a row group being gathered.
#[derive(Debug)]
struct Column {
    kind: Kind,
    style: Style,
    /// A bit for each row, as far as the last that has a value.
    present: Vec<u64>,
    /// Values so far.
    count: usize,
    /// Numbers of the values in the dictionary; of no use once that is full.
    numbers: Vec<u32>,
    dictionary: Dictionary,
    /// Numbers of texts that rows refer to, by where these stand.
    places: Vec<Place>,
    is_numbered: bool,
    /// The values as PLAIN encodes them, when they are not numbered.
    plain: Vec<u8>,
    /// A text from disk is not UTF-8.
    is_damaged: bool,
}

impl Column {
    fn new(kind: Kind, style: Style) -> Column {
        Column {
            kind,
            style,
            present: Vec::new(),
            count: 0,
            numbers: Vec::new(),
            dictionary: Dictionary::new(kind == Kind::Text),
            places: Vec::new(),
            is_numbered: style.has_dictionary,
            plain: Vec::new(),
            is_damaged: false,
        }
    }

    #[inline]
    fn push(&mut self, row: usize, value: &[u8], is_repeat: bool) {
        let word = row / 64;
        if word >= self.present.len() {
            self.present.resize(word + 1, 0);
        }
        if let Some(word) = self.present.get_mut(word) {
            *word |= 1 << (row % 64);
        }
        self.count += 1;
        if self.is_numbered {
            let number = if is_repeat { self.number_of_place(value) } else { self.number(value) };
            if let Some(number) = number {
                self.numbers.push(number);
                // When hardly a value came twice, a dictionary would be the values once more, and be thrown away when full.
                if self.count == SAMPLE && self.dictionary.len() > SAMPLE / 4 * 3 {
                    self.give_up_numbers();
                }
                return;
            }
            self.give_up_numbers();
        }
        self.push_plain(value);
    }

    /// The number of a value, by what it is.
    #[inline]
    fn number(&mut self, value: &[u8]) -> Option<u32> {
        self.dictionary.number(value)
    }

    /// The number of a text that other rows refer to as well, by where it stands.
    #[inline]
    fn number_of_place(&mut self, value: &[u8]) -> Option<u32> {
        let start = value.as_ptr().addr();
        let slot = (start as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.trailing_zeros());
        if let Some(place) = self.places.get(slot as usize)
            && (place.start, place.length) == (start, value.len())
        {
            return Some(place.number);
        }
        let number = self.number(value)?;
        if self.places.is_empty() {
            self.places.resize(PLACES, Place::default());
        }
        if let Some(place) = self.places.get_mut(slot as usize) {
            *place = Place { start, length: value.len(), number };
        }
        Some(number)
    }

    fn push_plain(&mut self, value: &[u8]) {
        match self.kind {
            Kind::Text => {
                self.plain.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
                self.plain.extend_from_slice(value);
            }
            Kind::Boolean => {
                // `count` has this value already.
                let bit = (self.count - 1) % 8;
                if bit == 0 {
                    self.plain.push(0);
                }
                if let Some(byte) = self.plain.last_mut() {
                    *byte |= u8::from(value == [1]) << bit;
                }
            }
            Kind::Integer | Kind::Timestamp | Kind::Date => self.plain.extend_from_slice(value),
        }
    }

    /// The dictionary is full: what was numbered is written out, and what comes is not numbered any more.
    #[cold]
    fn give_up_numbers(&mut self) {
        self.is_numbered = false;
        for number in &self.numbers {
            let value = self.dictionary.value(*number);
            if self.kind == Kind::Text {
                self.plain.extend_from_slice(&(value.len() as u32).to_le_bytes());
            }
            self.plain.extend_from_slice(value);
        }
    }

    fn clear(&mut self) {
        self.present.clear();
        self.count = 0;
        self.numbers.clear();
        if self.dictionary.len() > 0 {
            self.dictionary.clear();
        }
        // The next rows stand elsewhere.
        self.places.fill(Place::default());
        self.is_numbered = self.style.has_dictionary;
        self.plain.clear();
        self.is_damaged = false;
    }

    /// Definition levels and values of the one data page.
    fn write_page(&self, rows: usize, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&[0; 4]);
        hybrid::encode_bits(&self.present, rows, out);
        let length = (out.len() - 4) as u32;
        if let Some(place) = out.first_chunk_mut() {
            *place = length.to_le_bytes();
        }
        if self.has_dictionary_page() {
            let width = hybrid::width(self.dictionary.len());
            out.push(width as u8);
            hybrid::encode_values(&self.numbers, width, out);
        } else {
            out.extend_from_slice(&self.plain);
        }
    }

    fn has_dictionary_page(&self) -> bool {
        self.is_numbered && self.count > 0
    }

    /// Least and greatest value, and the number of NULLs.
    fn statistics(&self, rows: usize) -> Statistics {
        let nulls = Some((rows - self.count) as u64);
        let values = Values { column: self, number: 0, rest: &self.plain };
        match self.kind {
            Kind::Text => {
                let bounds = values.fold(None, |bounds: Option<(&[u8], &[u8])>, value| {
                    Some(bounds.map_or((value, value), |(least, most)| (least.min(value), most.max(value))))
                });
                let bounds = bounds.filter(|(least, most)| least.len().max(most.len()) <= MAX_BOUND);
                let bound = |value: &[u8]| ByteArray::from(value.to_vec());
                let (least, most) = (bounds.map(|(least, _)| bound(least)), bounds.map(|(_, most)| bound(most)));
                Statistics::byte_array(least, most, None, nulls, false)
            }
            Kind::Date => {
                let values = values.filter_map(|value| value.try_into().ok().map(i32::from_le_bytes));
                let bounds = values.fold(None, |bounds: Option<(i32, i32)>, value| {
                    Some(bounds.map_or((value, value), |(least, most)| (least.min(value), most.max(value))))
                });
                Statistics::int32(bounds.map(|bounds| bounds.0), bounds.map(|bounds| bounds.1), None, nulls, false)
            }
            Kind::Boolean => Statistics::boolean(None, None, None, nulls, false),
            Kind::Integer | Kind::Timestamp => Statistics::int64(None, None, None, nulls, false),
        }
    }
}

/// The values of a column, each at least once.
struct Values<'c> {
    column: &'c Column,
    number: u32,
    rest: &'c [u8],
}

impl<'c> Iterator for Values<'c> {
    type Item = &'c [u8];

    fn next(&mut self) -> Option<&'c [u8]> {
        if self.column.is_numbered {
            self.number += 1;
            return (self.number as usize <= self.column.dictionary.len())
                .then(|| self.column.dictionary.value(self.number - 1));
        }
        let length = match self.column.kind {
            Kind::Text => {
                let (length, rest) = self.rest.split_first_chunk()?;
                self.rest = rest;
                u32::from_le_bytes(*length) as usize
            }
            Kind::Boolean => return None,
            Kind::Date => 4,
            Kind::Integer | Kind::Timestamp => 8,
        };
        let (value, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(value)
    }
}

/// The chunks of one row group: their bytes and where each is.
pub(super) struct Chunks {
    pub(super) bytes: Bytes,
    /// In table order; `None` where a column is encoded otherwise.
    pub(super) columns: Vec<Option<ColumnCloseResult>>,
}

/// Encodes rows as column chunks, in memory that is kept from one row group to the next.
pub(super) struct ChunkBuilder {
    /// `None` for columns that are encoded otherwise.
    columns: Vec<Option<Column>>,
    page: Vec<u8>,
    compressed: Vec<u8>,
    snappy: snap::raw::Encoder,
    /// Bytes of the last row group: the next will be about as large.
    expected: usize,
}

impl ChunkBuilder {
    /// A builder for the events table; `style` tells how a column is written, `None` that it is encoded otherwise.
    pub(super) fn new(style: impl Fn(&str) -> Option<Style>) -> ChunkBuilder {
        let columns = EVENT_COLUMNS.iter().map(|column| {
            // Two values are packed bits anyway.
            let without =
                |style: Style| Style { has_dictionary: style.has_dictionary && column.kind != Kind::Boolean, ..style };
            Some(Column::new(column.kind, without(style(column.name)?)))
        });
        ChunkBuilder {
            columns: columns.collect(),
            page: Vec::new(),
            compressed: Vec::new(),
            snappy: snap::raw::Encoder::new(),
            expected: 0,
        }
    }

    /// Encodes `rows` as chunks of the columns that `describe` describes. All rows are there until this returns, so that a
    /// text is known by its place.
    ///
    /// # Errors
    /// When a row has text that is not UTF-8, which only a damaged run on disk can have.
    pub(super) fn encode<'r>(
        &mut self,
        rows: impl Iterator<Item = Row<'r>>,
        describe: impl Fn(usize) -> ColumnDescPtr,
    ) -> Result<Chunks> {
        self.columns.iter_mut().flatten().for_each(Column::clear);
        let mut count = 0;
        for row in rows {
            let is_sound = row.is_in_memory();
            row.for_each_value(|column, value, is_repeat| {
                if let Some(Some(column)) = self.columns.get_mut(column) {
                    column.is_damaged |= !is_sound && column.kind == Kind::Text && std::str::from_utf8(value).is_err();
                    column.push(count, value, is_repeat);
                }
            });
            count += 1;
        }
        let rows = count;
        let mut out = TrackedWrite::new(Vec::with_capacity(self.expected + self.expected / 8));
        let mut chunks = Vec::with_capacity(self.columns.len());
        for (number, column) in self.columns.iter().enumerate() {
            let Some(column) = column else {
                chunks.push(None);
                continue;
            };
            if column.is_damaged {
                let name = EVENT_COLUMNS.get(number).map_or("?", |column| column.name);
                return Err(ParquetError::General(format!("{name}: expected UTF-8; a run on disk is damaged")));
            }
            column.write_page(rows, &mut self.page);
            let mut pages = Pages {
                out: &mut out,
                compressed: column.style.is_compressed.then_some((&mut self.snappy, &mut self.compressed)),
                size: 0,
                uncompressed_size: 0,
            };
            chunks.push(Some(pages.chunk(column, rows, &self.page, describe(number))?));
        }
        let bytes = out.into_inner()?;
        self.expected = bytes.len();
        Ok(Chunks { bytes: bytes.into(), columns: chunks })
    }
}

/// Writes the pages of one chunk.
struct Pages<'b> {
    out: &'b mut TrackedWrite<Vec<u8>>,
    /// The compressor and its buffer, when pages are compressed.
    compressed: Option<(&'b mut snap::raw::Encoder, &'b mut Vec<u8>)>,
    size: usize,
    uncompressed_size: usize,
}

impl Pages<'_> {
    fn chunk(&mut self, column: &Column, rows: usize, data: &[u8], of: ColumnDescPtr) -> Result<ColumnCloseResult> {
        let has_dictionary = column.has_dictionary_page();
        let num_values = rows as u32;
        let mut dictionary_offset = None;
        if has_dictionary {
            let (count, encoding) = (column.dictionary.len() as u32, Encoding::PLAIN);
            let page = |buf| Page::DictionaryPage { buf, num_values: count, encoding, is_sorted: false };
            dictionary_offset = Some(self.write(column.dictionary.bytes(), page)? as i64);
        }
        let encoding = if has_dictionary { Encoding::RLE_DICTIONARY } else { Encoding::PLAIN };
        let (def_level_encoding, rep_level_encoding, statistics) = (Encoding::RLE, Encoding::RLE, None);
        let page =
            |buf| Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, statistics };
        let offset = self.write(data, page)? as i64;
        let mut encodings = vec![Encoding::PLAIN, Encoding::RLE];
        if has_dictionary {
            encodings.push(Encoding::RLE_DICTIONARY);
        }
        let compression = if self.compressed.is_some() { Compression::SNAPPY } else { Compression::UNCOMPRESSED };
        let mut metadata = ColumnChunkMetaData::builder(of)
            .set_encodings(encodings)
            .set_compression(compression)
            .set_num_values(rows as i64)
            .set_total_compressed_size(self.size as i64)
            .set_total_uncompressed_size(self.uncompressed_size as i64)
            .set_data_page_offset(offset)
            .set_dictionary_page_offset(dictionary_offset);
        if column.style.has_bounds {
            metadata = metadata.set_statistics(column.statistics(rows));
        }
        Ok(ColumnCloseResult {
            bytes_written: self.size as u64,
            rows_written: rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        })
    }

    /// Writes one page and returns its offset.
    fn write(&mut self, data: &[u8], page: impl FnOnce(Bytes) -> Page) -> Result<u64> {
        let stored = match &mut self.compressed {
            Some((snappy, buffer)) => {
                let most = snap::raw::max_compress_len(data.len());
                if buffer.len() < most {
                    buffer.resize(most, 0);
                }
                let length = snappy.compress(data, buffer).map_err(|error| ParquetError::External(Box::new(error)))?;
                buffer.get(..length).unwrap_or_default()
            }
            None => data,
        };
        let page = CompressedPage::new(page(Bytes::copy_from_slice(stored)), data.len());
        let written = SerializedPageWriter::new(self.out).write_page(page)?;
        self.size += written.compressed_size;
        self.uncompressed_size += written.uncompressed_size;
        Ok(written.offset)
    }
}
