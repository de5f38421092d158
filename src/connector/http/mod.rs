//! Systems that are reached over HTTP: requests that a manifest describes, pages of records, and actions in steps.
//!
//! What does not live here: what records mean (`mapping`), when a pull is due and how far it came (`sync`), and when an
//! order is tried again (`orders`).

pub mod action;
pub mod answer;
pub mod assertion;
pub mod auth;
pub mod bind;
pub mod budget;
pub mod claims;
pub mod client;
pub mod compile;
pub mod consent;
pub mod csrf;
pub mod cursor;
pub mod grant;
pub mod ledger;
pub mod limit;
pub mod login;
pub mod manifest;
pub mod oauth;
pub mod oauth_file;
pub mod pages;
pub mod paging;
pub mod related;
pub mod request;
#[cfg(test)]
mod scatter;
pub mod stream;
pub mod tagged;
pub mod tally;
pub mod tokens;
pub mod traffic;
pub mod tree;
pub mod vault;
pub mod walk;
pub mod wire;
