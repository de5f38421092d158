//! Orders of which nobody can tell whether the ERP has them: searched, and handed over again only where that is proven to
//! be harmless.

use jiff::Timestamp;

use super::worker::{Line, Worker};
use crate::connector::{CreateClass, Found};
use crate::orders::context::Stopped;
use crate::orders::state::Event;
use crate::orders::target::Target;
use crate::queue::clock::after;
use crate::store::{OrderState, StoredOrder};

impl Worker {
    /// The ERP refuses a repeated create. Its words may be about the repeat alone: an earlier attempt that took effect
    /// can use up the credit or the stock that the repeat lacks.
    pub(super) async fn refused_in_doubt(
        &mut self,
        order: &StoredOrder,
        came_from: Option<OrderState>,
        target: &Target,
        refusal: &str,
    ) -> Result<Line, Stopped> {
        let now = self.context.clock.now();
        match self.find(order, target).await {
            Found::Accepted { number } => {
                let cause = format!("the ERP has it under {number}, from an earlier attempt");
                self.commit(order, &[(Event::Accepted, &cause)], |a| a.erp_number = Some(number.clone())).await?;
            }
            Found::Submitted => {
                let cause = "handed over by an earlier attempt";
                self.commit(order, &[(Event::Submitted, cause)], |a| a.submitted_at = Some(now)).await?;
            }
            Found::Doubtful { reason } => {
                self.commit(order, &[(Event::Doubt, refusal), (Event::Review, &reason)], |a| {
                    a.reason = Some(reason.clone());
                })
                .await?;
            }
            Found::Rejected { reason } => {
                self.commit(order, &[(Event::Rejected, &reason)], |a| a.reason = Some(reason.clone())).await?;
            }
            // A person has looked, or the ERP had refused it before: no earlier attempt is left to take effect.
            Found::Missing { .. } if matches!(came_from, Some(OrderState::NeedsReview | OrderState::Rejected)) => {
                self.commit(order, &[(Event::Rejected, refusal)], |a| a.reason = Some(refusal.to_owned())).await?;
            }
            Found::Missing { .. } => {
                let reason = format!(
                    "the ERP refuses the repeated attempt ({refusal}), but an earlier one got no answer and may still \
                     take effect; look in the ERP, then cancel the order, retry or resolve it"
                );
                self.commit(order, &[(Event::Doubt, refusal), (Event::Review, &reason)], |a| {
                    a.reason = Some(reason.clone());
                })
                .await?;
            }
            Found::Failed { reason, connection_down } => {
                let why =
                    format!("refused ({refusal}), and whether an earlier attempt took effect is not known: {reason}");
                let next = target.policy().next(now, order.attempt);
                self.commit(order, &[(Event::Doubt, &why)], |a| {
                    a.reason = Some(why.clone());
                    a.publish_at = Some(next);
                })
                .await?;
                if connection_down {
                    return Ok(Line::Down(reason));
                }
            }
        }
        Ok(Line::Up)
    }

    /// Finds out what became of an order's attempts, and hands it over again only where its class allows.
    pub(super) async fn clarify(
        &mut self,
        order: &StoredOrder,
        target: &Target,
        class: CreateClass,
    ) -> Result<Line, Stopped> {
        let found = self.find(order, target).await;
        let now = self.context.clock.now();
        let answered = order.previous == Some(OrderState::Rejected);
        match found {
            Found::Accepted { number } => {
                let cause = format!("found in the ERP under {number}");
                self.commit(order, &[(Event::Accepted, &cause)], |a| a.erp_number = Some(number.clone())).await?;
            }
            Found::Rejected { reason } => {
                self.commit(order, &[(Event::Rejected, &reason)], |a| a.reason = Some(reason.clone())).await?;
            }
            // What the ERP has answered with a rejection was handed over, of course; a person wants it sent again.
            Found::Submitted if answered => return self.attempt(order, target, false).await,
            Found::Submitted => {
                self.commit(order, &[(Event::Submitted, "found as handed over")], |a| a.submitted_at = Some(now))
                    .await?;
            }
            Found::Doubtful { reason } => self.review(order, &reason).await?,
            Found::Failed { reason, connection_down } => {
                // Searches that fail are no attempts, but their waits grow like those of attempts.
                let next = target.policy().next(now, order.attempt.max(1).saturating_add(order.postponed));
                self.postpone(order, next, &format!("searching it in the ERP failed: {reason}")).await?;
                if connection_down {
                    return Ok(Line::Down(reason));
                }
            }
            Found::Missing { conclusive } => return self.missing(order, target, class, conclusive, now).await,
        }
        Ok(Line::Up)
    }

    /// The ERP does not show the order.
    async fn missing(
        &mut self,
        order: &StoredOrder,
        target: &Target,
        class: CreateClass,
        conclusive: bool,
        now: Timestamp,
    ) -> Result<Line, Stopped> {
        match (order.previous, class) {
            (Some(OrderState::Held), _) => {
                let reason = "it was held when the store was backed up, and the ERP does not show it; retry it to send \
                              it, or cancel it";
                self.review(order, reason).await?;
            }
            // It was handed over before the backup was made, and nothing undoes that.
            (Some(OrderState::Submitted), _) => {
                let submitted = order.submitted_at.unwrap_or(now);
                let cause = "handed over before the backup was made; the answer is still to come";
                self.commit(order, &[(Event::Submitted, cause)], |a| a.submitted_at = Some(submitted)).await?;
            }
            (_, CreateClass::Bounded { settle }) if now < after(order.changed_at, settle) => {
                let reason = "the ERP does not show it yet; it may still until the connector's `settle` has passed";
                self.postpone(order, after(order.changed_at, settle), reason).await?;
            }
            (_, CreateClass::Bounded { .. }) => return self.attempt(order, target, false).await,
            // A person has looked, or the ERP has refused it: that is the proof that the search cannot give.
            (Some(OrderState::NeedsReview | OrderState::Rejected), _) => {
                return self.attempt(order, target, false).await;
            }
            _ if conclusive => return self.attempt(order, target, false).await,
            _ => {
                let reason = "the ERP does not show it, which proves nothing: an attempt may still take effect; look in \
                              the ERP, then `orders resolve --as-created NUMBER` or `orders retry`";
                self.review(order, reason).await?;
            }
        }
        Ok(Line::Up)
    }

    async fn review(&mut self, order: &StoredOrder, reason: &str) -> Result<(), Stopped> {
        self.commit(order, &[(Event::Review, reason)], |a| a.reason = Some(reason.to_owned())).await
    }
}
