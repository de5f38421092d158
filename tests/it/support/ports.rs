//! Ports of this machine for servers that come and go.

use std::net::TcpListener;

/// A free port that no connection gets by itself while its server is away: below those that Linux gives out.
pub(crate) fn free() -> u16 {
    loop {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).unwrap();
        let port = 20_000 + u16::from_le_bytes(bytes) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
