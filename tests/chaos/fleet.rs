//! The daemons: the real program, each with a configuration and a network of its own, kept running as a service manager does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::proxy::Proxy;
use super::{site, support};

/// The lease of the store.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// How often is looked whether a daemon runs that is to.
const LOOK: Duration = Duration::from_millis(100);

/// How long a daemon that ended by itself is left alone.
const REST: Duration = Duration::from_millis(500);

/// A daemon.
pub(crate) struct Daemon {
    pub number: usize,
    /// The ways to PostgreSQL and to the broker.
    pub store: Proxy,
    pub broker: Proxy,
    port: u16,
    config: PathBuf,
    log: PathBuf,
    child: Mutex<Option<Child>>,
    wanted: AtomicBool,
    /// How often it ended though nobody killed it.
    ended: AtomicUsize,
}

/// All daemons. Dropped, they are killed.
pub(crate) struct Fleet {
    pub daemons: Vec<Arc<Daemon>>,
    over: Arc<AtomicBool>,
    watch: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Kills it; it is not started again until it is to.
    pub(crate) fn kill(&self) {
        self.wanted.store(false, Ordering::SeqCst);
        if let Some(mut child) = self.child.lock().unwrap().take() {
            // The signal KILL. It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Has it started.
    pub(crate) fn start(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    /// Sends a signal, if it runs.
    pub(crate) fn signal(&self, signal: &str) {
        if let Some(child) = self.child.lock().unwrap().as_ref() {
            // It may have ended by itself.
            let _ = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        }
    }

    /// How often it ended though nobody killed it.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// Starts it where it is to run and does not.
    fn see_to_it(&self) {
        let mut child = self.child.lock().unwrap();
        if !self.wanted.load(Ordering::SeqCst) {
            return;
        }
        if let Some(running) = child.as_mut() {
            if running.try_wait().unwrap().is_none() {
                return;
            }
            *child = None;
            self.ended.fetch_add(1, Ordering::SeqCst);
            drop(child);
            std::thread::sleep(REST);
            return;
        }
        *child = Some(self.spawn());
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        // It ends with the thread that starts it, and so with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_tradebridge"), "--config"]).arg(&self.config);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRADEBRIDGE_")) {
            command.env_remove(name);
        }
        command.arg("run").stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap_or_else(|error| panic!("setpriv (Debian: util-linux): {error}"))
    }
}

impl Fleet {
    /// Starts daemons in a directory, over one database and one virtual host of a broker.
    pub(crate) async fn start(count: usize, directory: &Path, servers: &site::Servers) -> Self {
        let mut daemons = Vec::new();
        for number in 0..count {
            let port = support::ports::free();
            let (store, broker) = (Proxy::begin(servers.postgres).await, Proxy::begin(servers.broker).await);
            let config = directory.join(format!("daemon-{number}.toml"));
            let run = directory.join(format!("daemon-{number}"));
            std::fs::create_dir_all(&run).unwrap();
            std::fs::write(&config, site::configuration(servers, directory, &run, port, (store.port(), broker.port())))
                .unwrap();
            daemons.push(Arc::new(Daemon {
                number,
                store,
                broker,
                port,
                config,
                log: directory.join(format!("daemon-{number}.log")),
                child: Mutex::default(),
                wanted: AtomicBool::new(true),
                ended: AtomicUsize::new(0),
            }));
        }
        let over = Arc::new(AtomicBool::new(false));
        let (watched, end) = (daemons.clone(), Arc::clone(&over));
        let watch = std::thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                for daemon in &watched {
                    daemon.see_to_it();
                }
                std::thread::sleep(LOOK);
            }
        });
        Self { daemons, over, watch: Some(watch) }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
        for daemon in &self.daemons {
            daemon.kill();
        }
    }
}
