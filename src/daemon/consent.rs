//! A person's consent for a connection: asked for, and used when the person comes back. What was asked is known to this
//! process only, until it is asked again.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::bridge::Bridge;
use super::health;
use crate::api::control::{AskedConsent, Check, ConsentAnswer, ConsentRequest, ControlError};
use crate::connector::{Asking, ConsentError};
use crate::sync::Link;

impl Bridge {
    pub(super) fn ask_consent(&self, name: &str, request: &ConsentRequest) -> Result<AskedConsent, ControlError> {
        let link = self.link(name)?;
        let asking = link.connector.ask_consent(name, request.redirect.as_deref()).map_err(refused)?;
        let asked = AskedConsent { address: asking.address.to_string(), redirect: asking.redirect.to_string() };
        self.open_consents().insert(name.to_owned(), Arc::new(asking));
        Ok(asked)
    }

    pub(super) async fn use_consent(&self, name: &str, answer: &ConsentAnswer) -> Result<Check, ControlError> {
        let link = self.link(name)?;
        let asking = self.open_consents().get(name).cloned();
        let Some(asking) = asking else {
            let message = format!("nothing was asked for '{name}': run `tradebridge connection authorize {name}`");
            return Err(ControlError::Conflict(message));
        };
        link.connector.use_consent(name, &asking, &answer.address).await.map_err(refused)?;
        // It is used up; another asking that was begun meanwhile is not.
        self.open_consents().retain(|_, open| !Arc::ptr_eq(open, &asking));
        tracing::info!(connection = name, "the connection is authorized");
        let found = health::probe(&link).await;
        self.known().connections.insert(name.to_owned(), found.clone());
        Ok(Check { name: name.to_owned(), ok: found.is_ok(), message: found.err() })
    }

    fn open_consents(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Asking>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, name: &str) -> Result<Arc<Link>, ControlError> {
        let link = self.plan().links.get(name).cloned();
        link.ok_or_else(|| ControlError::NotFound(format!("the configuration has no connection '{name}'")))
    }
}

fn refused(error: ConsentError) -> ControlError {
    match error {
        ConsentError::Invalid(message) => ControlError::Invalid(message),
        error @ ConsentError::NotNeeded(_) => ControlError::Conflict(error.to_string()),
        error => ControlError::Unavailable(error.to_string()),
    }
}
