//! The physical limits that figures are set against: how fast the engine takes the very same rows from a program that
//! does nothing else.

use super::postgres::{Copied, Database, Like};
use super::site::Place;
use super::{Outcome, sqlite};

/// A rate as it was measured.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub rows: u64,
    pub seconds: f64,
}

impl Rate {
    pub fn per_second(self) -> f64 {
        self.rows as f64 / self.seconds
    }
}

/// What an engine can do, in rows per second.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// What it is.
    pub name: &'static str,
    /// Into a table with the indexes of `part`: the better of several times.
    pub indexed: f64,
    /// Into one with a primary key alone.
    pub bare: f64,
}

/// Measures with the rows of the `part` of a store.
pub async fn measure(place: &Place, rows: u64) -> Outcome<Limit> {
    let checked =
        |rate: Rate| super::expect("rows written for the limit", &rate.rows, &rows).map(|()| rate.per_second());
    match place {
        Place::Sqlite { store, directory } => {
            let first = checked(sqlite::insert(store, directory, true).await?)?;
            let second = checked(sqlite::insert(store, directory, true).await?)?;
            let bare = checked(sqlite::insert(store, directory, false).await?)?;
            Ok(Limit { name: "multi-row insert", indexed: first.max(second), bare })
        }
        Place::Postgres { database, directory } => copy(database, directory, checked).await,
    }
}

async fn copy(
    database: &Database,
    directory: &std::path::Path,
    checked: impl Fn(Rate) -> Outcome<f64>,
) -> Outcome<Limit> {
    let mut connection = database.connect().await?;
    let (mut indexed, mut bare) = (0.0_f64, 0.0_f64);
    for format in ["text", "binary"] {
        let copied = Copied::take(&mut connection, directory, format).await?;
        indexed = indexed.max(checked(copied.give(&mut connection, Like::Indexed).await?)?);
        bare = bare.max(checked(copied.give(&mut connection, Like::KeyOnly).await?)?);
    }
    super::postgres::close(connection).await?;
    Ok(Limit { name: "COPY", indexed, bare })
}
