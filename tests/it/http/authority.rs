//! A system that gives out tokens as OAuth 2.0 has it and takes them back, and a keeper that can be told to fail.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tradebridge::config::{Seal, Secret};
use tradebridge::connector::{Asking, KeepError, Keeper, Kept};

use super::server::{Asked, Reply, Server};
use super::system::{PASSWORD, System};

/// How long a claim is waited for at the most, and more.
pub(crate) const TERM: Duration = Duration::from_secs(61);

/// How the system gives tokens out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// For how many seconds access tokens are valid, as it says.
    pub expires_in: Option<u64>,
    /// How many requests an access token is good for.
    pub requests: Option<usize>,
    /// Whether the refresh token before the last one is taken once more.
    pub grace: bool,
    /// Whether consent was withdrawn.
    pub withdrawn: bool,
    /// Whether the client proves itself in the header.
    pub basic: bool,
}

#[derive(Debug, Default)]
struct State {
    rules: Rules,
    /// What the code is bound to.
    challenge: Option<String>,
    /// How many tokens were given out.
    given: usize,
    /// How many requests the last one was used for.
    used: usize,
    /// Each refresh token that was taken.
    taken: Vec<String>,
}

/// The system.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authority(Arc<Mutex<State>>);

/// The fields of a form.
pub(crate) fn form(asked: &Asked) -> BTreeMap<String, String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pairs = asked.body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

impl Authority {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(Arc::new(Mutex::new(State { rules, ..State::default() })))
    }

    /// Changes how tokens are given out.
    pub(crate) fn rule(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.0.lock().unwrap().rules);
    }

    /// Each refresh token that was taken.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.0.lock().unwrap().taken.clone()
    }

    /// The answer to a request: `/token` gives tokens out, everything else has five pages of one record for them.
    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        let mut state = self.0.lock().unwrap();
        if asked.path == "/token" {
            return state.token(asked);
        }
        let valid = format!("Bearer access-secret-{}", state.given);
        state.used += 1;
        let over = state.rules.requests.is_some_and(|requests| state.used > requests);
        if state.given == 0 || asked.header("authorization") != valid || over {
            return Reply::of(401, "application/json", json!({ "message": asked.header("authorization") }));
        }
        let page = asked.number("page");
        Reply::json(if (1..=5).contains(&page) { json!([{ "id": page }]) } else { json!([]) })
    }

    /// What the person's browser is sent back to: consent is given as it is asked for.
    pub(crate) fn consents(&self, asking: &Asking) -> String {
        self.consents_to(asking.address.as_str())
    }

    /// The same, by the address where consent is given.
    pub(crate) fn consents_to(&self, address: &str) -> String {
        let address = reqwest::Url::parse(address).unwrap();
        let query: HashMap<String, String> = address.query_pairs().into_owned().collect();
        self.0.lock().unwrap().challenge = query.get("code_challenge").cloned();
        let mut back = reqwest::Url::parse(&query["redirect_uri"]).unwrap();
        back.query_pairs_mut().append_pair("code", "code-secret").append_pair("state", &query["state"]);
        back.to_string()
    }
}

impl State {
    fn token(&mut self, asked: &Asked) -> Reply {
        let form = form(asked);
        let refused = |error: &str| Reply::of(400, "application/json", json!({ "error": error, "echo": asked.body }));
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let proven = if self.rules.basic {
            let pair = STANDARD.encode("integration:hunter2%2F%3D%3F");
            asked.header("authorization") == format!("Basic {pair}") && !form.contains_key("client_secret")
        } else {
            (field("client_id"), field("client_secret")) == ("integration", PASSWORD)
        };
        if !proven {
            return refused("invalid_client");
        }
        match field("grant_type") {
            "authorization_code" => {
                let verifier = ring::digest::digest(&ring::digest::SHA256, field("code_verifier").as_bytes());
                let bound =
                    self.challenge.take().is_some_and(|challenge| challenge == URL_SAFE_NO_PAD.encode(verifier));
                if field("code") != "code-secret" || !bound {
                    return refused("invalid_grant");
                }
            }
            "refresh_token" => {
                let number = self.given.saturating_sub(usize::from(self.rules.grace));
                let taken = field("refresh_token");
                let known = (number..=self.given).any(|number| taken == format!("refresh-secret-{number}"));
                if self.rules.withdrawn || !known {
                    let words = format!("Token {taken} is not active");
                    let body = json!({ "error": "invalid_grant", "error_description": words });
                    return Reply::of(400, "application/json", body);
                }
                self.taken.push(taken.to_owned());
            }
            _ => return refused("unsupported_grant_type"),
        }
        self.given += 1;
        self.used = 0;
        let number = self.given;
        let mut answer = json!({
            "access_token": format!("access-secret-{number}"), "refresh_token": format!("refresh-secret-{number}"),
            "token_type": "bearer",
        });
        if let Some(seconds) = self.rules.expires_in {
            answer["expires_in"] = seconds.to_string().into();
        }
        Reply::json(answer)
    }
}

/// What happens where something is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Saving {
    #[default]
    Works,
    Fails,
    /// The process is gone before it is done.
    Dies,
}

/// What was kept, with its version, by connection and name.
type Values = HashMap<(String, String), (Vec<u8>, i64)>;

/// A keeper in memory, whose clock can be set and whose saving can fail; several processes may share it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    values: Mutex<Values>,
    ahead: Mutex<SignedDuration>,
    saving: Mutex<Saving>,
    /// A process has died.
    died: tokio::sync::Notify,
    /// Something was saved.
    saved: tokio::sync::Notify,
}

impl Memory {
    /// Sets the clock on.
    pub(crate) fn later(&self, by: Duration) {
        *self.ahead.lock().unwrap() += SignedDuration::try_from(by).unwrap();
    }

    pub(crate) fn saving(&self, saving: Saving) {
        *self.saving.lock().unwrap() = saving;
    }

    /// Waits until a process has died.
    pub(crate) async fn died(&self) {
        self.died.notified().await;
    }

    /// Waits until something is kept that has this text in it.
    pub(crate) async fn holds(&self, text: &str) {
        while !String::from_utf8_lossy(&self.bytes()).contains(text) {
            self.saved.notified().await;
        }
    }

    /// All that is kept.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.values.lock().unwrap().values().flat_map(|(value, _)| value.clone()).collect()
    }
}

#[async_trait]
impl Keeper for Memory {
    async fn load(&self, connection: &str, name: &str) -> Result<(Option<Kept>, Timestamp), KeepError> {
        let key = (connection.to_owned(), name.to_owned());
        let kept = self.values.lock().unwrap().get(&key).cloned();
        let now = Timestamp::now() + *self.ahead.lock().unwrap();
        Ok((kept.map(|(value, version)| Kept { value, version }), now))
    }

    async fn save(&self, connection: &str, name: &str, value: &[u8], over: Option<i64>) -> Result<bool, KeepError> {
        let saving = *self.saving.lock().unwrap();
        match saving {
            Saving::Works => {}
            Saving::Fails => return Err(KeepError("the disk is full".into())),
            Saving::Dies => {
                self.died.notify_one();
                std::future::pending::<()>().await;
            }
        }
        let mut values = self.values.lock().unwrap();
        let key = (connection.to_owned(), name.to_owned());
        if values.get(&key).map(|(_, version)| *version) != over {
            return Ok(false);
        }
        values.insert(key, (value.to_vec(), over.unwrap_or(0) + 1));
        self.saved.notify_one();
        Ok(true)
    }
}

/// What is encrypted with a key of this byte.
pub(crate) fn seal(byte: u8) -> Arc<Seal> {
    Arc::new(Seal::of_key(&Secret::new(STANDARD.encode([byte; 32]))).unwrap())
}

/// A connection by consent, with further keys of `authorization_code`.
pub(crate) fn manifest(url: &str, keys: &str) -> String {
    format!(
        "[http]\nbase_url = \"${{settings.base_url}}\"\nmessage = [\"message\"]\n[http.auth.authorization_code]\n\
         authorize_url = \"{url}/authorize?tenant=1\"\ntoken_url = \"{url}/token\"\nclient_id = \"${{settings.user}}\"\n\
         client_secret = \"${{settings.password}}\"\nscope = \"orders offline_access\"\n\
         authorize_parameters = {{ prompt = \"login\" }}\n{keys}\n\
         [stream.items]\nrequest = {{ path = \"items\", query = {{ page = \"${{page.number}}\" }} }}\n\
         paging = {{ by = \"number\", size = 1 }}\n"
    )
}

/// A process with a connection to the system, which keeps things in a keeper.
pub(crate) fn process(server: &Server, keys: &str, keeper: &Arc<dyn Keeper>) -> System {
    let system = System::new(&server.url(), &manifest(&server.url(), keys));
    system.connector.keep_in(keeper, Some(&seal(7)), "erp");
    system
}

/// Has a person give consent.
pub(crate) async fn authorize(system: &System, authority: &Authority) {
    let asking = system.connector.ask_consent("erp", None).unwrap();
    system.connector.use_consent("erp", &asking, &authority.consents(&asking)).await.unwrap();
}
