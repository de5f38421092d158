//! What a list is filtered by, in a shop's words, and what that means to the store.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::error::PublishError;
use super::record::Record;
use super::window::Window;
use crate::model::{Entity, Key, Target};
use crate::store::{Condition, Listing};

/// What a list is filtered by; all of it must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// The company.
    pub company: Option<String>,
    /// The number: customers and products.
    pub number: Option<String>,
    /// A group among the groups: customers and products.
    pub group: Option<String>,
    /// A GTIN, its own or that of a packaging: products.
    pub gtin: Option<String>,
    /// The status: products.
    pub status: Option<String>,
    /// The customer: what is about him. Of price agreements and delivery terms also what is about his groups and about
    /// everyone.
    pub customer: Option<String>,
    /// The product: what is about it. Of price agreements and delivery terms also what is about its groups and about
    /// everything.
    pub product: Option<String>,
    /// The warehouse: stock.
    pub warehouse: Option<String>,
    /// A day of validity: price agreements.
    pub date: Option<Date>,
}

impl Filter {
    /// The entities that a list of `entity` with this filter rests on.
    pub fn rests_on(&self, entity: Entity) -> Vec<Entity> {
        let mut entities = vec![entity];
        if has_groups(entity) {
            entities.extend(self.customer.as_ref().map(|_| Entity::Customer));
            entities.extend(self.product.as_ref().map(|_| Entity::Product));
        }
        entities
    }

    /// What is listed, for telling one list's cursor from another's.
    pub(super) fn digest(&self, entity: Entity, known_at: Option<Timestamp>) -> String {
        let text = match known_at {
            None => serde_json::to_vec(&(entity, self)),
            Some(at) => serde_json::to_vec(&(entity, self, at)),
        };
        let text = text.unwrap_or_default();
        blake3::hash(&text).to_hex()[..16].to_owned()
    }

    /// The list as the store reads it; none where nothing can be in it.
    pub(super) async fn listing(&self, window: &Window, entity: Entity) -> Result<Option<Listing>, PublishError> {
        let mut listing = Listing {
            entity,
            company: self.company.clone(),
            who: Vec::new(),
            what: Vec::new(),
            conditions: Vec::new(),
            after: None,
            limit: 0,
        };
        if let Some(text) = &self.customer {
            let customer = window.find(Entity::Customer, text).await?;
            let customer = customer.ok_or_else(|| PublishError::NoCustomer(text.clone()))?;
            let groups = customer.texts("groups").chain(customer.texts("price_groups"));
            listing.who = terms(entity, &customer.key, groups);
            if !narrow(&mut listing, &customer.key) {
                return Ok(None);
            }
        }
        if let Some(text) = &self.product {
            // Prices and stock may come before the product itself: then it has no groups.
            let product = window.find(Entity::Product, text).await?;
            let key = match &product {
                Some(product) => product.key.clone(),
                None => window.keys(text)?.swap_remove(0),
            };
            listing.what = terms(entity, &key, product.iter().flat_map(|p: &Record| p.texts("groups")));
            if !narrow(&mut listing, &key) {
                return Ok(None);
            }
        }
        listing.conditions.extend(self.number.clone().map(Condition::Number));
        listing.conditions.extend(self.gtin.clone().map(Condition::Gtin));
        listing.conditions.extend(self.group.clone().map(Condition::Group));
        listing.conditions.extend(self.status.clone().map(Condition::Status));
        listing.conditions.extend(self.warehouse.clone().map(Condition::Warehouse));
        listing.conditions.extend(self.date.map(Condition::ValidOn));
        Ok(Some(listing))
    }
}

/// Whether records of the entity can be about groups.
pub(super) fn has_groups(entity: Entity) -> bool {
    matches!(entity, Entity::PriceAgreement | Entity::DeliveryTerm)
}

/// Whom or what a record can be about to concern this one.
pub(super) fn terms<'a>(entity: Entity, key: &Key, groups: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut terms = vec![Target::One(key.number.clone()).term()];
    if has_groups(entity) {
        terms.extend(groups.map(|group| Target::Group(group.to_owned()).term()));
        terms.push(Target::Every.term());
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// Keeps a list to the company of a key. False where it is kept to another one already.
fn narrow(listing: &mut Listing, key: &Key) -> bool {
    listing.company.get_or_insert_with(|| key.company.clone()) == &key.company
}
