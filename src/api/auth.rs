//! Who calls: bearer keys, of the configuration, of the store, and of the operator on this machine.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::problem::{self, Problem};
use super::state::ApiState;
use crate::config::{Config, Scope, Secret, Shop};
use crate::store::KeyHash;

/// How exactly the last use of a key is noted.
const COARSE: SignedDuration = SignedDuration::from_hours(1);

/// Who called, and what the key allows.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key's name, for the log and for transitions.
    pub key: String,
    /// The scopes of the key.
    pub scopes: Vec<Scope>,
    config: Arc<Config>,
    shop: Option<String>,
}

impl Caller {
    /// The shop that the key belongs to.
    pub(super) fn shop(&self) -> Result<&Shop, Problem> {
        let none = || Problem::new(problem::FORBIDDEN, "this key belongs to no shop; use a shop's key");
        self.config.shop(self.shop.as_deref().ok_or_else(none)?).ok_or_else(none)
    }
}

/// What a key is worth: the hash that is stored and compared.
pub fn key_hash(key: &Secret) -> KeyHash {
    *blake3::hash(key.reveal().as_bytes()).as_bytes()
}

/// Lets a request through whose key allows it; the caller is an extension of the request then.
pub(super) async fn authorize(
    State((state, scope)): State<(ApiState, Scope)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = caller(&state, request.headers()).await?;
    if !caller.scopes.contains(&scope) {
        let detail = format!("the key `{}` has not the scope `{}`, which this needs", caller.key, scope.as_str());
        return Err(Problem::new(problem::FORBIDDEN, detail));
    }
    tracing::Span::current().record("key", caller.key.as_str());
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

async fn caller(state: &ApiState, headers: &HeaderMap) -> Result<Caller, Problem> {
    let refused = |detail: &str| {
        let challenge = HeaderValue::from_static("Bearer realm=\"tradebridge\"");
        Problem::new(problem::UNAUTHORIZED, detail).header(header::WWW_AUTHENTICATE, challenge)
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| refused("there is no key; send it as `Authorization: Bearer KEY`"))?;
    let key = given.to_str().ok().and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(key.trim()))
    });
    let key = key.ok_or_else(|| refused("the key must be sent as `Authorization: Bearer KEY`"))?;
    let config = Arc::clone(&state.config.borrow());
    // Secrets are compared by hash, in constant time; every fixed key is compared, whichever fits.
    if state.operator.as_ref() == Some(&key) {
        return Ok(Caller { key: "operator".to_owned(), scopes: vec![Scope::Admin], config, shop: None });
    }
    let fixed =
        config.keys.iter().fold(None, |found, fixed| if fixed.key == key { Some(fixed.clone()) } else { found });
    if let Some(fixed) = fixed {
        return Ok(Caller { key: fixed.name, scopes: fixed.scopes, shop: Some(fixed.shop), config });
    }
    let hash = key_hash(&key);
    let stored = state.store.key(&hash).await?;
    let same = |found: &KeyHash| blake3::Hash::from(*found) == blake3::Hash::from(hash);
    let stored = stored.filter(|stored| same(&stored.hash)).ok_or_else(|| refused("the key is not known"))?;
    if stored.revoked_at.is_some() {
        return Err(refused("the key has been revoked"));
    }
    let now = Timestamp::now();
    if stored.last_used.is_none_or(|used| now.duration_since(used) > COARSE) {
        // A full disk must not keep shops from reading.
        if let Err(error) = state.store.use_key(&hash, now).await {
            tracing::warn!(%error, key = stored.name, "the use of a key cannot be noted");
        }
    }
    Ok(Caller { key: stored.name, scopes: stored.scopes, shop: Some(stored.shop), config })
}
