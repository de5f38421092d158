//! The format of a batch of source rows as they were read: one version byte, then a Zstandard frame of rows, each its
//! key, its place and its fields as JSON text, with their lengths before them.
//!
//! A batch is read row by row within limits of size, so that a damaged or hostile one takes no memory to speak of.
//! What does not live here: keeping batches (`store`), and applying a mapping to their rows again (`kept`).

use std::io::{self, BufRead, Read as _, Write as _};
use std::sync::Arc;

use serde_json::Value as Json;
use zstd::stream::{read::Decoder, write::Encoder};

use crate::record::{Fields, Place};
use crate::store::RawBatch;

/// The version of the format that is written.
const VERSION: u8 = 1;

/// Rows of a page are alike, so the fastest level finds most of what there is to find.
const LEVEL: i32 = 1;

/// A row comes to this many bytes at the most: more than the longest record that is read.
const ROW_LIMIT: u64 = 64 * 1024 * 1024;

/// The rows of a batch come to this many bytes at the most.
const LIMIT: u64 = 8 * ROW_LIMIT;

/// The memory that a decoder looks back in, as a power of two: more than what [`LEVEL`] writes asks for.
const WINDOW: u32 = 21;

/// Why a batch cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RawError {
    /// The batch is of a format that a later program wrote.
    #[error("the batch of source rows has format {0}, which this program does not know")]
    Version(u8),
    /// The batch ends in the middle, or is no Zstandard frame.
    #[error("the batch of source rows is damaged: {0}")]
    Damaged(#[source] io::Error),
    /// A row is not what was written.
    #[error("a row of a batch is damaged: {0}")]
    Row(String),
    /// A row, or all of them, are larger than any that is kept.
    #[error("the batch of source rows unpacks to more than any that is kept")]
    TooLarge,
    /// The batch cannot be compressed.
    #[error("source rows cannot be compressed: {0}")]
    Compress(#[source] io::Error),
}

/// A row of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key in the source.
    pub source_key: String,
    /// Where it stood.
    pub place: Place,
    /// Its fields as JSON text, as [`Fields::write_json`] writes them.
    pub json: Vec<u8>,
}

impl Row {
    /// The row's fields as they were read: a mapping makes the same of them, and their digest is the same.
    ///
    /// # Errors
    /// [`RawError::Row`] where they are no JSON object.
    pub fn fields(&self) -> Result<Fields, RawError> {
        Fields::from_json_text(&self.json).map_err(|error| RawError::Row(error.to_string()))
    }

    /// The row's fields as JSON, numbers as numbers with all their digits.
    ///
    /// # Errors
    /// [`RawError::Row`] where they are no JSON.
    pub fn value(&self) -> Result<Json, RawError> {
        serde_json::from_slice(&self.json).map_err(|error| RawError::Row(error.to_string()))
    }
}

/// Makes a batch, row by row. Rows are compressed as they come.
#[derive(Default)]
pub struct Builder {
    frame: Option<Encoder<'static, Vec<u8>>>,
    /// Memory to write a row in.
    row: Vec<u8>,
    records: u32,
    size: u64,
}

impl Builder {
    /// Adds a row: its key, its place, its fields as JSON text. False where it does not fit any more; then it is not
    /// kept.
    ///
    /// # Errors
    /// [`RawError::Compress`] where the compressor has no memory.
    pub fn push(&mut self, source_key: &str, place: &Place, json: &[u8]) -> Result<bool, RawError> {
        self.begin(source_key, place);
        self.row.extend_from_slice(&length(json.len()));
        self.row.extend_from_slice(json);
        self.end()
    }

    /// The same of a record's fields.
    ///
    /// # Errors
    /// As of [`Builder::push`].
    pub fn push_fields(&mut self, source_key: &str, place: &Place, fields: &Fields) -> Result<bool, RawError> {
        self.begin(source_key, place);
        let at = self.row.len();
        self.row.extend_from_slice(&length(0));
        fields.write_json(&mut self.row);
        let written = length(self.row.len() - at - size_of::<u32>());
        self.row[at..at + size_of::<u32>()].copy_from_slice(&written);
        self.end()
    }

    fn begin(&mut self, source_key: &str, place: &Place) {
        self.row.clear();
        let source = place.source.as_deref().unwrap_or_default();
        for text in [source_key, source] {
            self.row.extend_from_slice(&length(text.len()));
            self.row.extend_from_slice(text.as_bytes());
        }
        self.row.extend_from_slice(&place.record.to_le_bytes());
        self.row.extend_from_slice(&place.line.unwrap_or(0).to_le_bytes());
    }

    fn end(&mut self) -> Result<bool, RawError> {
        let row = self.row.len() as u64;
        let size = self.size + row;
        if row > ROW_LIMIT || size > LIMIT || self.records == u32::MAX {
            return Ok(false);
        }
        if self.frame.is_none() {
            let mut frame = Encoder::new(vec![VERSION], LEVEL).map_err(RawError::Compress)?;
            frame.include_checksum(true).map_err(RawError::Compress)?;
            self.frame = Some(frame);
        }
        if let Some(frame) = &mut self.frame {
            frame.write_all(&self.row).map_err(RawError::Compress)?;
        }
        self.size = size;
        self.records += 1;
        Ok(true)
    }

    /// The batch; none where no row was added.
    ///
    /// # Errors
    /// [`RawError::Compress`] where the compressor has no memory.
    pub fn finish(self) -> Result<Option<RawBatch>, RawError> {
        let Some(frame) = self.frame else { return Ok(None) };
        let bytes = frame.finish().map_err(RawError::Compress)?;
        Ok(Some(RawBatch { records: self.records, bytes }))
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("records", &self.records).field("size", &self.size).finish_non_exhaustive()
    }
}

/// A length as it stands before what it is of. What does not fit 32 bits is beyond [`ROW_LIMIT`] and not kept.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// The rows of a batch, in the order in which they were read.
///
/// # Errors
/// [`RawError::Version`], [`RawError::Damaged`]; later ones come with the rows, and then no row follows.
pub fn rows(batch: &RawBatch) -> Result<Rows<&[u8]>, RawError> {
    open(batch.bytes.as_slice(), batch.records)
}

/// The same of a batch that is taken over.
///
/// # Errors
/// As of [`rows`].
pub fn into_rows(batch: RawBatch) -> Result<Rows<io::Cursor<Vec<u8>>>, RawError> {
    open(io::Cursor::new(batch.bytes), batch.records)
}

fn open<R: BufRead>(mut frame: R, records: u32) -> Result<Rows<R>, RawError> {
    let mut version = [0];
    frame.read_exact(&mut version).map_err(RawError::Damaged)?;
    if version != [VERSION] {
        return Err(RawError::Version(version[0]));
    }
    let mut decoder = Decoder::with_buffer(frame).map_err(RawError::Damaged)?.single_frame();
    decoder.window_log_max(WINDOW).map_err(RawError::Damaged)?;
    let text = io::BufReader::with_capacity(64 * 1024, decoder);
    Ok(Rows { text: Some(text), read: 0, end: 0, left: records, source: None })
}

/// The row of a key.
///
/// # Errors
/// As of [`rows`].
pub fn find_row(batch: &RawBatch, source_key: &str) -> Result<Option<Row>, RawError> {
    for row in rows(batch)? {
        let row = row?;
        if row.source_key == source_key {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// The fields of the row of a key, as JSON.
///
/// # Errors
/// As of [`rows`].
pub fn find(batch: &RawBatch, source_key: &str) -> Result<Option<Json>, RawError> {
    find_row(batch, source_key)?.map(|row| row.value()).transpose()
}

/// The batch with some rows left out or changed: `keep` is given each row's key and fields, and says whether it stays.
/// None where none stays.
///
/// # Errors
/// As of [`rows`] and [`Builder::push`].
pub fn rewrite(batch: &RawBatch, keep: impl Fn(&str, &mut Json) -> bool) -> Result<Option<RawBatch>, RawError> {
    let mut builder = Builder::default();
    for row in rows(batch)? {
        let row = row?;
        let mut value = row.value()?;
        if keep(&row.source_key, &mut value) {
            builder.push(&row.source_key, &row.place, value.to_string().as_bytes())?;
        }
    }
    builder.finish()
}

/// The fields of a record as JSON in which a number stays a number: the form in which they are kept.
pub fn typed(fields: &Fields) -> Json {
    let mut text = Vec::new();
    fields.write_json(&mut text);
    serde_json::from_slice(&text).unwrap_or_else(|_| fields.to_json())
}

/// The keys of the rows of a batch, in their order.
///
/// # Errors
/// As of [`rows`].
pub fn keys(batch: &RawBatch) -> Result<Vec<String>, RawError> {
    rows(batch)?.map(|row| row.map(|row| row.source_key)).collect()
}

/// Goes through the rows of a batch.
pub struct Rows<R: BufRead> {
    /// The text of the rows; gone after an error.
    text: Option<io::BufReader<Decoder<'static, R>>>,
    /// Bytes of the rows read so far, and where this row has to end.
    read: u64,
    end: u64,
    left: u32,
    /// The source of the row before: most rows of a batch have the same.
    source: Option<Arc<str>>,
}

impl<R: BufRead> Rows<R> {
    /// Behind the last row there is nothing but the checksum of them all.
    fn close(&mut self) -> Result<(), RawError> {
        let Some(mut text) = self.text.take() else { return Ok(()) };
        match text.read(&mut [0]).map_err(RawError::Damaged)? {
            0 => Ok(()),
            _ => Err(RawError::Row("there are more rows than were counted".to_owned())),
        }
    }

    fn row(&mut self) -> Result<Row, RawError> {
        self.end = LIMIT.min(self.read + ROW_LIMIT);
        let source_key = self.text()?;
        let source = self.text()?;
        let record = u64::from_le_bytes(self.array()?);
        let line = u64::from_le_bytes(self.array()?);
        let json = self.bytes()?;
        if self.source.as_deref() != Some(source.as_str()) {
            self.source = (!source.is_empty()).then(|| source.into());
        }
        let place = Place { source: self.source.clone(), record, line: (line > 0).then_some(line) };
        Ok(Row { source_key, place, json })
    }

    fn text(&mut self) -> Result<String, RawError> {
        String::from_utf8(self.bytes()?).map_err(|error| RawError::Row(error.to_string()))
    }

    /// Bytes with their length before them. Memory grows with what is there, not with the length that is said.
    fn bytes(&mut self) -> Result<Vec<u8>, RawError> {
        let said = u64::from(u32::from_le_bytes(self.array()?));
        self.count(said)?;
        let Some(text) = &mut self.text else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        let there = text.by_ref().take(said).read_to_end(&mut bytes).map_err(RawError::Damaged)?;
        if (there as u64) < said {
            return Err(RawError::Damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RawError> {
        self.count(N as u64)?;
        let mut array = [0; N];
        if let Some(text) = &mut self.text {
            text.read_exact(&mut array).map_err(RawError::Damaged)?;
        }
        Ok(array)
    }

    fn count(&mut self, bytes: u64) -> Result<(), RawError> {
        self.read += bytes;
        if self.read > self.end { Err(RawError::TooLarge) } else { Ok(()) }
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<Row, RawError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return self.close().err().map(Err);
        }
        self.text.as_ref()?;
        self.left -= 1;
        let row = self.row();
        if row.is_err() {
            self.text = None;
        }
        Some(row)
    }
}

impl<R: BufRead> std::fmt::Debug for Rows<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("read", &self.read).field("left", &self.left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u64) -> Place {
        Place { source: Some("klanten.csv".into()), record: line - 1, line: Some(line) }
    }

    fn batch(rows: &[(&str, &str)]) -> RawBatch {
        let mut builder = Builder::default();
        for (at, (key, json)) in rows.iter().enumerate() {
            assert!(builder.push(key, &place(at as u64 + 2), json.as_bytes()).unwrap());
        }
        builder.finish().unwrap().unwrap()
    }

    #[test]
    fn rows_come_back_in_order_with_their_places_and_every_digit() {
        let batch = batch(&[("K1", r#"{"Naam":"Café","prijs":12.50}"#), ("", "{}"), ("K3", r#"{"Naam":null}"#)]);
        assert_eq!(batch.records, 3);
        let rows: Vec<Row> = rows(&batch).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|row| row.source_key.as_str()).collect::<Vec<_>>(), ["K1", "", "K3"]);
        assert_eq!(rows[2].place, place(4));
        assert_eq!(find(&batch, "K1").unwrap().unwrap().to_string(), r#"{"Naam":"Café","prijs":12.50}"#);
        assert_eq!(find(&batch, "K2").unwrap(), None);
    }

    #[test]
    fn a_record_is_kept_as_its_fields_are_written() {
        let fields = Fields::from_json_text(br#"{"n":12.50,"t":"12.50","l":[{"x":null}]}"#).unwrap();
        let mut builder = Builder::default();
        builder.push_fields("K", &Place::default(), &fields).unwrap();
        let batch = builder.finish().unwrap().unwrap();
        let row = find_row(&batch, "K").unwrap().unwrap();
        assert_eq!((row.fields().unwrap(), row.place), (fields, Place::default()));
    }

    #[test]
    fn without_rows_there_is_no_batch() {
        assert_eq!(Builder::default().finish().unwrap(), None);
        let all = batch(&[("K1", "{}")]);
        assert_eq!(rewrite(&all, |_, _| false).unwrap(), None);
    }

    #[test]
    fn rewriting_leaves_out_and_changes_rows() {
        let all = batch(&[("K1", r#"{"Naam":"Jan"}"#), ("K2", r#"{"Naam":"Piet"}"#)]);
        let rewritten = rewrite(&all, |key, value| {
            value["Naam"] = "-".into();
            key != "K1"
        });
        let rewritten = rewritten.unwrap().unwrap();
        assert_eq!((rewritten.records, find(&rewritten, "K1").unwrap()), (1, None));
        let row = find_row(&rewritten, "K2").unwrap().unwrap();
        assert_eq!((row.place, row.json), (place(3), br#"{"Naam":"-"}"#.to_vec()));
    }

    #[test]
    fn damage_is_an_error_and_ends_the_rows() {
        let whole = batch(&[("K1", r#"{"Naam":"Jan"}"#), ("K2", r#"{"Naam":"Piet"}"#)]);
        let short = RawBatch { bytes: whole.bytes[..whole.bytes.len() - 9].to_vec(), ..whole.clone() };
        let read: Vec<_> = rows(&short).unwrap().collect();
        assert!(matches!(read.last(), Some(Err(RawError::Damaged(_)))), "{read:?}");
        let mut other = whole.clone();
        let middle = other.bytes.iter().position(|byte| *byte == b'P').unwrap();
        other.bytes[middle] = b'R';
        assert!(rows(&other).unwrap().any(|row| row.is_err()), "another letter in a name is noticed");
        let fewer = RawBatch { records: 1, ..whole.clone() };
        assert!(matches!(rows(&fewer).unwrap().last(), Some(Err(RawError::Row(_)))));
        let more = RawBatch { records: 3, ..whole.clone() };
        let read: Vec<_> = rows(&more).unwrap().collect();
        assert!(read.len() == 3 && matches!(read[2], Err(RawError::Damaged(_))), "{read:?}");
        let mut later = whole.clone();
        later.bytes[0] = 9;
        assert!(matches!(rows(&later), Err(RawError::Version(9))));
        let none = RawBatch { records: 1, bytes: Vec::new() };
        assert!(matches!(rows(&none), Err(RawError::Damaged(_))));
        let noise = RawBatch { records: 1, bytes: vec![VERSION, 1, 2, 3, 4, 5, 6, 7] };
        assert!(matches!(find(&noise, "K1"), Err(RawError::Damaged(_))));
    }

    #[test]
    fn a_small_batch_that_unpacks_to_more_than_any_has_is_refused() {
        let mut frame = Encoder::new(vec![VERSION], 1).unwrap();
        frame.write_all(&u32::MAX.to_le_bytes()).unwrap();
        let zeros = vec![0; 1024 * 1024];
        for _ in 0..65 {
            frame.write_all(&zeros).unwrap();
        }
        let bomb = RawBatch { records: 1, bytes: frame.finish().unwrap() };
        assert!(bomb.bytes.len() < 64 * 1024);
        assert!(matches!(find(&bomb, "K1"), Err(RawError::TooLarge)));
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let mut builder = Builder::default();
        let large = vec![b' '; usize::try_from(ROW_LIMIT).unwrap()];
        assert!(!builder.push("K1", &place(2), &large).unwrap());
        assert!(builder.push("K2", &place(3), b"{}").unwrap());
        assert_eq!(builder.finish().unwrap().unwrap().records, 1);
    }
}
