//! `tradebridge recover`: after a restore from a backup, while no daemon runs. The ERP and the shops may know more than
//! the restored store: open orders are looked for before anything is sent, and the shops' cursors are over.

use std::sync::Arc;

use serde_json::json;

use super::output::{Exit, Failure, counted};
use super::progress::Progress;
use super::{Answered, Context};
use crate::orders::{Actor, Desk};
use crate::queue::{SystemClock, Wake};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;

pub(super) async fn run(context: &Context) -> Answered {
    let config = context.load()?;
    let path = config.store.url.sqlite_path();
    if !path.exists() {
        let path = path.display();
        return Err(Failure::failed(format!("there is no store {path}; copy the backup there first")));
    }
    let progress = Progress::begin("recovering");
    let sqlite = Arc::new(SqliteStore::open(path, true).await?);
    let store: Arc<dyn Store> = Arc::<SqliteStore>::clone(&sqlite);
    let desk = Desk::new(Arc::clone(&store), Arc::new(Wake::default()), Arc::new(SystemClock));
    let who = std::env::var("USER").unwrap_or_else(|_| "recover".to_owned());
    let orders = desk.recover(&Actor::Operator(who)).await.map_err(|error| Failure::failed(error.to_string()))?;
    store.renew_epoch().await?;
    sqlite.close().await;
    drop(progress);
    let answer = json!({ "store": path.display().to_string(), "orders": orders, "cursors": "over" });
    context.output.say(&answer, |page| {
        let number = usize::try_from(orders).unwrap_or(usize::MAX);
        page.line(format!("{} to be looked for in the ERP before anything is sent", counted(number, "open order")));
        page.line("the shops' cursors are over: each takes a snapshot when it asks next");
        page.line("start the daemon: `systemctl start tradebridge`");
    });
    Ok(Exit::Done)
}
