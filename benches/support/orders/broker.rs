//! A virtual host of a RabbitMQ broker: the one that `TRADEBRIDGE_TEST_RABBITMQ` names, with its management on the next
//! loopback address, or one that is started for the benchmark.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use tempfile::TempDir;

use super::super::{Outcome, data};

/// The variable that names a broker, as `127.0.0.1:5672`.
const NAMED: &str = "TRADEBRIDGE_TEST_RABBITMQ";

/// How long a broker may take to start.
const PATIENCE: Duration = Duration::from_mins(2);

/// What stands where a broker could be: nobody answers there.
pub const AWAY: &str = "amqp://guest@127.0.0.1:1/";

/// A virtual host.
pub struct Broker {
    /// Where AMQP is spoken.
    pub address: String,
    /// Its name.
    pub vhost: String,
    http: reqwest::Client,
    process: Option<(Child, TempDir)>,
}

impl Broker {
    /// Makes an empty virtual host; an error says that there is no broker.
    pub async fn start() -> Outcome<Self> {
        tradebridge::install_crypto();
        let (address, process) = match std::env::var(NAMED) {
            Ok(address) if !address.is_empty() => (address, None),
            _ => own()?,
        };
        let vhost = format!("bench-{}", std::process::id());
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let mut broker = Self { address, vhost, http, process };
        let until = Instant::now() + PATIENCE;
        while let Err(error) = broker.ask(Method::PUT).await {
            let ended = match &mut broker.process {
                Some((child, _)) => child.try_wait()?.is_some(),
                None => true,
            };
            if ended || Instant::now() > until {
                return Err(format!("no broker at {}: {error}; set {NAMED} to one", broker.address).into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(broker)
    }

    /// Its address, as a configuration has it, for the user `guest` with the password `guest`.
    pub fn url(&self) -> String {
        format!("amqp://guest@{}/{}", self.address, self.vhost)
    }

    /// Removes the virtual host with all that is in it.
    pub async fn remove(mut self) -> Outcome<()> {
        self.ask(Method::DELETE).await?;
        if let Some((mut child, directory)) = self.process.take() {
            // The script ends the broker when its input ends.
            drop(child.stdin.take());
            child.wait()?;
            directory.close()?;
        }
        Ok(())
    }

    async fn ask(&self, method: Method) -> Outcome<()> {
        let port = self.address.rsplit(':').next().unwrap_or_default();
        let url = format!("http://127.0.0.2:{port}/api/vhosts/{}", self.vhost);
        self.http.request(method, url).basic_auth("guest", Some("guest")).send().await?.error_for_status()?;
        Ok(())
    }
}

/// A broker of one's own: where it will answer.
fn own() -> Outcome<(String, Option<(Child, TempDir)>)> {
    std::fs::create_dir_all(data::directory())?;
    let directory = tempfile::Builder::new().prefix("broker-").tempdir_in(data::directory())?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/rabbitmq/start");
    let child = Command::new(script)
        .arg(directory.path())
        .arg(port.to_string())
        .env("PEER_UNTIL_EOF", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((format!("127.0.0.1:{port}"), Some((child, directory))))
}
