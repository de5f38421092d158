//! What tests of several files stand on: stores of both engines, servers and real systems of their own, and generated
//! exports.

pub(crate) mod amqp;
pub(crate) mod broker;
pub(crate) mod export;
pub(crate) mod gate;
pub(crate) mod log;
pub(crate) mod mappings;
pub(crate) mod peers;
pub(crate) mod ports;
pub(crate) mod postgres;
pub(crate) mod store;
pub(crate) mod wire;

/// Runs checks against both engines: each takes the [`store::Engine`] and opens what it needs of it. Their tasks take
/// turns, or with `in threads` run at the same time.
macro_rules! conformance {
    (in threads: $($check:ident),+ $(,)?) => {
        $crate::support::conformance!(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] $($check),+);
    };
    ($($check:ident),+ $(,)?) => {
        $crate::support::conformance!(#[tokio::test] $($check),+);
    };
    (#[$test:meta] $($check:ident),+) => {
        mod sqlite {
            $crate::support::conformance!(@ Sqlite, #[$test] $($check),+);
        }
        mod postgres {
            $crate::support::conformance!(@ Postgres, #[$test] $($check),+);
        }
    };
    (@ $engine:ident, #[$test:meta] $($check:ident),+) => {
        $(
            #[$test]
            async fn $check() {
                let engine = $crate::support::store::Engine::$engine;
                if !engine.is_left_out() {
                    super::$check(engine).await;
                }
            }
        )+
    };
}

pub(crate) use conformance;

use std::path::Path;

/// The beginning of an HTTP client.
pub(crate) fn http() -> reqwest::ClientBuilder {
    tradebridge::install_crypto();
    reqwest::Client::builder().timeout(crate::daemon::PATIENCE)
}

/// Writes files below a directory, with the directories that they are in.
pub(crate) fn write_files(directory: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
