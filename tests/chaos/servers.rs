//! PostgreSQL and the broker, and what can be done to them.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::Method;

use super::daemon::PATIENCE;
use super::support::broker::Vhost;
use super::support::peers::{Peer, System};
use super::support::postgres::Server;

/// A PostgreSQL server.
pub(crate) struct Postgres {
    server: Server,
    /// Whoever starts it again has its turn.
    starting: Mutex<()>,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        Self { server: Server::start(), starting: Mutex::default() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port()
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Kills each process of the server with the signal KILL, and waits until they are gone.
    pub(crate) fn kill(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            // One that is just being begun is seen the next time.
            let all = self.processes();
            if all.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "PostgreSQL does not die: {all:?}");
            for process in all {
                signal(process, "KILL");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // A corpse that is not buried yet counts as a server that runs. There may be none.
        let _ = std::fs::remove_file(self.server.data().join("postmaster.pid"));
    }

    /// Starts the server again, unless it runs.
    pub(crate) fn see_that_it_runs(&self) {
        let _turn = self.starting.lock().unwrap();
        let file = std::fs::read_to_string(self.server.data().join("postmaster.pid")).unwrap_or_default();
        let first = file.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
        if !first.is_some_and(|server| self.processes().contains(&server)) {
            // What a server that broke off has left holds its memory.
            self.kill();
            self.server.begin();
        }
    }

    /// From now on no file grows beyond so many bytes: to the server that is a disk without room. Without a number there is
    /// room again.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        for process in self.processes() {
            // It may have ended; what comes after has the server's own limit. The soft limit alone can be raised again.
            let _ = Command::new("prlimit")
                .args(["--pid", &process.to_string(), &format!("--fsize={limit}:")])
                .stderr(Stdio::null())
                .status();
        }
    }

    /// The processes of the server, which all work in its directory.
    fn processes(&self) -> Vec<u32> {
        let data = self.server.data();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        // A corpse has no directory.
        numbers
            .filter(|process| std::fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|at| at == data))
            .collect()
    }
}

fn signal(process: u32, signal: &str) {
    // It may have ended already.
    let _ = Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).stderr(Stdio::null()).status();
}

/// A broker, and the virtual host that is used.
pub(crate) struct Broker {
    vhost: Vhost,
    directory: PathBuf,
    pub port: u16,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let peer = tokio::task::spawn_blocking(|| Peer::own(System::RabbitMq)).await.unwrap();
        let (port, directory) = (peer.port(), peer.directory().to_owned());
        Self { vhost: Vhost::on(peer).await, directory, port }
    }

    /// The name of the virtual host.
    pub(crate) fn vhost(&self) -> String {
        self.vhost.url().rsplit('/').next().unwrap_or_default().to_owned()
    }

    pub(crate) fn kill(&mut self) {
        self.vhost.peer().kill();
    }

    pub(crate) fn restart(&mut self) {
        self.vhost.peer().restart();
    }

    /// Empties a queue, or removes it; a broker that is down is left alone.
    pub(crate) async fn empty(&self, queue: &str, remove: bool) {
        let contents = if remove { "" } else { "/contents" };
        let path = format!("queues/{}/{queue}{contents}", self.vhost());
        if let Err(error) = self.vhost.try_ask(Method::DELETE, &path, None).await {
            println!("          {queue} is not emptied: {error}");
        }
    }

    /// Has the broker believe that its disk is full, or that it is not.
    pub(crate) fn set_full(&self, full: bool) {
        let limit = if full { "100000GB" } else { "50MB" };
        let done = Command::new(self.directory.join("ctl")).args(["set_disk_free_limit", limit]).output().unwrap();
        if !done.status.success() {
            println!("          the broker takes no limit: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
    }

    /// Where its log is.
    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }
}
