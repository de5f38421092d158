//! `tradebridge openapi`: the description of the HTTP API.

use super::output::{Exit, print};
use crate::api;

pub(super) fn run() -> Exit {
    print(&format!("{:#}", api::openapi()));
    Exit::Done
}
