//! Reading pages of records and keying them: each gets the key that makes it the same record in the next run, and the
//! digest that tells whether it is as it was.

use tokio::sync::mpsc;

use super::error::SyncError;
use crate::connector::format::{Reached, ReadError, Reader, Stand};
use crate::mapping::{Mapping, Setting};
use crate::record::{Fields, Map, Place, Record, Salt};

/// A page of the source may have as many records as so many chunks, and be committed as one.
const MOST_CHUNKS: usize = 4;

/// A record with its key and digest.
#[derive(Debug)]
pub struct Keyed {
    /// Its key in the source; where that cannot be told, its place.
    pub key: String,
    /// A digest of the record and of whatever else decides the outcome.
    pub digest: [u8; 16],
    /// Where it stands.
    pub place: Place,
    /// Its fields.
    pub fields: Fields,
    /// Why its key cannot be told.
    pub unreadable: Option<String>,
    /// The batch of source rows that has it already.
    pub raw: Option<i64>,
}

/// Records that were keyed together, with what is known behind the last of them.
#[derive(Debug)]
pub struct Chunk {
    /// The records.
    pub records: Vec<Keyed>,
    /// What is known behind them; nothing within a page of the source.
    pub stand: Option<Stand>,
}

/// Keys records as a mapping says.
#[derive(Debug)]
pub struct Keyer<'a> {
    mapping: &'a Mapping,
    setting: &'a Setting,
    salt: Salt,
}

impl<'a> Keyer<'a> {
    /// Whatever decides the outcome beside the record salts the digests: with another mapping, company, zone or
    /// setting nothing is recognised, and every record is mapped again.
    pub fn new(mapping: &'a Mapping, setting: &'a Setting) -> Self {
        Self { mapping, setting, salt: Salt::new(salt(mapping, setting).as_bytes()) }
    }

    /// `scratch` is memory to work in.
    fn key(&self, record: Result<Record, (Place, String)>, scratch: &mut Vec<u8>) -> Keyed {
        let (place, reason, fields) = match record {
            Err((place, reason)) => (place, reason, Fields::Map(Map::default())),
            Ok(Record { fields, place }) => match self.mapping.key(&fields, self.setting) {
                Ok(key) => {
                    let digest = fields.digest(&self.salt, scratch);
                    return Keyed { key, digest, place, fields, unreadable: None, raw: None };
                }
                Err(rejected) => (place, rejected.to_string(), fields),
            },
        };
        let digest = self.salt.digest_of(&[&place.to_string(), &reason]);
        Keyed { key: place.to_string(), digest, place, fields, unreadable: Some(reason), raw: None }
    }

    /// Reads and keys chunks of some rows on the calling thread; ends early where nobody takes them any more. Where reading can
    /// go on between pages of the source, a chunk ends at such a place, as long as a page is no more than some chunks.
    ///
    /// # Errors
    /// Where the source cannot be read any further.
    pub fn read(
        &self,
        mut reader: Box<dyn Reader>,
        skip: u64,
        rows: usize,
        chunks: &mpsc::Sender<Chunk>,
    ) -> Result<(), SyncError> {
        let mut chunk = Chunk { records: Vec::with_capacity(rows), stand: None };
        let (mut number, mut scratch) = (0, Vec::new());
        let send = |chunk: &mut Chunk| {
            let full = std::mem::replace(chunk, Chunk { records: Vec::with_capacity(rows), stand: None });
            chunks.blocking_send(full).is_ok()
        };
        loop {
            let record = match next(reader.as_mut()) {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    // What was read to the end of a page is not read again.
                    if chunk.stand.is_some() {
                        send(&mut chunk);
                    }
                    return Err(error);
                }
            };
            number += 1;
            if number <= skip {
                continue;
            }
            chunk.records.push(Keyed { raw: reader.batch(), ..self.key(record, &mut scratch) });
            let read = chunk.records.len();
            let (stand, is_full) = match reader.reached() {
                Reached::Anywhere => (None, read == rows),
                Reached::Within => (None, read >= MOST_CHUNKS.saturating_mul(rows)),
                // A source that takes its time keeps nobody waiting for what was read; while earlier chunks are under
                // way, nobody waits, and fewer and larger ones cost fewer commits.
                Reached::Between { stand, waits } => {
                    let idle = chunks.capacity() == chunks.max_capacity();
                    (Some(stand), waits && idle || read >= rows)
                }
            };
            chunk.stand = stand;
            if is_full && !send(&mut chunk) {
                return Ok(());
            }
        }
        if !chunk.records.is_empty() {
            // Whoever took the chunks has ended with an error of its own.
            send(&mut chunk);
        }
        Ok(())
    }
}

/// A digest's salt in words: what besides the record decides its outcome.
pub(super) fn salt(mapping: &Mapping, setting: &Setting) -> String {
    let zone = setting.zone.iana_name().unwrap_or_default();
    [&*mapping.digest, &*setting.company, zone, &*setting.settings.to_json().to_string()].join("\0")
}

/// A record, or the place of one that cannot be taken and why.
type Taken = Result<Record, (Place, String)>;

/// The next record of a source, taken or not; nothing at its end.
pub(super) fn next(reader: &mut dyn Reader) -> Result<Option<Taken>, SyncError> {
    match reader.next() {
        None => Ok(None),
        Some(Ok(record)) => Ok(Some(Ok(record))),
        Some(Err(ReadError::Record { place, message })) => Ok(Some(Err((place, message)))),
        Some(Err(ReadError::Fatal { place, message, hint })) => {
            let message = hint.map_or_else(|| message.clone(), |hint| format!("{message}; {hint}"));
            Err(SyncError::Source { place: place.to_string(), message })
        }
    }
}

/// The beginning of a hash.
pub(super) fn first<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    let mut start = [0; N];
    start.copy_from_slice(&bytes[..N]);
    start
}
