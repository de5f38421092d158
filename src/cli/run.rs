//! `tradebridge run`: the daemon.

use super::output::{Exit, Failure};
use super::{Answered, Context};
use crate::daemon::{self, OpenError, RunError};
use crate::telemetry;

pub(super) async fn run(context: &Context) -> Answered {
    let config = context.load()?;
    telemetry::log::begin(&config.log).map_err(|error| Failure::Usage(error.to_string()))?;
    match daemon::run(config).await {
        Ok(()) => Ok(Exit::Done),
        Err(RunError::Open(OpenError::Files(problems))) => Err(Failure::Problems(problems)),
        Err(error) => Err(Failure::failed(error.to_string())),
    }
}
