//! Systems that are reached over HTTP, on a server that can do whatever systems do: answer well, late, wrongly or not at all.

mod actions;
mod auth;
mod limits;
mod meanings;
mod paging;
mod passes;
mod pulls;
mod requests;
mod server;
mod since;
mod system;
mod table;
mod weather;
