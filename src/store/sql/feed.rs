//! The feed of changes. Who writes to it locks its end until its commit, so that sequences become visible in their order.

use async_trait::async_trait;

use super::super::{Change, Feed, Head, Result};
use super::{SqlStore, rows};
use crate::model::Entity;

#[async_trait]
impl Feed for SqlStore {
    async fn head(&self) -> Result<Head> {
        let row = self.sql("SELECT epoch, sequence FROM store").fetch_one(&mut self.reader().await?).await?;
        Ok(Head { epoch: row.get("epoch")?, sequence: row.get("sequence")? })
    }

    async fn renew_epoch(&self) -> Result<()> {
        let mut tx = self.write().await?;
        self.sql("UPDATE store SET epoch = ?").bind(super::new_epoch()).execute(&mut tx).await?;
        tx.commit().await
    }

    async fn changes(&self, after: i64, entities: &[Entity], limit: u32) -> Result<Vec<Change>> {
        let mut query = self.sql(
            "SELECT p.sequence, p.entity, p.company, p.number, p.who, p.source_key IS NULL AS deleted, p.changed_at, \
             s.connection FROM part p JOIN source s ON s.id = p.source WHERE p.sequence > ",
        );
        query.push_bind(after);
        if !entities.is_empty() {
            let names: Vec<&str> = entities.iter().map(|entity| entity.name()).collect();
            query.push(" AND ").push_in("p.entity", &names);
        }
        query.push(" ORDER BY p.sequence LIMIT ").push_bind(limit);
        let mut changes = Vec::new();
        for row in query.fetch_all(&mut self.reader().await?).await? {
            let name: String = row.get("entity")?;
            changes.push(Change {
                sequence: row.get("sequence")?,
                entity: Entity::from_name(&name).ok_or_else(|| rows::unreadable("entity", &name))?,
                key: rows::key(&row)?,
                connection: row.get("connection")?,
                who: row.get("who")?,
                deleted: row.get("deleted")?,
                changed_at: rows::instant(row.get("changed_at")?)?,
            });
        }
        Ok(changes)
    }
}
