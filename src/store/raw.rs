//! Source rows as they were read, a batch for each page of a run: which there are, and which of their rows are the newest
//! of living parts.
//!
//! What does not live here: what a batch holds (`sync::raw`), and keeping one, which happens with its page.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::{RawBatch, Result, SourceId, Stored};

/// A batch of source rows that is kept, without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBatch {
    /// Its identifier; later batches have higher ones.
    pub id: i64,
    /// The run that read its rows.
    pub run: String,
    /// When it was stored.
    pub at: Timestamp,
    /// How many rows it has.
    pub records: u32,
    /// Its size as it is kept, in bytes.
    pub size: u64,
}

/// Reading kept source rows.
#[async_trait]
pub trait Raws: Send + Sync {
    /// A batch.
    async fn raw_batch(&self, id: i64) -> Result<Option<RawBatch>>;

    /// Batches of a source after an identifier, in the order of identifiers.
    async fn raw_batches(&self, source: SourceId, after: i64, limit: u32) -> Result<Vec<KeptBatch>>;

    /// Of these keys of a source: the living parts whose newest row is in a batch.
    async fn raw_current(&self, source: SourceId, batch: i64, keys: &[String]) -> Result<Vec<Stored>>;

    /// The contents of living parts by their keys in the source, in the order asked.
    async fn raw_contents(&self, source: SourceId, keys: &[String]) -> Result<Vec<Option<Value>>>;

    /// How many living parts of a source have no batch with their row any more.
    async fn without_raw(&self, source: SourceId) -> Result<u64>;
}
