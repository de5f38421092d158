//! Actions over HTTP: requests in steps, the search for what they made, and how a half-made thing is undone.
//!
//! What does not live here: when an action is tried again, and what follows from its outcome (`orders`).

use std::sync::Arc;

use super::answer::{Answer, Failure, at_path};
use super::client::Client;
use super::request::RequestPlan;
use crate::connector::outcome::{Created, Found};
use crate::connector::trail::Trail;
use crate::expression::{Context, Expression};
use crate::record::{Map, Value};

/// The variables of a step's request.
pub const NAMES: &[&str] = &["settings", "request", "reference", "made"];

/// The variables of what an answer gives.
pub const GIVEN: &[&str] = &["settings", "request", "reference", "made", "answer"];

/// An action of a manifest.
#[derive(Debug)]
pub struct ActionPlan {
    /// Its steps; the first that does not only read makes the thing.
    pub steps: Vec<Step>,
    /// The search for what they made.
    pub find: Find,
    /// The system's number, over `made`.
    pub number: Expression,
    /// How a thing is undone whose later steps the system refuses.
    pub undo: Vec<RequestPlan>,
}

/// A step.
#[derive(Debug)]
pub struct Step {
    /// What messages call it.
    pub name: String,
    /// Whether it only reads.
    pub reads: bool,
    /// Its request.
    pub request: RequestPlan,
    /// What its answer adds to what is made.
    pub gives: Vec<(String, Expression)>,
    /// Whether it was taken, over `made`.
    pub done: Option<Expression>,
}

/// The search for what an action made.
#[derive(Debug)]
pub struct Find {
    /// Its request.
    pub request: RequestPlan,
    /// The paths to what was found, of which the first that is there counts.
    pub records: Vec<Vec<String>>,
    /// What it adds to what is made, over the `answer`, of which each is one that was found.
    pub gives: Vec<(String, Expression)>,
    /// Whether it is ours, over `made`.
    pub ours: Option<Expression>,
}

/// One execution of an action.
pub struct Execution<'a> {
    plan: &'a ActionPlan,
    client: &'a Arc<Client>,
    request: Value,
    reference: Value,
    trail: Trail,
}

/// What a search came to.
enum Search {
    /// What was made, as far as the system tells.
    One(Map),
    None,
    Doubtful(String),
    Failed(Failure),
}

/// What going through the steps came to.
enum Walked {
    Done {
        number: String,
    },
    /// The system refuses, and nothing is left of it.
    Refused {
        reason: String,
    },
    /// The same, of what an earlier execution had made.
    Undone {
        reason: String,
    },
    /// Nothing was made.
    NotExecuted(Failure),
    Unknown {
        reason: String,
    },
}

impl<'a> Execution<'a> {
    /// An execution for a request under our reference, whose exchanges are noted in a trail.
    pub fn new(plan: &'a ActionPlan, client: &'a Arc<Client>, request: &Map, reference: &str, trail: &Trail) -> Self {
        let (request, reference) = (Value::Map(request.clone()), Value::Text(reference.to_owned()));
        Self { plan, client, request, reference, trail: trail.clone() }
    }

    /// Takes all steps.
    pub async fn create(&self) -> Created {
        match self.walk(Map::default(), 0).await {
            Walked::Done { number } => Created::Accepted { number },
            Walked::Refused { reason } => Created::Rejected { reason },
            Walked::Undone { reason } => Created::Undone { reason },
            Walked::Unknown { reason } => Created::Unknown { reason },
            Walked::NotExecuted(failure) => {
                let retry_after = match &failure {
                    Failure::Limited { after, .. } => *after,
                    _ => None,
                };
                let connection_down = is_down(&failure);
                Created::NotExecuted { reason: failure.to_string(), connection_down, retry_after }
            }
        }
    }

    /// Searches what was made, and takes the steps that are left.
    pub async fn find(&self) -> Found {
        let made = match self.search().await {
            Search::One(made) => made,
            Search::None => return Found::Missing { conclusive: false },
            Search::Doubtful(reason) => return Found::Doubtful { reason },
            Search::Failed(failure) => {
                return Found::Failed { connection_down: is_down(&failure), reason: failure.to_string() };
            }
        };
        match self.go_on(made).await {
            Walked::Done { number } => Found::Accepted { number },
            Walked::Refused { reason } | Walked::Undone { reason } => Found::Rejected { reason },
            Walked::NotExecuted(failure) => {
                Found::Failed { connection_down: is_down(&failure), reason: failure.to_string() }
            }
            Walked::Unknown { reason } => Found::Failed { reason, connection_down: false },
        }
    }

    /// Takes the steps that what was made has not taken.
    async fn go_on(&self, made: Map) -> Walked {
        for (at, step) in self.plan.steps.iter().enumerate() {
            let Some(done) = &step.done else { continue };
            match self.holds(done, &made) {
                Ok(true) => {}
                Ok(false) => return self.walk(made, at).await,
                Err(reason) => return Walked::Unknown { reason },
            }
        }
        self.walk(made, self.plan.steps.len()).await
    }

    /// Takes steps from one on.
    async fn walk(&self, mut made: Map, from: usize) -> Walked {
        let makes = self.plan.steps.iter().position(|step| !step.reads).unwrap_or(0);
        for (at, step) in self.plan.steps.iter().enumerate().skip(from) {
            let request = match self.fill(&step.request, &made) {
                Ok(request) => request,
                Err(reason) if at <= makes => return Walked::Refused { reason },
                Err(reason) => return Walked::Unknown { reason: format!("{}: {reason}", step.name) },
            };
            match self.client.send(&request).await {
                Ok(answer) if answer.duplicate && at == makes => {
                    return match self.search().await {
                        Search::One(made) => match Box::pin(self.go_on(made)).await {
                            Walked::Refused { reason } => Walked::Undone { reason },
                            walked => walked,
                        },
                        Search::None => Walked::Unknown {
                            reason: format!("{}: the system says that it has it, and does not find it", step.name),
                        },
                        Search::Doubtful(reason) => Walked::Unknown { reason },
                        Search::Failed(failure) => Walked::Unknown { reason: failure.to_string() },
                    };
                }
                Ok(answer) => {
                    if let Err(reason) = self.take(&step.gives, &answer.value(), &mut made) {
                        return Walked::Unknown { reason: format!("{}: {reason}", step.name) };
                    }
                }
                Err(Failure::Refused { reason, words }) => {
                    let said = words.unwrap_or(reason);
                    return if at <= makes { Walked::Refused { reason: said } } else { self.undo(&made, said).await };
                }
                Err(
                    failure @ (Failure::Unreachable(_)
                    | Failure::Limited { .. }
                    | Failure::Unauthorised(_)
                    | Failure::Forbidden(_)
                    | Failure::Fatal(_)),
                ) if at <= makes => return Walked::NotExecuted(failure),
                Err(failure) if at < makes => return Walked::NotExecuted(failure),
                Err(failure) => return Walked::Unknown { reason: format!("{}: {failure}", step.name) },
            }
        }
        match self.evaluate(&self.plan.number, &made, &Value::Null) {
            Ok(Value::Text(number)) if !number.is_empty() => Walked::Done { number },
            Ok(Value::Number(number)) => Walked::Done { number: number.to_string() },
            Ok(_) => Walked::Unknown { reason: format!("`{}` gives no number", self.plan.number.source()) },
            Err(reason) => Walked::Unknown { reason },
        }
    }

    /// Undoes what the first steps made, since the system refuses the next one.
    async fn undo(&self, made: &Map, said: String) -> Walked {
        for undo in &self.plan.undo {
            let undone = match self.fill(undo, made) {
                Ok(request) => self.client.send(&request).await.map_err(|failure| failure.to_string()),
                Err(reason) => Err(reason),
            };
            if let Err(reason) = undone {
                return Walked::Unknown { reason: format!("refused ({said}), and not undone yet: {reason}") };
            }
        }
        Walked::Refused { reason: said }
    }

    async fn search(&self) -> Search {
        let request = match self.fill(&self.plan.find.request, &Map::default()) {
            Ok(request) => request,
            Err(reason) => return Search::Failed(Failure::Fatal(reason)),
        };
        let answer = match self.client.send(&request).await {
            Ok(answer) => answer,
            Err(failure) => return Search::Failed(failure),
        };
        let mut found = match self.found(&answer) {
            Ok(found) => found,
            Err(reason) => return Search::Failed(Failure::Fatal(reason)),
        };
        let Some(one) = found.pop() else { return Search::None };
        if !found.is_empty() {
            let count = found.len() + 1;
            return Search::Doubtful(format!("{count} are there under our reference {}", self.told_reference()));
        }
        let mut made = Map::default();
        if let Err(reason) = self.take(&self.plan.find.gives, &one, &mut made) {
            return Search::Failed(Failure::Fatal(reason));
        }
        match self.plan.find.ours.as_ref().map(|ours| self.holds(ours, &made)) {
            None | Some(Ok(true)) => Search::One(made),
            Some(Ok(false)) => {
                Search::Doubtful(format!("what is under our reference {} is not ours", self.told_reference()))
            }
            Some(Err(reason)) => Search::Failed(Failure::Fatal(reason)),
        }
    }

    /// What a search's answer lists.
    fn found(&self, answer: &Answer) -> Result<Vec<Value>, String> {
        if answer.status.as_u16() == 204 {
            return Ok(Vec::new());
        }
        let Some(body) = answer.json() else {
            return Err("the search's answer is no JSON".to_owned());
        };
        let paths = &self.plan.find.records;
        let there = |path: &Vec<String>| at_path(&body, path).filter(|found| **found != Value::Null);
        let null = || paths.iter().find_map(|path| at_path(&body, path));
        match paths.iter().find_map(there).or_else(null) {
            Some(Value::List(items)) => Ok(items.clone()),
            Some(Value::Map(map)) if !map.is_empty() => Ok(vec![Value::Map(map.clone())]),
            Some(Value::Null | Value::Map(_)) => Ok(Vec::new()),
            // A form that was not expected is no proof that nothing is there.
            _ => Err(format!(
                "the search's answer has no list at '{}'",
                paths.iter().map(|path| path.join("/")).collect::<Vec<_>>().join("' or '")
            )),
        }
    }

    fn told_reference(&self) -> &str {
        match &self.reference {
            Value::Text(text) => text,
            _ => "",
        }
    }

    fn take(&self, gives: &[(String, Expression)], answer: &Value, made: &mut Map) -> Result<(), String> {
        for (name, expression) in gives {
            let value = self.evaluate(expression, made, answer)?;
            if !value.is_empty() {
                made.set(name, value);
            }
        }
        Ok(())
    }

    fn holds(&self, condition: &Expression, made: &Map) -> Result<bool, String> {
        self.with(made, &Value::Null, |context| condition.condition(context).map_err(|error| error.to_string()))
    }

    fn evaluate(&self, expression: &Expression, made: &Map, answer: &Value) -> Result<Value, String> {
        self.with(made, answer, |context| {
            expression.evaluate(context).map(crate::record::Seen::into_value).map_err(|error| error.to_string())
        })
    }

    fn fill(&self, plan: &RequestPlan, made: &Map) -> Result<super::request::Request, String> {
        let request = self.with(made, &Value::Null, |context| plan.fill(self.client.base(), context))?;
        Ok(super::request::Request { trail: Some(self.trail.clone()), ..request })
    }

    fn with<T>(&self, made: &Map, answer: &Value, then: impl FnOnce(&Context) -> T) -> T {
        let made = Value::Map(made.clone());
        let names = [
            ("settings", self.client.settings()),
            ("request", &self.request),
            ("reference", &self.reference),
            ("made", &made),
            ("answer", answer),
        ];
        let record = Map::default();
        then(&Context { record: (&record).into(), names: &names, zone: self.client.zone() })
    }
}

/// Whether a failure concerns the whole connection.
fn is_down(failure: &Failure) -> bool {
    matches!(failure, Failure::Unreachable(_) | Failure::Unauthorised(_) | Failure::Forbidden(_) | Failure::Fatal(_))
}
