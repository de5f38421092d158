//! Keeping the shops' memberships in step with the shops' conditions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::Shop;
use crate::model::{Entity, Key};
use crate::orders::CustomerScope;
use crate::store::{Judged, ListQuery, Result, Store};
use crate::sync::{Held, Scopes, ShopScope};

/// Customers judged at once.
const PAGE: u32 = 1000;

/// The wait while another process judges.
const AGAIN: Duration = Duration::from_millis(500);

/// Judges every customer anew for each shop whose condition is another than the one that was judged by. Of several
/// processes one does it: judged twice, a shop would lose the cursors that it was given in between.
pub(super) async fn bring_up(store: &Arc<dyn Store>, scopes: &Scopes) -> Result<()> {
    let names: Vec<String> = scopes.shops().iter().map(|shop| shop.name.clone()).collect();
    store.keep_scopes(&names).await?;
    while !is_up(store, scopes).await? {
        let Some(held) = Held::hold(store, "scopes".to_owned()).await? else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let judged = judge_all(store, scopes).await;
        held.end().await;
        judged?;
    }
    Ok(())
}

/// Whether every shop was judged by its present condition.
async fn is_up(store: &Arc<dyn Store>, scopes: &Scopes) -> Result<bool> {
    for shop in scopes.shops() {
        if store.scope(&shop.name).await?.is_none_or(|known| known.digest != shop.digest) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn judge_all(store: &Arc<dyn Store>, scopes: &Scopes) -> Result<()> {
    for shop in scopes.shops() {
        // Another process may have done it before it gave the lease back.
        if store.scope(&shop.name).await?.is_some_and(|known| known.digest == shop.digest) {
            continue;
        }
        let customers = judge(store, shop).await?;
        store.finish_rescope(&shop.name, &shop.digest).await?;
        tracing::info!(shop = shop.name, customers, "the shop's scope is judged anew");
    }
    Ok(())
}

/// Judges every customer anew for a shop; says how many there are.
async fn judge(store: &Arc<dyn Store>, shop: &ShopScope) -> Result<usize> {
    let mut query = ListQuery {
        entity: Entity::Customer,
        companies: Vec::new(),
        connections: Vec::new(),
        who: Vec::new(),
        what: Vec::new(),
        after: None,
        limit: PAGE,
    };
    let mut judged = 0;
    loop {
        let customers = store.list(&query).await?;
        let Some(last) = customers.last() else { break };
        query.after = Some(last.key.clone());
        judged += customers.len();
        let page: Vec<Judged> = customers
            .into_iter()
            .map(|customer| Judged {
                member: shop.admits(&customer.connection, &customer.key.company, &customer.content),
                key: customer.key,
                hash: customer.hash,
            })
            .collect();
        store.rescope(&shop.name, &page).await?;
    }
    Ok(judged)
}

/// Whether a customer is in a shop's scope, as the store keeps it.
pub(super) struct InScope(pub Arc<dyn Store>);

#[async_trait]
impl CustomerScope for InScope {
    async fn sees(&self, shop: &Shop, customer: &Key) -> Result<bool> {
        let members = self.0.membership(&shop.name, std::slice::from_ref(customer)).await?;
        Ok(members.first().copied().unwrap_or(false))
    }
}
