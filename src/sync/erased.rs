//! Persons whose data was erased: what a source still says of them is left out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::mapping::{Mapped, Outcome};
use crate::model::hash::content_hash;
use crate::model::{Key, PartKind, person};
use crate::store::{Person, Result, Store};

/// Who is left out.
#[derive(Debug, Default)]
pub(super) struct Erased {
    whole: HashSet<Key>,
    contacts: HashMap<Key, HashSet<String>>,
}

impl Erased {
    /// Everybody whom the store remembers to leave out.
    pub(super) async fn load(store: &Arc<dyn Store>) -> Result<Self> {
        let mut erased = Self::default();
        for Person { customer, contact } in store.erased().await? {
            match contact {
                None => {
                    erased.whole.insert(customer);
                }
                Some(contact) => {
                    erased.contacts.entry(customer).or_default().insert(contact);
                }
            }
        }
        Ok(erased)
    }

    /// Leaves them out of what a record became; whether there was anything to leave out.
    pub(super) fn leave_out(&self, kind: PartKind, outcome: &mut Outcome) -> bool {
        if self.whole.is_empty() && self.contacts.is_empty() {
            return false;
        }
        let Outcome::Part(part) = outcome else { return false };
        let Mapped { company, identity, content, hash } = &mut **part;
        let customer = Key::new(company.clone(), identity.number.clone());
        let whole = self.whole.contains(&customer);
        let contacts = self.contacts.get(&customer);
        let gone = match kind {
            PartKind::Address => whole,
            PartKind::Contact => whole || contacts.is_some_and(|contacts| contacts.contains(&identity.part)),
            PartKind::Customer => {
                let mut changed = whole && person::leave_out_everything(content);
                for contact in contacts.into_iter().flatten() {
                    changed |= person::leave_out_contact(content, contact);
                }
                if changed {
                    *hash = content_hash(content);
                }
                return changed;
            }
            _ => false,
        };
        if gone {
            *outcome = Outcome::Skipped;
        }
        gone
    }
}
