//! What kinds of canonical records there are, and how they are keyed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of canonical record, as shops see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// A customer with addresses and contacts.
    Customer,
    /// A product with the customers' own article numbers.
    Product,
    /// One line of an agreed price.
    PriceAgreement,
    /// Stock of a product in a warehouse.
    Stock,
    /// A customer's credit.
    Credit,
    /// Delivery arrangements.
    DeliveryTerm,
    /// What the ERP says about an order.
    OrderStatus,
    /// A shipment.
    Shipment,
    /// An invoice.
    Invoice,
}

impl Entity {
    /// Every entity that a connection can feed.
    pub const ALL: [Self; 9] = [
        Self::Customer,
        Self::Product,
        Self::PriceAgreement,
        Self::Stock,
        Self::Credit,
        Self::DeliveryTerm,
        Self::OrderStatus,
        Self::Shipment,
        Self::Invoice,
    ];

    /// The name in files, on the wire and in metrics.
    pub fn name(self) -> &'static str {
        PartKind::from(self).name()
    }

    /// The entity of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.name() == name)
    }
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A kind of stored row: an entity's main record, or a part that an ERP keeps in a table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A customer's main record.
    Customer,
    /// An address of a customer.
    Address,
    /// A contact of a customer.
    Contact,
    /// A product's main record.
    Product,
    /// A customer's own number for a product.
    CustomerArticle,
    /// One line of an agreed price.
    PriceAgreement,
    /// Stock of a product in a warehouse.
    Stock,
    /// A customer's credit.
    Credit,
    /// Delivery arrangements.
    DeliveryTerm,
    /// What the ERP says about an order.
    OrderStatus,
    /// What the ERP says about one line of an order.
    OrderStatusLine,
    /// A shipment.
    Shipment,
    /// An invoice.
    Invoice,
}

impl PartKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Customer,
        Self::Address,
        Self::Contact,
        Self::Product,
        Self::CustomerArticle,
        Self::PriceAgreement,
        Self::Stock,
        Self::Credit,
        Self::DeliveryTerm,
        Self::OrderStatus,
        Self::OrderStatusLine,
        Self::Shipment,
        Self::Invoice,
    ];

    /// The name in files, on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Address => "address",
            Self::Contact => "contact",
            Self::Product => "product",
            Self::CustomerArticle => "customer_article",
            Self::PriceAgreement => "price_agreement",
            Self::Stock => "stock",
            Self::Credit => "credit",
            Self::DeliveryTerm => "delivery_term",
            Self::OrderStatus => "order_status",
            Self::OrderStatusLine => "order_status_line",
            Self::Shipment => "shipment",
            Self::Invoice => "invoice",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// The entity that the part is assembled into.
    pub fn entity(self) -> Entity {
        match self {
            Self::Customer | Self::Address | Self::Contact => Entity::Customer,
            Self::Product | Self::CustomerArticle => Entity::Product,
            Self::PriceAgreement => Entity::PriceAgreement,
            Self::Stock => Entity::Stock,
            Self::Credit => Entity::Credit,
            Self::DeliveryTerm => Entity::DeliveryTerm,
            Self::OrderStatus | Self::OrderStatusLine => Entity::OrderStatus,
            Self::Shipment => Entity::Shipment,
            Self::Invoice => Entity::Invoice,
        }
    }

    /// For a part in a table of its own: the mapping's field that names its owner, and the owner's list it joins.
    pub fn owner(self) -> Option<Owner> {
        let (field, list) = match self {
            Self::Address => ("customer", "addresses"),
            Self::Contact => ("customer", "contacts"),
            Self::CustomerArticle => ("product", "customer_articles"),
            Self::OrderStatusLine => ("order_status", "lines"),
            _ => return None,
        };
        Some(Owner { field, list })
    }

    /// Whether this is an entity's main record.
    pub fn is_main(self) -> bool {
        self.owner().is_none()
    }
}

impl From<Entity> for PartKind {
    fn from(entity: Entity) -> Self {
        match entity {
            Entity::Customer => Self::Customer,
            Entity::Product => Self::Product,
            Entity::PriceAgreement => Self::PriceAgreement,
            Entity::Stock => Self::Stock,
            Entity::Credit => Self::Credit,
            Entity::DeliveryTerm => Self::DeliveryTerm,
            Entity::OrderStatus => Self::OrderStatus,
            Entity::Shipment => Self::Shipment,
            Entity::Invoice => Self::Invoice,
        }
    }
}

impl std::fmt::Display for PartKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a part in a table of its own finds its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The mapping's field that holds the owner's key.
    pub field: &'static str,
    /// The owner's list that the part joins on reading.
    pub list: &'static str,
}

/// The key of an entity: unique within its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// The company (legal entity) the key belongs to: customer 10000 of one company is not customer 10000 of another.
    pub company: String,
    /// The number or identifier within the company.
    pub number: String,
}

impl Key {
    /// A key of a company.
    pub fn new(company: impl Into<String>, number: impl Into<String>) -> Self {
        Self { company: company.into(), number: number.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}~{}", self.company, self.number)
    }
}

/// What an agreement applies to on one axis, as stores index it: one, a group, or everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// One customer or product by number.
    One(String),
    /// A group of customers or products.
    Group(String),
    /// Every customer or product.
    Every,
}

impl Target {
    /// The target of an agreement's two fields; one and group together mean the one.
    pub fn of(one: Option<&str>, group: Option<&str>) -> Self {
        match (one, group) {
            (Some(one), _) => Self::One(one.to_owned()),
            (None, Some(group)) => Self::Group(group.to_owned()),
            (None, None) => Self::Every,
        }
    }

    /// The text that a store indexes: `1:10000`, `g:INSTAL`, `*`.
    pub fn term(&self) -> String {
        match self {
            Self::One(number) => format!("1:{number}"),
            Self::Group(group) => format!("g:{group}"),
            Self::Every => "*".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_joins_a_list_of_its_entity() {
        for kind in PartKind::ALL {
            assert_eq!(PartKind::from_name(kind.name()), Some(kind));
            if let Some(owner) = kind.owner() {
                let shape = crate::model::shape::of(kind.entity().into());
                assert!(
                    shape.field(owner.list).is_some(),
                    "{kind} joins {}, which {} lacks",
                    owner.list,
                    kind.entity()
                );
            }
        }
    }
}
