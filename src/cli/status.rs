//! `tradebridge status`: one screen that says what runs, how it is, and first of all what needs a person.

use jiff::Timestamp;

use super::client::{Call, Client};
use super::output::{Exit, counted};
use super::page::{Cell, Page, Table, Tone};
use super::sync::counts;
use super::when::{ago, clock};
use super::{Answered, Context};
use crate::api::admin::views::{OrdersInState, Overview};
use crate::api::control::{Check, OrdersWait};
use crate::store::Run;

pub(super) async fn run(context: &Context) -> Answered {
    Client::with(&context.load()?, async |client| look(client, context).await).await
}

async fn look(client: &Client, context: &Context) -> Answered {
    let overview: Overview = client.ask(Call::get(&["status"])).await?;
    context.output.say(&overview, |page| show(&overview, client.is_daemon(), page));
    Ok(Exit::Done)
}

/// Something that waits for a person, and the command that says more or settles it.
struct Need {
    tone: Tone,
    what: String,
    command: String,
}

fn show(overview: &Overview, daemon: bool, page: &mut Page) {
    let now = Timestamp::now();
    let mut needs = needs(overview);
    if !daemon {
        let what = "the daemon is not running: nothing is pulled and no order is sent".to_owned();
        needs.insert(0, Need { tone: Tone::Bad, what, command: "systemctl start tradebridge".to_owned() });
    }
    if needs.is_empty() {
        page.toned_line(Tone::Good, "Nothing needs a person.");
    } else {
        page.toned_line(Tone::Strong, "Needs a person");
        for need in &needs {
            page.toned(need.tone, format!("  {}", need.what)).toned_line(Tone::Dim, format!("  {}", need.command));
        }
    }
    page.line("");
    let running = if daemon {
        let at = overview.daemon.started_at;
        format!("running since {} ({})", clock(at), ago(at, now))
    } else {
        "not running".to_owned()
    };
    page.pairs(&[
        ("daemon", Some(Cell::toned(if daemon { Tone::Plain } else { Tone::Bad }, running))),
        ("version", Some(Cell::from(&overview.daemon.version))),
        ("store", Some(check(&overview.daemon.store))),
        ("queue", Some(check(&overview.daemon.queue))),
    ]);
    connections(overview, daemon, now, page);
    orders(overview, now, page);
}

fn check(check: &Check) -> Cell {
    let message = check.message.as_deref();
    if check.ok { Cell::from(message.unwrap_or("well")) } else { Cell::toned(Tone::Bad, message.unwrap_or("not well")) }
}

fn needs(overview: &Overview) -> Vec<Need> {
    let mut needs = Vec::new();
    for check in [&overview.daemon.store, &overview.daemon.queue].into_iter().filter(|check| !check.ok) {
        let what = format!("{}: {}", check.name, check.message.as_deref().unwrap_or("not well"));
        needs.push(Need { tone: Tone::Bad, what, command: "journalctl -u tradebridge".to_owned() });
    }
    for connection in overview.daemon.connections.iter().filter(|connection| !connection.reachable) {
        let what = format!("{} cannot be reached", connection.name);
        needs.push(Need { tone: Tone::Bad, what, command: "tradebridge check".to_owned() });
    }
    for connection in &overview.daemon.connections {
        let Some(OrdersWait { reason, paused_by: Some(who), .. }) = &connection.orders_wait else { continue };
        let what = format!("the orders to {} are paused by {who}: {reason}", connection.name);
        let command = format!("tradebridge connection resume {}", connection.name);
        needs.push(Need { tone: Tone::Warn, what, command });
    }
    for run in &overview.held {
        let what = format!("{} {} is held: {}", run.connection, run.kind, run.reason.as_deref().unwrap_or_default());
        needs.push(Need { tone: Tone::Warn, what, command: format!("tradebridge runs show {}", run.id) });
    }
    for connection in &overview.daemon.connections {
        for sync in connection.syncs.iter().filter(|sync| sync.state == "failed") {
            let run = sync.last_run.as_deref().unwrap_or_default();
            let what = format!("{} {} failed", connection.name, sync.entity);
            needs.push(Need { tone: Tone::Bad, what, command: format!("tradebridge runs show {run}") });
        }
    }
    for rejected in &overview.rejected {
        let number = usize::try_from(rejected.count).unwrap_or(usize::MAX);
        let what = format!("{} {}: {} rejected", rejected.connection, rejected.kind, counted(number, "record"));
        let run = overview.runs.iter().find(|run| {
            (&run.connection, &run.stream, run.kind.name()) == (&rejected.connection, &rejected.stream, &rejected.kind)
        });
        let command = match run {
            Some(run) => format!("tradebridge runs show {}", run.id),
            None => format!("tradebridge runs list --connection {} --entity {}", rejected.connection, rejected.kind),
        };
        needs.push(Need { tone: Tone::Warn, what, command });
    }
    for orders in &overview.orders {
        let number = usize::try_from(orders.count).unwrap_or(usize::MAX);
        let (tone, rest) = match orders.state.as_str() {
            "needs_review" => (Tone::Bad, "may or may not be in the ERP: somebody has to look"),
            "dead" => (Tone::Bad, "given up in time"),
            "held" => (Tone::Warn, "held for approval"),
            "submitted" if orders.overdue > 0 => (Tone::Bad, "without an answer in time, some of them"),
            _ => continue,
        };
        let what = format!("{}: {} {rest}", orders.connection, counted(number, "order"));
        let overdue = if orders.state == "submitted" { " --overdue" } else { "" };
        needs.push(Need { tone, what, command: format!("tradebridge orders list --state {}{overdue}", orders.state) });
    }
    if overview.dead_letters > 0 {
        let number = usize::try_from(overview.dead_letters).unwrap_or(usize::MAX);
        let what = format!("{} of the queue cannot be read", counted(number, "message"));
        needs.push(Need { tone: Tone::Bad, what, command: "tradebridge dead list".to_owned() });
    }
    needs
}

/// The orders by connection and state; those that are over last.
fn orders(overview: &Overview, now: Timestamp, page: &mut Page) {
    page.heading("Orders");
    if overview.orders.is_empty() {
        page.line("none");
        return;
    }
    let over = |state: &str| matches!(state, "accepted" | "rejected" | "cancelled");
    let mut counts: Vec<&OrdersInState> = overview.orders.iter().collect();
    counts.sort_by_key(|count| (over(&count.state), &count.connection, &count.state));
    let mut table =
        Table::new(&["connection", "state", "orders", "oldest accepted", "oldest unanswered"]).numbers(&[2]);
    for count in counts {
        let open = !over(&count.state);
        let oldest = ago(count.oldest_accepted_at, now);
        let unanswered = count.oldest_submitted_at.filter(|_| count.state == "submitted").map(|at| ago(at, now));
        let tone = if count.overdue > 0 { Tone::Bad } else { Tone::Plain };
        table.row([
            Cell::from(&count.connection),
            super::orders::state(&count.state),
            Cell::from(count.count),
            if open { Cell::from(oldest) } else { Cell::default() },
            Cell::toned(tone, unanswered.unwrap_or_default()),
        ]);
    }
    page.table(&table);
}

fn connections(overview: &Overview, daemon: bool, now: Timestamp, page: &mut Page) {
    for connection in &overview.daemon.connections {
        page.heading(format!("{} ({})", connection.name, connection.connector));
        if connection.reachable {
            page.toned_line(Tone::Good, "reachable");
        } else {
            page.toned_line(Tone::Bad, connection.message.as_deref().unwrap_or("cannot be reached"));
        }
        if let Some(OrdersWait { since, reason, paused_by }) = &connection.orders_wait {
            let by = paused_by.as_ref().map(|who| format!(" ({who})")).unwrap_or_default();
            page.toned_line(Tone::Warn, format!("orders wait since {}{by}: {reason}", ago(*since, now)));
        }
        let mut table = Table::new(&["entity", "state", "verified", "next", "newest run"]);
        for sync in &connection.syncs {
            let run = sync.last_run.as_ref().and_then(|id| overview.runs.iter().find(|run| run.id == *id));
            table.row([
                Cell::from(&sync.entity),
                state(&sync.state),
                sync.verified_at.map_or_else(|| Cell::toned(Tone::Warn, "never"), |at| Cell::from(ago(at, now))),
                match sync.next_run_at {
                    Some(at) => Cell::from(ago(at, now)),
                    None if daemon => Cell::from("on demand"),
                    None => Cell::default(),
                },
                run.map_or_else(Cell::default, newest),
            ]);
        }
        if !table.is_empty() {
            page.table(&table);
        }
    }
}

fn newest(run: &Run) -> Cell {
    Cell::from(counts(run))
}

fn state(state: &str) -> Cell {
    let tone = match state {
        "failed" => Tone::Bad,
        "held" => Tone::Warn,
        "running" => Tone::Good,
        _ => Tone::Plain,
    };
    Cell::toned(tone, state)
}
