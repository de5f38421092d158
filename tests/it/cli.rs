//! The command line, as the program itself answers it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tradebridge::store::Feed as _;
use tradebridge::store::SqlStore;

use super::daemon::{PATIENCE, Site};

/// The program, started in a directory, with nothing of the environment that would change its answer.
fn tradebridge(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tradebridge"));
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRADEBRIDGE_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    tradebridge(directory).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn parsed(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", out(output)))
}

/// A directory with what `init` writes.
fn initialised() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let written = run(directory.path(), &["init"]);
    assert_eq!(code(&written), 0, "{}", err(&written));
    directory
}

fn edit(path: &Path, edits: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(path).unwrap();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} is not in {}", path.display());
        text = text.replacen(from, to, 1);
    }
    std::fs::write(path, text).unwrap();
}

fn line_of(path: &Path, word: &str) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().position(|line| line.contains(word)).unwrap() + 1
}

#[test]
fn faulty_usage_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["--nonsense"][..],
        &["frobnicate"],
        &["map", "try", "a.toml"],
        &["schema", "nonsense"],
        &["check", "--offline"],
        &["check", "--offline", "--config", "missing.toml"],
    ] {
        let output = run(directory.path(), arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", err(&output));
        assert!(!err(&output).is_empty(), "{arguments:?} says nothing");
    }
    let nowhere = err(&run(directory.path(), &["check"]));
    assert!(nowhere.contains("config/tradebridge.toml") && nowhere.contains("--config"), "{nowhere}");
}

#[test]
fn what_init_writes_is_sound_and_its_examples_hold() {
    let directory = initialised();
    let checked = run(directory.path(), &["check", "--offline", "--output", "json"]);
    assert_eq!(code(&checked), 0, "{}", out(&checked));
    assert_eq!(parsed(&checked)["syncs"], 1);
    let tested = run(directory.path(), &["map", "test", "mappings/my-erp/customer.toml", "--output", "json"]);
    assert_eq!(code(&tested), 0, "{}", out(&tested));
    assert!(parsed(&tested)["passed"].as_u64().unwrap() >= 3);

    let preview = run(directory.path(), &["preview", "erp", "customer", "--output", "json"]);
    assert_eq!(code(&preview), 0, "{}", out(&preview));
    let numbers: Vec<Json> =
        parsed(&preview).as_array().unwrap().iter().map(|r| r["mapped"]["number"].clone()).collect();
    assert_eq!(numbers, ["10000", "10001", "10002"], "the example export goes through connector and mapping");
    let tried = ["map", "try", "mappings/my-erp/customer.toml", "--connection", "erp", "--output", "json"];
    assert_eq!(parsed(&run(directory.path(), &tried)).as_array().unwrap().len(), 3);

    std::fs::write(directory.path().join("README.md"), "mine").unwrap();
    std::fs::remove_file(directory.path().join("config/tradebridge.toml")).unwrap();
    let again = run(directory.path(), &["init"]);
    assert_eq!(code(&again), 1);
    assert!(err(&again).contains("README.md"), "{}", err(&again));
    assert_eq!(std::fs::read_to_string(directory.path().join("README.md")).unwrap(), "mine");
    assert!(!directory.path().join("config/tradebridge.toml").exists(), "nothing is written beside what is there");

    let other = run(directory.path(), &["init", "deep/down"]);
    assert_eq!(code(&other), 0, "{}", err(&other));
    assert_eq!(code(&run(&directory.path().join("deep/down"), &["check", "--offline"])), 0);
}

#[test]
fn everything_wrong_in_every_file_is_said_at_once() {
    let directory = initialised();
    let config = directory.path().join("config/tradebridge.toml");
    let connector = directory.path().join("connectors/my-erp.toml");
    let mapping = directory.path().join("mappings/my-erp/customer.toml");
    edit(&config, &[("listen =", "lisen ="), ("every =", "evry =")]);
    edit(&connector, &[("delimiter =", "delimter =")]);
    edit(&mapping, &[("vat_number =", "vat_nmber ="), (".compact()", ".compcat()"), ("key =", "kee =")]);
    let checked = run(directory.path(), &["check", "--offline"]);
    assert_eq!(code(&checked), 2);
    let said = err(&checked);
    for (file, word, wanted) in [
        (&config, "lisen", "did you mean `listen`?"),
        (&config, "evry", "did you mean `every`?"),
        (&connector, "delimter", "did you mean `delimiter`?"),
        (&mapping, "kee", "did you mean `key`?"),
    ] {
        let name = file.strip_prefix(directory.path()).unwrap();
        let place = format!("{}:{}:", name.display(), line_of(file, &format!("{word} =")));
        assert!(said.contains(&place) && said.contains(wanted), "{place} {wanted} is not in\n{said}");
    }
    edit(&mapping, &[("kee =", "key =")]);
    let said = err(&run(directory.path(), &["check", "--offline"]));
    assert!(said.contains("vat_number") && said.contains("compact"), "{said}");

    let checked = run(directory.path(), &["check", "--offline", "--output", "json"]);
    let problems = &parsed(&checked)["error"]["problems"];
    assert!(problems.as_array().unwrap().len() >= 4, "{problems:#}");
    assert!(problems.as_array().unwrap().iter().all(|p| p["line"].is_u64() && p["message"].is_string()));
}

#[test]
fn an_example_that_fails_is_found_by_check_and_by_map_test() {
    let directory = initialised();
    edit(&directory.path().join("mappings/my-erp/customer.toml"), &[("name = \"De Vries BV\"", "name = \"Other\"")]);
    let checked = run(directory.path(), &["check", "--offline"]);
    assert_eq!(code(&checked), 2);
    assert!(err(&checked).contains("should be \"Other\""), "{}", err(&checked));
    let tested = run(directory.path(), &["map", "test", "mappings/my-erp/customer.toml"]);
    assert_eq!(code(&tested), 1);
    assert!(out(&tested).contains("2 passed, 1 failed"), "{}", out(&tested));
}

#[test]
fn a_mapping_that_is_missing_or_makes_something_else_is_said_at_the_sync() {
    let directory = initialised();
    let config = directory.path().join("config/tradebridge.toml");
    let mappings = directory.path().join("mappings/my-erp");
    std::fs::rename(mappings.join("customer.toml"), mappings.join("customers.toml")).unwrap();
    let said = err(&run(directory.path(), &["check", "--offline"]));
    assert!(said.contains("mappings/my-erp/customer.toml") && said.contains("config/tradebridge.toml:"), "{said}");
    edit(&config, &[("entity = \"customer\"", "entity = \"product\"\nmapping = \"my-erp/customers\"")]);
    let said = err(&run(directory.path(), &["check", "--offline"]));
    assert!(said.contains("my-erp/customers.toml") && said.contains("product"), "{said}");
}

#[test]
fn map_try_shows_what_becomes_of_each_record() {
    let directory = initialised();
    let records =
        "{\"Number\": \" 7 \", \"Name\": \"A\"}\n{\"Number\": \"8\", \"Currency\": \"EUX\", \"Name\": \"B\"}\n";
    let mut child = tradebridge(directory.path())
        .args(["map", "try", "mappings/my-erp/customer.toml", "--record", "-", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(records.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 3, "one of them is rejected");
    let tried = parsed(&output);
    assert_eq!((tried[0]["outcome"].as_str(), tried[0]["mapped"]["number"].as_str()), (Some("part"), Some("7")));
    assert_eq!(tried[1]["rejected"]["field"], "currency");
    let mapping = directory.path().join("mappings/my-erp/customer.toml");
    assert_eq!(tried[1]["rejected"]["line"], line_of(&mapping, "currency ="));

    std::fs::write(directory.path().join("one.json"), "[{\"Number\": \"9\", \"Name\": \"C\"}]").unwrap();
    let arguments = ["map", "try", "mappings/my-erp/customer.toml", "--record", "one.json"];
    let output = run(directory.path(), &arguments);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(out(&output).contains("EXAMPLE~9"), "{}", out(&output));
    std::fs::write(directory.path().join("one.json"), "{\"Number\": ").unwrap();
    assert_eq!(code(&run(directory.path(), &arguments)), 2);
}

#[test]
fn schemas_and_completions_are_what_they_claim() {
    let directory = tempfile::tempdir().unwrap();
    for kind in ["config", "connector", "mapping", "order", "customer", "price_agreement"] {
        let schema = run(directory.path(), &["schema", kind]);
        assert_eq!(code(&schema), 0);
        assert!(parsed(&schema).is_object(), "{kind}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = run(directory.path(), &["completions", shell]);
        assert_eq!(code(&script), 0);
        assert!(out(&script).contains("offline"), "{shell}");
        let path: PathBuf = directory.path().join(format!("completions.{shell}"));
        std::fs::write(&path, &script.stdout).unwrap();
        // The shell itself judges, where it is there.
        if let Ok(judged) = Command::new(shell).arg("-n").arg(&path).output() {
            assert!(judged.status.success(), "{shell}: {}", err(&judged));
        }
    }
}

#[test]
fn connectors_are_listed_and_shown_with_what_they_are_verified_against() {
    let directory = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors");
    let config = format!("connectors = ['{}']\n[store]\nurl = 'sqlite://store.db'\n", shipped.display());
    std::fs::write(directory.path().join("tradebridge.toml"), config).unwrap();
    let connector = |arguments: &[&str]| {
        let mut all = vec!["connector", "--config", "tradebridge.toml"];
        all.extend(arguments);
        run(directory.path(), &all)
    };
    let listed = parsed(&connector(&["list", "--output", "json"]));
    let proof = |name: &str| listed.as_array().unwrap().iter().find(|c| c["name"] == name).unwrap()["proof"].clone();
    assert_eq!((proof("tryton"), proof("bmecat")), (json!("real"), json!("samples")));
    assert!(out(&connector(&["list"])).contains("against the system itself"));

    let shown = out(&connector(&["show", "tryton"]));
    for word in ["base_url", "secret", "stream", "price_list_lines", "order", "refused by the system"] {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    let unknown = connector(&["show", "trytn"]);
    assert_eq!(code(&unknown), 2);
    assert!(err(&unknown).contains("did you mean `tryton`?"), "{}", err(&unknown));
}

#[test]
fn nothing_is_coloured_that_is_piped() {
    let directory = initialised();
    edit(&directory.path().join("mappings/my-erp/customer.toml"), &[("key =", "kee =")]);
    let checked = tradebridge(directory.path()).args(["check"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(!err(&checked).contains('\u{1b}') && !out(&checked).contains('\u{1b}'));
}

fn config_with_store(directory: &Path) {
    std::fs::create_dir_all(directory.join("config")).unwrap();
    std::fs::write(directory.join("config/tradebridge.toml"), "[store]\nurl = \"sqlite://data/s.db\"\n").unwrap();
}

#[tokio::test]
async fn migrate_and_recover_need_the_store_for_themselves() {
    let directory = tempfile::tempdir().unwrap();
    config_with_store(directory.path());
    let nothing = run(directory.path(), &["recover"]);
    assert_eq!(code(&nothing), 1);
    assert!(err(&nothing).contains("copy the backup"), "{}", err(&nothing));

    let migrated = parsed(&run(directory.path(), &["migrate", "--output", "json"]));
    assert_eq!((migrated["migrated"].as_bool(), migrated["from"].as_i64()), (Some(true), Some(0)));
    let again = parsed(&run(directory.path(), &["migrate", "--output", "json"]));
    assert_eq!(again["migrated"], false);

    let file = directory.path().join("data/s.db");
    let before = {
        let store = SqlStore::open_file(&file, false).await.unwrap();
        assert!(SqlStore::in_use(&file).unwrap());
        for command in ["migrate", "recover"] {
            let locked = run(directory.path(), &[command]);
            assert_eq!(code(&locked), 1);
            assert!(err(&locked).contains("in use by another process"), "{}", err(&locked));
        }
        let head = store.head().await.unwrap();
        store.close().await;
        head
    };
    assert!(!SqlStore::in_use(&file).unwrap());
    let recovered = run(directory.path(), &["recover", "--output", "json"]);
    assert_eq!(code(&recovered), 0, "{}", out(&recovered));
    assert_eq!(parsed(&recovered)["orders"], 0);
    let after = SqlStore::open_file(&file, false).await.unwrap().head().await.unwrap();
    assert_eq!(after.sequence, before.sequence);
    assert_ne!(after.epoch, before.epoch, "cursors from before the restore are over");
}

/// What a command says to people.
fn said(site: &Site, arguments: &[&str]) -> (i32, String) {
    let output = site.command(arguments).output().unwrap();
    (code(&output), out(&output) + &err(&output))
}

#[test]
fn a_preview_shows_source_mapped_record_and_differences() {
    let site = Site::new();
    let (exit, preview) = said(&site, &["preview", "erp", "customer", "--limit", "1"]);
    assert!(exit == 0 && preview.contains("klanten.csv, line 2, record 1: new"), "{preview}");
    site.ask(&["sync", "erp", "customer"]);
    let (_, preview) = said(&site, &["preview", "erp", "customer", "--limit", "1"]);
    assert!(preview.contains("record 1: unchanged") && !preview.contains("differences"), "{preview}");
    site.edit_export("klanten.csv", |lines| {
        lines[1] = String::from_utf8(lines[1].clone()).unwrap().replacen(";EUR;", ";USD;", 1).into_bytes();
    });
    let (_, preview) = said(&site, &["preview", "erp", "customer", "--limit", "1"]);
    let words = ["  source\n", "  mapped\n", "record 1: changed", "    currency: \"EUR\" → \"USD\"\n"];
    assert!(words.iter().all(|word| preview.contains(word)), "{preview}");
    let (_, records) = site.ask(&["preview", "erp", "customer", "--limit", "1"]);
    assert_eq!(records[0]["change"], "changed");
    let differences = json!([{ "field": "currency", "before": "EUR", "after": "USD" }]);
    assert_eq!(records[0]["differences"], differences);
}

#[test]
fn a_probe_of_a_connection_with_files_tells_directories_and_files() {
    let site = Site::new();
    let (exit, probed) = said(&site, &["connector", "probe", "erp"]);
    assert_eq!(exit, 0, "{probed}");
    assert!(probed.contains("can be read") && probed.contains("files"), "{probed}");
    site.edit_export("klanten.csv", |lines| lines[0] = b"Another;Header".to_vec());
    let (exit, probed) = said(&site, &["connector", "probe", "erp"]);
    assert!(exit == 1 && probed.contains("klanten.csv"), "{probed}");
}

#[test]
fn a_rejected_record_is_said_with_its_place_and_the_line_that_refused_it() {
    let site = Site::new();
    site.edit_export("klanten.csv", |lines| {
        lines[1] = String::from_utf8(lines[1].clone()).unwrap().replacen(";EUR;", ";EUX;", 1).into_bytes();
    });
    let (exit, preview) = said(&site, &["preview", "erp", "customer", "--limit", "2"]);
    assert_eq!(exit, 3, "{preview}");
    assert!(preview.contains("klanten.csv, line 2") && preview.contains("'EUX'"), "{preview}");
    assert!(preview.contains("2 records, 1 rejected; nothing was stored"), "{preview}");

    let (exit, reports) = site.ask(&["sync", "erp", "customer"]);
    assert_eq!((exit, &reports[0]["run"]["counts"]["rejected"]), (3, &1.into()), "{reports:#}");
    let run = reports[0]["run"]["id"].as_str().unwrap();
    let (exit, shown) = said(&site, &["runs", "show", run]);
    assert_eq!(exit, 0);
    for wanted in ["klanten.csv, line 2", "currency: 'EUX'", "customer.toml:", "rejected   1"] {
        assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
    }
    let (_, status) = said(&site, &["status"]);
    assert!(status.contains("erp customer: 1 record rejected"), "{status}");
    assert!(status.contains("the daemon is not running"), "{status}");
    let (exit, _) = said(&site, &["sync", "erp", "custmer"]);
    assert_eq!(exit, 2, "what the configuration does not have is a mistake of the usage");
}

#[test]
fn a_held_run_is_shown_by_examples_and_approved() {
    let site = Site::new();
    assert_eq!(site.ask(&["sync", "erp", "price_agreement"]).0, 0);
    let customer = |line: &[u8]| String::from_utf8_lossy(line).split(';').nth(2).unwrap_or_default().to_owned();
    site.edit_export("prijsafspraken.csv", |lines| {
        let first = customer(&lines[1]);
        lines.retain(|line| customer(line) != first);
        lines.truncate(6000);
    });
    let (exit, tried) = site.ask(&["sync", "erp", "price_agreement", "--dry-run"]);
    assert!([0, 4].contains(&exit), "{tried:#}");
    let (exit, reports) = site.ask(&["sync", "erp", "price_agreement"]);
    assert_eq!((exit, reports[0]["outcome"].as_str()), (4, Some("held")), "{reports:#}");
    let run = reports[0]["run"]["id"].as_str().unwrap();
    let (_, shown) = said(&site, &["runs", "show", run]);
    assert!(shown.contains("guard.delete") && shown.contains("delete NL01~"), "{shown}");
    assert!(shown.contains(&format!("tradebridge runs approve {run}")), "{shown}");
    let (_, detail) = site.ask(&["runs", "show", run]);
    assert!(
        detail["differences"].as_array().unwrap().iter().all(|d| d["before"].is_object() && d["superseded"] == false)
    );

    let (exit, approved) = site.ask(&["runs", "approve", run]);
    assert_eq!((exit, approved["state"].as_str()), (0, Some("done")), "{approved:#}");
    let (exit, again) = site.ask(&["runs", "approve", run]);
    assert_eq!(exit, 1);
    assert!(again["error"]["message"].as_str().unwrap().contains("not held"), "{again:#}");
    assert_eq!(again["error"]["details"]["type"], "urn:tradebridge:problem:conflict");
}

#[tokio::test]
async fn an_order_is_followed_from_the_shop_to_the_answer_of_the_erp() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    let (address, _) = site.access();
    let order = json!({
        "reference": "W-1", "customer": "10000", "currency": "EUR", "customer_order_number": "PO 7",
        "lines": [{ "product": "0001010", "quantity": "4" }],
    });
    let posted = crate::support::http()
        .build()
        .unwrap()
        .post(format!("{address}/v1/orders"))
        .bearer_auth("tb_demo_key")
        .json(&order)
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 202);
    let posted: Json = posted.json().await.unwrap();
    let id = posted["id"].as_str().unwrap();

    let until = |wanted: &dyn Fn(&Json) -> bool| {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let (exit, order) = site.ask(&["orders", "show", id]);
            assert_eq!(exit, 0, "{order:#}");
            if wanted(&order) {
                return order;
            }
            assert!(std::time::Instant::now() < end, "{order:#}");
        }
    };
    let submitted = until(&|order| order["state"] == "submitted");
    let (exit, refused) = site.ask(&["orders", "retry", id]);
    assert_eq!((exit, refused["error"]["details"]["status"].as_i64()), (1, Some(409)), "{refused:#}");
    let (exit, listed) = site.ask(&["orders", "list", "--state", "submitted,unknown", "--shop", "b2b"]);
    assert_eq!((exit, listed["items"][0]["id"].as_str()), (0, Some(id)));
    assert_eq!(site.ask(&["orders", "list", "--state", "accepted"]).1["items"], json!([]));

    let answer = std::fs::read_to_string("config/demo/answers/orderantwoord.csv").unwrap();
    let answer = answer.replace("{{REFERENTIE}}", submitted["our_reference"].as_str().unwrap());
    std::fs::write(site.path("new.csv"), answer).unwrap();
    std::fs::rename(site.path("new.csv"), site.path("antwoorden/orderantwoord-1.csv")).unwrap();
    until(&|order| order["state"] == "accepted" && order["lines"].as_array().is_some_and(|lines| !lines.is_empty()));
    let (_, shown) = said(&site, &["orders", "show", id]);
    for wanted in ["VO2600412", "PO 7", "b2b, reference W-1", "How it got here", "posted by the shop", "2026-11-30"] {
        assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
    }
    let (_, status) = said(&site, &["status"]);
    assert!(status.contains("running since") && status.contains("accepted"), "{status}");
}

#[test]
fn a_key_is_made_shown_once_used_and_revoked() {
    let site = Site::new();
    let daemon = site.start();
    let made = site.command(&["key", "create", "ops", "--shop", "b2b", "--scope", "read,admin"]).output().unwrap();
    assert_eq!(code(&made), 0, "{}", err(&made));
    let key = out(&made).trim().to_owned();
    assert!(key.starts_with("tb_") && !key.contains(char::is_whitespace), "the key alone is on standard output: {key}");
    assert_eq!(site.ask(&["key", "create", "ops", "--shop", "b2b", "--scope", "read"]).0, 1, "the name is taken");
    assert_eq!(site.ask(&["key", "create", "x", "--shop", "b3b", "--scope", "read"]).0, 2);
    let (exit, refused) = site.ask(&["key", "create", "Not A Name", "--shop", "b2b", "--scope", "read"]);
    assert_eq!((exit, &refused["error"]["details"]["errors"][0]["pointer"]), (2, &"/name".into()), "{refused:#}");
    drop(daemon);

    // What a killed daemon left behind does not mislead the command; the store says the same without it.
    assert!(site.path("tradebridge.db.admin").exists());
    let (exit, keys) = site.ask(&["key", "list"]);
    assert_eq!(exit, 0, "{keys:#}");
    assert!(!keys.to_string().contains(&key), "a key is shown once");
    let names: Vec<&str> = keys["items"].as_array().unwrap().iter().map(|k| k["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["demo", "ops"]);
    assert_eq!(site.ask(&["key", "revoke", "ops"]).0, 0);
    assert_eq!(site.ask(&["key", "revoke", "ops"]).0, 1);
    assert_eq!(site.ask(&["key", "revoke", "demo"]).0, 1, "the configuration fixes it");
}

#[test]
fn every_command_that_looks_answers_in_json_with_and_without_a_daemon() {
    let site = Site::new();
    let commands: [&[&str]; 9] = [
        &["check"],
        &["check", "--offline"],
        &["status"],
        &["runs", "list"],
        &["orders", "list"],
        &["dead", "list"],
        &["key", "list"],
        &["preview", "erp", "product", "--limit", "1"],
        &["sync", "erp", "credit", "--dry-run"],
    ];
    let missing: [&[&str]; 4] = [
        &["runs", "show", "x"],
        &["orders", "show", "x"],
        &["dead", "show", "x"],
        &["dead", "drop", "x", "--reason", "y"],
    ];
    let ask = || {
        for command in commands {
            let (exit, answer) = site.ask(command);
            assert_eq!(exit, 0, "{command:?}: {answer:#}");
        }
        for command in missing {
            let (exit, answer) = site.ask(command);
            assert_eq!((exit, &answer["error"]["details"]["status"]), (1, &404.into()), "{command:?}: {answer:#}");
        }
    };
    ask();
    let _daemon = site.start();
    ask();
    let openapi = run(site.directory.path(), &["openapi"]);
    assert_eq!(parsed(&openapi)["openapi"], "3.1.0");
}

#[test]
fn roles_are_for_daemons_that_share_a_store_and_a_broker() {
    let site = Site::new();
    let refused = site.command(&["run", "--role", "order,api"]).output().unwrap();
    assert_eq!(code(&refused), 2);
    assert!(err(&refused).contains("'order'") && err(&refused).contains("'orders'"), "{}", err(&refused));
    let refused = site.command(&["run", "--role", "api"]).output().unwrap();
    assert_eq!(code(&refused), 2);
    assert!(err(&refused).contains("leave out --role") && err(&refused).contains("PostgreSQL"), "{}", err(&refused));
}
