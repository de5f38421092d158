//! What connections keep.

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::{Keeping, KeptValue, Result};
use super::{SqlStore, lease, rows};

#[async_trait]
impl Keeping for SqlStore {
    async fn kept(&self, connection: &str, name: &str) -> Result<(Option<KeptValue>, Timestamp)> {
        let mut sql = self.sql("SELECT c.now, k.value, k.version FROM (SELECT ");
        sql.push(lease::clock(self.engine())).push(" AS now) c LEFT JOIN kept k ON k.connection = ? AND k.name = ?");
        let row = sql.bind(connection).bind(name).fetch_one(&mut self.reader().await?).await?;
        let value = match row.get::<Option<i64>>("version")? {
            Some(version) => Some(KeptValue { value: row.get("value")?, version }),
            None => None,
        };
        Ok((value, rows::instant(row.get("now")?)?))
    }

    async fn keep(&self, connection: &str, name: &str, value: &[u8], over: Option<i64>) -> Result<bool> {
        let mut session = self.write().await?;
        let sql = match over {
            None => self
                .sql("INSERT INTO kept (value, connection, name, version) VALUES (?, ?, ?, 1) ON CONFLICT DO NOTHING")
                .bind(value)
                .bind(connection)
                .bind(name),
            Some(version) => self
                .sql("UPDATE kept SET value = ?, version = version + 1 WHERE connection = ? AND name = ? AND version = ?")
                .bind(value)
                .bind(connection)
                .bind(name)
                .bind(version),
        };
        let saved = sql.execute(&mut session).await?;
        session.commit().await?;
        Ok(saved == 1)
    }
}
