//! Orders and their transitions.

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::{
    Advance, AttemptCount, Intaken, Lease, NewOrder, OrderCount, OrderFilter, OrderState, Orders, Result, Step,
    StoredOrder, Transition,
};
use super::lease::{self, clock};
use super::session::Session;
use super::statement::{Engine, Row, Sql};
use super::{SqlStore, calls, events, outbox, rows};

#[async_trait]
impl Orders for SqlStore {
    async fn accept(&self, new: &NewOrder) -> Result<Intaken> {
        let order = &new.order;
        let mut tx = self.write().await?;
        if insert(&mut tx, order).await? {
            for transition in &new.transitions {
                note(&mut tx, &order.id, transition).await?;
            }
            if new.publish {
                let due = order.not_before.unwrap_or(order.accepted_at);
                outbox::write(&mut tx, &order.id, order.generation, &order.connection, due).await?;
            }
            tx.commit().await?;
            return Ok(Intaken::New);
        }
        let by_reference = one(&mut tx, "shop = ? AND reference = ?", &[&order.shop, &order.reference]).await?;
        let by_key = match &order.idempotency_key {
            Some(key) => one(&mut tx, "shop = ? AND idempotency_key = ?", &[&order.shop, key]).await?,
            None => None,
        };
        tx.commit().await?;
        // Reference and key of two different orders belong to no order that was ever posted.
        let same_order = match (&by_reference, &by_key) {
            (Some(one), Some(other)) => one.id == other.id,
            _ => true,
        };
        let Some(found) = by_reference.or(by_key) else {
            let message = format!("neither stored nor there: {}", order.our_reference);
            return Err(rows::unreadable("order", &message));
        };
        let same = same_order && found.body_hash == order.body_hash;
        Ok(Intaken::Existing { order: Box::new(found), same })
    }

    async fn advance(&self, advance: &Advance) -> Result<Option<StoredOrder>> {
        self.change(advance, None).await
    }

    async fn claim(&self, advance: &Advance, lease: &Lease) -> Result<Option<StoredOrder>> {
        self.change(advance, Some(lease)).await
    }

    async fn abandoned(&self, own: Option<&Lease>, after: &str, limit: u32) -> Result<Vec<StoredOrder>> {
        let mut query = self.sql("SELECT * FROM orders WHERE state = 'sending' AND id > ");
        query
            .push_bind(after)
            .push(" AND (NOT EXISTS (SELECT 1 FROM lease WHERE name = orders.holder AND expires_at > ");
        query.push(clock(self.engine())).push(")");
        if let Some(own) = own {
            query.push(" OR holder = ").push_bind(own.name.as_str());
        }
        query.push(")");
        query.push(" ORDER BY id LIMIT ").push_bind(limit);
        query.fetch_all(&mut self.reader().await?).await?.iter().map(order).collect()
    }

    async fn postpone(
        &self,
        id: &str,
        state: OrderState,
        generation: i64,
        until: Timestamp,
        reason: &str,
    ) -> Result<Option<StoredOrder>> {
        let mut tx = self.write().await?;
        let row = self
            .sql(
                "UPDATE orders SET generation = generation + 1, postponed = postponed + 1, not_before = ?, reason = ? \
             WHERE id = ? AND state = ? AND generation = ? RETURNING *",
            )
            .bind(until.as_microsecond())
            .bind(reason)
            .bind(id)
            .bind(state.name())
            .bind(generation)
            .fetch_optional(&mut tx)
            .await?;
        let Some(order) = row.as_ref().map(order).transpose()? else { return Ok(None) };
        outbox::write(&mut tx, id, order.generation, &order.connection, until).await?;
        tx.commit().await?;
        Ok(Some(order))
    }

    async fn order(&self, id: &str) -> Result<Option<StoredOrder>> {
        one(&mut self.reader().await?, "id = ?", &[id]).await
    }

    async fn order_by_reference(&self, shop: &str, reference: &str) -> Result<Option<StoredOrder>> {
        one(&mut self.reader().await?, "shop = ? AND reference = ?", &[shop, reference]).await
    }

    async fn order_by_key(&self, shop: &str, key: &str) -> Result<Option<StoredOrder>> {
        one(&mut self.reader().await?, "shop = ? AND idempotency_key = ?", &[shop, key]).await
    }

    async fn order_by_our_reference(&self, reference: &str) -> Result<Option<StoredOrder>> {
        one(&mut self.reader().await?, "our_reference = ?", &[reference]).await
    }

    async fn orders_by_erp_number(&self, connection: &str, company: &str, number: &str) -> Result<Vec<StoredOrder>> {
        let condition = "connection = ? AND company = ? AND erp_number = ?";
        many(&mut self.reader().await?, condition, &[connection, company, number]).await
    }

    async fn orders(&self, filter: &OrderFilter) -> Result<Vec<StoredOrder>> {
        let mut query = self.sql("SELECT * FROM orders WHERE TRUE");
        for (column, value) in [
            ("shop =", &filter.shop),
            ("connection =", &filter.connection),
            ("customer =", &filter.customer),
            ("id <", &filter.before),
        ] {
            if let Some(value) = value {
                query.push(format_args!(" AND {column} ")).push_bind(value.clone());
            }
        }
        in_states(&mut query, &filter.states);
        if filter.overdue {
            query.push(" AND overdue");
        }
        if let Some(reason) = &filter.reason {
            let within = rows::within(self.engine(), "reason");
            query.push(" AND ").push(within).push_bind(reason.to_lowercase()).push(") > 0");
        }
        if let Some(from) = filter.changed_from {
            query.push(" AND changed_at >= ").push_bind(from.as_microsecond());
        }
        if let Some(before) = filter.changed_before {
            query.push(" AND changed_at < ").push_bind(before.as_microsecond());
        }
        if let Some(from) = filter.accepted_from {
            query.push(" AND accepted_at >= ").push_bind(from.as_microsecond());
        }
        if let Some(before) = filter.accepted_before {
            query.push(" AND accepted_at < ").push_bind(before.as_microsecond());
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(filter.limit);
        query.fetch_all(&mut self.reader().await?).await?.iter().map(order).collect()
    }

    async fn transitions(&self, id: &str) -> Result<Vec<Transition>> {
        self.sql("SELECT * FROM transition WHERE order_id = ? ORDER BY position")
            .bind(id)
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(transition)
            .collect()
    }

    async fn order_counts(&self) -> Result<Vec<OrderCount>> {
        self.sql(
            "SELECT connection, state, COUNT(*) AS orders, COUNT(*) FILTER (WHERE overdue) AS overdue, MIN(accepted_at) AS accepted_at, \
             MIN(submitted_at) AS submitted_at FROM orders GROUP BY connection, state ORDER BY connection, state",
        )
        .fetch_all(&mut self.reader().await?)
        .await?
        .iter()
        .map(|row| {
            Ok(OrderCount {
                connection: row.get("connection")?,
                state: state(&row.get::<String>("state")?)?,
                count: row.get::<i64>("orders")?.unsigned_abs(),
                overdue: row.get::<i64>("overdue")?.unsigned_abs(),
                oldest_accepted_at: rows::instant(row.get("accepted_at")?)?,
                oldest_submitted_at: instant(row, "submitted_at")?,
            })
        })
        .collect()
    }

    async fn pursued_since_before(
        &self,
        connection: &str,
        states: &[OrderState],
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<StoredOrder>> {
        let mut query = self.sql("SELECT * FROM orders WHERE connection = ");
        query.push_bind(connection.to_owned());
        in_states(&mut query, states);
        query.push(" AND pursued_since < ").push_bind(before.as_microsecond());
        query.push(" ORDER BY pursued_since, id LIMIT ").push_bind(limit);
        query.fetch_all(&mut self.reader().await?).await?.iter().map(order).collect()
    }

    async fn flag_overdue(&self, connection: &str, submitted_before: Timestamp) -> Result<Vec<StoredOrder>> {
        let mut tx = self.write().await?;
        let flagged = self
            .sql(
                "UPDATE orders SET overdue = TRUE WHERE connection = ? AND state = 'submitted' AND NOT overdue \
             AND submitted_at < ? RETURNING *",
            )
            .bind(connection)
            .bind(submitted_before.as_microsecond())
            .fetch_all(&mut tx)
            .await?
            .iter()
            .map(order)
            .collect::<Result<_>>()?;
        tx.commit().await?;
        Ok(flagged)
    }
}

impl SqlStore {
    /// The compare-and-set. A claim, which has a lease, asks that the order's `not_before` has come and that no person has
    /// told the connection's orders to wait.
    async fn change(&self, advance: &Advance, claim: Option<&Lease>) -> Result<Option<StoredOrder>> {
        let Some(last) = advance.steps.last() else { return Ok(None) };
        let previous = advance.steps.iter().rev().nth(1).map_or(advance.from, |step| step.to);
        let at = advance.at.as_microsecond();
        let attempts = match advance.attempts {
            AttemptCount::Keep => 0,
            AttemptCount::Take => 1,
            AttemptCount::GiveBack => -1,
        };
        let instant = |time: Option<Timestamp>| time.map(Timestamp::as_microsecond);
        let mut tx = self.write().await?;
        if let Some(lease) = claim {
            lease::check(&mut tx, lease).await?;
        }
        let row = self.sql(
            "UPDATE orders SET state = ?, holder = ?, previous = ?, generation = generation + 1, attempt = CASE WHEN attempt + ? > 0 THEN attempt + ? ELSE 0 END, \
             postponed = 0, not_before = ?, erp_number = COALESCE(?, erp_number), reason = ?, changed_at = ?, \
             pursued_since = COALESCE(?, pursued_since), submitted_at = COALESCE(?, submitted_at), overdue = FALSE \
             WHERE id = ? AND state = ? AND generation = ? AND (NOT ? OR ((not_before IS NULL OR not_before <= ?) \
             AND NOT EXISTS (SELECT 1 FROM pause WHERE connection = orders.connection))) \
             RETURNING *",
        )
        .bind(last.to.name())
        .bind(claim.map(|lease| lease.name.as_str()))
        .bind(previous.name())
        .bind(attempts)
        .bind(attempts)
        .bind(instant(advance.publish_at))
        .bind(&advance.erp_number)
        .bind(&advance.reason)
        .bind(at)
        .bind(instant(advance.pursued_since))
        .bind(instant(advance.submitted_at))
        .bind(&advance.id)
        .bind(advance.from.name())
        .bind(advance.generation)
        .bind(claim.is_some())
        .bind(at)
        .fetch_optional(&mut tx)
        .await?;
        let Some(order) = row.as_ref().map(order).transpose()? else { return Ok(None) };
        // An attempt that is given back is still the one that these transitions are about.
        let attempt = if advance.attempts == AttemptCount::GiveBack { order.attempt + 1 } else { order.attempt };
        let mut from = advance.from;
        for Step { to, cause } in &advance.steps {
            let transition = Transition {
                at: advance.at,
                from: Some(from),
                to: *to,
                cause: cause.clone(),
                attempt,
                who: advance.who.clone(),
            };
            note(&mut tx, &order.id, &transition).await?;
            from = *to;
        }
        calls::write(&mut tx, &order.id, &advance.calls).await?;
        match advance.publish_at {
            Some(due) => outbox::write(&mut tx, &order.id, order.generation, &order.connection, due).await?,
            None => outbox::remove(&mut tx, &order.id).await?,
        }
        tx.commit().await?;
        Ok(Some(order))
    }
}

fn in_states(query: &mut Sql, states: &[OrderState]) {
    if states.is_empty() {
        return;
    }
    let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
    query.push(" AND ").push_in("state", &names);
}

/// Stores an order; whether there was none with its reference or key.
async fn insert(tx: &mut Session<'_>, order: &StoredOrder) -> Result<bool> {
    let done = tx.sql(
        "INSERT INTO orders (id, shop, reference, our_reference, company, customer, connection, content, body_hash, \
         idempotency_key, state, previous, generation, attempt, postponed, not_before, erp_number, reason, accepted_at, \
         changed_at, pursued_since, submitted_at, overdue) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&order.id)
    .bind(&order.shop)
    .bind(&order.reference)
    .bind(&order.our_reference)
    .bind(&order.company)
    .bind(&order.customer)
    .bind(&order.connection)
    .bind(order.content.to_string())
    .bind(order.body_hash.to_vec())
    .bind(&order.idempotency_key)
    .bind(order.state.name())
    .bind(order.previous.map(OrderState::name))
    .bind(order.generation)
    .bind(order.attempt)
    .bind(order.postponed)
    .bind(order.not_before.map(Timestamp::as_microsecond))
    .bind(&order.erp_number)
    .bind(&order.reason)
    .bind(order.accepted_at.as_microsecond())
    .bind(order.changed_at.as_microsecond())
    .bind(order.pursued_since.as_microsecond())
    .bind(order.submitted_at.map(Timestamp::as_microsecond))
    .bind(order.overdue)
    .execute(tx)
    .await?;
    Ok(done == 1)
}

pub(super) fn transition(row: &Row) -> Result<Transition> {
    Ok(Transition {
        at: rows::instant(row.get("at")?)?,
        from: row.get::<Option<String>>("from_state")?.as_deref().map(state).transpose()?,
        to: state(&row.get::<String>("to_state")?)?,
        cause: row.get("cause")?,
        attempt: rows::count(row, "attempt")?,
        who: row.get("who")?,
    })
}

/// Notes a transition, and that it is to be told as an event where somebody tells them.
async fn note(tx: &mut Session<'_>, order: &str, transition: &Transition) -> Result<()> {
    const INSERT: &str =
        "INSERT INTO transition (order_id, at, from_state, to_state, cause, attempt, who) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let insert = match tx.engine() {
        Engine::Sqlite => INSERT.to_owned(),
        Engine::Postgres => {
            format!("WITH noted AS ({INSERT} RETURNING position) {}", events::due("position FROM noted"))
        }
    };
    tx.sql(&insert)
        .bind(order)
        .bind(transition.at.as_microsecond())
        .bind(transition.from.map(OrderState::name))
        .bind(transition.to.name())
        .bind(&transition.cause)
        .bind(transition.attempt)
        .bind(&transition.who)
        .execute(tx)
        .await?;
    if tx.engine() == Engine::Sqlite {
        tx.sql(&events::due("last_insert_rowid()")).execute(tx).await?;
    }
    Ok(())
}

async fn one(connection: &mut Session<'_>, condition: &str, values: &[&str]) -> Result<Option<StoredOrder>> {
    Ok(many(connection, condition, values).await?.into_iter().next())
}

/// Orders that meet a condition, which is text of this file alone.
async fn many(connection: &mut Session<'_>, condition: &str, values: &[&str]) -> Result<Vec<StoredOrder>> {
    let mut query = connection.sql(&format!("SELECT * FROM orders WHERE {condition}"));
    for value in values {
        query = query.bind(*value);
    }
    query.fetch_all(connection).await?.iter().map(order).collect()
}

fn state(name: &str) -> Result<OrderState> {
    OrderState::from_name(name).ok_or_else(|| rows::unreadable("order state", &name))
}

fn instant(row: &Row, column: &str) -> Result<Option<Timestamp>> {
    row.get::<Option<i64>>(column)?.map(rows::instant).transpose()
}

fn order(row: &Row) -> Result<StoredOrder> {
    Ok(StoredOrder {
        id: row.get("id")?,
        shop: row.get("shop")?,
        reference: row.get("reference")?,
        our_reference: row.get("our_reference")?,
        company: row.get("company")?,
        customer: row.get("customer")?,
        connection: row.get("connection")?,
        content: rows::json(&row.get::<String>("content")?)?,
        body_hash: rows::hash(&row.get::<Vec<u8>>("body_hash")?)?,
        idempotency_key: row.get("idempotency_key")?,
        state: state(&row.get::<String>("state")?)?,
        previous: row.get::<Option<String>>("previous")?.as_deref().map(state).transpose()?,
        generation: row.get("generation")?,
        attempt: rows::count(row, "attempt")?,
        postponed: rows::count(row, "postponed")?,
        not_before: instant(row, "not_before")?,
        erp_number: row.get("erp_number")?,
        reason: row.get("reason")?,
        accepted_at: rows::instant(row.get("accepted_at")?)?,
        changed_at: rows::instant(row.get("changed_at")?)?,
        pursued_since: rows::instant(row.get("pursued_since")?)?,
        submitted_at: instant(row, "submitted_at")?,
        overdue: row.get("overdue")?,
    })
}
