//! The canonical model: what a shop sees, whatever ERP it came from. Pure data.
//!
//! Every struct here is the one definition of its entity: serde writes it on the wire, schemars publishes it as
//! JSON Schema, and [`shape`] reads that schema so that mapping files are checked against it. Nothing here does
//! I/O, SQL or HTTP.

pub mod content;
pub mod country;
pub mod credit;
pub mod currency;
pub mod customer;
pub mod delivery_term;
pub mod hash;
pub mod identity;
pub mod kind;
pub mod order;
pub mod order_status;
pub mod person;
pub mod price_agreement;
pub mod product;
pub mod shape;
pub mod stock;
pub mod unit_codes;
pub mod value;

pub use content::Content;
pub use credit::Credit;
pub use customer::{Address, Contact, Customer};
pub use delivery_term::DeliveryTerm;
pub use kind::{Entity, Key, PartKind, Target};
pub use order::Order;
pub use order_status::{Invoice, OrderStatus, OrderStatusLine, Shipment};
pub use price_agreement::PriceAgreement;
pub use product::{CustomerArticle, Product};
pub use stock::Stock;
pub use value::{CountryCode, Currency, Invalid, Language, Measure, Money, Unit};
