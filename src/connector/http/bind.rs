//! Streams and actions over HTTP with the settings of a connection filled in.
//!
//! What does not live here: sending requests (`client`) and fetching pages (`pages`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::Client;
use super::compile::HttpPlan;
use super::limit::Limit;
use super::request::RequestPlan;
use super::stream::{Join, Pages, Parents};
use super::traffic::Traffic;
use super::vault::Vault;
use super::wire::Parts;
use crate::connector::binder::Binder;
use crate::connector::compile::{Named, StreamPlan};
use crate::connector::probe::ProbeResult;
use crate::expression::Context;
use crate::record::Map;

impl Binder<'_> {
    /// The client of a connection, with or without actions; nothing with a problem.
    pub fn client(&mut self, plan: &HttpPlan, vault: Vault, actions: bool, traffic: Traffic) -> Option<Client> {
        let base = self.needed(&plan.base);
        // Whoever replays a recording need not have the files of a way that is not gone.
        let sent = !traffic.is_replayed();
        let proxy = plan.proxy.as_ref().filter(|_| sent).map_or(Some(None), |word| self.value(word));
        let ca = plan.ca.as_ref().filter(|_| sent).map_or(Some(None), |word| self.value(word));
        let certificate = plan.certificate.as_ref().filter(|_| sent).map_or(Some(None), |word| self.value(word));
        let names = [("settings", self.settings)];
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone: self.zone };
        let headers = match plan.headers.fill(&context) {
            Ok(headers) => headers,
            Err(error) => {
                self.problems
                    .push(self.document.problem(self.at, format!("{error} (in the manifest, `http.headers`)")));
                return None;
            }
        };
        let parts = Parts {
            base: base?,
            headers,
            timeouts: plan.timeouts,
            proxy: proxy?,
            ca: ca?,
            certificate: certificate?,
            vault,
            settings: self.settings.clone(),
            zone: self.zone.clone(),
            limit: Limit::new(&plan.allowed, actions, plan.timeouts.request),
            traffic,
        };
        match Client::new(parts, &plan.auth, plan.csrf.clone(), Arc::clone(&plan.judge)) {
            Ok(client) => Some(client),
            Err(message) => {
                self.problems.push(self.document.problem(self.at, message));
                None
            }
        }
    }

    /// A stream of pages, with those that it names; `bound` are those that are bound already.
    pub fn pages(
        &mut self,
        name: &str,
        plans: &BTreeMap<String, Named<StreamPlan>>,
        client: &Arc<Client>,
        bound: &mut BTreeMap<String, Arc<Pages>>,
    ) -> Option<Arc<Pages>> {
        if let Some(pages) = bound.get(name) {
            return Some(Arc::clone(pages));
        }
        let StreamPlan::Pages(plan) = &plans.get(name)?.plan else { return None };
        let parents = match &plan.parents {
            None => None,
            Some(plan) => {
                let pages = self.pages(&plan.stream, plans, client, bound)?;
                Some(Parents { plan: Arc::clone(plan), pages })
            }
        };
        let mut joins = Vec::with_capacity(plan.joins.len());
        for plan in &plan.joins {
            joins.push(Join { plan: Arc::clone(plan), pages: self.pages(&plan.stream, plans, client, bound)? });
        }
        let mut reading = self.format(&plan.reading);
        let group = reading.group.take();
        let pages = Arc::new(Pages {
            name: name.to_owned(),
            client: Arc::clone(client),
            request: Arc::clone(&plan.request),
            paging: plan.paging.clone(),
            cursor: plan.cursor.clone(),
            tagged: plan.tagged.clone(),
            reading: Arc::new(reading),
            group,
            parents,
            joins,
            kept: plan.kept.clone(),
            unfold: plan.unfold.clone(),
            asks_about: plan.asks_about,
        });
        bound.insert(name.to_owned(), Arc::clone(&pages));
        Some(pages)
    }
}

/// Whether the system answers: by the manifest's own request, or by the first page of a stream.
pub async fn probe(client: &Arc<Client>, plan: &HttpPlan, first: Option<(&str, &Arc<Pages>)>) -> ProbeResult {
    let tried = match (&plan.probe, first) {
        (Some(probe), _) => ask(client, probe).await,
        (None, Some((_, pages))) => pages.try_out().await.map(|_| ()).map_err(|refusal| refusal.message),
        (None, None) => Ok(()),
    };
    ProbeResult { purpose: "the system".to_owned(), path: client.base().to_string(), problem: tried.err() }
}

async fn ask(client: &Client, probe: &RequestPlan) -> Result<(), String> {
    let names = [("settings", client.settings())];
    let record = Map::default();
    let context = Context { record: (&record).into(), names: &names, zone: client.zone() };
    let request = probe.fill(client.base(), &context)?;
    client.send(&request).await.map(|_| ()).map_err(|failure| failure.to_string())
}
