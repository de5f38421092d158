//! `tradebridge key`: the keys that shops and operators show.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value as Json;

use super::client::{Call, Client};
use super::files;
use super::output::{Exit, complain};
use super::page::{Cell, Table, Tone};
use super::when::ago;
use super::{Answered, Context};
use crate::api::admin::views::{KeyView, Listed, MadeKey, NewKey};
use crate::config::Scope;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key; it is shown once, and only its hash is kept.
    Create(CreateArguments),
    /// List the keys.
    List,
    /// End a key's validity, at once.
    Revoke {
        /// The key's name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// What it is called in lists and logs.
    name: String,
    /// The shop it belongs to.
    #[arg(long)]
    shop: String,
    /// What it allows; several are separated by commas.
    #[arg(long = "scope", value_parser = scope, value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
}

fn scope(name: &str) -> Result<Scope, String> {
    [Scope::Read, Scope::Orders, Scope::Admin]
        .into_iter()
        .find(|scope| scope.as_str() == name)
        .ok_or_else(|| "use `read`, `orders` or `admin`".to_owned())
}

pub(super) async fn run(command: KeyCommand, context: &Context) -> Answered {
    let config = context.load()?;
    if let KeyCommand::Create(arguments) = &command
        && config.shop(&arguments.shop).is_none()
    {
        return Err(files::unknown("shop", &arguments.shop, config.shops.iter().map(|shop| shop.name.as_str())));
    }
    Client::with(&config, async |client| ask(command, client, context).await).await
}

async fn ask(command: KeyCommand, client: &Client, context: &Context) -> Answered {
    match command {
        KeyCommand::Create(CreateArguments { name, shop, scopes }) => {
            let made: MadeKey = client.ask(Call::post(&["keys"], &NewKey { name, shop, scopes })?).await?;
            if !context.output.is_json() {
                complain(&format!("the key `{}`, which is not shown again:", made.name));
            }
            // The key stands alone on standard output, so that a script can take it.
            context.output.say(&made, |page| {
                page.line(&made.key);
            });
        }
        KeyCommand::List => {
            let keys: Listed<KeyView> = client.ask(Call::get(&["keys"])).await?;
            context.output.say(&keys, |page| {
                if keys.items.is_empty() {
                    page.line("no keys; make one with `tradebridge key create NAME --shop SHOP --scope read`");
                } else {
                    page.table(&table(&keys.items));
                }
            });
        }
        KeyCommand::Revoke { name } => {
            let answer: Json = client.ask(Call::delete(&["keys", &name])).await?;
            context.output.say(&answer, |page| {
                page.line(format!("the key `{name}` is not valid any more"));
            });
        }
    }
    Ok(Exit::Done)
}

fn table(keys: &[KeyView]) -> Table {
    let now = Timestamp::now();
    let mut table = Table::new(&["name", "shop", "scopes", "made", "last used", "state"]);
    for key in keys {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        table.row([
            Cell::from(&key.name),
            Cell::from(&key.shop),
            Cell::from(scopes.join(", ")),
            Cell::from(key.created_at.map_or_else(|| "configuration".to_owned(), |at| ago(at, now))),
            Cell::from(key.last_used.map_or_else(|| "never".to_owned(), |at| ago(at, now))),
            match key.revoked_at {
                Some(at) => Cell::toned(Tone::Dim, format!("revoked {}", ago(at, now))),
                None => Cell::toned(Tone::Good, "valid"),
            },
        ]);
    }
    table
}
