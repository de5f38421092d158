//! What is not tried any more until a person takes it up, and connections that a person has told to wait. What people do
//! about either leaves a trace: who, when and why.

use jiff::Timestamp;
use serde::Serialize;

use super::desk::{Actor, Desk, DeskError};
use crate::store::{
    DeadLetter, OrderFilter, OrderState, PausedConnection, Settled, SettledLetter, Settlement, StoredOrder,
};

/// Dead letters read by one query.
const PAGE: u32 = 200;

/// Something that is not tried any more until a person takes it up: an order that was given up, or a message that
/// could not be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dead {
    /// The order's identifier, or the dead letter's.
    pub id: String,
    /// The connection.
    pub connection: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// The order, where it was given up.
    pub order: Option<StoredOrder>,
    /// The message, where it could not be read; bytes that are no UTF-8 are escaped.
    pub message: Option<String>,
    /// What a person did about the message, where one did.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
}

/// Which of them to show.
#[derive(Debug, Clone, Default)]
pub struct DeadFilter {
    /// For one connection.
    pub connection: Option<String>,
    /// Only those whose reason contains this text, whatever the case of its letters.
    pub reason: Option<String>,
    /// Only those that are so since this instant or later.
    pub since: Option<Timestamp>,
    /// Only those that are so since before this instant.
    pub until: Option<Timestamp>,
    /// Whether messages that a person retried or dropped are shown too.
    pub settled: bool,
    /// At most so many orders, so many messages, and so many that were settled.
    pub limit: u32,
}

impl DeadFilter {
    fn has(&self, letter: &DeadLetter) -> bool {
        self.connection.as_ref().is_none_or(|connection| *connection == letter.connection)
            && self.reason.as_ref().is_none_or(|reason| letter.reason.to_lowercase().contains(&reason.to_lowercase()))
            && self.since.is_none_or(|since| letter.at >= since)
            && self.until.is_none_or(|until| letter.at < until)
    }
}

impl Desk {
    /// What is not tried any more: orders that were given up, the newest first, and messages that could not be read.
    pub async fn dead(&self, wanted: &DeadFilter) -> Result<Vec<Dead>, DeskError> {
        let filter = OrderFilter {
            states: vec![OrderState::Dead],
            connection: wanted.connection.clone(),
            reason: wanted.reason.clone(),
            changed_from: wanted.since,
            changed_before: wanted.until,
            limit: wanted.limit,
            ..OrderFilter::default()
        };
        let mut dead: Vec<Dead> = self.store.orders(&filter).await?.into_iter().map(given_up).collect();
        let most = dead.len() + wanted.limit as usize;
        let mut after: Option<String> = None;
        loop {
            let page = self.store.dead_letters(after.as_deref(), PAGE).await?;
            after = page.last().map(|letter| letter.id.clone());
            let full = page.len() == PAGE as usize;
            dead.extend(page.into_iter().filter(|letter| wanted.has(letter)).map(unreadable));
            if !full || dead.len() >= most {
                break;
            }
        }
        dead.truncate(most);
        if wanted.settled {
            let settled = self.store.settled_letters(wanted.limit).await?;
            dead.extend(settled.into_iter().filter(|one| wanted.has(&one.letter)).map(|one| {
                let SettledLetter { letter, settled } = one;
                Dead { settled: Some(settled), ..unreadable(letter) }
            }));
        }
        Ok(dead)
    }

    /// One of them, by its identifier.
    pub async fn show_dead(&self, id: &str) -> Result<Dead, DeskError> {
        if let Some(letter) = self.store.dead_letter(id).await? {
            return Ok(unreadable(letter));
        }
        match self.store.order(id).await? {
            Some(order) if order.state == OrderState::Dead => Ok(given_up(order)),
            _ => Err(DeskError::NoLetter(id.to_owned())),
        }
    }

    /// Takes it up again: a dead order as [`Self::retry`] does, a message that could not be read by publishing it once
    /// more.
    pub async fn retry_dead(&self, id: &str, actor: &Actor) -> Result<(), DeskError> {
        let dead = self.show_dead(id).await?;
        match dead.order {
            Some(order) => self.retry(&order.id, actor).await.map(|_| ()),
            None if dead.connection.is_empty() => Err(DeskError::NotAgain(dead.id)),
            None => self.settle(id, Settlement::Retried, None, actor).await,
        }
    }

    /// Drops it, with why: a dead order is cancelled, a message that could not be read is left alone from then on.
    pub async fn drop_dead(&self, id: &str, why: &str, actor: &Actor) -> Result<(), DeskError> {
        let why = Some(why.trim()).filter(|why| !why.is_empty()).ok_or(DeskError::NoReason)?;
        match self.show_dead(id).await?.order {
            Some(order) => self.call_off(&order.id, Some(why), actor).await.map(|_| ()),
            None => self.settle(id, Settlement::Dropped, Some(why), actor).await,
        }
    }

    async fn settle(&self, id: &str, how: Settlement, why: Option<&str>, actor: &Actor) -> Result<(), DeskError> {
        let settled = Settled { how, at: self.clock.now(), who: actor.to_string(), why: why.map(str::to_owned) };
        if !self.store.settle_dead_letter(id, &settled).await? {
            return Err(DeskError::NoLetter(id.to_owned()));
        }
        tracing::info!(letter = id, who = settled.who, why, "a dead letter is {}", how.name());
        self.wake.orders_changed();
        Ok(())
    }

    /// Has a connection's orders wait, at every process that sends orders: they are accepted, and none is sent.
    pub async fn pause(&self, connection: &str, why: &str, actor: &Actor) -> Result<PausedConnection, DeskError> {
        let why = Some(why.trim()).filter(|why| !why.is_empty()).ok_or(DeskError::NoReason)?;
        let pause = PausedConnection {
            connection: connection.to_owned(),
            since: self.clock.now(),
            who: actor.to_string(),
            reason: why.to_owned(),
        };
        self.store.pause(&pause).await?;
        tracing::warn!(connection, who = pause.who, reason = pause.reason, "the connection is told to wait");
        Ok(pause)
    }

    /// Lets a connection's orders go on. False where they did not wait.
    pub async fn resume(&self, connection: &str, actor: &Actor) -> Result<bool, DeskError> {
        let resumed = self.store.resume(connection).await?;
        if resumed {
            tracing::info!(connection, who = %actor, "the connection is told to go on");
        }
        Ok(resumed)
    }
}

fn given_up(order: StoredOrder) -> Dead {
    Dead {
        id: order.id.clone(),
        connection: order.connection.clone(),
        reason: order.reason.clone().unwrap_or_default(),
        at: order.changed_at,
        message: None,
        order: Some(order),
        settled: None,
    }
}

fn unreadable(letter: DeadLetter) -> Dead {
    Dead {
        id: letter.id,
        connection: letter.connection,
        reason: letter.reason,
        at: letter.at,
        order: None,
        message: Some(letter.bytes.escape_ascii().to_string()),
        settled: None,
    }
}
