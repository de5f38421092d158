//! What happens to machines and network while orders are posted: which fault, after how many orders and for how long is drawn from
//! the seed.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;

use super::draw::Draw;
use super::erp::Erp;
use super::fleet::{Fleet, LEASE};
use super::options::Options;
use super::proxy::Network;
use super::servers::{Broker, Postgres};
use super::trouble::{Class, SETTLE};

/// A fault. Daemons are told by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Killed, and started again.
    KillDaemon(usize),
    /// All of them killed at once.
    KillDaemons,
    /// Stopped beyond its lease, then let go on.
    FreezeDaemon(usize),
    KillBroker,
    KillPostgres,
    /// The messages of a work queue are gone; or the queue is.
    LoseQueue {
        class: Class,
        remove: bool,
    },
    /// Between a daemon and the broker.
    CutBroker(usize, Network),
    /// Between a daemon and PostgreSQL.
    CutStore(usize, Network),
    /// The broker believes that its disk is full.
    FullBroker,
    /// PostgreSQL's files do not grow any more.
    FullStore {
        bytes: u64,
    },
    ErpDown(Class),
}

/// Kinds of faults.
const KINDS: usize = 11;

impl Fault {
    /// A fault of a kind, and how long it lasts.
    fn draw(kind: usize, draw: &mut Draw, daemons: usize) -> (Self, Duration) {
        let lease = u64::try_from(LEASE.as_millis()).unwrap();
        let settle = u64::try_from(SETTLE.as_millis()).unwrap();
        let daemon = draw.below(daemons);
        let network = draw.one_of(&[Network::Cut, Network::Silent]);
        let class = draw.one_of(&Class::ALL);
        match kind {
            0 => (Self::KillDaemon(daemon), draw.millis(0, 2 * lease)),
            1 => (Self::KillDaemons, draw.millis(0, 2 * lease)),
            2 => {
                // Some wake after others have taken over, and some long after they have sent the orders again.
                let longest = if draw.chance(40) { lease + 2 * settle } else { lease + 2000 };
                (Self::FreezeDaemon(daemon), draw.millis(lease + 500, longest))
            }
            3 => (Self::KillBroker, draw.millis(0, 3000)),
            4 => (Self::KillPostgres, draw.millis(0, 3000)),
            5 => (Self::LoseQueue { class, remove: draw.chance(40) }, Duration::ZERO),
            6 => (Self::CutBroker(daemon, network), draw.millis(300, 6000)),
            7 => (Self::CutStore(daemon, network), draw.millis(300, 2 * lease)),
            8 => (Self::FullBroker, draw.millis(1000, 4000)),
            9 => (Self::FullStore { bytes: 1 << (16 + draw.below(6)) }, draw.millis(500, 4000)),
            _ => (Self::ErpDown(class), draw.millis(300, 4000)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillDaemon(daemon) => write!(f, "daemon {daemon} is killed"),
            Self::KillDaemons => write!(f, "all daemons are killed"),
            Self::FreezeDaemon(daemon) => write!(f, "daemon {daemon} stands still"),
            Self::KillBroker => write!(f, "the broker is killed"),
            Self::KillPostgres => write!(f, "PostgreSQL is killed"),
            Self::LoseQueue { class, remove: false } => write!(f, "the work queue {} is emptied", class.name()),
            Self::LoseQueue { class, remove: true } => write!(f, "the work queue {} is removed", class.name()),
            Self::CutBroker(daemon, network) => write!(f, "network from daemon {daemon} to the broker: {network:?}"),
            Self::CutStore(daemon, network) => write!(f, "network from daemon {daemon} to PostgreSQL: {network:?}"),
            Self::FullBroker => write!(f, "the broker's disk is full"),
            Self::FullStore { bytes } => write!(f, "PostgreSQL's disk is full, files beyond {} KiB", bytes >> 10),
            Self::ErpDown(class) => write!(f, "the ERP {} is down", class.name()),
        }
    }
}

/// What happens together.
#[derive(Debug, Clone)]
pub(crate) struct Accident {
    /// After so many orders have an answer.
    pub after: usize,
    pub faults: Vec<(Fault, Duration)>,
}

/// What happens in a run: every kind once before any comes again, now and then two at the same time.
pub(crate) fn plan(seed: u64, options: &Options) -> Vec<Accident> {
    let mut draw = Draw::of(seed, &["faults"]);
    let mut left: Vec<usize> = Vec::new();
    let mut accidents: Vec<Accident> = Vec::new();
    for number in 0..options.faults {
        if left.is_empty() {
            left = (0..KINDS).collect();
            draw.shuffle(&mut left);
        }
        let fault = Fault::draw(left.pop().unwrap_or_default(), &mut draw, options.daemons);
        let beside = draw.chance(30);
        if let Some(last) = accidents.last_mut().filter(|last| beside && last.faults.len() < 2) {
            last.faults.push(fault);
        } else {
            // Somewhere in the stretch of orders that is the fault's.
            let stretch = options.orders / (options.faults + 1);
            let after = stretch * number + draw.below(stretch);
            accidents.push(Accident { after, faults: vec![fault] });
        }
    }
    accidents
}

/// What faults happen to.
pub(crate) struct World {
    pub fleet: Fleet,
    pub postgres: Postgres,
    pub broker: Mutex<Broker>,
    pub erps: Vec<Arc<Erp>>,
    pub handle: Handle,
}

impl World {
    /// Has an accident happen, and waits until it is over.
    pub(crate) fn happen(&self, accident: &Accident) {
        std::thread::scope(|scope| {
            for (fault, lasts) in &accident.faults {
                scope.spawn(|| {
                    self.begin(*fault);
                    std::thread::sleep(*lasts);
                    self.end(*fault);
                });
            }
        });
    }

    fn erp(&self, class: Class) -> &Arc<Erp> {
        self.erps.iter().find(|erp| erp.class() == class).unwrap()
    }

    fn begin(&self, fault: Fault) {
        let daemons = &self.fleet.daemons;
        match fault {
            Fault::KillDaemon(daemon) => daemons[daemon].kill(),
            Fault::KillDaemons => daemons.iter().for_each(|daemon| daemon.kill()),
            Fault::FreezeDaemon(daemon) => daemons[daemon].signal("STOP"),
            Fault::KillBroker => self.broker.lock().unwrap().kill(),
            Fault::KillPostgres => self.postgres.kill(),
            Fault::LoseQueue { class, remove } => {
                let queue = format!("tradebridge.orders.work.{}", class.name());
                self.handle.block_on(self.broker.lock().unwrap().empty(&queue, remove));
            }
            Fault::CutBroker(daemon, network) => daemons[daemon].broker.set(network),
            Fault::CutStore(daemon, network) => daemons[daemon].store.set(network),
            Fault::FullBroker => self.broker.lock().unwrap().set_full(true),
            Fault::FullStore { bytes } => self.postgres.limit_files(Some(bytes)),
            Fault::ErpDown(class) => self.erp(class).go_down(),
        }
    }

    fn end(&self, fault: Fault) {
        let daemons = &self.fleet.daemons;
        match fault {
            Fault::KillDaemon(daemon) => daemons[daemon].start(),
            Fault::KillDaemons => daemons.iter().for_each(|daemon| daemon.start()),
            Fault::FreezeDaemon(daemon) => daemons[daemon].signal("CONT"),
            Fault::KillBroker => self.broker.lock().unwrap().restart(),
            Fault::KillPostgres => self.postgres.see_that_it_runs(),
            Fault::LoseQueue { .. } => {}
            Fault::CutBroker(daemon, _) => daemons[daemon].broker.set(Network::Works),
            Fault::CutStore(daemon, _) => daemons[daemon].store.set(Network::Works),
            Fault::FullBroker => self.broker.lock().unwrap().set_full(false),
            Fault::FullStore { .. } => {
                self.postgres.limit_files(None);
                self.postgres.see_that_it_runs();
            }
            Fault::ErpDown(class) => {
                let erp = Arc::clone(self.erp(class));
                self.handle.block_on(erp.come_back());
            }
        }
    }
}
