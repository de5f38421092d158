//! Tradebridge joins ERP systems and B2B webshops.
//!
//! Data climbs from the ERP to the shop, orders come down the same stairs; `docs/ARCHITECTURE.md`
//! draws them. A room imports only from rooms below it:
//! `main -> cli -> daemon -> api, console -> publish, orders -> sync, answers, queue ->
//! connector, mapping, store, trade -> expression -> model, record, config, telemetry`.

pub mod api;
pub mod cli;
pub mod config;
pub mod connector;
pub mod daemon;
pub mod expression;
pub mod mapping;
pub mod model;
pub mod orders;
pub mod publish;
pub mod queue;
pub mod record;
pub mod store;
pub mod sync;
pub mod telemetry;

/// Installs what TLS computes with: once in a process, before the first HTTP client is made.
pub fn install_crypto() {
    // That another one was installed before is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
