//! The command line, as the program itself answers it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;
use tempfile::TempDir;
use tradebridge::store::Feed as _;
use tradebridge::store::sqlite::SqliteStore;

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

fn json(output: &Output) -> Json {
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
    assert_eq!(json(&checked)["syncs"], 1);
    let tested = run(directory.path(), &["map", "test", "mappings/my-erp/customer.toml", "--output", "json"]);
    assert_eq!(code(&tested), 0, "{}", out(&tested));
    assert!(json(&tested)["passed"].as_u64().unwrap() >= 3);

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
    let problems = &json(&checked)["error"]["problems"];
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
    let tried = json(&output);
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
        assert!(json(&schema).is_object(), "{kind}");
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

    let migrated = json(&run(directory.path(), &["migrate", "--output", "json"]));
    assert_eq!((migrated["migrated"].as_bool(), migrated["from"].as_i64()), (Some(true), Some(0)));
    let again = json(&run(directory.path(), &["migrate", "--output", "json"]));
    assert_eq!(again["migrated"], false);

    let file = directory.path().join("data/s.db");
    let before = {
        let store = SqliteStore::open(&file, false).await.unwrap();
        assert!(SqliteStore::in_use(&file).unwrap());
        for command in ["migrate", "recover"] {
            let locked = run(directory.path(), &[command]);
            assert_eq!(code(&locked), 1);
            assert!(err(&locked).contains("in use by another process"), "{}", err(&locked));
        }
        let head = store.head().await.unwrap();
        store.close().await;
        head
    };
    assert!(!SqliteStore::in_use(&file).unwrap());
    let recovered = run(directory.path(), &["recover", "--output", "json"]);
    assert_eq!(code(&recovered), 0, "{}", out(&recovered));
    assert_eq!(json(&recovered)["orders"], 0);
    let after = SqliteStore::open(&file, false).await.unwrap().head().await.unwrap();
    assert_eq!(after.sequence, before.sequence);
    assert_ne!(after.epoch, before.epoch, "cursors from before the restore are over");
}
