//! Tests against real systems. Here, that these are what the connectors' tests take them for; `./scripts/test --fast`
//! leaves the whole module out.

mod odata;
mod sap;
mod tryton;
mod tryton_connection;
mod tryton_orders;
