//! The outbox and the dead letters.

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::{DeadLetter, Due, Message, OrderState, Outbox, Result, Settled, SettledLetter, Settlement};
use super::session::Session;
use super::statement::{Argument, Row, Sql};
use super::{LOOKUP, SqlStore, rows};

#[async_trait]
impl Outbox for SqlStore {
    async fn due_connections(&self, now: Timestamp) -> Result<Vec<String>> {
        // From one connection to the next, past all that waits for the same one.
        let sql = "WITH RECURSIVE c (connection) AS (SELECT MIN(connection) FROM outbox UNION ALL \
             SELECT (SELECT MIN(connection) FROM outbox WHERE connection > c.connection) FROM c \
             WHERE c.connection IS NOT NULL) SELECT connection FROM c WHERE \
             (SELECT MIN(o.due_at) FROM outbox o WHERE o.connection = c.connection) <= ? ORDER BY connection";
        self.sql(sql)
            .bind(now.as_microsecond())
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(|row| row.get("connection"))
            .collect()
    }

    async fn due(&self, connection: &str, now: Timestamp, limit: u32) -> Result<Vec<Due>> {
        self.sql(
            "SELECT order_id, generation, publications FROM outbox WHERE connection = ? AND due_at <= ? \
             ORDER BY due_at, order_id LIMIT ?",
        )
        .bind(connection)
        .bind(now.as_microsecond())
        .bind(limit)
        .fetch_all(&mut self.reader().await?)
        .await?
        .iter()
        .map(|row| {
            let message = Message { order: row.get("order_id")?, generation: row.get("generation")? };
            Ok(Due { message, publications: rows::count(row, "publications")? })
        })
        .collect()
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>> {
        let sql = "WITH RECURSIVE c (connection) AS (SELECT MIN(connection) FROM outbox UNION ALL \
             SELECT (SELECT MIN(connection) FROM outbox WHERE connection > c.connection) FROM c \
             WHERE c.connection IS NOT NULL) SELECT MIN((SELECT MIN(o.due_at) FROM outbox o \
             WHERE o.connection = c.connection AND o.due_at > ?)) AS due_at FROM c";
        self.sql(sql)
            .bind(after.as_microsecond())
            .fetch_one(&mut self.reader().await?)
            .await?
            .get::<Option<i64>>("due_at")?
            .map(rows::instant)
            .transpose()
    }

    async fn published(&self, at: Timestamp, messages: &[(Message, Timestamp)]) -> Result<()> {
        let mut tx = self.write().await?;
        for chunk in messages.chunks(LOOKUP) {
            let columns = vec![
                ("id", Argument::Texts(chunk.iter().map(|(message, _)| Some(message.order.clone())).collect())),
                ("step", Argument::Integers(chunk.iter().map(|(message, _)| Some(message.generation)).collect())),
                ("again", Argument::Integers(chunk.iter().map(|(_, again)| Some(again.as_microsecond())).collect())),
            ];
            let mut sql = Sql::with_columns(tx.engine(), columns);
            sql.push("UPDATE outbox SET published_at = ").push_bind(at.as_microsecond());
            sql.push(
                ", publications = outbox.publications + 1, due_at = d.again FROM d \
                 WHERE outbox.order_id = d.id AND outbox.generation = d.step",
            );
            sql.execute(&mut tx).await?;
        }
        tx.commit().await
    }

    async fn republish_all(&self) -> Result<u64> {
        let mut tx = self.write().await?;
        let done = self.sql(
            "UPDATE outbox SET published_at = NULL, publications = 0, due_at = not_before WHERE published_at IS NOT NULL",
        )
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn replenish(&self, states: &[OrderState], now: Timestamp) -> Result<u64> {
        let mut query = self.sql(
            "INSERT INTO outbox (order_id, generation, connection, not_before, publications, due_at) \
             SELECT id, generation, connection, COALESCE(not_before, ",
        );
        query.push_bind(now.as_microsecond()).push("), 0, COALESCE(not_before, ").push_bind(now.as_microsecond());
        query.push(
            ") FROM orders o WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE order_id = o.id) AND NOT EXISTS \
             (SELECT 1 FROM dead_letter WHERE order_id = o.id AND generation = o.generation AND settled IS NULL) AND ",
        );
        let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
        query.push_in("state", &names);
        let mut tx = self.write().await?;
        let done = query.execute(&mut tx).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn bury(&self, letter: &DeadLetter) -> Result<()> {
        let mut tx = self.write().await?;
        self.sql(
            "INSERT INTO dead_letter (id, connection, order_id, generation, bytes, reason, at) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&letter.id)
        .bind(&letter.connection)
        .bind(letter.message.as_ref().map(|m| m.order.clone()))
        .bind(letter.message.as_ref().map(|m| m.generation))
        .bind(&letter.bytes)
        .bind(&letter.reason)
        .bind(letter.at.as_microsecond())
        .execute(&mut tx)
        .await?;
        if let Some(message) = &letter.message {
            self.sql("DELETE FROM outbox WHERE order_id = ? AND generation = ?")
                .bind(&message.order)
                .bind(message.generation)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await
    }

    async fn dead_letters(&self, after: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>> {
        self.sql("SELECT * FROM dead_letter WHERE id > ? AND settled IS NULL ORDER BY id LIMIT ?")
            .bind(after.unwrap_or_default())
            .bind(limit)
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(letter)
            .collect()
    }

    async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>> {
        let row = self
            .sql("SELECT * FROM dead_letter WHERE id = ? AND settled IS NULL")
            .bind(id)
            .fetch_optional(&mut self.reader().await?)
            .await?;
        row.as_ref().map(letter).transpose()
    }

    async fn settle_dead_letter(&self, id: &str, settled: &Settled) -> Result<bool> {
        let at = settled.at.as_microsecond();
        let mut tx = self.write().await?;
        let row = self
            .sql(
                "UPDATE dead_letter SET settled = ?, settled_at = ?, settled_by = ?, why = ? \
                 WHERE id = ? AND settled IS NULL RETURNING *",
            )
            .bind(settled.how.name())
            .bind(at)
            .bind(&settled.who)
            .bind(&settled.why)
            .bind(id)
            .fetch_optional(&mut tx)
            .await?;
        let Some(letter) = row.as_ref().map(letter).transpose()? else { return Ok(false) };
        if let (Settlement::Retried, Some(Message { order, generation })) = (settled.how, &letter.message) {
            self.sql(
                "INSERT INTO outbox (order_id, generation, connection, not_before, publications, due_at) \
                 SELECT id, generation, connection, ?, 0, ? FROM orders WHERE id = ? AND generation = ? \
                 ON CONFLICT DO NOTHING",
            )
            .bind(at)
            .bind(at)
            .bind(order)
            .bind(*generation)
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn settled_letters(&self, limit: u32) -> Result<Vec<SettledLetter>> {
        self.sql("SELECT * FROM dead_letter WHERE settled IS NOT NULL ORDER BY id DESC LIMIT ?")
            .bind(limit)
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(|row| {
                let how: String = row.get("settled")?;
                let settled = Settled {
                    how: Settlement::from_name(&how).ok_or_else(|| rows::unreadable("settlement", &how))?,
                    at: rows::instant(row.get("settled_at")?)?,
                    who: row.get("settled_by")?,
                    why: row.get("why")?,
                };
                Ok(SettledLetter { letter: letter(row)?, settled })
            })
            .collect()
    }
}

/// Writes an order's message in place of the one of an earlier generation.
pub(super) async fn write(
    tx: &mut Session<'_>,
    order: &str,
    generation: i64,
    connection: &str,
    not_before: Timestamp,
) -> Result<()> {
    let not_before = not_before.as_microsecond();
    tx.sql(
        "INSERT INTO outbox (order_id, generation, connection, not_before, published_at, publications, due_at) \
         VALUES (?, ?, ?, ?, NULL, 0, ?) ON CONFLICT (order_id) DO UPDATE SET generation = excluded.generation, \
         connection = excluded.connection, not_before = excluded.not_before, published_at = NULL, publications = 0, \
         due_at = excluded.due_at",
    )
    .bind(order)
    .bind(generation)
    .bind(connection)
    .bind(not_before)
    .bind(not_before)
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes an order's message: no step is due.
pub(super) async fn remove(tx: &mut Session<'_>, order: &str) -> Result<()> {
    tx.sql("DELETE FROM outbox WHERE order_id = ?").bind(order).execute(tx).await?;
    Ok(())
}

fn letter(row: &Row) -> Result<DeadLetter> {
    let order: Option<String> = row.get("order_id")?;
    let generation: Option<i64> = row.get("generation")?;
    Ok(DeadLetter {
        id: row.get("id")?,
        connection: row.get("connection")?,
        message: order.zip(generation).map(|(order, generation)| Message { order, generation }),
        bytes: row.get("bytes")?,
        reason: row.get("reason")?,
        at: rows::instant(row.get("at")?)?,
    })
}
