//! Persons: who is known, erasing one, and whom to leave out from then on.
//!
//! A person is a contact of a customer, or a whole customer who is a natural person. Orders, and what the ERP answered
//! about them, are business documents and stay.
//!
//! What does not live here: leaving out what a source still says of them (`sync`).

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lease, Result};
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
    /// Batches of source rows that are dropped: every one of the sources that named the person.
    pub raw_batches: u64,
    /// Orders that name the person. They stay as they are.
    pub orders: u64,
}

/// Finding and erasing persons.
#[async_trait]
pub trait Privacy: Send + Sync {
    /// Contacts with an e-mail address, whatever its letters' case.
    async fn persons_by_email(&self, email: &str) -> Result<Vec<KnownPerson>>;

    /// A contact of the customers with a number, or without `contact` the customers themselves; of one company or all.
    async fn persons(&self, company: Option<&str>, customer: &str, contact: Option<&str>) -> Result<Vec<KnownPerson>>;

    /// Erases a person from records, history, what is staged and rejected, and the source rows, and remembers to leave
    /// it out. No run of the sources may be under way: the leases on them are shown.
    async fn erase(&self, leases: &[Lease], person: &Person) -> Result<Erasure>;

    /// Clears what deleted data left behind in the store's file. A server does so by itself.
    async fn scrub(&self) -> Result<()>;

    /// Who is to be left out.
    async fn erased(&self) -> Result<Vec<Person>>;

    /// Lets a person in again. False where it was not left out.
    async fn readmit(&self, person: &Person) -> Result<bool>;
}
