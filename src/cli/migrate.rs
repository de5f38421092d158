//! `tradebridge migrate`: brings the store to this program's version, while no daemon runs.

use serde_json::json;

use super::output::Exit;
use super::progress::Progress;
use super::{Answered, Context};
use crate::store::{OpenOptions, SqlStore, StoreError};

pub(super) async fn run(context: &Context) -> Answered {
    let config = context.load()?;
    let url = &config.store.url;
    let options = OpenOptions { migrate: false, ..OpenOptions::from(&config.store) };
    let versions = match SqlStore::open(url, &options).await {
        Ok(store) => {
            store.close().await;
            None
        }
        Err(StoreError::NotMigrated { found, needed }) => {
            let progress = Progress::begin(format!("migrating {url}"));
            SqlStore::open(url, &OpenOptions { migrate: true, ..options }).await?.close().await;
            drop(progress);
            Some((found, needed))
        }
        Err(error) => return Err(error.into()),
    };
    let answer = json!({
        "store": url.to_string(),
        "migrated": versions.is_some(),
        "from": versions.map(|(from, _)| from),
        "to": versions.map(|(_, to)| to),
    });
    context.output.say(&answer, |page| {
        match versions {
            Some((0, to)) => page.line(format!("{url} is new, at version {to}")),
            Some((from, to)) => page.line(format!("{url} was at version {from} and is at {to} now")),
            None => page.line(format!("{url} is at this program's version already")),
        };
    });
    Ok(Exit::Done)
}
