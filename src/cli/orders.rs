//! `tradebridge orders`: where the shops' orders are, and what a person does about those that need one.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::client::{Call, Client};
use super::output::{Exit, Failure};
use super::page::{Cell, Page, Table, Tone};
use super::several::{self, Choice};
use super::when::{ago, clock};
use super::{Answered, Context, calls};
use crate::api::admin::views::{Listed, Resolution};
use crate::store::OrderCall;

/// The states by which orders can be listed.
const STATES: [&str; 10] =
    ["held", "queued", "sending", "submitted", "unknown", "needs_review", "accepted", "rejected", "cancelled", "dead"];

#[derive(Debug, Subcommand)]
pub(super) enum OrdersCommand {
    /// List orders, the newest first.
    List(ListArguments),
    /// Show an order: how it got where it is, the ERP's words, its lines with what the ERP confirmed.
    Show {
        /// The order.
        order: String,
    },
    /// Take up again orders that were rejected, given up or need a review.
    Retry(RetryArguments),
    /// Call an order off that the ERP does not have.
    Cancel {
        /// The order.
        order: String,
    },
    /// Let a held order through.
    Approve {
        /// The order.
        order: String,
    },
    /// Say what became of an order that needs a review: the ERP has it under this number.
    Resolve {
        /// The order.
        order: String,
        /// The ERP's number for it. (If the ERP does not have it: `orders retry` or `orders cancel`.)
        #[arg(long, value_name = "NUMBER")]
        as_created: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only in these states; several are separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = STATES)]
    state: Vec<String>,
    /// Only of this shop.
    #[arg(long)]
    shop: Option<String>,
    #[command(flatten)]
    choice: Choice,
    /// Only of this customer, by number.
    #[arg(long)]
    customer: Option<String>,
    /// Only those whose answer is later than the connection allows.
    #[arg(long)]
    overdue: bool,
    /// Only those before this one: the page after the one that ended with it.
    #[arg(long, value_name = "ORDER")]
    before: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct RetryArguments {
    /// The orders. Without any: those that the options choose.
    #[arg(conflicts_with_all = ["reason", "connection", "since", "until", "state"])]
    orders: Vec<String>,
    /// In these states; several are separated by commas [default: dead,rejected]. To retry one that needs a review says that a
    /// person looked and the ERP does not have it.
    #[arg(long, value_delimiter = ',', value_parser = ["dead", "rejected", "needs_review"])]
    state: Vec<String>,
    #[command(flatten)]
    choice: Choice,
}

/// What is shown of an order.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    id: String,
    shop: String,
    reference: String,
    our_reference: String,
    company: String,
    customer: String,
    connection: String,
    content: Json,
    state: String,
    attempt: u32,
    not_before: Option<Timestamp>,
    erp_number: Option<String>,
    reason: Option<String>,
    accepted_at: Timestamp,
    changed_at: Timestamp,
    overdue: bool,
}

/// What is known of it beside.
#[derive(Debug, Deserialize)]
struct Known {
    transitions: Vec<Transition>,
    lines: Vec<LineAnswer>,
    documents: Vec<Json>,
    conflicts: Vec<Conflict>,
    calls: Vec<OrderCall>,
}

#[derive(Debug, Deserialize)]
struct Transition {
    at: Timestamp,
    from: Option<String>,
    to: String,
    cause: String,
    attempt: u32,
    who: String,
}

#[derive(Debug, Deserialize)]
struct LineAnswer {
    line: String,
    content: Json,
}

#[derive(Debug, Deserialize)]
struct Conflict {
    reason: String,
    at: Timestamp,
}

pub(super) async fn run(command: OrdersCommand, context: &Context) -> Answered {
    Client::with(&context.load()?, async |client| ask(command, client, context).await).await
}

async fn ask(command: OrdersCommand, client: &Client, context: &Context) -> Answered {
    match command {
        OrdersCommand::List(arguments) => list(&arguments, client, context).await,
        OrdersCommand::Show { order } => show(&order, client, context).await,
        OrdersCommand::Retry(arguments) => retry(&arguments, client, context).await,
        OrdersCommand::Cancel { order } => act(&order, "cancel", &json!({}), client, context).await,
        OrdersCommand::Approve { order } => act(&order, "approve", &json!({}), client, context).await,
        OrdersCommand::Resolve { order, as_created } => {
            act(&order, "resolve", &json!(Resolution { as_created }), client, context).await
        }
    }
}

async fn list(arguments: &ListArguments, client: &Client, context: &Context) -> Answered {
    let states = (!arguments.state.is_empty()).then(|| arguments.state.join(","));
    let call = arguments
        .choice
        .with(Call::get(&["orders"]))
        .with("state", states)
        .with("shop", arguments.shop.as_ref())
        .with("customer", arguments.customer.as_ref())
        .with("overdue", arguments.overdue.then_some(true))
        .with("before", arguments.before.as_ref())
        .with("limit", Some(arguments.limit));
    let answer: Listed<Json> = client.ask(call).await?;
    let orders = answer.items.iter().map(understood).collect::<Result<Vec<Order>, _>>()?;
    context.output.say(&answer, |page| {
        if orders.is_empty() {
            page.line("no orders");
            return;
        }
        page.table(&table(&orders));
        if let Some(next) = &answer.next {
            page.toned_line(Tone::Dim, format!("more: --before {next}"));
        }
    });
    Ok(Exit::Done)
}

async fn retry(arguments: &RetryArguments, client: &Client, context: &Context) -> Answered {
    let RetryArguments { orders, state, choice } = arguments;
    if let [order] = orders.as_slice() {
        return act(order, "retry", &json!({}), client, context).await;
    }
    if orders.is_empty() && choice.is_empty() {
        let message = "name orders, or choose them by --reason, --connection, --since or --until";
        return Err(Failure::Usage(message.to_owned()));
    }
    let states = if state.is_empty() { "dead,rejected".to_owned() } else { state.join(",") };
    let list = || choice.with(Call::get(&["orders"])).with("state", Some(&states));
    let act = |order: &str| Call::post(&["orders", order, "retry"], &json!({}));
    several::each(orders, list, act, "is taken up again", client, context).await
}

/// An answer's content as the types here.
pub(super) fn understood<T: serde::de::DeserializeOwned>(answer: &Json) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| {
        Failure::failed(format!("the daemon's answer is not understood: {error}; is it of this version?"))
    })
}

/// Orders as a table.
pub(super) fn table(orders: &[Order]) -> Table {
    let now = Timestamp::now();
    let mut table =
        Table::new(&["order", "shop", "reference", "customer", "accepted", "state", "since", "ERP number", "reason"])
            .whole(&[0]);
    for order in orders {
        table.row([
            Cell::from(&order.id),
            Cell::from(&order.shop),
            Cell::from(&order.reference),
            Cell::from(format!("{}~{}", order.company, order.customer)),
            Cell::from(ago(order.accepted_at, now)),
            state(&order.state),
            Cell::from(ago(order.changed_at, now)),
            Cell::from(order.erp_number.as_deref().unwrap_or_default()),
            Cell::from(order.reason.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// A state in its colour.
pub(super) fn state(state: &str) -> Cell {
    let tone = match state {
        "accepted" => Tone::Good,
        "needs_review" | "dead" | "rejected" => Tone::Bad,
        "held" | "unknown" => Tone::Warn,
        "cancelled" => Tone::Dim,
        _ => Tone::Plain,
    };
    Cell::toned(tone, state)
}

/// What a person can do about an order in a state; nothing where it goes on by itself or is over.
pub(super) fn advice(state: &str, id: &str) -> Option<String> {
    let command = |act: &str| format!("`tradebridge orders {act} {id}`");
    let resolve = format!("`tradebridge orders resolve {id} --as-created NUMBER`");
    Some(match state {
        "held" => format!("Let it through with {} or call it off with {}.", command("approve"), command("cancel")),
        "needs_review" => format!(
            "Look in the ERP for our reference. If the order is there: {resolve}. If it is certainly not: {} sends it \
             again, {} calls it off.",
            command("retry"),
            command("cancel")
        ),
        "dead" => format!(
            "It was given up in time. When the cause is mended, {} takes it up again; {} calls it off.",
            command("retry"),
            command("cancel")
        ),
        "rejected" => format!("When the cause is mended in the ERP, {} takes it up again.", command("retry")),
        _ => return None,
    })
}

async fn show(order: &str, client: &Client, context: &Context) -> Answered {
    let answer: Json = client.ask(Call::get(&["orders", order])).await?;
    let (order, known): (Order, Known) = (understood(&answer)?, understood(&answer)?);
    context.output.say(&answer, |page| describe(&order, &known, page));
    Ok(Exit::Done)
}

async fn act(order: &str, act: &str, body: &Json, client: &Client, context: &Context) -> Answered {
    let answer: Json = client.ask(Call::post(&["orders", order, act], body)?).await?;
    let order: Order = understood(&answer)?;
    context.output.say(&answer, |page| {
        page.toned(Tone::Plain, format!("order {} is ", order.id)).cell(&state(&order.state)).line(" now");
    });
    Ok(Exit::Done)
}

fn describe(order: &Order, known: &Known, page: &mut Page) {
    let now = Timestamp::now();
    let text = |name: &str| order.content.get(name).and_then(Json::as_str).map(Cell::from);
    page.heading(format!("Order {}", order.id));
    page.pairs(&[
        ("state", Some(state(&order.state))),
        ("since", Some(Cell::from(format!("{} ({})", clock(order.changed_at), ago(order.changed_at, now))))),
        ("reason", order.reason.as_ref().map(|reason| Cell::toned(Tone::Warn, reason))),
        ("overdue", order.overdue.then(|| Cell::toned(Tone::Bad, "the ERP has not answered in time"))),
        ("next attempt", order.not_before.map(|at| Cell::from(format!("{} ({})", clock(at), ago(at, now))))),
        ("attempts", Some(Cell::from(order.attempt))),
        ("ERP number", order.erp_number.as_ref().map(|number| Cell::toned(Tone::Good, number))),
        ("our reference", Some(Cell::from(&order.our_reference))),
        ("shop", Some(Cell::from(format!("{}, reference {}", order.shop, order.reference)))),
        ("customer", Some(Cell::from(format!("{}~{}", order.company, order.customer)))),
        ("their number", text("customer_order_number")),
        ("for", Some(Cell::from(&order.connection))),
        ("accepted", Some(Cell::from(format!("{} ({})", clock(order.accepted_at), ago(order.accepted_at, now))))),
        ("requested", text("requested_date")),
        ("total", total(&order.content)),
    ]);
    lines(order, known, page);
    page.heading("How it got here");
    let mut table = Table::new(&["when", "from", "to", "attempt", "who", "cause"]).numbers(&[3]);
    for step in &known.transitions {
        table.row([
            Cell::from(clock(step.at)),
            Cell::from(step.from.as_deref().unwrap_or_default()),
            state(&step.to),
            Cell::from(step.attempt),
            Cell::from(&step.who),
            Cell::from(&step.cause),
        ]);
    }
    page.table(&table);
    calls::describe(&known.calls, page);
    if !known.documents.is_empty() {
        page.heading("Shipments and invoices");
        for document in &known.documents {
            let word = |pointer: &str| document.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
            page.line(format!("{} {}~{}", word("/entity"), word("/key/company"), word("/key/number")));
        }
    }
    for conflict in &known.conflicts {
        page.line("").toned(Tone::Bad, "An answer of the ERP does not fit: ");
        page.line(format!("{} ({})", conflict.reason, clock(conflict.at)));
    }
    if let Some(advice) = advice(&order.state, &order.id) {
        page.line("").line(advice);
    }
}

fn total(content: &Json) -> Option<Cell> {
    let total = content.get("total").and_then(Json::as_str)?;
    Some(Cell::from(format!("{total} {}", content.get("currency").and_then(Json::as_str).unwrap_or_default())))
}

/// The lines, each with what the ERP says about it.
fn lines(order: &Order, known: &Known, page: &mut Page) {
    let lines = order.content.get("lines").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    page.heading("Lines");
    let mut table = Table::new(&[
        "line",
        "product",
        "quantity",
        "unit",
        "price",
        "confirmed",
        "for",
        "shipped",
        "invoiced",
        "cancelled",
        "the ERP says",
    ])
    .numbers(&[0, 2, 4, 5, 7, 8, 9]);
    for (at, line) in lines.iter().enumerate() {
        let number = line.get("number").map_or_else(|| (at + 1).to_string(), plain);
        let answer = known.lines.iter().find(|answer| answer.line == number).map(|answer| &answer.content);
        let ordered = |name: &str| Cell::from(line.get(name).map(plain).unwrap_or_default());
        let said = |name: &str| Cell::from(answer.and_then(|a| a.get(name)).map(plain).unwrap_or_default());
        table.row([
            Cell::from(&number),
            ordered("product"),
            ordered("quantity"),
            Cell::from(line.get("unit").map(unit).unwrap_or_default()),
            ordered("unit_price"),
            said("confirmed"),
            said("confirmed_date"),
            said("shipped"),
            said("invoiced"),
            said("cancelled"),
            said("reason"),
        ]);
    }
    page.table(&table);
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn unit(unit: &Json) -> String {
    // The ERP's own code is what its people know.
    unit.get("erp").or_else(|| unit.get("code")).map_or_else(|| plain(unit), plain)
}
