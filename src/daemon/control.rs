//! What operators ask of the running daemon, done.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use super::bridge::{Bridge, name_of};
use super::health;
use crate::api::control::{
    AskedConsent, Check, ConnectionStatus, ConsentAnswer, ConsentRequest, Control, ControlError, ErasePerson,
    ErasureReport, MapDiffRequest, OrdersWait, PreviewOutcome, PreviewRecord, PreviewRequest, ProbeRequest, Pruned,
    ReloadReport, Status, SyncOutcome, SyncReport, SyncRequest, SyncStatus,
};
use crate::config::{self, Config, Document, suggest};
use crate::connector::Survey;
use crate::mapping::{Mapping, Outcome};
use crate::orders::Pause;
use crate::store::{PausedConnection, Run, RunFilter, RunState};
use crate::sync::{Extent, MapDiff, Plan, Previewed, Pull, Pulled, SyncError, map_diff};

/// The running daemon as operators reach it. What they have it do goes on to its end even where they have gone.
pub(super) struct Operated(pub Arc<Bridge>);

async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ControlError>> + Send + 'static,
) -> Result<T, ControlError> {
    let broken = |_| ControlError::Unavailable("the work broke off; the log says why".to_owned());
    tokio::spawn(work).await.map_err(broken)?
}

#[async_trait]
impl Control for Operated {
    async fn sync(&self, request: SyncRequest) -> Result<Vec<SyncReport>, ControlError> {
        let bridge = Arc::clone(&self.0);
        to_the_end(async move { bridge.sync(request).await }).await
    }

    async fn map_diff(&self, request: MapDiffRequest) -> Result<MapDiff, ControlError> {
        self.0.map_diff(request).await
    }

    async fn preview(&self, request: PreviewRequest) -> Result<Vec<PreviewRecord>, ControlError> {
        self.0.preview(request).await
    }

    async fn approve(&self, run: &str) -> Result<Run, ControlError> {
        let (bridge, run) = (Arc::clone(&self.0), run.to_owned());
        to_the_end(async move { bridge.approve(&run).await }).await
    }

    async fn refuse(&self, run: &str, reason: &str) -> Result<Run, ControlError> {
        let (bridge, run, reason) = (Arc::clone(&self.0), run.to_owned(), reason.to_owned());
        to_the_end(async move { bridge.puller.refuse(&run, &reason).await.map_err(refused) }).await
    }

    async fn reload(&self) -> Result<ReloadReport, ControlError> {
        let bridge = Arc::clone(&self.0);
        to_the_end(async move { bridge.reload().await }).await
    }

    async fn status(&self) -> Status {
        self.0.status().await
    }

    async fn probe(&self) -> Vec<Check> {
        self.0.probe().await
    }

    async fn survey(&self, request: ProbeRequest) -> Result<Survey, ControlError> {
        let plan = self.0.plan();
        let names = || suggest::one_of(plan.links.keys().map(String::as_str));
        let link = plan.links.get(&request.connection).ok_or_else(|| {
            ControlError::NotFound(format!("there is no connection '{}'; there are {}", request.connection, names()))
        })?;
        Ok(link.connector.survey().await)
    }

    async fn ask_consent(&self, connection: &str, request: ConsentRequest) -> Result<AskedConsent, ControlError> {
        self.0.ask_consent(connection, &request)
    }

    async fn use_consent(&self, connection: &str, answer: ConsentAnswer) -> Result<Check, ControlError> {
        let (bridge, connection) = (Arc::clone(&self.0), connection.to_owned());
        to_the_end(async move { bridge.use_consent(&connection, &answer).await }).await
    }

    async fn prune(&self) -> Result<Vec<Pruned>, ControlError> {
        let bridge = Arc::clone(&self.0);
        to_the_end(async move { bridge.prune().await }).await
    }

    async fn erase_person(&self, request: ErasePerson) -> Result<ErasureReport, ControlError> {
        let bridge = Arc::clone(&self.0);
        to_the_end(async move { bridge.erase_person(request).await }).await
    }
}

impl Bridge {
    async fn sync(&self, request: SyncRequest) -> Result<Vec<SyncReport>, ControlError> {
        if request.full && request.from_raw {
            let message = "`full` reads everything from the ERP, `from_raw` nothing: only one of them can be meant";
            return Err(ControlError::Invalid(message.to_owned()));
        }
        if request.since.is_some() && (request.full || request.from_raw) {
            let message = "`since` reads what changed since then: neither `full` nor `from_raw` can be meant too";
            return Err(ControlError::Invalid(message.to_owned()));
        }
        if !self.roles.sync {
            let message = "this daemon has not the role `sync`: ask one that has";
            return Err(ControlError::Conflict(message.to_owned()));
        }
        let plan = self.plan();
        let mut reports = Vec::new();
        for pull in wanted(&plan, &request.connection, request.entity.as_deref())? {
            let extent = match &request.since {
                Some(since) => Extent::Since(instant(since, &pull)?),
                None => Extent::from(request.full),
            };
            let pulled = if request.from_raw {
                self.pull_from_raw(&plan, &pull, request.dry_run).await
            } else if request.dry_run {
                self.puller.rehearse(&plan, &pull, extent).await
            } else {
                self.pull(&plan, &pull, extent).await
            };
            reports.extend(report(&pull, pulled, request.dry_run));
        }
        Ok(reports)
    }

    async fn map_diff(&self, request: MapDiffRequest) -> Result<MapDiff, ControlError> {
        let plan = self.plan();
        let pulls = wanted(&plan, &request.connection, Some(&request.entity))?;
        let document = Document::parse(&request.file, &request.mapping);
        let mapping = Arc::new(Mapping::compile(&document).map_err(ControlError::Faulty)?);
        let same = |pull: &&Arc<Pull>| pull.mapping.kind == mapping.kind && pull.mapping.stream == mapping.stream;
        let Some(pull) = pulls.iter().find(same) else {
            let streams = suggest::one_of(pulls.iter().map(|pull| pull.mapping.stream.as_str()));
            return Err(ControlError::Invalid(format!(
                "{} makes records of {} of the stream '{}'; {} is pulled from {streams}",
                mapping.file, mapping.kind, mapping.stream, request.entity
            )));
        };
        let source = self.store.source(&pull.link.name, &mapping.stream, mapping.kind).await?;
        map_diff(&self.store, &source, &mapping, &pull.link.setting).await.map_err(refused)
    }

    async fn preview(&self, request: PreviewRequest) -> Result<Vec<PreviewRecord>, ControlError> {
        let plan = self.plan();
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let mut records = Vec::new();
        for pull in wanted(&plan, &request.connection, Some(&request.entity))? {
            let previewed = self.puller.preview(&pull, limit).await.map_err(refused)?;
            records.extend(previewed.into_iter().map(shown));
        }
        records.truncate(limit);
        Ok(records)
    }

    async fn approve(&self, run: &str) -> Result<Run, ControlError> {
        let run = self.puller.approve(&self.plan(), run).await.map_err(refused)?;
        self.announce().await?;
        Ok(run)
    }

    /// Reads configuration, manifests and mappings again; where one is faulty, what runs stays in force.
    pub(super) async fn reload(&self) -> Result<ReloadReport, ControlError> {
        let _turn = self.reloading.lock().await;
        let before = self.config();
        let file = before.source.document.file.clone();
        let read = tokio::task::spawn_blocking(move || {
            let config = Config::load(Path::new(&file), config::environment())?;
            let plan = Plan::load(&config)?;
            Ok((config, plan))
        });
        let (config, plan) = read
            .await
            .map_err(|_| ControlError::Unavailable("the reading of the files broke off".to_owned()))?
            .map_err(ControlError::Faulty)?;
        let report = compare(&before, &config, &self.plan(), &plan);
        self.replace(config, plan);
        Ok(report)
    }

    async fn status(&self) -> Status {
        let plan = self.plan();
        let store = match self.store.head().await {
            Ok(head) => {
                Check { name: "store".to_owned(), ok: true, message: Some(format!("feed at {}", head.sequence)) }
            }
            Err(error) => Check { name: "store".to_owned(), ok: false, message: Some(error.to_string()) },
        };
        let mut waiting = 0;
        let mut queue = Check { name: "queue".to_owned(), ok: true, message: None };
        for connection in plan.routes.keys().filter(|_| self.roles.orders) {
            match self.queue.depth(connection).await {
                Ok(depth) => waiting += depth,
                Err(error) => {
                    queue.ok = false;
                    queue.message = Some(error.to_string());
                }
            }
        }
        if !self.roles.orders {
            queue.message = Some("not used: this daemon has not the role `orders`".to_owned());
        } else if queue.ok {
            queue.message = Some(format!("{}, {waiting} messages", self.queue.describe()));
        }
        let told_to_wait = self.store.pauses().await.unwrap_or_else(|error| {
            tracing::error!(%error, "which connections are paused cannot be read");
            Vec::new()
        });
        let mut connections = Vec::new();
        for (name, link) in &plan.links {
            let known = self.known().connections.get(name).cloned();
            let found = match known {
                Some(found) => found,
                // What nobody asks here is not tried either.
                None if !self.roles.ask_systems() => Ok(()),
                None => health::probe(link).await,
            };
            let paused = told_to_wait.iter().find(|pause| pause.connection == *name);
            let orders_wait = match (paused, self.orders.paused().remove(name)) {
                (Some(PausedConnection { since, who, reason, .. }), _) => {
                    Some(OrdersWait { since: *since, reason: reason.clone(), paused_by: Some(who.clone()) })
                }
                (None, Some(Pause { since, reason })) => Some(OrdersWait { since, reason, paused_by: None }),
                (None, None) => None,
            };
            let mut syncs = Vec::new();
            for pull in plan.pulls_of(name, None) {
                syncs.push(self.sync_status(&pull).await);
            }
            connections.push(ConnectionStatus {
                name: name.clone(),
                connector: link.config.connector.clone(),
                reachable: found.is_ok(),
                message: found.err(),
                orders_wait,
                syncs,
            });
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Status { version, started_at: self.started_at, store, queue, connections }
    }

    async fn probe(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for (name, link) in &self.plan().links {
            let found = health::probe(link).await;
            self.known().connections.insert(name.clone(), found.clone());
            checks.push(Check { name: name.clone(), ok: found.is_ok(), message: found.err() });
        }
        checks
    }

    async fn sync_status(&self, pull: &Pull) -> SyncStatus {
        let name = name_of(pull);
        let verified_at = self.verified_at(pull).await.unwrap_or(None);
        let filter = RunFilter {
            connection: Some(pull.link.name.clone()),
            kind: Some(pull.mapping.kind),
            state: None,
            limit: 20,
        };
        let runs = self.store.runs(&filter).await.unwrap_or_default();
        let newest = runs.into_iter().find(|run| run.stream == pull.mapping.stream);
        let known = self.known();
        let state = if known.running.contains(&name) {
            "running".to_owned()
        } else if known.failures.contains_key(&name) {
            RunState::Failed.name().to_owned()
        } else {
            match &newest {
                Some(run) if matches!(run.state, RunState::Held | RunState::Failed) => run.state.name().to_owned(),
                _ => "idle".to_owned(),
            }
        };
        SyncStatus {
            entity: pull.entity().to_owned(),
            state,
            verified_at,
            last_run: newest.map(|run| run.id),
            next_run_at: known.next_runs.get(&name).copied(),
        }
    }
}

/// An instant, or the beginning of a day in the connection's zone.
fn instant(text: &str, pull: &Pull) -> Result<Timestamp, ControlError> {
    let text = text.trim();
    let day = || text.parse::<Date>().ok()?.to_zoned(pull.link.zone.time_zone().clone()).ok();
    text.parse().ok().or_else(|| day().map(|day| day.timestamp())).ok_or_else(|| {
        let message = format!("`{text}` is no instant like 2026-11-24T03:00:00Z and no day like 2026-11-24");
        ControlError::Invalid(message)
    })
}

/// The pulls that are meant; at least one.
fn wanted(plan: &Plan, connection: &str, entity: Option<&str>) -> Result<Vec<Arc<Pull>>, ControlError> {
    if !plan.links.contains_key(connection) {
        let names = suggest::one_of(plan.links.keys().map(String::as_str));
        return Err(ControlError::NotFound(format!("there is no connection '{connection}'; there are {names}")));
    }
    let pulls = plan.pulls_of(connection, entity);
    if pulls.is_empty() {
        let all = plan.pulls_of(connection, None);
        let names = suggest::one_of(all.iter().map(|pull| pull.entity()));
        let what = entity.map_or_else(|| "nothing".to_owned(), |entity| format!("no '{entity}'"));
        let hint =
            if all.is_empty() { "add a [[sync]] to the configuration".to_owned() } else { format!("it pulls {names}") };
        return Err(ControlError::NotFound(format!("the configuration pulls {what} from '{connection}'; {hint}")));
    }
    Ok(pulls)
}

fn report(pull: &Pull, pulled: Result<Vec<Pulled>, SyncError>, dry_run: bool) -> Vec<SyncReport> {
    let blank = SyncReport {
        connection: pull.link.name.clone(),
        entity: pull.entity().to_owned(),
        source: None,
        outcome: SyncOutcome::Nothing,
        run: None,
        message: None,
    };
    match pulled {
        Err(error) => vec![SyncReport { outcome: SyncOutcome::Failed, message: Some(error.to_string()), ..blank }],
        Ok(pulled) if pulled.is_empty() => vec![blank],
        Ok(pulled) => pulled
            .into_iter()
            .map(|Pulled { source, run }| SyncReport {
                source: Some(source),
                outcome: match run.state {
                    RunState::Held => SyncOutcome::Held,
                    _ if dry_run => SyncOutcome::Tried,
                    _ => SyncOutcome::Done,
                },
                message: run.reason.clone(),
                run: Some(run),
                ..blank.clone()
            })
            .collect(),
    }
}

fn shown(previewed: Previewed) -> PreviewRecord {
    let Previewed { place, source, outcome, stored, change, differences, refused } = previewed;
    let (outcome, mapped, reason) = match outcome {
        Ok(Outcome::Part(part)) => {
            let outcome = if refused.is_some() { PreviewOutcome::Rejected } else { PreviewOutcome::Part };
            (outcome, Some(part.content.value()), refused)
        }
        Ok(Outcome::Skipped) => (PreviewOutcome::Skipped, None, None),
        Ok(Outcome::Deleted) => (PreviewOutcome::Deleted, None, None),
        Err(reason) => (PreviewOutcome::Rejected, None, Some(reason)),
    };
    PreviewRecord { place, source, outcome, mapped, reason, stored, change, differences }
}

fn refused(error: SyncError) -> ControlError {
    match error {
        SyncError::Store(error) => ControlError::Store(error),
        error @ SyncError::NoRun(_) => ControlError::NotFound(error.to_string()),
        error @ SyncError::NotHeld { .. } => ControlError::Conflict(error.to_string()),
        error => ControlError::Unavailable(error.to_string()),
    }
}

/// What a reload changes, and what it leaves until the next start.
fn compare(before: &Config, after: &Config, old: &Plan, new: &Plan) -> ReloadReport {
    let mut changed = Vec::new();
    if before.source.digest != after.source.digest {
        changed.push(format!("the configuration {}", after.source.document.file));
    }
    let digests = |plan: &Plan| -> Vec<(String, String)> {
        plan.pulls.iter().map(|pull| (pull.mapping.file.clone(), pull.mapping.digest.clone())).collect()
    };
    let known = digests(old);
    changed.extend(digests(new).into_iter().filter(|new| !known.contains(new)).map(|(file, _)| file));
    let pairs = [
        ("store.url", before.store.url.to_string() != after.store.url.to_string()),
        ("queue.url", before.queue.url.to_string() != after.queue.url.to_string()),
        ("api", format!("{:?}", before.api) != format!("{:?}", after.api)),
        ("log", format!("{:?}", before.log) != format!("{:?}", after.log)),
    ];
    let needs_restart = pairs.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()).collect();
    let warnings = after.source.warnings.iter().map(ToString::to_string).collect();
    ReloadReport { changed, needs_restart, warnings }
}
