//! `tradebridge migrate`: brings the store to this program's version, while no daemon runs.

use serde_json::json;

use super::output::Exit;
use super::progress::Progress;
use super::{Answered, Context};
use crate::store::StoreError;
use crate::store::sqlite::SqliteStore;

pub(super) async fn run(context: &Context) -> Answered {
    let config = context.load()?;
    let path = config.store.url.sqlite_path();
    let versions = match SqliteStore::open(path, false).await {
        Ok(store) => {
            store.close().await;
            None
        }
        Err(StoreError::NotMigrated { found, needed }) => {
            let progress = Progress::begin(format!("migrating {}", path.display()));
            SqliteStore::open(path, true).await?.close().await;
            drop(progress);
            Some((found, needed))
        }
        Err(error) => return Err(error.into()),
    };
    let answer = json!({
        "store": path.display().to_string(),
        "migrated": versions.is_some(),
        "from": versions.map(|(from, _)| from),
        "to": versions.map(|(_, to)| to),
    });
    context.output.say(&answer, |page| {
        match versions {
            Some((0, to)) => page.line(format!("{} is new, at version {to}", path.display())),
            Some((from, to)) => page.line(format!("{} was at version {from} and is at {to} now", path.display())),
            None => page.line(format!("{} is at this program's version already", path.display())),
        };
    });
    Ok(Exit::Done)
}
