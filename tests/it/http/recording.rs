//! Recording what is exchanged with a system, and replaying it where there is no system: by the program itself.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tradebridge::store::SqlStore;

use super::server::{Asked, Reply, Server};
use crate::support::write_files;

const PASSWORD: &str = "hun/ter2 &\"9=?";
const TOKEN: &str = "5e55-10n.t0k3n/abc";
const COOKIE: &str = "c00kie-of-the-session";

const MANIFEST: &str = r#"
name = "web"
title = "An ERP with an API"
transport = "http"
[settings]
base_url = { type = "text", help = "The address.", required = true }
proxy = { type = "text", help = "The proxy." }
ca = { type = "text", help = "Certificates." }
user = { type = "text", help = "The user.", required = true }
password = { type = "secret", help = "The password.", required = true }
[http]
base_url = "${settings.base_url}"
proxy = "${settings.proxy}"
ca = "${settings.ca}"
[http.auth.session]
request = { path = "login", body = { user = "${settings.user}", password = "${settings.password}" } }
headers = { "X-Session" = "${answer.session}" }
[stream.customers]
request = { path = "customers", query = { since = "${cursor}", after = "${page.key}" } }
paging = { by = "key", key = "Nr", size = 2, end = "short" }
cursor = { value = "Changed.instant()", as = "instant", look_back = "1m" }
"#;

const CUSTOMER: &str =
    "entity = 'customer'\nstream = 'customers'\nkey = 'Nr'\n[fields]\nnumber = 'Nr'\nname = 'Name'\n";

/// A system at an address that cannot be resolved, reached through a proxy.
struct System {
    directory: TempDir,
    server: Option<Server>,
}

fn customers(asked: &Asked) -> Vec<Json> {
    let row = |nr: &str, name: &str, hour: u8| json!({ "Nr": nr, "Name": name, "Changed": format!("2026-01-01T{hour:02}:00:00Z") });
    let rows = vec![row("1", "One", 8), row("2", "Two", 9), row("3", "Three", 10)];
    let since = asked.query.get("since").cloned().unwrap_or_default();
    let after = asked.query.get("after").cloned().unwrap_or_default();
    let later = |row: &Json| row["Changed"].as_str() >= Some(&since) && row["Nr"].as_str() > Some(&after);
    rows.into_iter().filter(later).take(2).collect()
}

/// Answers that give away all they know.
fn talkative(asked: &Asked) -> Reply {
    if asked.path.ends_with("/login") {
        assert_eq!(asked.json()["password"], PASSWORD);
        return Reply::json(json!({ "session": TOKEN, "expires_in": 3600 }))
            .with("set-cookie", format!("sid={COOKIE}; path=/"));
    }
    assert_eq!(asked.header("x-session"), TOKEN);
    if asked.nth == 0 {
        return Reply::status(503).with("retry-after", 0);
    }
    let rows: Vec<Json> = customers(asked)
        .into_iter()
        .map(|mut row| {
            row["Debug"] = json!([PASSWORD, TOKEN, asked.header("cookie"), pair(), format!("p={}", percent(PASSWORD))]);
            row
        })
        .collect();
    Reply::json(Json::from(rows)).with("x-debug", TOKEN).with("x-csrf-token", "another-t0ken")
}

/// The password with a user, as HTTP Basic writes them.
fn pair() -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("me:{PASSWORD}"))
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl System {
    async fn new(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::new(script).await;
        let ca = directory.path().join("ca.pem");
        let config = format!(
            "[store]\nurl = 'sqlite://store.db'\n[[connection]]\nname = 'erp'\nconnector = 'web'\ncompany = 'NL01'\n\
             time_zone = 'Europe/Amsterdam'\n[connection.settings]\nbase_url = 'http://erp.invalid/api'\nproxy = '{}'\n\
             user = 'integration'\npassword = {{ env = 'ERP_PASSWORD' }}\n[[sync]]\nconnection = 'erp'\n\
             entity = 'customer'\n",
            server.url()
        );
        write_files(
            directory.path(),
            &[
                ("connectors/web.toml", MANIFEST),
                ("mappings/web/customer.toml", CUSTOMER),
                ("tradebridge.toml", &config),
            ],
        );
        assert!(!ca.exists());
        Self { directory, server: Some(server) }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tradebridge"));
        command.current_dir(self.path()).stdin(Stdio::null()).args(["--config", "tradebridge.toml"]).args(arguments);
        command.env_remove("ERP_PASSWORD").env("TMPDIR", self.path());
        command
    }

    /// A command with the secret.
    async fn online(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.env("ERP_PASSWORD", PASSWORD);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// A command without the secret, after the system has gone.
    fn offline(&mut self, arguments: &[&str]) -> Output {
        drop(self.server.take());
        self.command(arguments).output().unwrap()
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// Every file of a recording.
    fn files(&self, recording: &str) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = std::fs::read_dir(self.path().join(recording))
            .unwrap()
            .map(|file| file.unwrap())
            .map(|file| (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap()))
            .collect();
        files.sort();
        files
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

fn counts(output: &Output) -> (Json, Json) {
    let reports: Json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)));
    (reports[0]["run"]["counts"].clone(), reports[0]["run"]["complete"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_has_no_secret_in_it_and_replays_where_there_is_neither_system_nor_secret() {
    let mut system = System::new(talkative).await;
    let recorded = system.online(&["sync", "erp", "customer", "--record", "full", "--output", "json"]).await;
    assert_eq!(code(&recorded), 0, "{}", said(&recorded));
    assert!(String::from_utf8_lossy(&recorded.stderr).contains("4 exchanges recorded"), "{}", said(&recorded));
    let again = system.online(&["sync", "erp", "customer", "--record", "more", "--output", "json"]).await;
    assert_eq!(code(&again), 0, "{}", said(&again));
    let json = Json::from(PASSWORD).to_string();
    let (form, pair) = (percent(PASSWORD), pair());
    let secrets = [PASSWORD, TOKEN, COOKIE, "another-t0ken", &form, json.trim_matches('"'), &pair[4..], "ter2"];
    for (name, text) in ["full", "more"].iter().flat_map(|recording| system.files(recording)) {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {name}: {text}");
        }
    }
    let files = system.files("full");
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["000001.json", "000002.json", "000003.json", "000004.json", "recording.json"]);
    let login: Json = serde_json::from_str(&files[0].1).unwrap();
    assert_eq!(login["request"]["body"]["json"], json!({ "user": "integration", "password": "[secret]" }));
    let page: Json = serde_json::from_str(&files[2].1).unwrap();
    assert_eq!(page["answer"]["body"]["json"][0]["Name"], "One", "{page}");
    let index: Json = serde_json::from_str(&system.files("more").pop().unwrap().1).unwrap();
    assert_eq!(index["settings"]["user"], "integration");
    assert_eq!(index["pulls"][0]["after"], "2026-01-01T10:00:00Z");

    // A certificate that the way to the system would need is not there either.
    system.edit("tradebridge.toml", "user =", "ca = '/nowhere/ca.pem'\nuser =");
    let before = std::fs::read(system.path().join("store.db")).unwrap();
    let replayed = system.offline(&["sync", "erp", "customer", "--replay", "full", "--output", "json"]);
    assert_eq!(code(&replayed), 0, "{}", said(&replayed));
    let ((counts_then, complete_then), (counts_now, complete)) = (counts(&recorded), counts(&replayed));
    assert_eq!((counts_then, complete_then), (counts_now, complete));
    // What changed is asked for from where the recorded run began, though this store is empty.
    let replayed =
        system.offline(&["sync", "erp", "customer", "--replay", "more", "--output", "json", "--into", "kept.db"]);
    let (counted, complete) = counts(&replayed);
    assert_eq!((counted["read"].clone(), counted["created"].clone(), complete), (json!(1), json!(1), json!(false)));
    assert!(system.path().join("kept.db").exists());
    assert_eq!(std::fs::read(system.path().join("store.db")).unwrap(), before, "the store is left alone");
    let left = std::fs::read_dir(system.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(!left.into_iter().any(|name| name.starts_with("tradebridge-replay")), "what was temporary is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_not_recorded_is_told_with_the_nearest_that_was() {
    let mut system = System::new(talkative).await;
    let recorded = system.online(&["preview", "erp", "customer", "--limit", "3", "--record", "traffic"]).await;
    assert_eq!(code(&recorded), 0, "{}", said(&recorded));
    let same = system.offline(&["preview", "erp", "customer", "--limit", "3", "--replay", "traffic"]);
    assert_eq!(code(&same), 0, "{}", said(&same));

    system.edit("connectors/web.toml", "size = 2, end = \"short\"", "size = 2");
    let replayed = system.offline(&["preview", "erp", "customer", "--limit", "9", "--replay", "traffic"]);
    assert_eq!(code(&replayed), 1);
    let words =
        ["GET /api/customers?after=3 is not in the recording", "after is '2' there and '3' here", "in 000004.json"];
    assert!(words.iter().all(|word| said(&replayed).contains(word)), "{}", said(&replayed));

    system.edit("connectors/web.toml", "path = \"customers\"", "path = \"customer\"");
    let replayed = system.offline(&["preview", "erp", "customer", "--replay", "traffic"]);
    assert!(said(&replayed).contains("the path is /api/customers there and /api/customer here"), "{}", said(&replayed));
    system.edit("tradebridge.toml", "erp.invalid", "other.invalid");
    let replayed = system.offline(&["preview", "erp", "customer", "--replay", "traffic"]);
    assert_eq!(code(&replayed), 2);
    assert!(said(&replayed).contains("was recorded at http://erp.invalid/api"), "{}", said(&replayed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_was_killed_replays_up_to_there_and_a_damaged_one_says_where() {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let mut system = System::new(move |asked| {
        let reply = talkative(asked);
        let last = asked.query.contains_key("after");
        if last { Reply::Behind(Arc::clone(&closed), Box::new(reply)) } else { reply }
    })
    .await;
    let mut command = system.command(&["sync", "erp", "customer", "--record", "cut"]);
    let mut killed = command.env("ERP_PASSWORD", PASSWORD).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    system.server.as_ref().unwrap().arrived(4).await;
    killed.kill().unwrap();
    killed.wait().unwrap();

    let replayed = system.offline(&["preview", "erp", "customer", "--limit", "2", "--replay", "cut"]);
    assert_eq!(code(&replayed), 0, "{}", said(&replayed));
    let replayed = system.offline(&["sync", "erp", "customer", "--replay", "cut"]);
    assert_eq!(code(&replayed), 1);
    assert!(said(&replayed).contains("the recording broke off"), "{}", said(&replayed));

    let path = system.path().join("cut/000003.json");
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    std::fs::write(&path, lines[..5].join("\n")).unwrap();
    let replayed = system.offline(&["sync", "erp", "customer", "--replay", "cut"]);
    assert_eq!(code(&replayed), 2);
    assert!(said(&replayed).contains("cut/000003.json:5:"), "{}", said(&replayed));
    std::fs::write(&path, whole.replacen("\"status\": 200", "\"status\": 2000", 1)).unwrap();
    let replayed = system.offline(&["sync", "erp", "customer", "--replay", "cut"]);
    assert!(said(&replayed).contains("2000 is no status of an answer"), "{}", said(&replayed));
    let replayed = system.offline(&["sync", "erp", "customer", "--replay", "nowhere"]);
    assert!(code(&replayed) == 2 && said(&replayed).contains("is no recording"), "{}", said(&replayed));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_refused_before_anything_is_asked() {
    let system = System::new(talkative).await;
    let open = SqlStore::open_file(&system.path().join("store.db"), true).await.unwrap();
    let refused = system.online(&["sync", "erp", "customer", "--record", "traffic"]).await;
    assert_eq!(code(&refused), 1);
    assert!(said(&refused).contains("a daemon has the store open"), "{}", said(&refused));
    open.close().await;
    drop(open);
    std::fs::create_dir(system.path().join("full")).unwrap();
    std::fs::write(system.path().join("full/file"), "x").unwrap();
    let refused = system.online(&["sync", "erp", "customer", "--record", "full"]).await;
    assert!(code(&refused) == 2 && said(&refused).contains("is not empty"), "{}", said(&refused));
    assert!(system.server.as_ref().unwrap().asked().is_empty());

    let files = tempfile::tempdir().unwrap();
    let init = Command::new(env!("CARGO_BIN_EXE_tradebridge")).current_dir(files.path()).arg("init").output().unwrap();
    assert_eq!(code(&init), 0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tradebridge"));
    let refused = command.current_dir(files.path()).args(["sync", "erp", "--record", "traffic"]).output().unwrap();
    assert!(code(&refused) == 2 && said(&refused).contains("recordings are of HTTP"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_recorded_and_replayed_too_and_says_by_its_exit_whether_all_is_well() {
    let mut system = System::new(talkative).await;
    let failed = system.online(&["connector", "probe", "erp", "--record", "ill", "--output", "json"]).await;
    assert_eq!(code(&failed), 1, "{}", said(&failed));
    let well = system.online(&["connector", "probe", "erp", "--record", "well"]).await;
    assert_eq!(code(&well), 0, "{}", said(&well));
    for word in ["customers", "can be read", "2026-01-01T09:00:00Z", "limit: none is known"] {
        assert!(said(&well).contains(word), "{word} is not in {}", said(&well));
    }
    let replayed = system.offline(&["connector", "probe", "erp", "--replay", "ill", "--output", "json"]);
    assert_eq!(code(&replayed), 1, "{}", said(&replayed));
    let told = |output: &Output| {
        let mut survey: Json = serde_json::from_slice(&output.stdout).unwrap();
        survey["streams"][0].as_object_mut().unwrap().remove("milliseconds");
        survey
    };
    assert_eq!(told(&failed), told(&replayed));
    assert_eq!(told(&failed)["streams"][0]["result"], "failed");
    let unknown = system.offline(&["connector", "probe", "epr", "--replay", "well"]);
    assert!(code(&unknown) == 2 && said(&unknown).contains("did you mean `erp`"), "{}", said(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_refused_is_refused_in_the_replay() {
    let mut system = System::new(|_| Reply::of(401, "text/plain", format!("no entry with {PASSWORD}"))).await;
    let refused = system.online(&["preview", "erp", "customer", "--record", "refused"]).await;
    assert!(code(&refused) == 1 && said(&refused).contains("no entry with [secret]"), "{}", said(&refused));
    assert!(!system.files("refused").iter().any(|(_, text)| text.contains(PASSWORD) || text.contains("ter2")));
    let replayed = system.offline(&["preview", "erp", "customer", "--replay", "refused"]);
    let words = "the login failed when it was recorded: POST /api/login was answered 401";
    assert!(code(&replayed) == 1 && said(&replayed).contains(words), "{}", said(&replayed));
}
