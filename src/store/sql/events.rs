//! The transitions of orders that are still to be told as events.

use async_trait::async_trait;

use super::super::{Lease, OrderEvent, OrderEvents, Result};
use super::{SqlStore, lease, orders, rows};

/// Who has a position while transitions are to be told.
const CONSUMER: &str = "order_events";

#[async_trait]
impl OrderEvents for SqlStore {
    async fn keep_order_events(&self, keep: bool) -> Result<()> {
        let mut tx = self.write().await?;
        if keep {
            self.sql(
                "INSERT INTO position (consumer, epoch, sequence) VALUES (?, '', 0) ON CONFLICT (consumer) DO NOTHING",
            )
            .bind(CONSUMER)
            .execute(&mut tx)
            .await?;
        } else {
            self.sql("DELETE FROM position WHERE consumer = ?").bind(CONSUMER).execute(&mut tx).await?;
            self.sql("DELETE FROM order_event").execute(&mut tx).await?;
        }
        tx.commit().await
    }

    async fn order_events(&self, limit: u32) -> Result<Vec<OrderEvent>> {
        // Who changes an order holds its row until the commit, so its transitions become visible in their order.
        self.sql(
            "SELECT t.*, o.shop, o.reference, o.our_reference, o.company, o.customer, o.erp_number, \
             (SELECT COUNT(*) FROM transition n WHERE n.order_id = t.order_id AND n.position <= t.position) AS number \
             FROM order_event e JOIN transition t ON t.position = e.position JOIN orders o ON o.id = t.order_id \
             ORDER BY e.position LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&mut self.reader().await?)
        .await?
        .iter()
        .map(|row| {
            Ok(OrderEvent {
                position: row.get("position")?,
                order: row.get("order_id")?,
                shop: row.get("shop")?,
                reference: row.get("reference")?,
                our_reference: row.get("our_reference")?,
                company: row.get("company")?,
                customer: row.get("customer")?,
                erp_number: row.get("erp_number")?,
                number: rows::count(row, "number")?,
                transition: orders::transition(row)?,
            })
        })
        .collect()
    }

    async fn order_events_told(&self, lease: &Lease, positions: &[i64]) -> Result<()> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, lease).await?;
        let mut query = self.sql("DELETE FROM order_event WHERE ");
        query.push_in_integers("position", positions);
        query.execute(&mut tx).await?;
        tx.commit().await
    }
}

/// The statement by which the transition at a position is to be told, if transitions are.
pub(super) fn due(position: &str) -> String {
    format!(
        "INSERT INTO order_event (position) SELECT {position} \
         WHERE EXISTS (SELECT 1 FROM position WHERE consumer = '{CONSUMER}')"
    )
}
