//! Connections whose orders a person has told to wait.

use async_trait::async_trait;

use super::super::{PausedConnection, Pauses, Result};
use super::{SqlStore, rows};

#[async_trait]
impl Pauses for SqlStore {
    async fn pause(&self, pause: &PausedConnection) -> Result<()> {
        let mut tx = self.write().await?;
        tx.sql(
            "INSERT INTO pause (connection, since, who, reason) VALUES (?, ?, ?, ?) \
             ON CONFLICT (connection) DO UPDATE SET who = excluded.who, reason = excluded.reason",
        )
        .bind(&pause.connection)
        .bind(pause.since.as_microsecond())
        .bind(&pause.who)
        .bind(&pause.reason)
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    async fn resume(&self, connection: &str) -> Result<bool> {
        let mut tx = self.write().await?;
        let done = tx.sql("DELETE FROM pause WHERE connection = ?").bind(connection).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(done > 0)
    }

    async fn pauses(&self) -> Result<Vec<PausedConnection>> {
        self.sql("SELECT * FROM pause ORDER BY connection")
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(|row| {
                Ok(PausedConnection {
                    connection: row.get("connection")?,
                    since: rows::instant(row.get("since")?)?,
                    who: row.get("who")?,
                    reason: row.get("reason")?,
                })
            })
            .collect()
    }
}
