//! API keys: making, listing and revoking them.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::body::Body;
use super::error::AdminError;
use super::views::{KeyView, Listed, MadeKey, NewKey};
use crate::api::auth::key_hash;
use crate::api::segment::Segment;
use crate::api::state::ApiState;
use crate::config::{ApiKey, Secret};
use crate::store::StoredKey;

pub(super) async fn list(State(state): State<ApiState>) -> Result<Json<Listed<KeyView>>, AdminError> {
    let fixed: Vec<KeyView> = state.config.borrow().keys.iter().map(of_configuration).collect();
    let made = state.store.keys().await?.into_iter().map(|key| KeyView {
        name: key.name,
        shop: key.shop,
        scopes: key.scopes,
        created_at: Some(key.created_at),
        last_used: key.last_used,
        revoked_at: key.revoked_at,
    });
    Ok(Json(Listed { items: fixed.into_iter().chain(made).collect(), next: None }))
}

fn of_configuration(key: &ApiKey) -> KeyView {
    KeyView {
        name: key.name.clone(),
        shop: key.shop.clone(),
        scopes: key.scopes.clone(),
        created_at: None,
        last_used: None,
        revoked_at: None,
    }
}

pub(super) async fn create(
    State(state): State<ApiState>,
    Body(new): Body<NewKey>,
) -> Result<Json<MadeKey>, AdminError> {
    let NewKey { name, shop, mut scopes } = new;
    let taken = || AdminError::conflict(format!("there is a key `{name}` already; revoke it first, or name another"));
    {
        let config = state.config.borrow();
        if config.shop(&shop).is_none() {
            return Err(AdminError::invalid(format!("the configuration has no shop `{shop}`")));
        }
        if config.keys.iter().any(|key| key.name == name) {
            return Err(taken());
        }
    }
    scopes.sort_unstable();
    scopes.dedup();
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| AdminError::unavailable(format!("no key can be made: {error}")))?;
    let key = Secret::new(format!("tb_{}", URL_SAFE_NO_PAD.encode(random)));
    let hash = key_hash(&key);
    let stored = StoredKey {
        name: name.clone(),
        shop,
        scopes,
        hash,
        created_at: Timestamp::now(),
        last_used: None,
        revoked_at: None,
    };
    if !state.store.add_key(&stored).await? {
        return Err(taken());
    }
    Ok(Json(MadeKey { name, key: key.reveal().to_owned() }))
}

pub(super) async fn revoke(State(state): State<ApiState>, Segment(name): Segment) -> Result<Json<Value>, AdminError> {
    if state.store.revoke_key(&name, Timestamp::now()).await? {
        return Ok(Json(json!({ "name": name, "revoked": true })));
    }
    if state.config.borrow().keys.iter().any(|key| key.name == name) {
        return Err(AdminError::conflict(format!(
            "the key `{name}` stands in the configuration; take it out there and reload"
        )));
    }
    Err(AdminError::not_found(format!("there is no valid key `{name}`; `tradebridge key list` shows the keys")))
}
