//! The body of an operator's request: JSON that is judged by the schema of its type, every fault at once.

use axum::extract::{FromRequest, Request};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::api::body;
use crate::api::problem::{self, Fault, Problem};
use crate::api::state::ApiState;
use crate::config::schema;

/// A body that is as its type says.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + JsonSchema> FromRequest<ApiState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Self::Rejection> {
        let value = body::json(request, state).await?;
        let fault = |pointer, detail| Fault { pointer: Some(pointer), parameter: None, detail };
        let faults: Vec<Fault> = schema::check(&schema::of::<T>(), &value)
            .into_iter()
            .map(|violation| {
                let hint = violation.hint.map_or_else(String::new, |hint| format!("; {hint}"));
                fault(violation.path.pointer(), format!("{}{hint}", violation.message))
            })
            .collect();
        if faults.is_empty() {
            return serde_json::from_value(value).map(Self).map_err(|error| {
                Problem::new(problem::INVALID_CONTENT, format!("the body is not acceptable: {error}"))
            });
        }
        let count = faults.len();
        let detail = if count == 1 {
            "one thing is wrong with the body".to_owned()
        } else {
            format!("{count} things are wrong with the body")
        };
        Err(Problem::new(problem::INVALID_CONTENT, detail).with_errors(faults))
    }
}
