//! `tradebridge run`: the daemon.

use clap::{Args, ValueEnum};

use super::output::{Exit, Failure};
use super::{Answered, Context};
use crate::daemon::{self, OpenError, Roles, RunError};
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// What this daemon does, where several share a store and a broker; several roles are separated by commas. Health,
    /// metrics and the routes for operators are served whatever the roles [default: sync,orders,api]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROLE")]
    role: Vec<Role>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Pulls when pulls are due.
    Sync,
    /// Sends orders.
    Orders,
    /// Answers shops.
    Api,
}

pub(super) async fn run(arguments: &RunArguments, context: &Context) -> Answered {
    let config = context.load()?;
    telemetry::log::begin(&config.log).map_err(|error| Failure::Usage(error.to_string()))?;
    match daemon::run(config, roles(&arguments.role)).await {
        Ok(()) => Ok(Exit::Done),
        Err(RunError::Open(OpenError::Files(problems))) => Err(Failure::Problems(problems)),
        Err(error @ RunError::Roles(_)) => Err(Failure::Usage(error.to_string())),
        Err(error) => Err(Failure::failed(error.to_string())),
    }
}

fn roles(given: &[Role]) -> Roles {
    if given.is_empty() {
        return Roles::ALL;
    }
    given.iter().fold(Roles::NONE, |roles, role| match role {
        Role::Sync => Roles { sync: true, ..roles },
        Role::Orders => Roles { orders: true, ..roles },
        Role::Api => Roles { api: true, ..roles },
    })
}
