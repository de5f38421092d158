//! A person's consent: asked for once, kept encrypted, renewed by one at a time, and what is said where it is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tradebridge::connector::{ConsentError, Keeper};
use tradebridge::sync::StoreKeeper;

use super::authority::{Authority, Memory, Rules, Saving, TERM, authorize, manifest, process, seal};
use super::server::{Reply, Server};
use super::system::{System, says};
use crate::support::conformance;
use crate::support::store::{Engine, TestStore};

conformance!(of_two_processes_one_renews_and_the_other_takes_what_it_got);

const AGAIN: &str = "`tradebridge connection authorize erp`";

/// A system, and a keeper for whoever connects to it.
async fn system(rules: Rules) -> (Authority, Server, Arc<Memory>, Arc<dyn Keeper>) {
    let authority = Authority::new(rules);
    let answering = authority.clone();
    let server = Server::new(move |asked| answering.answer(asked)).await;
    let memory: Arc<Memory> = Arc::default();
    let keeper: Arc<dyn Keeper> = Arc::<Memory>::clone(&memory);
    (authority, server, memory, keeper)
}

#[tokio::test]
async fn consent_is_asked_for_with_all_that_the_system_wants_and_used_once() {
    let (authority, server, memory, keeper) = system(Rules::default()).await;
    let system = process(&server, "", &keeper);
    says(system.probe().await.as_deref(), &["nobody has authorized the connection yet", AGAIN]);

    let asking = system.connector.ask_consent("erp", None).unwrap();
    let asked = asking.address.to_string();
    let begins = format!("{}/authorize?tenant=1&prompt=login&response_type=code&client_id=integration&", server.url());
    assert!(asked.starts_with(&begins), "{asked}");
    let redirect = "redirect_uri=http%3A%2F%2F127.0.0.1%3A8765%2Fcallback";
    says(Some(&asked), &[redirect, "scope=orders+offline_access", "code_challenge_method=S256", "&state="]);
    system.connector.use_consent("erp", &asking, &authority.consents(&asking)).await.unwrap();
    let pulled = system.pull(None).await;
    assert_eq!((pulled.error, pulled.ids.len()), (None, 5));

    let tokens = server.of("/token");
    assert_eq!(tokens.len(), 1, "what it gave is used, and not renewed: {:?}", server.told());
    says(Some(&tokens[0].body), &["grant_type=authorization_code", "code=code-secret", "code_verifier=", redirect]);
    let (kept, secrets) = (memory.bytes(), ["access-secret", "refresh-secret"]);
    for secret in secrets {
        assert!(!kept.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret} is kept as it is");
    }
}

#[tokio::test]
async fn what_comes_back_from_elsewhere_is_refused_and_nothing_is_sent() {
    let (authority, server, _, keeper) = system(Rules::default()).await;
    let system = process(&server, "", &keeper);
    let asking = system.connector.ask_consent("erp", None).unwrap();
    let other = authority.consents(&system.connector.ask_consent("erp", None).unwrap());
    let own = authority.consents(&asking);
    let state = own.split_once("state=").unwrap().1;
    for (address, expected) in [
        (other.as_str(), "its `state` is another"),
        ("http://127.0.0.1:8765/callback?code=x", "its `state` is another"),
        (&format!("http://127.0.0.1:8765/callback?state={state}"), "has no `code`"),
        ("code-secret", "copy all of it"),
    ] {
        let refused = system.connector.use_consent("erp", &asking, address).await.unwrap_err();
        assert!(matches!(&refused, ConsentError::Invalid(message) if message.contains(expected)), "{refused}");
    }
    let denied =
        format!("http://127.0.0.1:8765/callback?error=access_denied&error_description=No+thanks&state={state}");
    let refused = system.connector.use_consent("erp", &asking, &denied).await.unwrap_err();
    assert_eq!(refused.to_string(), "the system gave no consent: access_denied: No thanks");
    assert!(server.asked().is_empty(), "{:?}", server.told());
    // Another's code, which the challenge of this asking does not fit.
    authority.consents(&system.connector.ask_consent("erp", None).unwrap());
    let refused = system.connector.use_consent("erp", &asking, &own).await.unwrap_err().to_string();
    says(Some(&refused), &["the system does not accept the code (invalid_grant)", "begin again"]);
    assert!(!refused.contains("code-secret"), "{refused}");
}

#[tokio::test]
async fn a_connection_that_logs_in_by_itself_needs_no_consent() {
    let server = Server::new(|_| Reply::json("[]")).await;
    let refused = System::new(&server.url(), "").connector.ask_consent("erp", None).unwrap_err();
    assert_eq!(refused, ConsentError::NotNeeded("erp".to_owned()));
}

#[tokio::test]
async fn a_client_proves_itself_in_the_header_where_the_system_wants_it_so() {
    let (authority, server, _, keeper) = system(Rules { basic: true, ..Rules::default() }).await;
    let system = process(&server, "client_auth = \"basic\"\ntoken_parameters = { resource = \"erp\" }", &keeper);
    authorize(&system, &authority).await;
    assert_eq!(system.pull(None).await.error, None);
    says(Some(&server.of("/token")[0].body), &["resource=erp"]);
}

#[tokio::test]
async fn a_token_that_expires_between_two_pages_is_renewed_and_each_refresh_token_is_used_once() {
    let (authority, server, _, keeper) = system(Rules { requests: Some(2), ..Rules::default() }).await;
    let system = process(&server, "", &keeper);
    authorize(&system, &authority).await;
    let pulled = system.pull(None).await;
    assert_eq!((pulled.error, pulled.ids), (None, ["1", "2", "3", "4", "5"].map(str::to_owned).into()));
    let taken = authority.taken();
    assert!(taken.len() >= 2, "{taken:?}");
    let expected: Vec<String> = (1..=taken.len()).map(|number| format!("refresh-secret-{number}")).collect();
    assert_eq!(taken, expected);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires_whatever_the_clocks_say() {
    let (authority, server, memory, keeper) = system(Rules { expires_in: Some(600), ..Rules::default() }).await;
    // The keeper's clock is an hour ahead of this machine's.
    memory.later(Duration::from_hours(1));
    authorize(&process(&server, "", &keeper), &authority).await;
    let refused = || server.of("/items").iter().filter(|asked| asked.header("authorization").is_empty()).count();
    for (later, tokens) in [(0, 1), (500, 1), (60, 2), (530, 2)] {
        memory.later(Duration::from_secs(later));
        // Each time a process that begins.
        assert_eq!(process(&server, "", &keeper).pull(None).await.error, None);
        assert_eq!(server.of("/token").len(), tokens, "after {later} more seconds");
    }
    assert_eq!(refused(), 0);
}

#[tokio::test]
async fn a_token_is_not_renewed_before_the_system_does_it() {
    let (authority, server, memory, keeper) = system(Rules { expires_in: Some(1800), ..Rules::default() }).await;
    let keys = "renew_after = \"25m\"";
    let system = process(&server, keys, &keeper);
    authorize(&system, &authority).await;
    // The system forgets the token.
    authority.rule(|rules| rules.requests = Some(0));
    let pulled = system.pull(None).await;
    says(pulled.error.as_deref(), &["the access token is refused, and the system renews it in 149", "at the earliest"]);
    assert_eq!(server.of("/token").len(), 1);
    authority.rule(|rules| rules.requests = None);
    memory.later(Duration::from_mins(25));
    assert_eq!(process(&server, keys, &keeper).pull(None).await.error, None);
    assert_eq!(server.of("/token").len(), 1, "it is valid for five minutes more");
    memory.later(Duration::from_mins(4));
    assert_eq!(process(&server, keys, &keeper).pull(None).await.error, None);
    assert_eq!(server.of("/token").len(), 2);
}

async fn of_two_processes_one_renews_and_the_other_takes_what_it_got(engine: Engine) {
    let store = TestStore::new(engine).await;
    let other = if engine == Engine::Postgres { store.another().await } else { store.clone() };
    let authority = Authority::new(Rules::default());
    let (gate, answering) = (Arc::new(Semaphore::new(1)), authority.clone());
    let held = Arc::clone(&gate);
    let server = Server::new(move |asked| match answering.answer(asked) {
        reply if asked.path == "/token" => Reply::Behind(Arc::clone(&held), Box::new(reply)),
        reply => reply,
    })
    .await;
    let keepers: [Arc<dyn Keeper>; 2] = [&store, &other].map(|store| Arc::new(StoreKeeper(store.shared())) as _);
    let systems = keepers.each_ref().map(|keeper| Arc::new(process(&server, "", keeper)));
    authorize(&systems[0], &authority).await;
    for system in &systems {
        assert_eq!(system.pull(None).await.error, None);
    }
    let before = server.asked().len();
    // Both find the token refused.
    authority.rule(|rules| rules.requests = Some(0));
    let pulls: Vec<_> = systems
        .iter()
        .flat_map(|system| [Arc::clone(system), Arc::clone(system)])
        .map(|system| tokio::spawn(async move { system.pull(None).await.error }))
        .collect();
    // Whoever comes while his process renews waits with his request.
    server.arrived(before + 3).await;
    authority.rule(|rules| rules.requests = None);
    gate.add_permits(4);
    for pull in pulls {
        assert_eq!(pull.await.unwrap(), None);
    }
    assert_eq!(authority.taken(), ["refresh-secret-1"], "{:?}", server.told());
}

/// A process that dies between the system's answer and the saving of it, while the token is renewed.
async fn crash(grace: bool) -> (Authority, Server, Arc<Memory>, Arc<dyn Keeper>) {
    let authority = Authority::new(Rules { grace, ..Rules::default() });
    let memory: Arc<Memory> = Arc::default();
    let (answering, dying) = (authority.clone(), Arc::clone(&memory));
    let server = Server::new(move |asked| {
        if asked.body.contains("refresh_token=refresh-secret-1") && asked.nth == 1 {
            dying.saving(Saving::Dies);
        }
        answering.answer(asked)
    })
    .await;
    let keeper: Arc<dyn Keeper> = Arc::<Memory>::clone(&memory);
    let system = Arc::new(process(&server, "", &keeper));
    authorize(&system, &authority).await;
    authority.rule(|rules| rules.requests = Some(0));
    let process = tokio::spawn(async move { system.pull(None).await.error });
    memory.died().await;
    process.abort();
    authority.rule(|rules| rules.requests = None);
    memory.saving(Saving::Works);
    // Nobody takes over before the claim's time.
    memory.later(TERM);
    (authority, server, memory, keeper)
}

#[tokio::test]
async fn an_answer_that_a_crash_swallowed_is_asked_for_again_where_the_system_allows_it() {
    let (authority, server, _, keeper) = crash(true).await;
    // What the system takes now is the token of the answer that was lost; the one before it is refused.
    let pulled = process(&server, "", &keeper).pull(None).await;
    assert_eq!((pulled.error, pulled.ids.len()), (None, 5));
    assert_eq!(authority.taken(), ["refresh-secret-1", "refresh-secret-1"]);
}

#[tokio::test]
async fn an_answer_that_a_crash_swallowed_is_told_where_the_system_gives_no_other() {
    let (authority, server, memory, keeper) = crash(false).await;
    let system = process(&server, "", &keeper);
    let expected =
        ["does not accept the refresh token any more (invalid_grant", "a renewal that began at", "is lost", AGAIN];
    says(system.probe().await.as_deref(), &expected);
    let (asked, problem) = (server.of("/token").len(), process(&server, "", &keeper).probe().await);
    says(problem.as_deref(), &expected);
    assert_eq!(server.of("/token").len(), asked, "it is not asked again at once");
    memory.later(Duration::from_mins(11));
    says(process(&server, "", &keeper).probe().await.as_deref(), &expected);
    assert_eq!(server.of("/token").len(), asked + 1, "but later");
    authorize(&system, &authority).await;
    assert_eq!(process(&server, "", &keeper).pull(None).await.error, None);
    assert_eq!(system.pull(None).await.error, None);
}

#[tokio::test]
async fn consent_that_was_withdrawn_is_told_without_the_token() {
    let (authority, server, _, keeper) = system(Rules { requests: Some(1), ..Rules::default() }).await;
    let system = process(&server, "", &keeper);
    authorize(&system, &authority).await;
    authority.rule(|rules| rules.withdrawn = true);
    let error = system.pull(None).await.error.unwrap();
    let expected = ["(invalid_grant: Token [secret] is not active)", "the consent may have been withdrawn", AGAIN];
    says(Some(&error), &expected);
    assert!(!error.contains("refresh-secret"), "{error}");
    says(system.probe().await.as_deref(), &expected);
}

#[tokio::test]
async fn what_could_not_be_saved_is_not_used_and_saved_before_anything_else() {
    let (authority, server, memory, keeper) = system(Rules::default()).await;
    let system = process(&server, "", &keeper);
    authorize(&system, &authority).await;
    authority.rule(|rules| rules.requests = Some(0));
    let (failing, answering) = (Arc::clone(&memory), authority.clone());
    let broken = Server::new(move |asked| {
        if asked.path == "/token" {
            failing.saving(Saving::Fails);
            answering.rule(|rules| rules.requests = None);
        }
        answering.answer(asked)
    })
    .await;
    let system = process(&broken, "", &keeper);
    says(system.probe().await.as_deref(), &["what connections keep cannot be read or written: the disk is full"]);
    says(system.probe().await.as_deref(), &["the disk is full"]);
    assert_eq!(broken.told(), ["GET /items", "POST /token"], "the token that was not saved is not used");
    memory.saving(Saving::Works);
    assert_eq!(system.pull(None).await.error, None);
    assert_eq!(broken.of("/token").len(), 1, "and the one that came is not lost");
}

#[tokio::test]
async fn another_key_is_told_and_another_consent_mends_it() {
    let (authority, server, _, keeper) = system(Rules::default()).await;
    authorize(&process(&server, "", &keeper), &authority).await;
    let text = manifest(&server.url(), "");
    let system = System::new(&server.url(), &text);
    system.connector.keep_in(&keeper, Some(&seal(8)), "erp");
    let expected =
        ["cannot be decrypted", "another key than `encryption_key` in [store]", "put the former key back", AGAIN];
    says(system.probe().await.as_deref(), &expected);
    let without = System::new(&server.url(), &text);
    without.connector.keep_in(&keeper, None, "erp");
    says(without.probe().await.as_deref(), &["there is no `encryption_key` in [store]"]);
    says(System::new(&server.url(), &text).probe().await.as_deref(), &["this command does not open"]);
    // Another connection's secret is none of this one's.
    authorize(&system, &authority).await;
    assert_eq!(system.pull(None).await.error, None);
}

#[tokio::test]
async fn a_token_endpoint_that_fails_uses_nothing_up() {
    let (authority, server, _, keeper) = system(Rules::default()).await;
    authorize(&process(&server, "", &keeper), &authority).await;
    authority.rule(|rules| rules.requests = Some(0));
    for (reply, expected) in [
        (Reply::status(503), "the login failed"),
        (Reply::Nothing, "the login failed"),
        (Reply::status(429).with("retry-after", 3600), "was answered 429"),
        (Reply::of(401, "application/json", r#"{"error":"invalid_client"}"#), "invalid_client"),
        (Reply::json("{}"), "was answered without an `access_token`"),
    ] {
        let answering = authority.clone();
        let failing = Server::new(move |asked| match asked.path.as_str() {
            "/token" => reply.clone(),
            _ => answering.answer(asked),
        })
        .await;
        says(process(&failing, "", &keeper).probe().await.as_deref(), &[expected]);
        assert_eq!(failing.of("/token").len(), 1, "the claim before it was given back");
    }
    authority.rule(|rules| rules.requests = None);
    assert_eq!(process(&server, "", &keeper).pull(None).await.error, None);
}
