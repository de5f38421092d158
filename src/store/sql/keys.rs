//! API keys, by hash.

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::{KeyHash, Keys, Result, StoredKey};
use super::statement::Row;
use super::{SqlStore, rows};

#[async_trait]
impl Keys for SqlStore {
    async fn add_key(&self, key: &StoredKey) -> Result<bool> {
        let scopes = serde_json::to_string(&key.scopes).map_err(|e| rows::unreadable("list of scopes", &e))?;
        let mut tx = self.write().await?;
        let done = self
            .sql(
                "INSERT INTO api_key (name, shop, scopes, hash, created_at, last_used, revoked_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING",
            )
            .bind(&key.name)
            .bind(&key.shop)
            .bind(scopes)
            .bind(key.hash.as_slice())
            .bind(key.created_at.as_microsecond())
            .bind(key.last_used.map(Timestamp::as_microsecond))
            .bind(key.revoked_at.map(Timestamp::as_microsecond))
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(done == 1)
    }

    async fn key(&self, hash: &KeyHash) -> Result<Option<StoredKey>> {
        self.sql("SELECT * FROM api_key WHERE hash = ?")
            .bind(hash.as_slice())
            .fetch_optional(&mut self.reader().await?)
            .await?
            .as_ref()
            .map(stored)
            .transpose()
    }

    async fn keys(&self) -> Result<Vec<StoredKey>> {
        self.sql("SELECT * FROM api_key ORDER BY name, created_at")
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(stored)
            .collect()
    }

    async fn use_key(&self, hash: &KeyHash, at: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        self.sql("UPDATE api_key SET last_used = ? WHERE hash = ?")
            .bind(at.as_microsecond())
            .bind(hash.as_slice())
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    async fn revoke_key(&self, name: &str, at: Timestamp) -> Result<bool> {
        let mut tx = self.write().await?;
        let done = self
            .sql("UPDATE api_key SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL")
            .bind(at.as_microsecond())
            .bind(name)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(done == 1)
    }
}

fn stored(row: &Row) -> Result<StoredKey> {
    let instant = |name: &str| -> Result<_> { row.get::<Option<i64>>(name)?.map(rows::instant).transpose() };
    let hash: Vec<u8> = row.get("hash")?;
    Ok(StoredKey {
        name: row.get("name")?,
        shop: row.get("shop")?,
        scopes: rows::json(&row.get::<String>("scopes")?)?,
        hash: KeyHash::try_from(hash.as_slice()).map_err(|e| rows::unreadable("hash", &e))?,
        created_at: rows::instant(row.get("created_at")?)?,
        last_used: instant("last_used")?,
        revoked_at: instant("revoked_at")?,
    })
}
