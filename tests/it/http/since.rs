//! What changed since an instant or a day, as a command.

use serde_json::{Value as Json, json};

use super::table::{BY_KEY, BY_OFFSET, Bridge};
use crate::daemon::program;
use crate::support::store::Engine;

/// A table behind an API that is pulled by the program itself.
struct Commands {
    bridge: Bridge,
}

impl Commands {
    async fn new(paging: &str) -> Self {
        let bridge = Bridge::new(Engine::Sqlite, paging).await;
        let at = bridge.directory.path().display();
        let text = format!("{}[store]\nurl = 'sqlite://{at}/own.db'\n", bridge.configuration("floor = 20", ""));
        std::fs::write(bridge.directory.path().join("tradebridge.toml"), text).unwrap();
        Self { bridge }
    }

    /// What `sync erp customer` with these arguments exits with and says.
    async fn sync(&self, arguments: &[&str]) -> (Option<i32>, Json) {
        let mut command = program();
        command.arg("--config").arg(self.bridge.directory.path().join("tradebridge.toml"));
        command.args(["--output", "json", "sync", "erp", "customer"]).args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| json!(said)))
    }

    /// The `since` of the first request that a command makes, and what it says.
    async fn asks(&self, arguments: &[&str]) -> (Option<String>, Json) {
        let before = self.bridge.server.asked().len();
        let (code, said) = self.sync(arguments).await;
        assert_eq!(code, Some(0), "{said}");
        (self.bridge.asked(before).remove(0).0, said)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_since_then_is_read_and_the_next_pull_asks_as_ever() {
    let commands = Commands::new(BY_KEY).await;
    commands.bridge.fill(5, "Old");
    commands.asks(&[]).await;
    commands.bridge.fill(5, "New");
    let (since, said) = commands.asks(&["--since", "2026-01-01T03:00:00Z"]).await;
    assert_eq!(since.as_deref(), Some("2026-01-01T02:59:00Z"), "a while before it, as every pull");
    assert_eq!((&said[0]["run"]["counts"]["updated"], &said[0]["run"]["complete"]), (&json!(3), &json!(false)));
    // A day begins when it does in Amsterdam.
    assert_eq!(commands.asks(&["--since", "2025-12-24"]).await.0.as_deref(), Some("2025-12-23T22:59:00Z"));
    let (since, _) = commands.asks(&["--since", "2026-01-02", "--dry-run"]).await;
    assert_eq!(since.as_deref(), Some("2026-01-01T22:59:00Z"));
    assert_eq!(commands.asks(&[]).await.0.as_deref(), Some("2026-01-01T04:59:00Z"), "from where it was read to");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_so_is_refused() {
    let commands = Commands::new(BY_OFFSET).await;
    let says = async |arguments: &[&str], code: i32, text: &str| {
        let (exit, said) = commands.sync(arguments).await;
        assert!(exit == Some(code) && said.to_string().contains(text), "{exit:?}: {said}");
    };
    says(&["--since", "yesterday"], 2, "no instant like").await;
    says(&["--since", "2026-01-01", "--full"], 2, "cannot be used with").await;
    commands.bridge.rewrite("as = \"instant\", look_back = \"1m\"", "as = \"version\"");
    says(&["--since", "2026-01-01"], 1, "its `cursor` is a row version").await;
    commands.bridge.rewrite("cursor = {", "#");
    commands.bridge.rewrite("since = \"${cursor}\", ", "");
    says(&["--since", "2026-01-01"], 1, "it has no `cursor`").await;
    assert!(commands.bridge.server.asked().is_empty());
}
