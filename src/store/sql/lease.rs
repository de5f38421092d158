//! Leases, by the clock of the store.

use std::time::Duration;

use async_trait::async_trait;

use super::super::{HeldLease, Lease, Leases, Result, StoreError};
use super::session::Session;
use super::statement::Engine;
use super::{SqlStore, rows};

#[async_trait]
impl Leases for SqlStore {
    async fn take_lease(&self, name: &str) -> Result<Option<Lease>> {
        let mut session = self.write().await?;
        let now = clock(self.engine());
        let mut sql = self.sql("INSERT INTO lease (name, holder, fence, expires_at) VALUES (?, ?, 1, ");
        sql.push(now).push(" + ?) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ");
        sql.push("fence = lease.fence + 1, expires_at = excluded.expires_at ");
        sql.push("WHERE lease.holder = excluded.holder OR lease.expires_at <= ").push(now).push(" RETURNING fence");
        let row = sql.bind(name).bind(&self.holder).bind(self.lease_span()).fetch_optional(&mut session).await?;
        let Some(row) = row else { return Ok(None) };
        let fence = row.get("fence")?;
        session.commit().await?;
        Ok(Some(Lease { name: name.to_owned(), fence }))
    }

    async fn renew_lease(&self, lease: &Lease) -> Result<bool> {
        let mut session = self.write().await?;
        let mut sql = self.sql("UPDATE lease SET expires_at = ");
        sql.push(clock(self.engine())).push(" + ? WHERE name = ? AND fence = ?");
        let renewed = sql.bind(self.lease_span()).bind(&lease.name).bind(lease.fence).execute(&mut session).await?;
        session.commit().await?;
        Ok(renewed == 1)
    }

    async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let mut session = self.write().await?;
        let sql = self.sql("UPDATE lease SET expires_at = 0 WHERE name = ? AND fence = ?");
        sql.bind(&lease.name).bind(lease.fence).execute(&mut session).await?;
        session.commit().await
    }

    async fn leases(&self) -> Result<Vec<HeldLease>> {
        let mut sql = self.sql("SELECT name, holder, expires_at FROM lease WHERE expires_at > ");
        sql.push(clock(self.engine())).push(" ORDER BY name");
        let held = sql.fetch_all(&mut self.reader().await?).await?;
        held.iter()
            .map(|row| {
                Ok(HeldLease {
                    name: row.get("name")?,
                    holder: row.get("holder")?,
                    expires_at: rows::instant(row.get("expires_at")?)?,
                })
            })
            .collect()
    }

    fn lease_time(&self) -> Duration {
        self.lease
    }
}

impl SqlStore {
    /// Gives back every lease that this opening of the store holds.
    pub(super) async fn release_leases(&self) -> Result<()> {
        let mut session = self.write().await?;
        self.sql("UPDATE lease SET expires_at = 0 WHERE holder = ?").bind(&self.holder).execute(&mut session).await?;
        session.commit().await
    }

    fn lease_span(&self) -> i64 {
        i64::try_from(self.lease.as_micros()).unwrap_or(i64::MAX / 2)
    }
}

/// Refuses to go on under a lease that somebody else has taken over. Nobody can take it over before this transaction
/// ends.
pub(super) async fn check(session: &mut Session<'_>, lease: &Lease) -> Result<()> {
    let mut sql = session.sql("SELECT holder FROM lease WHERE name = ? AND fence = ?");
    if session.engine() == Engine::Postgres {
        sql.push(" FOR SHARE");
    }
    match sql.bind(&lease.name).bind(lease.fence).fetch_optional(session).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::Fenced(lease.name.clone())),
    }
}

/// The store's clock, in microseconds.
pub(super) fn clock(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
        Engine::Postgres => "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint",
    }
}
