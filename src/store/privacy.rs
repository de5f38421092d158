//! Persons: who is known, erasing one, and whom to leave out from then on.
//!
//! A person is a contact of a customer, or a whole customer who is a natural person. Orders, and what the ERP answered
//! about them, are business documents and stay; the requests and answers by which they were sent go.
//!
//! What does not live here: leaving out what a source still says of them (`sync`).

use std::collections::BTreeSet;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lease, RawBatch, Result, SourceId};
use crate::model::Key;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// The customer.
    pub customer: Key,
    /// The contact's identifier within the customer; absent: the customer itself with all that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

/// A person as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KnownPerson {
    /// Who.
    #[serde(flatten)]
    pub person: Person,
    /// The name.
    pub name: String,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether a present record names the person, and not history alone.
    pub present: bool,
}

/// What was erased of a person, and what stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erasure {
    /// Who.
    #[serde(flatten)]
    pub person: Person,
    /// Present records.
    pub records: u64,
    /// Versions in the history.
    pub versions: u64,
    /// Differences that wait to be applied.
    pub staged: u64,
    /// Rejected records.
    pub rejected: u64,
    /// Kept source rows.
    pub source_rows: u64,
    /// Orders that name the person. They stay as they are.
    pub orders: u64,
    /// Calls of the ERP over the customer's orders, whose exchanges were kept.
    pub calls: u64,
}

/// By what the kept source rows of a person are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    /// What nobody else has: addresses of e-mail, VAT numbers; in lower case.
    pub alone: BTreeSet<String>,
    /// What others may have as well: names, telephone numbers; in lower case.
    pub shared: BTreeSet<String>,
    /// The customer's number: with it the shared ones tell the person.
    pub customer: String,
    /// The sources that said something of the customer.
    pub sources: BTreeSet<SourceId>,
    /// Sources and keys of the rows that named the person.
    pub rows: BTreeSet<(SourceId, String)>,
}

impl Traces {
    /// Whether a text, in lower case, names the person.
    pub fn are_in(&self, text: &str) -> bool {
        let within = |told: &BTreeSet<String>| told.iter().any(|told| text.contains(told.as_str()));
        within(&self.alone) || text.contains(&self.customer.to_lowercase()) && within(&self.shared)
    }
}

/// Finding and erasing persons.
#[async_trait]
pub trait Privacy: Send + Sync {
    /// Contacts with an e-mail address, whatever its letters' case.
    async fn persons_by_email(&self, email: &str) -> Result<Vec<KnownPerson>>;

    /// A contact of the customers with a number, or without `contact` the customers themselves; of one company or all.
    async fn persons(&self, company: Option<&str>, customer: &str, contact: Option<&str>) -> Result<Vec<KnownPerson>>;

    /// By what a person's source rows are told, as long as it is not erased.
    async fn traces(&self, leases: &[Lease], person: &Person) -> Result<Traces>;

    /// Puts other rows in the place of a batch, or drops it.
    async fn replace_raw(&self, leases: &[Lease], id: i64, batch: Option<&RawBatch>) -> Result<()>;

    /// Erases a person from records, history, and what is staged and rejected, and remembers to leave it out; source rows
    /// are not touched. No run of the sources may be under way: the leases on them are shown.
    async fn erase(&self, leases: &[Lease], person: &Person) -> Result<Erasure>;

    /// Clears what deleted data left behind in the store's file. A server does so by itself.
    async fn scrub(&self) -> Result<()>;

    /// Who is to be left out.
    async fn erased(&self) -> Result<Vec<Person>>;

    /// Lets a person in again. False where it was not left out.
    async fn readmit(&self, person: &Person) -> Result<bool>;
}
