//! What one daemon of several does.

use crate::config::{Config, QueueUrl};

/// What a daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// It pulls when pulls are due, and turns days of validity.
    pub sync: bool,
    /// It sends orders, and takes in what the ERP answers.
    pub orders: bool,
    /// It answers shops.
    pub api: bool,
}

impl Roles {
    /// Everything.
    pub const ALL: Self = Self { sync: true, orders: true, api: true };

    /// Nothing yet.
    pub const NONE: Self = Self { sync: false, orders: false, api: false };

    /// Whether the systems behind connections are asked by it.
    pub(super) fn ask_systems(self) -> bool {
        self.sync || self.orders
    }

    /// Whether a configuration lets daemons share the roles.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(super) fn check(self, config: &Config) -> Result<(), String> {
        if self == Self::ALL {
            return Ok(());
        }
        let one = if config.store.url.sqlite_path().is_some() {
            "a SQLite store belongs to one process"
        } else if config.queue.url == QueueUrl::Embedded {
            "the embedded queue is inside one process"
        } else {
            return Ok(());
        };
        Err(format!(
            "{one}, which has all roles: leave out --role, or set [store] url to a PostgreSQL database and [queue] url to a \
             RabbitMQ broker"
        ))
    }
}

impl std::fmt::Display for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [(self.sync, "sync"), (self.orders, "orders"), (self.api, "api")];
        let names: Vec<&str> = names.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        f.write_str(&names.join(","))
    }
}
