//! `tradebridge recover`: after a restore from a backup, while no daemon runs. The ERP and the shops may know more than
//! the restored store: open orders are looked for before anything is sent, and the shops' cursors are over.

use std::sync::Arc;

use serde_json::json;

use super::output::{Exit, Failure, counted};
use super::progress::Progress;
use super::{Answered, Context};
use crate::orders::{Actor, Desk};
use crate::queue::{SystemClock, Wake};
use crate::store::{OpenOptions, SqlStore, Store};

pub(super) async fn run(context: &Context) -> Answered {
    let config = context.load()?;
    let url = &config.store.url;
    if url.sqlite_path().is_some_and(|path| !path.exists()) {
        return Err(Failure::failed(format!("there is no store {url}; copy the backup there first")));
    }
    let progress = Progress::begin("recovering");
    let options = OpenOptions { migrate: true, ..OpenOptions::from(&config.store) };
    let opened = Arc::new(SqlStore::open(url, &options).await?);
    let store: Arc<dyn Store> = Arc::<SqlStore>::clone(&opened);
    let desk = Desk::new(Arc::clone(&store), Arc::new(Wake::default()), Arc::new(SystemClock));
    let who = std::env::var("USER").unwrap_or_else(|_| "recover".to_owned());
    let orders = desk.recover(&Actor::Operator(who)).await.map_err(|error| Failure::failed(error.to_string()))?;
    store.renew_epoch().await?;
    opened.close().await;
    drop(progress);
    let answer = json!({ "store": url.to_string(), "orders": orders, "cursors": "over" });
    context.output.say(&answer, |page| {
        let number = usize::try_from(orders).unwrap_or(usize::MAX);
        page.line(format!("{} to be looked for in the ERP before anything is sent", counted(number, "open order")));
        page.line("the shops' cursors are over: each takes a snapshot when it asks next");
        page.line("start the daemon: `systemctl start tradebridge`");
    });
    Ok(Exit::Done)
}
