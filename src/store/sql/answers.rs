//! What the ERP said about orders, beside their state.

use async_trait::async_trait;

use super::super::{Answers, Conflict, Cursor, LineAnswer, OrderDocument, Result};
use super::statement::Row;
use super::{SqlStore, rows};
use crate::model::{Entity, Key};

#[async_trait]
impl Answers for SqlStore {
    async fn position(&self, consumer: &str) -> Result<Option<Cursor>> {
        let row = self
            .sql("SELECT epoch, sequence FROM position WHERE consumer = ?")
            .bind(consumer)
            .fetch_optional(&mut self.reader().await?)
            .await?;
        row.map(|row| Ok(Cursor { epoch: row.get("epoch")?, sequence: row.get("sequence")? })).transpose()
    }

    async fn save_position(&self, consumer: &str, position: &Cursor) -> Result<()> {
        let mut tx = self.write().await?;
        self.sql(
            "INSERT INTO position (consumer, epoch, sequence) VALUES (?, ?, ?) \
             ON CONFLICT (consumer) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence",
        )
        .bind(consumer)
        .bind(&position.epoch)
        .bind(position.sequence)
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    async fn save_lines(&self, order: &str, lines: &[LineAnswer]) -> Result<()> {
        let mut tx = self.write().await?;
        self.sql("DELETE FROM order_line WHERE order_id = ?").bind(order).execute(&mut tx).await?;
        for (line, place) in lines.iter().zip(0_i64..) {
            self.sql("INSERT INTO order_line (order_id, place, line, content, changed_at) VALUES (?, ?, ?, ?, ?)")
                .bind(order)
                .bind(place)
                .bind(&line.line)
                .bind(line.content.to_string())
                .bind(line.changed_at.as_microsecond())
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await
    }

    async fn lines(&self, order: &str) -> Result<Vec<LineAnswer>> {
        self.sql("SELECT line, content, changed_at FROM order_line WHERE order_id = ? ORDER BY place")
            .bind(order)
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(|row| {
                Ok(LineAnswer {
                    line: row.get("line")?,
                    content: rows::json(&row.get::<String>("content")?)?,
                    changed_at: rows::instant(row.get("changed_at")?)?,
                })
            })
            .collect()
    }

    async fn save_documents(&self, connection: &str, documents: &[(OrderDocument, Vec<String>)]) -> Result<()> {
        let mut tx = self.write().await?;
        for (document, numbers) in documents {
            self.sql("DELETE FROM order_document WHERE entity = ? AND company = ? AND number = ?")
                .bind(document.entity.name())
                .bind(&document.key.company)
                .bind(&document.key.number)
                .execute(&mut tx)
                .await?;
            for number in numbers {
                self.sql(
                    "INSERT INTO order_document (connection, company, order_number, entity, number) \
                     VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(connection)
                .bind(&document.key.company)
                .bind(number)
                .bind(document.entity.name())
                .bind(&document.key.number)
                .execute(&mut tx)
                .await?;
            }
        }
        tx.commit().await
    }

    async fn documents(&self, connection: &str, company: &str, number: &str) -> Result<Vec<OrderDocument>> {
        self.sql(
            "SELECT entity, company, number FROM order_document \
             WHERE connection = ? AND company = ? AND order_number = ? ORDER BY entity DESC, number",
        )
        .bind(connection)
        .bind(company)
        .bind(number)
        .fetch_all(&mut self.reader().await?)
        .await?
        .iter()
        .map(|row| Ok(OrderDocument { entity: entity(row)?, key: rows::key(row)? }))
        .collect()
    }

    async fn save_conflict(&self, conflict: &Conflict) -> Result<()> {
        let mut tx = self.write().await?;
        self.sql(
            "INSERT INTO answer_conflict (connection, entity, company, number, order_id, reason, content, at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (connection, entity, company, number) DO UPDATE SET \
             order_id = excluded.order_id, reason = excluded.reason, content = excluded.content, at = excluded.at",
        )
        .bind(&conflict.connection)
        .bind(conflict.entity.name())
        .bind(&conflict.key.company)
        .bind(&conflict.key.number)
        .bind(&conflict.order)
        .bind(&conflict.reason)
        .bind(conflict.content.to_string())
        .bind(conflict.at.as_microsecond())
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    async fn clear_conflict(&self, connection: &str, of: Entity, key: &Key) -> Result<bool> {
        // Nearly every answer fits: what there is to clear is looked up where nobody waits for the writer.
        let there = self
            .sql("SELECT 1 FROM answer_conflict WHERE connection = ? AND entity = ? AND company = ? AND number = ?")
            .bind(connection)
            .bind(of.name())
            .bind(&key.company)
            .bind(&key.number)
            .fetch_optional(&mut self.reader().await?)
            .await?;
        if there.is_none() {
            return Ok(false);
        }
        let mut tx = self.write().await?;
        let done = self
            .sql("DELETE FROM answer_conflict WHERE connection = ? AND entity = ? AND company = ? AND number = ?")
            .bind(connection)
            .bind(of.name())
            .bind(&key.company)
            .bind(&key.number)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(done > 0)
    }

    async fn conflicts(&self, order: Option<&str>, limit: u32) -> Result<Vec<Conflict>> {
        let mut query = self.sql("SELECT * FROM answer_conflict");
        if let Some(order) = order {
            query.push(" WHERE order_id = ").push_bind(order.to_owned());
        }
        query.push(" ORDER BY at DESC, number LIMIT ").push_bind(limit);
        let found = query.fetch_all(&mut self.reader().await?).await?;
        found
            .iter()
            .map(|row| {
                Ok(Conflict {
                    connection: row.get("connection")?,
                    entity: entity(row)?,
                    key: rows::key(row)?,
                    order: row.get("order_id")?,
                    reason: row.get("reason")?,
                    content: rows::json(&row.get::<String>("content")?)?,
                    at: rows::instant(row.get("at")?)?,
                })
            })
            .collect()
    }
}

fn entity(row: &Row) -> Result<Entity> {
    let name: String = row.get("entity")?;
    Entity::from_name(&name).ok_or_else(|| rows::unreadable("entity", &name))
}
