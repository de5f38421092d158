//! `tradebridge connection`: what a person does for a connection: giving consent once, having its orders wait and go on.
//!
//! What does not live here: what connectors there are (`connector`), and whether connections work (`check`).

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Url;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::{Call, Client};
use super::files;
use super::output::{Exit, Failure, complain};
use super::page::Tone;
use super::{Answered, Context};
use crate::api::admin::views::Why;
use crate::api::control::{AskedConsent, Check, ConsentAnswer, ConsentRequest};
use crate::store::PausedConnection;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_mins(15);

/// How long a browser may take to say what it wants, and how much it may say.
const BROWSER: Duration = Duration::from_secs(10);
const LONGEST_HEAD: usize = 16 << 10;

#[derive(Debug, Subcommand)]
pub(super) enum ConnectionCommand {
    /// Have a person give consent, so that the connection can log in from then on (OAuth 2.0 authorization code).
    Authorize(AuthorizeArguments),
    /// Have its orders wait, at every daemon and until they are told to go on: they are accepted, and none is sent.
    Pause {
        /// The connection.
        name: String,
        /// Why; it is shown until then.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let its orders go on.
    Resume {
        /// The connection.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct AuthorizeArguments {
    /// The connection.
    name: String,
    /// The address that the person is sent back to, as it is registered with the system; by default what the connector
    /// says, or port 8765 of this machine.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "port")]
    redirect: Option<String>,
    /// Have the person sent back to this port of this machine; 0 is any that is free.
    #[arg(long)]
    port: Option<u16>,
    /// Listen to no port: the address that the browser shows at the end is pasted here.
    #[arg(long, conflicts_with = "port")]
    paste: bool,
}

/// What came back with the person, and the browser that waits for a word.
struct CameBack {
    address: String,
    browser: Option<TcpStream>,
}

pub(super) async fn run(command: ConnectionCommand, context: &Context) -> Answered {
    let config = context.load()?;
    let arguments = match command {
        ConnectionCommand::Authorize(arguments) => arguments,
        ConnectionCommand::Pause { name, reason } => {
            return Client::with(&config, async |client| pause(&name, &reason, client, context).await).await;
        }
        ConnectionCommand::Resume { name } => {
            return Client::with(&config, async |client| resume(&name, client, context).await).await;
        }
    };
    if config.connection(&arguments.name).is_none() {
        return Err(files::unknown("connection", &arguments.name, config.connections.iter().map(|c| c.name.as_str())));
    }
    Client::with(&config, async |client| authorize(&arguments, client, context).await).await
}

async fn pause(name: &str, reason: &str, client: &Client, context: &Context) -> Answered {
    let why = Why { reason: reason.to_owned() };
    let paused: PausedConnection = client.ask(Call::post(&["connections", name, "pause"], &why)?).await?;
    context.output.say(&paused, |page| {
        page.line(format!("the orders to `{name}` wait; `tradebridge connection resume {name}` lets them go on"));
    });
    Ok(Exit::Done)
}

async fn resume(name: &str, client: &Client, context: &Context) -> Answered {
    let answer: Json = client.ask(Call::post(&["connections", name, "resume"], &json!({}))?).await?;
    context.output.say(&answer, |page| {
        page.line(format!("the orders to `{name}` go on"));
    });
    Ok(Exit::Done)
}

async fn authorize(arguments: &AuthorizeArguments, client: &Client, context: &Context) -> Answered {
    let name = arguments.name.as_str();
    let (mut listener, mut redirect) = (None, arguments.redirect.clone());
    if let Some(port) = arguments.port {
        let bound = listen(port).await?;
        let port = bound.local_addr().map_or(port, |address| address.port());
        redirect = Some(format!("http://127.0.0.1:{port}/callback"));
        listener = Some(bound);
    }
    let asked: AskedConsent =
        client.ask(Call::post(&["connections", name, "consent"], &ConsentRequest { redirect })?).await?;
    let redirect = Url::parse(&asked.redirect)
        .map_err(|error| Failure::failed(format!("`{}` is no address: {error}", asked.redirect)))?;
    if listener.is_none() && !arguments.paste && is_here(&redirect) {
        listener = Some(listen(redirect.port_or_known_default().unwrap_or(80)).await?);
    }
    complain(&format!("open this address in a browser, and give consent there:\n\n{}\n", asked.address));
    complain(&match &listener {
        Some(_) => format!(
            "the browser is sent back to {redirect}. If it is on another machine and fails there, paste the address that it \
             shows then:"
        ),
        None => format!("the browser is sent back to {redirect}. Paste the address that it shows then:"),
    });
    let came_back = tokio::time::timeout(PATIENCE, came_back(listener, &redirect)).await.map_err(|_| {
        Failure::failed(format!("nobody came back within {} minutes; begin again", PATIENCE.as_secs() / 60))
    })??;
    let answer = ConsentAnswer { address: came_back.address };
    let used: Result<Check, Failure> =
        client.ask(Call::post(&["connections", name, "consent", "answer"], &answer)?.long()).await;
    if let Some(browser) = came_back.browser {
        say_in(browser, used.is_ok()).await;
    }
    let check = used?;
    context.output.say(&check, |page| {
        page.line(format!("the connection `{name}` is authorized"));
        if let Some(message) = check.message.as_deref().filter(|_| !check.ok) {
            page.toned(Tone::Bad, "it cannot be used: ").line(message);
        }
    });
    Ok(if check.ok { Exit::Done } else { Exit::Failed })
}

/// Whether an address is of this machine, without TLS.
fn is_here(redirect: &Url) -> bool {
    redirect.scheme() == "http" && matches!(redirect.host_str(), Some("127.0.0.1" | "localhost"))
}

async fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| {
        Failure::failed(format!(
            "cannot listen to port {port} of this machine: {error}; name a free one with --port, or use --paste"
        ))
    })
}

/// What comes back first: to the listener, or pasted.
async fn came_back(listener: Option<TcpListener>, redirect: &Url) -> Result<CameBack, Failure> {
    let (sender, mut receiver) = mpsc::channel(1);
    let listens = listener.is_some();
    // The line of a person who never types ends with the process; nobody waits for its thread.
    let pasted = sender.clone();
    std::thread::spawn(move || {
        let mut line = String::new();
        let address = match std::io::stdin().read_line(&mut line) {
            Ok(read) if read > 0 && !line.trim().is_empty() => Some(line.trim().to_owned()),
            // A listener needs nobody at the keyboard.
            _ if listens => return,
            _ => None,
        };
        // Nobody receives it where the browser was first.
        let _ = pasted.blocking_send(address.map(|address| CameBack { address, browser: None }));
    });
    let mut browsers = JoinSet::new();
    loop {
        tokio::select! {
            came = receiver.recv() => return came.flatten().ok_or_else(|| {
                Failure::failed("no address was pasted; run the command in a terminal, and begin again")
            }),
            accepted = accept(listener.as_ref()) => {
                let Ok(stream) = accepted else { continue };
                let (sender, redirect) = (sender.clone(), redirect.clone());
                browsers.spawn(async move {
                    if let Ok(Some(came)) = tokio::time::timeout(BROWSER, asked_by(stream, &redirect)).await {
                        // Nobody receives it where another was first.
                        let _ = sender.send(Some(came)).await;
                    }
                });
            }
            Some(_) = browsers.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// What a browser asks for, where it is what it was sent back with; what else it asks for is not there.
async fn asked_by(mut stream: TcpStream, redirect: &Url) -> Option<CameBack> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > LONGEST_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("GET ")?.split(' ').next()?;
    let address = redirect.join(target).ok().filter(|address| address.origin() == redirect.origin());
    let Some(address) = address.filter(|address| address.path() == redirect.path() && address.query().is_some()) else {
        answer(stream, "404 Not Found", "nothing is here").await;
        return None;
    };
    Some(CameBack { address: address.to_string(), browser: Some(stream) })
}

async fn say_in(browser: TcpStream, authorized: bool) {
    let words = if authorized {
        "The connection is authorized. You can close this window."
    } else {
        "The connection is not authorized: the command says why."
    };
    answer(browser, "200 OK", words).await;
}

async fn answer(mut browser: TcpStream, status: &str, words: &str) {
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{words}",
        words.len()
    );
    // A browser that has gone needs no word.
    let _ = browser.write_all(text.as_bytes()).await;
    let _ = browser.shutdown().await;
}
