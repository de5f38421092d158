//! What the chaos run has in common with the integration tests: servers of its own.

#[path = "../it/support/broker.rs"]
pub(crate) mod broker;
#[path = "../it/support/peers.rs"]
pub(crate) mod peers;
#[path = "../it/support/ports.rs"]
pub(crate) mod ports;
#[path = "../it/support/postgres.rs"]
pub(crate) mod postgres;

/// The beginning of an HTTP client.
pub(crate) fn http() -> reqwest::ClientBuilder {
    tradebridge::install_crypto();
    reqwest::Client::builder().timeout(crate::daemon::PATIENCE)
}
