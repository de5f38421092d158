//! Connections of the program as a process: a person's consent by the command, and secrets, which nobody ever sees.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::authority::{Authority, Rules, form, manifest};
use super::server::{Reply, Server};
use super::system::{PASSWORD, TOKEN, says};
use crate::daemon::{Daemon, program};

const CUSTOMER: &str = "entity = \"customer\"
stream = \"items\"
key = \"id\"
[fields]
number = \"id\"
name = \"id\"
";

const SETTINGS: &str = r#"
transport = "http"
[settings]
base_url = { type = "text", help = "The address.", required = true }
company = { type = "text", help = "The company.", default = "NL01" }
user = { type = "text", help = "The user.", default = "integration" }
token = { type = "secret", help = "The token." }
password = { type = "secret", help = "The password." }
key = { type = "secret", help = "The key." }
"#;

const KEY: &str = "/tests/fixtures/http/rsa.key";

/// A directory with connectors, each with a connection of its name, and a configuration.
struct Site {
    directory: TempDir,
}

impl Site {
    fn new(url: &str, connectors: &[(&str, String)]) -> Self {
        let site = Self { directory: tempfile::tempdir().unwrap() };
        let at = site.directory.path().display();
        let mut text = format!(
            "connectors = ['{at}/connectors']\nmappings = ['{at}/mappings']\n[api]\nlisten = '127.0.0.1:0'\n[log]\n\
             format = 'json'\nfilter = 'trace'\n[store]\nurl = 'sqlite://{at}/store.db'\nencryption_key = {{ env = 'SEAL' }}\n"
        );
        for (name, manifest) in connectors {
            let manifest = format!("name = \"{name}\"\ntitle = \"An ERP\"\n{SETTINGS}{manifest}");
            site.write(&format!("connectors/{name}.toml"), &manifest);
            site.write(&format!("mappings/{name}/customer.toml"), CUSTOMER);
            write!(
                text,
                "[[connection]]\nname = '{name}'\nconnector = '{name}'\ncompany = 'NL01'\ntime_zone = 'UTC'\n\
                 [connection.settings]\nbase_url = '{url}'\ntoken = {{ env = 'TOKEN' }}\npassword = {{ env = 'PASSWORD' }}\n\
                 key = {{ file = '{}{KEY}' }}\n[[sync]]\nconnection = '{name}'\nentity = 'customer'\n",
                env!("CARGO_MANIFEST_DIR")
            )
            .unwrap();
        }
        site.write("tradebridge.toml", &text);
        let check = site.run(&["check", "--offline"]);
        assert!(check.status.success(), "{}", said(&check));
        site
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.directory.path()).arg("--config").arg("tradebridge.toml").args(arguments);
        command.envs([("TOKEN", TOKEN), ("PASSWORD", PASSWORD), ("SEAL", &seal())]).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Begins to authorize a connection: the command, and the address where consent is given.
    fn begin(&self, name: &str, arguments: &[&str]) -> (Child, String) {
        let mut command = self.command(&[&["connection", "authorize", name], arguments].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
        let address = lines.by_ref().map(Result::unwrap).find(|line| line.contains("/authorize")).unwrap();
        // What it says of where the browser is sent back to.
        assert!(lines.map(Result::unwrap).any(|line| line.contains("the browser is sent back to")));
        (child, address)
    }

    /// What stands in all files of the store.
    fn store(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let stores: Vec<PathBuf> = files.filter(|path| path.display().to_string().contains("store.db")).collect();
        assert!(!stores.is_empty());
        stores.iter().flat_map(|path| std::fs::read(path).unwrap()).collect()
    }
}

fn seal() -> String {
    STANDARD.encode([9; 32])
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a browser is told where it is sent.
async fn browse(address: &str) -> (u16, String) {
    let answer = crate::support::http().build().unwrap().get(address).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn system(rules: Rules) -> (Authority, Server) {
    let authority = Authority::new(rules);
    let answering = authority.clone();
    (authority, Server::new(move |asked| answering.answer(asked)).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_authorizes_a_connection_by_the_command_with_and_without_a_daemon() {
    let (authority, server) = system(Rules::default()).await;
    let plain = "[http]\nbase_url = \"${settings.base_url}\"\n[stream.items]\nrequest = { path = \"items\" }\n";
    let site = Site::new(&server.url(), &[("erp", manifest(&server.url(), "")), ("plain", plain.to_owned())]);
    let check = site.run(&["check"]);
    says(Some(&said(&check)), &["erp: ", "nobody has authorized the connection yet"]);

    let (child, address) = site.begin("erp", &["--port", "0"]);
    let back = authority.consents_to(&address);
    let icon = reqwest::Url::parse(&back).unwrap().join("/favicon.ico").unwrap();
    assert_eq!(browse(icon.as_str()).await.0, 404, "a browser asks for more than it was sent to");
    let told = browse(&back).await;
    assert_eq!(told, (200, "The connection is authorized. You can close this window.".to_owned()));
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), said(&done).trim()), (Some(0), "the connection `erp` is authorized"));
    assert!(said(&site.run(&["check"])).contains("erp: can be used"));

    let mut daemon = Daemon::follow(site.command(&["run"]));
    daemon.until(|line| line["message"] == "tradebridge is ready");
    let other = site.begin("erp", &["--paste", "--redirect", "https://shop.example/back"]);
    let first = authority.consents_to(&other.1);
    let (mut child, address) = site.begin("erp", &["--paste"]);
    let right = authority.consents_to(&address);
    assert!(first.starts_with("https://shop.example/back?") && right.starts_with("http://127.0.0.1:8765/callback?"));
    writeln!(child.stdin.take().unwrap(), "{right}").unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    // What was asked before is over.
    let mut child = other.0;
    writeln!(child.stdin.take().unwrap(), "{first}").unwrap();
    let refused = child.wait_with_output().unwrap();
    assert_ne!(refused.status.code(), Some(0));
    says(Some(&said(&refused)), &["nothing was asked for 'erp'"]);

    let (mut child, _) = site.begin("erp", &["--paste"]);
    writeln!(child.stdin.take().unwrap(), "{right}").unwrap();
    let refused = child.wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    says(Some(&said(&refused)), &["its `state` is another"]);
    for (name, code, expected) in [("pain", 2, "did you mean"), ("plain", 1, "needs no consent")] {
        let refused = site.run(&["connection", "authorize", name]);
        assert_eq!(refused.status.code(), Some(code));
        says(Some(&said(&refused)), &[expected]);
    }
    let status: Json = serde_json::from_slice(&site.run(&["status", "--output", "json"]).stdout).unwrap();
    let connections = status["daemon"]["connections"].as_array().unwrap();
    assert!(connections.iter().any(|one| one["name"] == "erp" && one["reachable"] == true), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_that_is_over_is_said_by_check_status_and_readiness() {
    let (authority, server) = system(Rules { expires_in: Some(0), ..Rules::default() }).await;
    let site = Site::new(&server.url(), &[("erp", manifest(&server.url(), ""))]);
    let (child, address) = site.begin("erp", &["--port", "0"]);
    browse(&authority.consents_to(&address)).await;
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    authority.rule(|rules| rules.withdrawn = true);
    let expected = ["(invalid_grant: Token [secret] is not active)", "`tradebridge connection authorize erp`"];
    let mut daemon = Daemon::follow(site.command(&["run"]));
    let warned = daemon.until(|line| line["message"].as_str().is_some_and(|text| text.contains("cannot be used")));
    says(warned["reason"].as_str(), &expected);
    let check = site.run(&["check"]);
    assert_eq!(check.status.code(), Some(1));
    says(Some(&said(&check)), &expected);
    let status: Json = serde_json::from_slice(&site.run(&["status", "--output", "json"]).stdout).unwrap();
    says(status["daemon"]["connections"][0]["message"].as_str(), &expected);
    let access = std::fs::read_to_string(site.directory.path().join("store.db.admin")).unwrap();
    let access: Json = serde_json::from_str(&access).unwrap();
    let (_, ready) = browse(&format!("http://{}/readyz", access["address"].as_str().unwrap())).await;
    let ready: Json = serde_json::from_str(&ready).unwrap();
    let checks = ready["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == "connection erp" && check["ok"] == false), "{ready}");
}

#[test]
fn a_connection_that_keeps_a_token_wants_a_key_for_the_store() {
    let site = Site::new("https://erp.example", &[("erp", manifest("https://erp.example", ""))]);
    let text = std::fs::read_to_string(site.directory.path().join("tradebridge.toml")).unwrap();
    site.write("tradebridge.toml", &text.replace("encryption_key = { env = 'SEAL' }\n", ""));
    let check = site.run(&["check", "--offline"]);
    assert_eq!(check.status.code(), Some(2));
    let expected =
        ["connection[0].connector: a connection of 'erp' keeps a token in the store", "openssl rand -base64 32"];
    says(Some(&said(&check)), &expected);
}

/// One connector for each way to prove who requests come from.
fn connectors(url: &str) -> Vec<(&'static str, String)> {
    let http = "[http]\nbase_url = \"${settings.base_url}\"\nmessage = [\"message\"]\n";
    let items = "[stream.items]\nrequest = { path = \"items\" }\n";
    let with = |auth: &str| format!("{http}[http.auth]\n{auth}\n{items}");
    vec![
        ("basic", with("basic = { user = \"${settings.user}\", password = \"${settings.password}\" }")),
        ("bearer", with("bearer = \"${settings.token}\"")),
        ("headers", with("headers = { apikey = \"${settings.token}\" }")),
        (
            "session",
            with(
                "[http.auth.session]\nrequest = { path = \"client/token\", body = { user = \"${settings.user}\", password = \
                 \"${settings.password}\" } }\nheaders = { \"X-Session\" = \"${answer.access_token}\" }",
            ),
        ),
        (
            "client",
            with(&format!(
                "client_credentials = {{ token_url = \"{url}/client/token\", client_id = \"x\", client_secret = \
                 \"${{settings.password}}\" }}"
            )),
        ),
        (
            "signed",
            with(&format!(
                "client_credentials = {{ token_url = \"{url}/signed/token\", client_id = \"x\", signed = {{ algorithm = \
                 \"PS256\", key = \"${{settings.key}}\" }} }}"
            )),
        ),
        ("consent", manifest(url, "")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_log_an_answer_or_the_store() {
    let authority = Authority::new(Rules { expires_in: Some(0), ..Rules::default() });
    let answering = authority.clone();
    // A system that gives tokens out, and in all other answers says what it was sent.
    let server = Server::new(move |asked| match asked.path.as_str() {
        "/token" => answering.answer(asked),
        "/client/token" => Reply::json(json!({ "access_token": "access-secret-of-a-client", "expires_in": 0 })),
        _ => {
            let sent = format!("{:?} {}", asked.headers, asked.body);
            Reply::of(400, "application/json", json!({ "message": sent }))
        }
    })
    .await;
    let connectors = connectors(&server.url());
    let site = Site::new(&server.url(), &connectors);
    let mut daemon = Daemon::follow(site.command(&["run"]));
    let mut log = Vec::new();
    loop {
        let line = daemon.next().unwrap();
        let ready = line["message"] == "tradebridge is ready";
        log.push(line.to_string());
        if ready {
            break;
        }
    }
    let (child, address) = site.begin("consent", &["--port", "0"]);
    browse(&authority.consents_to(&address)).await;
    let mut answers = vec![said(&child.wait_with_output().unwrap())];
    for (name, _) in &connectors {
        let output = site.run(&["sync", name, "--output", "json"]);
        assert!(said(&output).contains("[secret]"), "the answer shows what was sent: {}", said(&output));
        answers.push(said(&output));
    }
    for arguments in ["check", "status", "runs list"] {
        let arguments: Vec<&str> = arguments.split(' ').chain(["--output", "json"]).collect();
        answers.push(said(&site.run(&arguments)));
    }
    daemon.signal("TERM");
    while let Some(line) = daemon.next() {
        log.push(line.to_string());
    }
    assert!(daemon.wait().success());
    assert!(
        log.iter().any(|line| line.contains("TRACE") && line.contains("hyper")),
        "the transport writes its log, too"
    );

    let asked = server.asked();
    let verifier = asked.iter().find_map(|asked| form(asked).get("code_verifier").cloned()).unwrap();
    let assertion = asked.iter().find_map(|asked| form(asked).get("client_assertion").cloned()).unwrap();
    let key = std::fs::read_to_string(format!("{}{KEY}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let pair = STANDARD.encode(format!("integration:{PASSWORD}"));
    let (signature, seal) = (assertion.rsplit('.').next().unwrap().to_owned(), seal());
    let secrets = [
        TOKEN,
        PASSWORD,
        "hunter2%2F%3D%3F",
        "hunter2\\/",
        "access-secret",
        "refresh-secret",
        "code-secret",
        &pair,
        &verifier,
        &assertion,
        &signature,
        &seal,
        key.lines().nth(1).unwrap(),
    ];
    let (log, answers, store) = (log.join("\n"), answers.join("\n"), site.store());
    for secret in secrets {
        for (place, text) in [("the log", log.as_bytes()), ("an answer", answers.as_bytes()), ("the store", &store)] {
            let found = text.windows(secret.len()).position(|bytes| bytes == secret.as_bytes());
            let around = found.map(|at| String::from_utf8_lossy(&text[at.saturating_sub(300)..at]).into_owned());
            assert!(found.is_none(), "{secret} in {place} behind {}", around.unwrap_or_default());
        }
    }
}
