//! Connectors on real directories: what is read when, what becomes of it, and how orders are handed over.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tradebridge::config::{Config, Document, KeyPath, Problems};
use tradebridge::connector::{
    Catalog, Connector, ConnectorError, CreateClass, Created, Found, Manifest, Offer, ProbeResult, Trail, Wanted,
};
use tradebridge::mapping::{Outbound, Setting};
use tradebridge::record::{Map, Seen, Value};

const MANIFEST: &str = r#"
name = "erp"
title = "ERP"
transport = "file"

[settings.root]
type = "directory"
help = "Everything."
required = true

[settings.after]
type = "choice"
choices = ["keep", "archive", "delete"]
help = "After reading."
default = "archive"

[settings.batch]
type = "number"
help = "A number."

[settings.token]
type = "secret"
help = "A token."

[settings.flags]
type = "list"
help = "A list."

[settings.encoding]
type = "text"
help = "The encoding."
default = "utf-8"

[settings.done]
type = "directory"
help = "Where the ERP puts orders that it has read."

[defaults]
directory = "${settings.root}/export"
ready = { marker = ".done" }
after = "${settings.after}"
archive = "${settings.root}/archive"
format = "csv"
delimiter = ";"
encoding = "${settings.encoding}"

[stream.customers]
files = "klanten*.csv"
content = "full"

[stream.changes]
files = "wijziging*.csv"
content = "delta"

[stream.stock]
files = "voorraad*.csv"
content = "full"
ready = { stable = "100ms" }

[stream.returns]
directory = "${settings.done}"
files = "*.csv"
content = "delta"

[action.order]
directory = "${settings.root}/inbox"
file = "ORD-${request.rows[0].Klant}-${reference}.csv"
archive = "${settings.done}"
archives = true
create = { bounded = "10m" }
format = "csv"
delimiter = ";"
encoding = "windows-1252"
"#;

struct Erp {
    root: PathBuf,
    connector: Arc<Connector>,
    _directory: TempDir,
}

fn config(settings: &str) -> Config {
    let text = format!(
        "[[connection]]\nname = \"erp\"\nconnector = \"erp\"\ntime_zone = \"Europe/Amsterdam\"\n[connection.settings]\n{settings}\n"
    );
    let env = [("TOKEN".to_owned(), "hunter2".to_owned())];
    Config::of_document(Document::parse("tradebridge.toml", &text), env).unwrap_or_else(|problems| panic!("{problems}"))
}

fn bind(manifest: &str, settings: &str) -> Result<Connector, Problems> {
    let manifest = Manifest::compile(&Document::parse("connectors/erp.toml", manifest));
    let manifest = Arc::new(manifest.unwrap_or_else(|problems| panic!("{problems}")));
    let config = config(settings);
    let at = KeyPath::root().key("connection").index(0);
    Connector::bind(&manifest, &config.connections[0], &config.source.document, &at)
}

impl Erp {
    /// An ERP's directories, and a connection to it with further settings.
    fn new(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        for name in ["export", "archive", "inbox", "done"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let settings = format!("root = '{0}'\ndone = '{0}/done'\n{settings}", root.display());
        let connector = bind(MANIFEST, &settings).unwrap_or_else(|problems| panic!("{problems}"));
        Self { root, connector: Arc::new(connector), _directory: directory }
    }

    /// Exports a table, dated so many minutes ago, with its marker.
    fn export(&self, name: &str, text: &str, minutes: u64) {
        let date = SystemTime::now() - Duration::from_secs(60 * minutes);
        for (name, text) in [(name.to_owned(), text), (format!("{name}.done"), "")] {
            let path = self.root.join("export").join(name);
            fs::write(&path, text).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
        }
    }

    /// The names in one of the directories, in order.
    fn names(&self, directory: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.root.join(directory))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    async fn offers(&self, stream: &str) -> Vec<Offer> {
        self.connector.offers(stream, &Wanted::default()).await.unwrap()
    }

    async fn offered(&self, stream: &str) -> Vec<String> {
        self.offers(stream).await.into_iter().map(|offer| offer.name).collect()
    }

    async fn create(&self, request: &Map, reference: &str) -> Created {
        self.connector.create(self.connector.action("order").unwrap(), request, reference, &Trail::default()).await
    }

    async fn find(&self, request: &Map, reference: &str) -> Found {
        self.connector.find(self.connector.action("order").unwrap(), request, reference, &Trail::default()).await
    }

    fn order(&self, reference: &str) -> PathBuf {
        self.root.join("inbox").join(format!("ORD-10000-{reference}.csv"))
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn record(fields: &[(&str, Value)]) -> Map {
    fields.iter().map(|(name, value)| (*name, value.clone())).collect()
}

/// What the mapping of an order makes.
fn request(customer: &str, product: &str) -> Map {
    let row = record(&[("Klant", text(customer)), ("Artikel", text(product))]);
    record(&[("rows", Value::List(vec![Value::Map(row)]))])
}

fn read(offer: &Offer) -> Vec<String> {
    let (mut reader, verify) = offer.open().unwrap();
    let records = std::iter::from_fn(|| reader.next());
    let texts = records.map(|record| record.unwrap().fields.to_json()["Nr"].as_str().unwrap().to_owned());
    let texts = texts.collect();
    verify().unwrap();
    texts
}

#[tokio::test]
async fn a_complete_export_is_its_newest_file_and_the_older_ones_are_settled_with_it() {
    let erp = Erp::new("");
    erp.export("klanten-1.csv", "Nr\n1\n", 60);
    erp.export("klanten-2.csv", "Nr\n1\n2\n", 5);
    erp.export("klanten-3.csv", "Nr\n9\n", 30);
    erp.export("andere.csv", "Nr\n9\n", 1);
    let offers = erp.offers("customers").await;
    assert_eq!(offers.len(), 1);
    assert!(offers[0].complete && offers[0].name == "klanten-2.csv");
    assert_eq!(read(&offers[0]), ["1", "2"]);
    // One that comes meanwhile is newer than what was read, and stays.
    erp.export("klanten-4.csv", "Nr\n4\n", 0);
    erp.connector.settle("customers", &offers[0].identity).await.unwrap();
    assert_eq!(erp.names("export"), ["andere.csv", "andere.csv.done", "klanten-4.csv", "klanten-4.csv.done"]);
    let archived = [
        "klanten-1.csv",
        "klanten-1.csv.done",
        "klanten-2.csv",
        "klanten-2.csv.done",
        "klanten-3.csv",
        "klanten-3.csv.done",
    ];
    assert_eq!(erp.names("archive"), archived);
    assert_eq!(erp.offered("customers").await, ["klanten-4.csv"]);
    // Settling again, as after a crash, changes nothing.
    erp.connector.settle("customers", &offers[0].identity).await.unwrap();
    assert_eq!(erp.offered("customers").await, ["klanten-4.csv"]);
}

#[tokio::test]
async fn changes_are_read_file_by_file_in_the_order_of_their_names() {
    let erp = Erp::new("");
    for (number, minutes) in [(10, 1), (9, 2), (2, 3)] {
        erp.export(&format!("wijziging-{number}.csv"), &format!("Nr\n{number}\n"), minutes);
    }
    let packed = {
        use std::io::Write as _;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"Nr\n11\n").unwrap();
        packer.finish().unwrap()
    };
    fs::write(erp.root.join("export/wijziging-11.csv.gz"), packed).unwrap();
    fs::write(erp.root.join("export/wijziging-11.csv.gz.done"), "").unwrap();
    let offers = erp.offers("changes").await;
    assert!(offers.iter().all(|offer| !offer.complete));
    let read: Vec<String> = offers.iter().flat_map(read).collect();
    assert_eq!(read, ["2", "9", "10", "11"]);
    erp.connector.settle("changes", &offers[0].identity).await.unwrap();
    assert_eq!(erp.offered("changes").await, ["wijziging-9.csv", "wijziging-10.csv", "wijziging-11.csv.gz"]);
}

#[tokio::test]
async fn a_marker_says_that_a_file_is_whole_unless_the_file_is_newer() {
    let erp = Erp::new("");
    let file = erp.root.join("export/klanten.csv");
    fs::write(&file, "Nr\n1\n").unwrap();
    assert_eq!(erp.offered("customers").await, [""; 0]);
    erp.export("klanten.csv", "Nr\n1\n", 10);
    assert_eq!(erp.offered("customers").await, ["klanten.csv"]);
    // The marker of the export before does not speak for the one that is being written now.
    fs::write(&file, "Nr\n1\n2").unwrap();
    assert_eq!(erp.offered("customers").await, [""; 0]);
    fs::write(erp.root.join("export/klanten.csv.done"), "").unwrap();
    assert_eq!(erp.offered("customers").await, ["klanten.csv"]);
}

#[tokio::test]
async fn changes_wait_for_the_ones_before_them() {
    let erp = Erp::new("");
    for number in 1..=3 {
        erp.export(&format!("wijziging-{number}.csv"), &format!("Nr\n{number}\n"), 10);
    }
    let marker = erp.root.join("export/wijziging-2.csv.done");
    fs::remove_file(&marker).unwrap();
    assert_eq!(erp.offered("changes").await, ["wijziging-1.csv"]);
    fs::write(&marker, "").unwrap();
    assert_eq!(erp.offered("changes").await.len(), 3);
}

#[tokio::test]
async fn a_file_is_stable_when_two_looks_saw_it_alike() {
    let erp = Erp::new("");
    let file = erp.root.join("export/voorraad.csv");
    fs::write(&file, "Nr\n1\n").unwrap();
    assert_eq!(erp.offered("stock").await, ["voorraad.csv"]);
    // One that is written to without pause is left alone.
    let stop = Arc::new(AtomicBool::new(false));
    let (began, begins) = std::sync::mpsc::channel();
    let writer = {
        let (stop, file) = (Arc::clone(&stop), file.clone());
        std::thread::spawn(move || {
            use std::io::Write as _;
            let mut file = fs::File::create(file).unwrap();
            began.send(()).unwrap();
            while !stop.load(Ordering::SeqCst) {
                file.write_all(b"1\n").unwrap();
            }
        })
    };
    begins.recv().unwrap();
    assert_eq!(erp.offered("stock").await, [""; 0]);
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    assert_eq!(erp.offered("stock").await, ["voorraad.csv"]);
}

#[tokio::test]
async fn what_changes_between_offer_reading_and_settling_is_noticed() {
    let erp = Erp::new("");
    erp.export("klanten.csv", "Nr\n1\n", 10);
    let offer = erp.offers("customers").await.remove(0);
    let (mut reader, verify) = offer.open().unwrap();
    erp.export("klanten.csv", "Nr\n1\n2\n", 5);
    assert!(reader.next().is_some());
    assert!(verify().unwrap_err().contains("changed while it was read"));
    assert!(matches!(offer.open(), Err(ConnectorError::File(_))));
    // The new content was not read, and is not put away.
    erp.connector.settle("customers", &offer.identity).await.unwrap();
    assert_eq!(erp.names("archive"), [""; 0]);
    assert_eq!(erp.offered("customers").await, ["klanten.csv"]);
    let error = erp.connector.settle("changes", &offer.identity).await.unwrap_err();
    assert!(error.to_string().contains("names no file of this stream"), "{error}");
}

#[tokio::test]
async fn a_file_in_the_archive_is_never_overwritten() {
    let erp = Erp::new("");
    for content in ["1", "2", "3"] {
        erp.export("klanten.csv", &format!("Nr\n{content}\n"), 10);
        let offer = erp.offers("customers").await.remove(0);
        erp.connector.settle("customers", &offer.identity).await.unwrap();
    }
    let files: Vec<String> = erp.names("archive").into_iter().filter(|name| !name.contains("done")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    let mut contents: Vec<String> =
        files.iter().map(|name| fs::read_to_string(erp.root.join("archive").join(name)).unwrap()).collect();
    contents.sort();
    assert_eq!(contents, ["Nr\n1\n", "Nr\n2\n", "Nr\n3\n"]);
}

#[tokio::test]
async fn files_are_kept_or_deleted_where_the_connection_says_so() {
    let erp = Erp::new("after = 'delete'");
    erp.export("klanten.csv", "Nr\n1\n", 10);
    let offer = erp.offers("customers").await.remove(0);
    erp.connector.settle("customers", &offer.identity).await.unwrap();
    assert_eq!((erp.names("export").len(), erp.names("archive").len()), (0, 0));
    let erp = Erp::new("after = 'keep'");
    erp.export("klanten.csv", "Nr\n1\n", 10);
    let offer = erp.offers("customers").await.remove(0);
    erp.connector.settle("customers", &offer.identity).await.unwrap();
    assert_eq!(erp.offers("customers").await[0].identity, offer.identity);
}

#[tokio::test]
async fn directories_that_fail_say_what_to_do() {
    let erp = Erp::new("");
    fs::remove_dir(erp.root.join("archive")).unwrap();
    erp.export("klanten.csv", "Nr\n1\n", 10);
    let offer = erp.offers("customers").await.remove(0);
    let error = erp.connector.settle("customers", &offer.identity).await.unwrap_err().to_string();
    assert!(error.contains("klanten.csv was read") && error.contains("archive is not there; create it"), "{error}");
    assert_eq!(erp.offered("customers").await, ["klanten.csv"]);
    fs::rename(erp.root.join("export"), erp.root.join("exprot")).unwrap();
    let error = erp.connector.offers("customers", &Wanted::default()).await.unwrap_err();
    assert!(error.is_connection_down());
    assert!(error.to_string().contains("export is not there; create it, mount it"), "{error}");
    let error = erp.connector.offers("custmers", &Wanted::default()).await.unwrap_err().to_string();
    assert!(error.contains("no stream 'custmers'") && error.contains("`customers`"), "{error}");
}

#[tokio::test]
async fn links_are_not_followed_out_of_the_directory() {
    let erp = Erp::new("");
    let secret = erp.root.join("secret.csv");
    fs::write(&secret, "Nr\n666\n").unwrap();
    symlink(&secret, erp.root.join("export/klanten.csv")).unwrap();
    fs::write(erp.root.join("export/klanten.csv.done"), "").unwrap();
    let error = erp.connector.offers("customers", &Wanted::default()).await.unwrap_err().to_string();
    assert!(error.contains("no regular file but a symbolic link"), "{error}");
    // Nor one that takes a file's place after it was offered.
    fs::remove_file(erp.root.join("export/klanten.csv")).unwrap();
    erp.export("klanten.csv", "Nr\n1\n", 10);
    let offer = erp.offers("customers").await.remove(0);
    fs::remove_file(erp.root.join("export/klanten.csv")).unwrap();
    symlink(&secret, erp.root.join("export/klanten.csv")).unwrap();
    assert!(matches!(offer.open(), Err(ConnectorError::File(_))));
}

#[test]
fn the_settings_of_a_connection_are_held_against_the_manifest() {
    let says = |settings: &str| -> Vec<String> {
        let problems = bind(MANIFEST, settings).unwrap_err();
        problems.into_iter().map(|p| p.to_string().replace("\n  hint: ", " [")).collect()
    };
    let said = says(
        "roto = '/erp'\nafter = 'archiv'\nbatch = '7'\ntoken = 'hunter2'\nflags = 'a'\nencoding = { env = 'TOKEN' }",
    );
    let expected = [
        "tradebridge.toml:5:13: connection[0].settings.root: the connector `erp` needs this setting [Everything.",
        "tradebridge.toml:6:1: connection[0].settings.roto: the connector `erp` has no setting `roto` [did you mean `root`?",
        "tradebridge.toml:7:9: connection[0].settings.after: `archiv` is not possible here; use `keep`, `archive` or `delete` [did you mean `archive`?",
        "tradebridge.toml:8:9: connection[0].settings.batch: expected a number, found a text [write it without quotes: 7",
        "tradebridge.toml:9:9: connection[0].settings.token: a secret must not stand in the configuration [use { env = \"…\" } or { file = \"…\" }",
        "tradebridge.toml:10:9: connection[0].settings.flags: expected a list, found a text [put it in brackets: [\"a\"]",
        "tradebridge.toml:11:12: connection[0].settings.encoding: this setting is no secret: it is written out [The encoding.",
    ];
    assert_eq!(said, expected);
    let said = says("root = '/erp'\nencoding = 'windows-1253x'");
    assert!(
        said[0].starts_with("tradebridge.toml:7:12: connection[0].settings.encoding: `windows-1253x` is no"),
        "{said:#?}"
    );
    let connector = bind(MANIFEST, "root = '/erp'\ntoken = { env = 'TOKEN' }\nbatch = 7.50").unwrap();
    let settings = connector.settings().to_json();
    assert_eq!(settings["batch"], "7.50");
    assert_eq!(settings["after"], "archive");
    assert!(!settings.to_string().contains("hunter2") && settings.get("token").is_none());
}

#[tokio::test]
async fn a_stream_whose_directory_no_setting_gives_is_not_there() {
    let connector = bind(MANIFEST, "root = '/erp'").unwrap();
    assert_eq!(connector.stream_names(), ["changes", "customers", "stock"]);
    let error = connector.offers("returns", &Wanted::default()).await.unwrap_err().to_string();
    assert!(error.ends_with("give the connection the setting `done`"), "{error}");
    assert_eq!(connector.lacking("customers"), None);
}

#[tokio::test]
async fn an_order_is_handed_over_once() {
    let erp = Erp::new("");
    let action = erp.connector.action("order").unwrap();
    assert_eq!(action.class(), CreateClass::Bounded { settle: Duration::from_mins(10) });
    let order = request("10000", "A-1");
    assert_eq!(erp.find(&order, "R1").await, Found::Missing { conclusive: true });
    assert_eq!(erp.create(&order, "R1").await, Created::Submitted);
    assert_eq!(fs::read(erp.order("R1")).unwrap(), b"Klant;Artikel\r\n10000;A-1\r\n");
    assert_eq!(erp.find(&order, "R1").await, Found::Submitted);
    // The same again is the same file; another content under its name is nobody's to decide here.
    assert_eq!(erp.create(&order, "R1").await, Created::Submitted);
    let Created::Unknown { reason } = erp.create(&request("10000", "B-2"), "R1").await else { panic!() };
    assert!(reason.contains("another content"), "{reason}");
    assert_eq!(fs::read(erp.order("R1")).unwrap(), b"Klant;Artikel\r\n10000;A-1\r\n");
    // Once the ERP has taken it, it is not written again.
    fs::rename(erp.order("R1"), erp.root.join("done/ORD-10000-R1.csv")).unwrap();
    assert_eq!(erp.find(&order, "R1").await, Found::Submitted);
    assert_eq!(erp.create(&order, "R1").await, Created::Submitted);
    assert_eq!(erp.names("inbox"), [""; 0]);
}

/// What was not done, with the reason; whatever else came of it is a failure.
fn not_executed(created: Created) -> String {
    let Created::NotExecuted { reason, connection_down: true, retry_after: None } = created else {
        panic!("{created:?}")
    };
    reason
}

#[tokio::test]
async fn no_text_of_an_order_leads_out_of_the_directory() {
    let erp = Erp::new("");
    for customer in ["../../etc/x", "/etc/x", "a/b", "a\\b", "a\u{0}b", "a\nb", "a:b", &"x".repeat(300)] {
        let Created::Rejected { reason } = erp.create(&request(customer, "A"), "R1").await else {
            panic!("{customer}")
        };
        assert!(reason.contains("action.order.file") && reason.contains("cannot be the name of a file"), "{reason}");
        assert!(matches!(erp.find(&request(customer, "A"), "R1").await, Found::Failed { .. }));
    }
    let Created::Rejected { .. } = erp.create(&request("1", "A"), "../R1").await else { panic!() };
    // Nothing is rounded to another name either.
    let Created::Rejected { reason } = erp.create(&request("", "A"), "R1").await else { panic!() };
    assert!(reason.contains("no value"), "{reason}");
    let Created::Rejected { reason } = erp.create(&request("1", "日本"), "R1").await else { panic!() };
    assert!(reason.contains("does not exist in windows-1252"), "{reason}");
    assert_eq!(erp.names("inbox"), [""; 0]);
    assert!(!erp.root.join("etc").exists());
}

#[tokio::test]
async fn an_inbox_that_cannot_be_written_proves_that_nothing_was_handed_over() {
    let erp = Erp::new("");
    let order = request("10000", "A-1");
    fs::remove_dir(erp.root.join("inbox")).unwrap();
    let reason = not_executed(erp.create(&order, "R1").await);
    assert!(reason.contains("inbox is not there; create it"), "{reason}");
    let Found::Failed { reason, connection_down: true } = erp.find(&order, "R1").await else { panic!() };
    assert!(reason.contains("inbox is not there"), "{reason}");
    fs::write(erp.root.join("inbox"), "").unwrap();
    let reason = not_executed(erp.create(&order, "R1").await);
    assert!(reason.contains("inbox is no directory"), "{reason}");
}

#[tokio::test]
async fn a_read_only_inbox_says_what_to_do() {
    let erp = Erp::new("");
    let inbox = erp.root.join("inbox");
    fs::set_permissions(&inbox, fs::Permissions::from_mode(0o500)).unwrap();
    // Permissions do not hold back root; a kernel's own file system does.
    let held_back = fs::write(inbox.join("probe"), "").is_err();
    let inbox = if held_back { inbox } else { PathBuf::from("/sys/kernel") };
    let manifest = MANIFEST.replace("${settings.root}/inbox", inbox.to_str().unwrap());
    let connector = bind(&manifest, &format!("root = '{}'", erp.root.display())).unwrap();
    let action = connector.action("order").unwrap();
    let reason = not_executed(connector.create(action, &request("10000", "A-1"), "R1", &Trail::default()).await);
    assert!(reason.contains("may not write to") || reason.contains("read-only"), "{reason}");
    let probes = connector.probe().await;
    let probe = probes.iter().find(|probe| probe.purpose == "action order").unwrap();
    assert_eq!(probe.problem.as_deref(), Some(reason.as_str()));
}

#[tokio::test]
async fn nobody_sees_half_an_order() {
    let erp = Erp::new("");
    let product = "x".repeat(2_000_000);
    let whole = format!("Klant;Artikel\r\n10000;{product}\r\n").len() as u64;
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (stop, inbox) = (Arc::clone(&stop), erp.root.join("inbox"));
        std::thread::spawn(move || {
            let mut seen = 0;
            while !stop.load(Ordering::SeqCst) {
                for entry in fs::read_dir(&inbox).unwrap() {
                    let entry = entry.unwrap();
                    let name = entry.file_name().into_string().unwrap();
                    // What a system looks for: its own pattern, or at least no hidden files.
                    if !name.starts_with('.') {
                        assert!(name.starts_with("ORD-"), "{name}");
                        assert_eq!(entry.metadata().unwrap().len(), whole);
                        seen += 1;
                    }
                }
            }
            seen
        })
    };
    let order = request("10000", &product);
    for number in 0..20 {
        assert_eq!(erp.create(&order, &format!("R{number}")).await, Created::Submitted);
    }
    stop.store(true, Ordering::SeqCst);
    assert!(watcher.join().unwrap() > 0);
    assert_eq!(erp.names("inbox").len(), 20);
}

#[tokio::test]
async fn one_order_sent_by_many_at_once_is_one_file() {
    let erp = Arc::new(Erp::new(""));
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let erp = Arc::clone(&erp);
        attempts.spawn(async move { erp.create(&request("10000", "A-1"), "R1").await });
    }
    let outcomes = attempts.join_all().await;
    // Whoever meets another one at work cannot tell how that ends.
    assert!(outcomes.iter().all(|created| matches!(created, Created::Submitted | Created::Unknown { .. })));
    assert!(outcomes.contains(&Created::Submitted));
    assert_eq!(erp.names("inbox"), ["ORD-10000-R1.csv"]);
    assert_eq!(erp.find(&request("10000", "A-1"), "R1").await, Found::Submitted);
}

#[tokio::test]
async fn what_a_crash_left_behind_is_cleaned_up_and_counts_for_nothing() {
    let erp = Erp::new("");
    let left = |name: &str, minutes: u64| {
        let path = erp.root.join("inbox").join(name);
        fs::write(&path, "Kla").unwrap();
        let date = SystemTime::now() - Duration::from_secs(60 * minutes);
        fs::File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
    };
    left(".tradebridge-ORD-10000-R1.csv.0011223344556677.part", 60);
    left(".tradebridge-ORD-10000-R2.csv.8899aabbccddeeff.part", 0);
    left(".other", 60);
    let order = request("10000", "A-1");
    assert_eq!(erp.find(&order, "R1").await, Found::Missing { conclusive: true });
    assert_eq!(erp.create(&order, "R1").await, Created::Submitted);
    // A young one may be another process at work.
    let expected = [".other", ".tradebridge-ORD-10000-R2.csv.8899aabbccddeeff.part", "ORD-10000-R1.csv"];
    assert_eq!(erp.names("inbox"), expected);
}

#[tokio::test]
async fn finding_nothing_proves_something_only_where_the_system_archives() {
    let order = request("10000", "A-1");
    let erp = Erp::new("");
    let unarchived = bind(MANIFEST, &format!("root = '{}'", erp.root.display())).unwrap();
    let action = unarchived.action("order").unwrap();
    assert_eq!(unarchived.find(action, &order, "R1", &Trail::default()).await, Found::Missing { conclusive: false });
    // Nor where the archive cannot be looked into.
    fs::remove_dir(erp.root.join("done")).unwrap();
    assert!(matches!(erp.find(&order, "R1").await, Found::Failed { connection_down: true, .. }));
    fs::create_dir(erp.root.join("done")).unwrap();
    fs::create_dir(erp.order("R1")).unwrap();
    let Found::Doubtful { reason } = erp.find(&order, "R1").await else { panic!() };
    assert!(reason.contains("no regular file"), "{reason}");
    assert!(matches!(erp.create(&order, "R1").await, Created::Unknown { .. }));
}

#[tokio::test]
async fn an_attempt_that_is_given_up_hands_nothing_over_later() {
    let erp = Erp::new("");
    let order = request("10000", &"x".repeat(5_000_000));
    for number in 0..20 {
        let reference = format!("R{number}");
        let given_up = {
            let attempt = erp.create(&order, &reference);
            tokio::time::timeout(Duration::from_millis(number), attempt).await.is_err()
        };
        // Until it has ended nobody is told that it did nothing.
        let found = loop {
            match erp.find(&order, &reference).await {
                Found::Failed { reason, .. } => assert!(reason.contains("still at work"), "{reason}"),
                found => break found,
            }
            tokio::task::yield_now().await;
        };
        let there = erp.order(&reference).exists();
        assert_eq!(found == Found::Submitted, there);
        assert!(there || given_up);
    }
}

#[tokio::test]
async fn every_directory_is_probed_for_what_it_is_needed_for() {
    let erp = Erp::new("");
    let problems = |probes: Vec<ProbeResult>| -> Vec<String> {
        probes.into_iter().filter_map(|probe| Some(format!("{}: {}", probe.purpose, probe.problem?))).collect()
    };
    assert_eq!(problems(erp.connector.probe().await), [""; 0]);
    fs::remove_dir(erp.root.join("archive")).unwrap();
    fs::remove_dir(erp.root.join("done")).unwrap();
    let said = problems(erp.connector.probe().await);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].starts_with("archive of stream changes, archive of stream customers"), "{said:#?}");
    assert!(said[1].starts_with("stream returns, archive of action order: "), "{said:#?}");
    // A probe leaves nothing behind.
    assert_eq!((erp.names("inbox").len(), erp.names("export").len()), (0, 0));
}

#[test]
fn every_fault_of_every_manifest_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("erp.toml", &MANIFEST.replace("content = \"delta\"", "contend = \"delta\""));
    write("other.toml", MANIFEST);
    write("broken.toml", "name = ");
    write("notes.txt", "not a manifest");
    let directories = [directory.path().to_owned(), directory.path().join("nowhere")];
    let said = Catalog::load(&directories).unwrap_err().to_string();
    for expected in [
        "broken.toml:1:",
        "did you mean `content`?",
        "the file is named `other`, and the connector `erp`",
        "nowhere: this directory",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    write("erp.toml", MANIFEST);
    fs::remove_file(directory.path().join("other.toml")).unwrap();
    fs::remove_file(directory.path().join("broken.toml")).unwrap();
    let catalog = Catalog::load(&directories[..1]).unwrap();
    assert_eq!(catalog.names(), ["erp"]);
    assert!(catalog.get("erp").is_some() && catalog.get("other").is_none());
}

fn shipped() -> Catalog {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors");
    Catalog::load(&[directory]).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_mapping_that_ships_finds_its_stream_or_action() {
    let catalog = shipped();
    assert!(catalog.names().contains(&"csv-export"));
    for manifest in catalog.iter() {
        let streams: Vec<&str> = manifest.streams().map(|(name, _)| name).collect();
        let actions: Vec<&str> = manifest.actions().map(|(name, _, _)| name).collect();
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings").join(&manifest.name);
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let document = Document::load(&path).unwrap();
            let text = |key: &str| document.content.get(key).and_then(|value| value.as_str()).map(str::to_owned);
            match (text("stream"), text("action")) {
                (Some(stream), _) => assert!(streams.contains(&stream.as_str()), "{}: {stream}", path.display()),
                (_, Some(action)) => assert!(actions.contains(&action.as_str()), "{}: {action}", path.display()),
                _ => panic!("{} names neither a stream nor an action", path.display()),
            }
        }
    }
}

#[tokio::test]
async fn the_demo_is_read_and_ordered_from_by_the_connector_that_ships() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo");
    let directory = tempfile::tempdir().unwrap();
    for name in ["export", "inbox", "answers", "archive", "read"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    for entry in fs::read_dir(root.join("export")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join("export").join(entry.file_name())).unwrap();
    }
    for name in ["orderantwoord.csv", "orderantwoord-afgewezen.csv"] {
        fs::copy(root.join("answers").join(name), directory.path().join("answers").join(name)).unwrap();
    }
    let at = directory.path().display();
    let settings = format!(
        "directory = '{at}/export'\ninbox = '{at}/inbox'\nanswers = '{at}/answers'\narchive = '{at}/archive'\n\
         order_archive = '{at}/read'\nstable = '50ms'"
    );
    let config = config(&settings);
    let path = KeyPath::root().key("connection").index(0);
    let catalog = shipped();
    let manifest = catalog.get("csv-export").unwrap();
    let connector = Connector::bind(manifest, &config.connections[0], &config.source.document, &path)
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert!(connector.probe().await.iter().all(ProbeResult::is_ok));

    let mut counts = Vec::new();
    for stream in connector.stream_names() {
        for offer in connector.offers(stream, &Wanted::default()).await.unwrap() {
            let (mut reader, verify) = offer.open().unwrap();
            let mut records = 0;
            while let Some(record) = reader.next() {
                let record = record.unwrap_or_else(|error| panic!("{stream}: {error}"));
                if stream == "order_answers" {
                    assert!(matches!(record.fields.get("Regels"), Some(Seen::List(rows)) if !rows.is_empty()));
                }
                records += 1;
            }
            verify().unwrap();
            counts.push((stream.to_owned(), records));
            connector.settle(stream, &offer.identity).await.unwrap();
        }
    }
    let counts: Vec<(&str, usize)> = counts.iter().map(|(stream, count)| (stream.as_str(), *count)).collect();
    let expected = [
        ("addresses", 572),
        ("contacts", 606),
        ("credit", 240),
        ("customer_articles", 385),
        ("customers", 240),
        ("delivery_terms", 51),
        ("order_answers", 1),
        ("order_answers", 1),
        ("price_agreements", 7629),
        ("products", 531),
        ("stock", 1532),
    ];
    assert_eq!(counts, expected);
    // Tables stay, answers are put away.
    assert_eq!(fs::read_dir(directory.path().join("export")).unwrap().count(), 9);
    assert_eq!(fs::read_dir(directory.path().join("answers")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(directory.path().join("archive")).unwrap().count(), 2);

    let mapping = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings/csv-export/order.toml");
    let mapping = Outbound::compile(&Document::load(&mapping).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
    let order = Value::from_json(serde_json::json!({
        "id": "TB-1", "shop": "b2b", "reference": "W-1", "customer": "10000", "currency": "EUR",
        "accepted_at": "2026-11-24T12:00:00Z", "text": "Bellen vóór levering; \"dringend\"",
        "lines": [
            { "number": 1, "product": "KGL-15-090", "quantity": "50.5", "unit": { "code": "C62" }, "unit_price": "0.684" },
            { "number": 2, "product": "1E3", "quantity": "10", "unit": { "code": "MTR" } },
        ],
    }));
    let Value::Map(order) = order else { panic!() };
    let setting = Setting {
        company: "NL01".to_owned(),
        zone: config.connections[0].time_zone.time_zone().clone(),
        settings: connector.settings().clone(),
    };
    let request = mapping.apply(&order, &setting).unwrap_or_else(|rejected| panic!("{rejected}"));
    let action = connector.action("order").unwrap();
    assert_eq!(connector.create(action, &request, "TB-1", &Trail::default()).await, Created::Submitted);
    let bytes = fs::read(directory.path().join("inbox/ORD-TB-1.csv")).unwrap();
    assert!(bytes.windows(4).any(|four| four == b"v\xf3\xf3r"), "windows-1252");
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("Referentie;Orderdatum;") && lines[1].starts_with("TB-1;24-11-2026;b2b;W-1;10000;"));
    assert!(lines[1].contains(";50,5;ST;0,684;") && lines[2].contains(";1E3;10;M;"), "{text}");
    assert_eq!(connector.find(action, &request, "TB-1", &Trail::default()).await, Found::Submitted);
}
