//! What was exchanged over orders.

use async_trait::async_trait;

use super::super::{CALLS_KEPT, CallKind, Calls, OrderCall, Result};
use super::session::Session;
use super::{SqlStore, rows};

#[async_trait]
impl Calls for SqlStore {
    async fn note_calls(&self, order: &str, calls: &[OrderCall]) -> Result<()> {
        if calls.is_empty() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        write(&mut tx, order, calls).await?;
        tx.commit().await
    }

    async fn calls(&self, order: &str) -> Result<Vec<OrderCall>> {
        self.sql("SELECT * FROM order_call WHERE order_id = ? ORDER BY at, kind, slot")
            .bind(order)
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(|row| {
                let kind: String = row.get("kind")?;
                Ok(OrderCall {
                    kind: CallKind::from_name(&kind).ok_or_else(|| rows::unreadable("kind of a call", &kind))?,
                    number: row.get("slot")?,
                    attempt: rows::count(row, "attempt")?,
                    at: rows::instant(row.get("at")?)?,
                    outcome: row.get("outcome")?,
                    exchanges: rows::json(&row.get::<String>("exchanges")?)?,
                })
            })
            .collect()
    }
}

/// Writes calls of an order, each in the place of one that is old.
pub(super) async fn write(tx: &mut Session<'_>, order: &str, calls: &[OrderCall]) -> Result<()> {
    for call in calls {
        tx.sql(
            "INSERT INTO order_call (order_id, kind, slot, attempt, at, outcome, exchanges) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (order_id, kind, slot) DO UPDATE SET attempt = excluded.attempt, at = excluded.at, \
             outcome = excluded.outcome, exchanges = excluded.exchanges",
        )
        .bind(order)
        .bind(call.kind.name())
        .bind(call.number.rem_euclid(CALLS_KEPT))
        .bind(call.attempt)
        .bind(call.at.as_microsecond())
        .bind(&call.outcome)
        .bind(call.exchanges.to_string())
        .execute(tx)
        .await?;
    }
    Ok(())
}
