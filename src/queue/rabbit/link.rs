//! A connection to the broker that comes back by itself: made, watched, and made again with growing waits.
//!
//! What does not live here: what goes over it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, DefaultConnectionBuilder, Event};
use tokio::sync::watch;

use super::super::QueueError;
use super::topology::{self, Condition, Wanted};
use super::{PATIENCE, greeting};
use crate::config::{BrokerUrl, QueueSettings};

/// The broker and this process show each other that they live so often, in seconds; two misses end the connection.
const HEARTBEAT: u16 = 10;

/// How long a broker that cannot be reached is left alone, at first and at the longest.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);

/// How often a connection is looked at of which nothing is heard.
const LOOK: Duration = Duration::from_secs(1);

/// After so many of them what was wrong with the topology is looked at again.
const LOOKS: u32 = 5;

/// Where the broker is, with the password: nothing prints it.
pub(super) struct Address {
    written: String,
    uri: AMQPUri,
    tls: OwnedTLSConfig,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.written)
    }
}

impl Address {
    /// The address in the configuration.
    pub fn new(settings: &QueueSettings, url: &BrokerUrl) -> Result<Self, QueueError> {
        let mut uri = url.address().clone();
        uri.query.heartbeat = Some(HEARTBEAT);
        uri.authority.userinfo.password = settings.password.as_ref().map(|p| p.reveal().to_owned()).unwrap_or_default();
        let mut tls = OwnedTLSConfig::default();
        if let Some(path) = &settings.ca {
            let pem = std::fs::read_to_string(path).map_err(|error| {
                QueueError::Unavailable(format!("the certificates in {} cannot be read: {error}", path.display()))
            })?;
            tls.cert_chain = Some(pem);
        }
        Ok(Self { written: url.to_string(), uri, tls })
    }

    /// With the password.
    pub fn uri(&self) -> &AMQPUri {
        &self.uri
    }

    /// Whom it is trusted by.
    pub fn tls(&self) -> &OwnedTLSConfig {
        &self.tls
    }

    /// A connection.
    pub async fn connect(&self, name: &str) -> Result<Connection, QueueError> {
        crate::install_crypto();
        let name = format!("tradebridge: {name}");
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let builder = DefaultConnectionBuilder::new()
            .map_err(QueueError::other)?
            .with_uri(self.uri.clone())
            .with_tls_config(self.tls.clone())
            .with_properties(properties);
        let connected = tokio::time::timeout(PATIENCE, builder.connect()).await;
        connected
            .map_err(|_| QueueError::late("a connection"))?
            .map_err(|error| QueueError::Unavailable(format!("{self:?} cannot be reached: {error}")))
    }
}

/// A connection that is up.
#[derive(Debug)]
pub(super) struct Session {
    /// The connection.
    pub connection: Connection,
    /// Counts the connections of a link.
    pub number: u64,
    /// The broker's product and version.
    pub version: String,
    /// Why the broker takes no publications.
    blocked: Mutex<Option<String>>,
    /// What is missing or otherwise than it must be.
    faults: Mutex<Vec<(Wanted, QueueError)>>,
}

impl Session {
    /// Why the broker takes no publications, if it does not.
    pub fn blocked(&self) -> Option<String> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn block(&self, reason: Option<String>) {
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// What is missing or otherwise than it must be: of one part, or the first.
    pub fn fault(&self, part: Option<&str>) -> Option<QueueError> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().find(|(wanted, _)| part.is_none_or(|part| part == wanted.name)).map(|(_, fault)| fault.clone())
    }

    /// Sees to it that these are there, and remembers which are not.
    async fn declare(&self, all: Vec<Wanted>) -> Result<(), QueueError> {
        let mut faults = Vec::new();
        for wanted in all {
            let part = wanted.declare(&self.connection).await?;
            if part.condition == Condition::Unseen {
                tracing::warn!(part = part.name, "{}", part.message.as_deref().unwrap_or_default());
            }
            if let Err(fault) = super::good(part) {
                if self.fault(Some(&wanted.name)).is_none() {
                    tracing::error!("{fault}");
                }
                faults.push((wanted, fault));
            }
        }
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
        Ok(())
    }

    /// Looks whether what was wrong is mended.
    async fn look_again(&self) -> Result<(), QueueError> {
        let all: Vec<Wanted> = {
            let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.iter().map(|(wanted, _)| wanted.clone()).collect()
        };
        if all.is_empty() { Ok(()) } else { self.declare(all).await }
    }
}

#[derive(Debug, Clone)]
enum State {
    Up(Arc<Session>),
    /// Why it is not.
    Down(QueueError),
}

/// A connection that comes back by itself.
#[derive(Debug)]
pub(super) struct Link {
    address: Arc<Address>,
    name: &'static str,
    /// Whether it sees to the topology.
    declares: bool,
    state: watch::Sender<State>,
}

impl Link {
    /// A link, once [`Link::run`] runs; one of them `declares` what must be there whenever it has connected.
    pub fn new(address: Arc<Address>, name: &'static str, declares: bool) -> Self {
        let down = QueueError::Unavailable("the broker is not connected to yet".to_owned());
        Self { address, name, declares, state: watch::Sender::new(State::Down(down)) }
    }

    /// The connection that is up.
    ///
    /// # Errors
    /// Why there is none.
    pub fn session(&self) -> Result<Arc<Session>, QueueError> {
        match &*self.state.borrow() {
            State::Up(session) => Ok(Arc::clone(session)),
            State::Down(error) => Err(error.clone()),
        }
    }

    /// The connection, which is waited for.
    ///
    /// # Errors
    /// Why there is none after so long.
    pub async fn wait(&self, longest: Duration) -> Result<Arc<Session>, QueueError> {
        let mut state = self.state.subscribe();
        let up = state.wait_for(|state| matches!(state, State::Up(_)));
        // Whether in time or not: the state tells.
        let _ = tokio::time::timeout(longest, up).await.is_ok();
        self.session()
    }

    /// What the connection is, for people.
    pub fn describe(&self) -> String {
        match &*self.state.borrow() {
            State::Up(session) => match (session.blocked(), session.fault(None)) {
                (Some(reason), _) => {
                    format!("{} at {:?} takes no publications: {reason}", session.version, self.address)
                }
                (None, Some(fault)) => fault.to_string(),
                (None, None) => format!("{} at {:?}", session.version, self.address),
            },
            State::Down(error) => error.to_string(),
        }
    }

    /// Keeps the connection up until the shutdown. `up` is called whenever it can be published again.
    pub async fn run(
        &self,
        mut connections: watch::Receiver<Vec<String>>,
        mut shutdown: watch::Receiver<bool>,
        up: impl Fn(),
    ) {
        let (mut number, mut wait) = (0, FIRST);
        while !*shutdown.borrow() {
            number += 1;
            let opened = tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => return,
                opened = self.open(number, &mut connections) => opened,
            };
            match opened {
                Ok(session) => {
                    tracing::info!(broker = ?self.address, version = session.version, "the broker is connected for {}", self.name);
                    let session = Arc::new(session);
                    self.state.send_replace(State::Up(Arc::clone(&session)));
                    up();
                    let lost = tokio::select! {
                        biased;
                        _ = shutdown.wait_for(|stop| *stop) => None,
                        lost = watch_over(&session, &up) => Some(lost),
                    };
                    let Some(lost) = lost else {
                        let closed = session.connection.close(200, "the daemon stops".into());
                        if let Err(error) = super::in_time("closing", closed).await {
                            tracing::debug!(%error, "the connection to the broker could not be closed in order");
                        }
                        return;
                    };
                    tracing::error!(broker = ?self.address, error = %lost, "lost the connection for {}", self.name);
                    self.state.send_replace(State::Down(lost));
                    wait = FIRST;
                }
                Err(error) => {
                    // The same fault is not told again and again.
                    let known =
                        matches!(&*self.state.borrow(), State::Down(known) if known.to_string() == error.to_string());
                    if !known {
                        tracing::error!(
                            broker = ?self.address, %error,
                            "no connection for {}; it is tried again until there is one", self.name
                        );
                    }
                    self.state.send_replace(State::Down(error));
                    wait = (wait * 2).min(LONGEST);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Connects, and sees to it that everything is there.
    async fn open(&self, number: u64, connections: &mut watch::Receiver<Vec<String>>) -> Result<Session, QueueError> {
        let version = greeting::version(&self.address).await?;
        let connection = self.address.connect(self.name).await?;
        let session = Session { connection, number, version, blocked: Mutex::default(), faults: Mutex::default() };
        if self.declares {
            let all = topology::wanted(&connections.borrow_and_update());
            session.declare(all).await?;
        }
        Ok(session)
    }
}

/// Waits until the connection is lost: why.
async fn watch_over(session: &Session, up: &impl Fn()) -> QueueError {
    let mut events = session.connection.events_listener();
    let mut last = None;
    let mut looks = 0_u32;
    while session.connection.status().connected() {
        // What was lost before anybody listened is seen by looking.
        let Ok(event) = tokio::time::timeout(LOOK, events.next()).await else {
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(LOOKS)
                && let Err(error) = session.look_again().await
            {
                last = Some(error);
            }
            continue;
        };
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                tracing::warn!(reason, "the broker takes no publications");
                session.block(Some(reason));
            }
            Some(Event::ConnectionUnblocked) => {
                tracing::info!("the broker takes publications again");
                session.block(None);
                up();
            }
            Some(Event::Error(error)) => last = Some(QueueError::other(error)),
            Some(_) => {}
            None => break,
        }
    }
    last.unwrap_or_else(|| QueueError::Unavailable("the broker closed the connection".to_owned()))
}
