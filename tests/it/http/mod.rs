//! Systems that are reached over HTTP, on a server that can do whatever systems do: answer well, late, wrongly or not at all.

mod actions;
mod auth;
mod authority;
mod clients;
mod consent;
mod exchanges;
mod generic;
mod limits;
mod meanings;
mod paging;
mod passes;
mod probe;
mod process;
mod pulls;
mod recording;
mod requests;
mod server;
mod shared_limits;
mod since;
mod system;
mod table;
mod tls;
mod weather;
