//! The daemon as a process: what it does with signals, kills, second starts and faulty files.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// How long something that surely happens may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A directory with an ERP's exchange directories, a configuration and a store of its own.
pub struct Site {
    pub directory: TempDir,
}

/// A running daemon. Dropped, it is killed.
pub struct Daemon {
    child: Child,
    lines: Receiver<Value>,
    /// What was said and not waited for.
    seen: Vec<Value>,
}

pub fn program() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_tradebridge")))
}

/// A command that does not hand on settings of whoever runs the tests.
fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRADEBRIDGE_")) {
        command.env_remove(name);
    }
    command
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Site {
    /// The demo's export and its configuration, on a free port and with short waits.
    pub fn new() -> Self {
        let site = Self { directory: tempfile::tempdir().unwrap() };
        for name in ["export", "inbox/gelezen", "antwoorden", "archief"] {
            std::fs::create_dir_all(site.path(name)).unwrap();
        }
        for entry in std::fs::read_dir(root().join("config/demo/export")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, site.path("export").join(path.file_name().unwrap())).unwrap();
        }
        let text = std::fs::read_to_string(root().join("config/demo.toml")).unwrap();
        let at = site.directory.path().display().to_string();
        let mut text = text.replace("data/demo", &at).replace("127.0.0.1:8080", "127.0.0.1:0");
        let copy = text.find("demo_copy").unwrap();
        let end = copy + text[copy..].find("] }\n").unwrap() + 4;
        text.replace_range(
            copy..end,
            &format!("connectors = [\"{0}/connectors\"]\nmappings = [\"{0}/mappings\"]\n", root().display()),
        );
        text = text.replace("stable = \"2s\"", "stable = \"100ms\"").replace("every = \"10s\"", "every = \"1s\"");
        text.push_str("\n[log]\nformat = \"json\"\n");
        std::fs::write(site.config(), text).unwrap();
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("tradebridge.toml")
    }

    pub fn edit_config(&self, edit: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(self.config(), edit(text)).unwrap();
    }

    /// Rewrites an exported file, whose encoding is windows-1252, as an ERP does: beside it, then in its place.
    pub fn edit_export(&self, name: &str, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let path = self.path("export").join(name);
        let bytes = std::fs::read(&path).unwrap();
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        edit(&mut lines);
        let new = self.path("new.csv");
        std::fs::write(&new, lines.concat()).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// A command of the program on this site.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.arg("--config").arg(self.config()).args(arguments);
        command
    }

    /// A command's exit code, and its answer as JSON.
    pub fn ask(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.command(arguments).args(["--output", "json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}{said}"));
        (output.status.code().unwrap(), answer)
    }

    /// Starts the daemon and waits until it is ready.
    pub fn start(&self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.until(|line| line["message"] == "tradebridge is ready");
        daemon
    }

    /// Starts the daemon.
    pub fn spawn(&self) -> Daemon {
        Daemon::follow(self.command(&["run"]))
    }

    /// Starts the daemon where no file may grow beyond a size, in KiB: to a program that is a disk without room.
    pub fn spawn_within(&self, kib: u32) -> Daemon {
        let run = self.command(&["run"]);
        // A write beyond the limit is to fail, not to end the process; POSIX counts in blocks of 512 bytes.
        let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"", kib * 2);
        let mut shell = without_settings(Command::new("sh"));
        shell.args(["-c", &script]).arg(run.get_program()).args(run.get_args());
        Daemon::follow(shell)
    }
    /// Where the daemon listens, and the key that lets an operator in.
    pub fn access(&self) -> (String, String) {
        let text = std::fs::read_to_string(self.path("tradebridge.db.admin")).unwrap();
        let access: Value = serde_json::from_str(&text).unwrap();
        (format!("http://{}", access["address"].as_str().unwrap()), access["token"].as_str().unwrap().to_owned())
    }
}

impl Daemon {
    /// Starts a daemon by this command and listens to its log.
    pub fn follow(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Limits from now on how large files may grow, in bytes; without, there is room again.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        // The soft limit alone: any user may raise that again.
        let pid = self.child.id().to_string();
        let done = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).status().unwrap();
        assert!(done.success());
    }

    /// Waits for a line of the log. Lines before it are gone.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.seen.clear();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if wanted(&line) => return line,
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("{error}; the daemon said {:#?}", self.seen),
            }
        }
    }

    /// The next line of the log; none once the process has ended.
    pub fn next(&mut self) -> Option<Value> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the daemon neither says anything nor ends"),
        }
    }

    /// Waits until an entity was pulled.
    pub fn until_pulled(&mut self, entity: &str) -> Value {
        self.until(|line| line["entity"] == entity && line["state"] == "done")
    }

    /// Waits until each of these entities was pulled, in whatever order.
    pub fn until_all_pulled(&mut self, entities: &[&str]) {
        let mut left: Vec<&str> = entities.to_vec();
        while !left.is_empty() {
            let line = self.until(|line| line["state"] == "done" && left.iter().any(|e| line["entity"] == *e));
            left.retain(|entity| line["entity"] != *entity);
        }
    }

    pub fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const ENTITIES: [&str; 9] = [
    "customer",
    "address",
    "contact",
    "product",
    "customer_article",
    "price_agreement",
    "stock",
    "credit",
    "delivery_term",
];

#[test]
fn it_pulls_everything_and_stops_in_order() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.until_all_pulled(&ENTITIES);
    let (code, status) = site.ask(&["status"]);
    assert_eq!(code, 0, "{status:#}");
    assert!(site.path("tradebridge.db.admin").exists());
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    assert!(!site.path("tradebridge.db.admin").exists(), "the key goes with the process");

    // Where no daemon runs, the command opens the store itself.
    let (code, reports) = site.ask(&["sync", "erp", "customer", "--full"]);
    assert_eq!((code, &reports[0]["run"]["counts"]["unchanged"]), (0, &Value::from(240)), "{reports:#}");
}

#[test]
fn one_price_changed_is_one_change_and_an_emptied_export_is_held() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.until_all_pulled(&ENTITIES);
    site.edit_export("prijsafspraken.csv", |lines| {
        let line = String::from_utf8(lines[1].clone()).unwrap();
        lines[1] = line.replacen("0,7125", "0,7250", 1).into_bytes();
    });
    let run = daemon.until_pulled("price_agreement");
    assert_eq!((&run["read"], &run["updated"], &run["unchanged"]), (&7629.into(), &1.into(), &7628.into()));

    site.edit_export("prijsafspraken.csv", |lines| lines.truncate(1));
    let held = daemon.until(|line| line["state"] == "held" || line["message"].to_string().contains("the guard holds"));
    let id = held["run_id"].as_str().unwrap().to_owned();
    let (code, _) = site.ask(&["sync", "erp", "price_agreement"]);
    assert_eq!(code, 0, "a held file is not read again");
    let (_, shown) = site.ask(&["runs", "show", &id]);
    assert!(shown.to_string().contains("no records at all, 7629 are stored"), "{shown:#}");
    let (code, _) = site.ask(&["runs", "reject", &id, "--reason", "the export was cut off"]);
    assert_eq!(code, 0);
}

#[test]
fn killed_at_any_moment_it_goes_on_and_ends_with_the_same_content() {
    let site = Site::new();
    // Small pages of work at random moments: the file is made long enough to be killed in the middle of it.
    let export = site.path("export/prijsafspraken.csv");
    let text = std::fs::read(&export).unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let mut long = lines[0].to_vec();
    for copy in 0..4 {
        for line in &lines[1..] {
            long.extend(format!("{copy}").bytes());
            long.extend(*line);
        }
    }
    std::fs::write(&export, long).unwrap();
    for round in 0..6_u64 {
        let mut daemon = site.start();
        // A different moment each time; whichever it is, the end is the same.
        std::thread::sleep(Duration::from_millis(150 + 137 * round));
        daemon.signal("KILL");
        daemon.wait();
    }
    let _daemon = site.start();
    // The first may still be the run that was broken off; after it everything is known.
    site.ask(&["sync", "erp", "price_agreement", "--full"]);
    let (_, reports) = site.ask(&["sync", "erp", "price_agreement", "--full"]);
    let counts = &reports.as_array().unwrap().last().unwrap()["run"]["counts"];
    assert_eq!((&counts["read"], &counts["unchanged"]), (&30516.into(), &30516.into()), "{reports:#}");
    let (_, runs) = site.ask(&["runs", "list"]);
    assert!(!runs.to_string().contains("\"running\""), "{runs:#}");
}

#[test]
fn a_second_daemon_on_the_same_store_is_refused() {
    let site = Site::new();
    let _daemon = site.start();
    let output = site.command(&["run"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");
}

#[test]
fn a_reload_takes_good_files_and_leaves_faulty_ones_alone() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.until_all_pulled(&["customer"]);
    site.edit_config(|text| text.replacen("every = \"1s\"", "evrey = \"1s\"", 1));
    daemon.signal("HUP");
    let said = daemon.until(|line| line["message"].to_string().contains("the files stay as they were"));
    assert!(said.to_string().contains("did you mean `every`"), "{said}");
    site.edit_config(|text| text.replacen("evrey", "every", 1).replace("'B2B' in groups && blocked != 'all'", "true"));
    daemon.signal("HUP");
    daemon.until(|line| line["message"] == "the files are read again and in force");
    let judged = daemon.until(|line| line["message"] == "the shop's scope is judged anew");
    assert_eq!(judged["customers"], 240);
}

#[test]
fn a_faulty_configuration_is_refused_with_exit_code_2() {
    let site = Site::new();
    site.edit_config(|text| text.replace("entity = \"stock\"", "entity = \"stok\""));
    let output = site.command(&["run"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("tradebridge.toml:") && said.contains("stok"), "{said}");
}
