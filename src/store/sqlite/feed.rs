//! The feed of changes. With one writer, sequences become visible in their order.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::super::{Change, Feed, Head, Result};
use super::{SqliteStore, rows};
use crate::model::Entity;

#[async_trait]
impl Feed for SqliteStore {
    async fn head(&self) -> Result<Head> {
        let row = sqlx::query("SELECT epoch, sequence FROM store").fetch_one(&self.reader).await?;
        Ok(Head { epoch: row.try_get("epoch")?, sequence: row.try_get("sequence")? })
    }

    async fn renew_epoch(&self) -> Result<()> {
        let mut tx = self.write().await?;
        sqlx::query("UPDATE store SET epoch = ?").bind(super::new_epoch()).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    async fn changes(&self, after: i64, entities: &[Entity], limit: u32) -> Result<Vec<Change>> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT p.sequence, p.entity, p.company, p.number, p.who, p.source_key IS NULL AS deleted, p.changed_at, \
             s.connection FROM part p JOIN source s ON s.id = p.source WHERE p.sequence > ",
        );
        query.push_bind(after);
        if !entities.is_empty() {
            query.push(" AND p.entity IN (");
            let mut list = query.separated(", ");
            for entity in entities {
                list.push_bind(entity.name());
            }
            query.push(")");
        }
        query.push(" ORDER BY p.sequence LIMIT ").push_bind(limit);
        let mut changes = Vec::new();
        for row in query.build().fetch_all(&self.reader).await? {
            let name: String = row.try_get("entity")?;
            changes.push(Change {
                sequence: row.try_get("sequence")?,
                entity: Entity::from_name(&name).ok_or_else(|| rows::unreadable("entity", &name))?,
                key: rows::key(&row)?,
                connection: row.try_get("connection")?,
                who: row.try_get("who")?,
                deleted: row.try_get("deleted")?,
                changed_at: rows::instant(row.try_get("changed_at")?)?,
            });
        }
        Ok(changes)
    }
}
