//! Clients that log in with credentials of their own: a secret or a key, how long that is valid, and a choice by a setting.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde_json::{Value as Json, json};

use tradebridge::config::{Config, Document, KeyPath};
use tradebridge::connector::{Catalog, Connector};

use super::authority::form;
use super::server::{Asked, Reply, Server};
use super::system::{PASSWORD, System, bind, says};

const RSA: &str = include_str!("../../fixtures/http/rsa.key");
const RSA_PUBLIC: &[u8] = include_bytes!("../../fixtures/http/rsa.pub.der");
const EC: &str = include_str!("../../fixtures/http/ec.key");
const EC_PUBLIC: &[u8] = include_bytes!("../../fixtures/http/ec.pub.der");

fn signed(url: &str, algorithm: &str, key: &str) -> String {
    format!(
        "[http]\nbase_url = \"${{settings.base_url}}\"\n[http.auth.client_credentials]\ntoken_url = \"{url}/token\"\n\
         client_id = \"${{settings.user}}\"\n[http.auth.client_credentials.signed]\nalgorithm = \"{algorithm}\"\n\
         key_id = \"cert-1\"\nkey = '''{key}'''\nclaims = {{ scope = [\"rest_webservices\", \"${{settings.company}}\"] }}\n"
    )
}

/// The header and the claims of an assertion, once its signature is checked.
fn checked(asked: &Asked, algorithm: &'static dyn VerificationAlgorithm, public: &[u8]) -> Option<(Json, Json)> {
    let form = form(asked);
    let assertion = &form["client_assertion"];
    let (text, signature) = assertion.rsplit_once('.')?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    UnparsedPublicKey::new(algorithm, public).verify(text.as_bytes(), &decoded(signature)).ok()?;
    let (header, claims) = text.split_once('.')?;
    Some((serde_json::from_slice(&decoded(header)).unwrap(), serde_json::from_slice(&decoded(claims)).unwrap()))
}

#[tokio::test]
async fn a_client_that_signs_is_known_by_its_public_key() {
    let ways: [(&str, &str, &'static dyn VerificationAlgorithm, &[u8]); 3] = [
        ("PS256", RSA, &RSA_PSS_2048_8192_SHA256, RSA_PUBLIC),
        ("RS256", RSA, &RSA_PKCS1_2048_8192_SHA256, RSA_PUBLIC),
        ("ES256", EC, &ECDSA_P256_SHA256_FIXED, EC_PUBLIC),
    ];
    for (name, key, algorithm, public) in ways {
        let server = Server::new(move |asked| {
            if asked.path == "/token" {
                return match checked(asked, algorithm, public) {
                    Some(_) => Reply::json(json!({ "access_token": "at-1", "expires_in": 3600 })),
                    None => Reply::of(401, "application/json", r#"{"error":"invalid_client"}"#),
                };
            }
            Reply::json("[]")
        })
        .await;
        assert_eq!(
            System::new(&server.url(), &signed(&server.url(), name, key)).pull(None).await.error,
            None,
            "{name}"
        );
        let asked = server.of("/token").remove(0);
        let form = form(&asked);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!((form["grant_type"].as_str(), form["client_assertion_type"].as_str()), ("client_credentials", kind));
        assert!(!form.contains_key("client_secret"));
        let (header, claims) = checked(&asked, algorithm, public).unwrap();
        assert_eq!(header, json!({ "alg": name, "typ": "JWT", "kid": "cert-1" }));
        assert_eq!(claims["aud"], format!("{}/token", server.url()));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("integration"), &json!("integration")));
        assert_eq!(claims["scope"], json!(["rest_webservices", "NL01"]));
        let (issued, expires) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        let now = Timestamp::now().as_second();
        assert!(issued <= now && now < expires && expires - now <= 300, "{issued} {now} {expires}");
    }
}

#[tokio::test]
async fn what_is_signed_goes_by_the_clock_of_the_system() {
    let behind = SignedDuration::from_hours(-1);
    let server = Server::new(move |asked| {
        if asked.path != "/token" {
            return Reply::json("[]");
        }
        let now = Timestamp::now() + behind;
        let (_, claims) = checked(asked, &RSA_PSS_2048_8192_SHA256, RSA_PUBLIC).unwrap();
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT");
        if claims["iat"].as_i64().unwrap() > now.as_second() {
            return Reply::of(400, "application/json", r#"{"error":"invalid_client"}"#).with("date", date);
        }
        Reply::json(json!({ "access_token": format!("at-{}", asked.nth), "expires_in": 0 }))
    })
    .await;
    let system = System::new(&server.url(), &signed(&server.url(), "PS256", RSA));
    assert_eq!(system.pull(None).await.error, None);
    assert_eq!(server.of("/token").len(), 2, "refused once, and then by the system's clock");
    assert_eq!(system.pull(None).await.error, None);
    assert_eq!(server.of("/token").len(), 3, "which is known from then on");
    let refusing = Server::new(|_| Reply::of(401, "application/json", r#"{"error":"invalid_client"}"#)).await;
    let problem = System::new(&refusing.url(), &signed(&refusing.url(), "PS256", RSA)).probe().await;
    says(problem.as_deref(), &["the login by POST", "invalid_client"]);
    assert_eq!(refusing.told(), ["POST /token"], "a clock that is right is no reason to try again");
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_refused_with_what_to_do() {
    for (algorithm, key, expected) in [
        ("PS256", "no key", "openssl pkcs8 -topk8"),
        ("PS256", EC, "PS256 needs an RSA key of 2048 bits or more"),
        ("ES256", RSA, "ES256 needs a key on the curve P-256"),
    ] {
        let refused = bind("http://127.0.0.1:9", &signed("http://127.0.0.1:9", algorithm, key)).err().unwrap();
        says(Some(&refused.to_string()), &[expected]);
    }
}

#[tokio::test]
async fn a_token_is_replaced_before_it_expires_and_not_earlier() {
    for (seconds, logins) in [(json!(3600), 1), (json!("3600"), 1), (json!(0), 2)] {
        let tokens = seconds.clone();
        let server = Server::new(move |asked| match asked.path.as_str() {
            "/token" => Reply::json(json!({ "access_token": format!("at-{}", asked.nth), "expires_in": tokens })),
            _ => Reply::json("[]"),
        })
        .await;
        let url = server.url();
        let client = format!(
            "[http]\nbase_url = \"${{settings.base_url}}\"\n[http.auth.client_credentials]\ntoken_url = \"{url}/token\"\n\
             client_id = \"integration\"\nclient_secret = \"${{settings.password}}\"\nclient_auth = \"basic\"\n\
             token_parameters = {{ resource = \"erp\" }}\n"
        );
        let session = "[http]\nbase_url = \"${settings.base_url}\"\n[http.auth.session]\n\
             request = { path = \"token\", method = \"POST\" }\nexpires_in = \"answer.expires_in\"\n\
             headers = { \"X-Session\" = \"${answer.access_token}\" }\n";
        for text in [client.as_str(), session] {
            let before = server.of("/token").len();
            let system = System::new(&url, text);
            for _ in 0..2 {
                assert_eq!(system.pull(None).await.error, None);
            }
            assert_eq!(server.of("/token").len() - before, logins, "{seconds}");
        }
        let asked = server.of("/token").remove(0);
        assert_eq!(asked.header("authorization"), "Basic aW50ZWdyYXRpb246aHVudGVyMiUyRiUzRCUzRg==");
        assert_eq!(asked.body, "grant_type=client_credentials&resource=erp");
        assert!(!asked.body.contains(PASSWORD));
    }
}

#[tokio::test]
async fn a_setting_says_which_way_to_log_in() {
    let mut chosen = Vec::new();
    let server = Server::new(|_| Reply::json("[]")).await;
    let choice = |by: &str| {
        format!(
            "[http]\nbase_url = \"${{settings.base_url}}\"\n[http.auth.choice]\nby = \"{by}\"\n[http.auth.choice.of]\n\
             NL01 = {{ bearer = \"${{settings.token}}\" }}\nBE01 = {{ headers = {{ key = \"${{settings.password}}\" }} }}\n\
             DE01 = {{ bearer = \"${{settings.absent}}\" }}\n"
        )
    };
    for by in ["${settings.company}", "BE01"] {
        assert_eq!(System::new(&server.url(), &choice(by)).pull(None).await.error, None);
        let asked = server.asked().pop().unwrap();
        chosen.push(format!("{} {}", asked.header("authorization"), asked.header("key")));
    }
    assert_eq!(chosen, ["Bearer t0ken&secret ".to_owned(), format!(" {PASSWORD}")]);
    for (by, expected) in [("FR01", "'FR01' is no way to log in; there are"), ("DE01", "there is no value for")] {
        let refused = bind(&server.url(), &choice(by)).err().unwrap();
        says(Some(&refused.to_string()), &[expected]);
    }
}

#[tokio::test]
async fn sap_is_logged_in_to_with_a_password_or_for_a_token() {
    let server = Server::new(|asked| match asked.path.as_str() {
        "/token" => Reply::json(json!({ "access_token": "at-1" })),
        _ => Reply::json(json!({ "d": { "results": [] } })),
    })
    .await;
    let bound = |settings: &str| {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors");
        let catalog = Catalog::load(&[directory]).unwrap();
        let text = format!(
            "[[connection]]\nname = 'erp'\nconnector = 'sap-s4hana'\ntime_zone = 'UTC'\n[connection.settings]\n\
             base_url = '{}'\nsales_organization = 'NL01'\n{settings}",
            server.url()
        );
        let env = [("PASSWORD".to_owned(), PASSWORD.to_owned())];
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), env).unwrap();
        let at = KeyPath::root().key("connection").index(0);
        Connector::bind(catalog.get("sap-s4hana").unwrap(), &config.connections[0], &config.source.document, &at)
    };
    let refused = bound("login = 'oauth'\nuser = 'x'\npassword = { env = 'PASSWORD' }").err().unwrap();
    says(Some(&refused.to_string()), &["there is no value for `${settings.token_url}`"]);
    let refused = bound("user = 'x'").err().unwrap();
    says(Some(&refused.to_string()), &["there is no value for `${settings.password}`"]);
    for (settings, expected) in [
        ("user = 'integration'\npassword = { env = 'PASSWORD' }".to_owned(), "Basic aW50ZWdyYXRpb246aHVudGVyMi89Pw=="),
        (
            format!(
                "login = 'oauth'\ntoken_url = '{}/token'\nclient_id = 'x'\nclient_secret = {{ env = 'PASSWORD' }}",
                server.url()
            ),
            "Bearer at-1",
        ),
    ] {
        let probed = bound(&settings).unwrap().probe().await;
        assert!(probed.iter().all(tradebridge::connector::ProbeResult::is_ok), "{probed:?}");
        assert_eq!(server.asked().last().unwrap().header("authorization"), expected);
    }
}

#[test]
fn what_makes_no_sense_of_a_login_is_refused_where_it_stands() {
    let url = "http://127.0.0.1:9";
    let client = "token_url = \"http://127.0.0.1:9/token\"\nclient_id = \"x\"\n";
    let both =
        "client_secret = \"${settings.password}\"\nsigned = { key = \"${settings.token}\", algorithm = \"RS256\" }\n";
    let choice = "choices = [\"basic\", \"key\"]";
    for (auth, expected) in [
        (format!("[http.auth.client_credentials]\n{client}"), "give it one of `client_secret` and `signed`"),
        (format!("[http.auth.client_credentials]\n{client}{both}"), "give it one of `client_secret` and `signed`"),
        (
            format!("[http.auth.authorization_code]\nauthorize_url = \"{url}\"\n{client}client_auth = \"basic\"\n"),
            "http.auth.authorization_code.client_auth: there is no `client_secret` to be sent",
        ),
        (
            format!("[http.auth.authorization_code]\nauthorize_url = \"{url}/${{settings.token}}\"\n{client}"),
            "the secret `token` would be seen",
        ),
        (
            format!(
                "[http.auth.choice]\nby = \"${{settings.way}}\"\nof = {{ basic = {{ bearer = \"x\" }} }}\n[settings.way]\n\
                 type = \"choice\"\nhelp = \"Which.\"\n{choice}\n"
            ),
            "the setting `way` can say 'key', which is none of these",
        ),
        (
            "[http.auth.choice]\nby = \"a\"\nof = { a = { choice = { by = \"b\", of = { b = { bearer = \"x\" } } } } }\n"
                .to_owned(),
            "there is one choice only",
        ),
    ] {
        let text = format!("[http]\nbase_url = \"${{settings.base_url}}\"\n{auth}");
        let refused = bind(url, &text).err().unwrap();
        says(Some(&refused.to_string()), &["connectors/erp.toml:", expected]);
    }
}
