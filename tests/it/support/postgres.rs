//! PostgreSQL for tests: a schema of a test's own on the server that all share, and servers of a test's own.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;

/// Whether the half of the tests that needs PostgreSQL is left out.
pub(crate) fn left_out() -> bool {
    let fast = std::env::var("TRADEBRIDGE_TEST_FAST").is_ok_and(|fast| fast == "1");
    if fast {
        eprintln!("left out: TRADEBRIDGE_TEST_FAST is set, and this needs PostgreSQL");
    }
    fast
}

/// The address of the server that all tests share.
pub(crate) fn shared() -> String {
    std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty()).unwrap_or_else(|| {
        panic!(
            "TEST_DATABASE_URL is not set: run ./scripts/test, which starts a PostgreSQL of its own, or set it to the \
             address of a server, as postgres://postgres@127.0.0.1:5432/postgres"
        )
    })
}

/// A schema of a test's own. Dropped, it is gone from the server.
#[derive(Debug)]
pub(crate) struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// An empty schema on a server.
    pub(crate) async fn create(server: &str) -> Self {
        let schema = Self { server: server.to_owned(), name: format!("test_{}", uuid::Uuid::now_v7().simple()) };
        let mut connection = PgConnection::connect(server).await.unwrap_or_else(|e| panic!("{server}: {e}"));
        sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {}", schema.name))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        schema
    }

    /// The address of a database that consists of this schema.
    pub(crate) fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{separator}options=-c%20search_path%3D{}", self.server, self.name)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // The runtime of the test may be the very one that is blocked here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(drop_schema(&server, &name))
        });
        if let Ok(Err(error)) = dropping.join() {
            // The server of a test may be gone already, and a schema that is left over disturbs nobody.
            eprintln!("the schema {} is left over: {error}", self.name);
        }
    }
}

async fn drop_schema(server: &str, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(server).await?;
    // A test that failed leaves transactions open, whose locks would hold up the end.
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM (SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_class c \
         ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 \
         AND l.pid <> pg_backend_pid()) held",
    )
    .bind(name)
    .execute(&mut connection)
    .await?;
    sqlx::query("SET lock_timeout = '20s'").execute(&mut connection).await?;
    sqlx::query(AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE"))).execute(&mut connection).await?;
    connection.close().await
}

/// A server of a test's own, which it may stop, kill and start again. Dropped, it is stopped and gone; so it is when the
/// test process is killed.
#[derive(Debug)]
pub(crate) struct Server {
    binaries: PathBuf,
    directory: TempDir,
    port: u16,
    /// Whether it writes through to the disk.
    durable: bool,
    watchdog: Child,
}

/// Waits until whoever holds the other end of its input ends, in whatever way; then nothing of the server stays.
const WATCHDOG: &str = r#"read -r _; "$0" -D "$1/data" -m immediate -w stop; rm -rf "$1""#;

impl Server {
    /// Starts a server with an empty database. It writes through to the disk, as one in production does.
    pub(crate) fn start() -> Self {
        Self::new(true)
    }

    /// Starts one for a test that neither kills nor stops it: it leaves to the system when something is written.
    pub(crate) fn start_for_speed() -> Self {
        Self::new(false)
    }

    fn new(durable: bool) -> Self {
        let binaries = binaries();
        let directory = tempfile::Builder::new().prefix("tradebridge-postgres-").tempdir().unwrap();
        let template = template(&binaries);
        let data = directory.path().join("data");
        run(Command::new("cp").arg("-a").arg(&template).arg(&data));
        hand_over(directory.path());
        let mut watchdog = as_owner(Path::new("sh"));
        watchdog.args(["-c", WATCHDOG]).arg(binaries.join("pg_ctl")).arg(directory.path());
        // A group of its own: whoever ends a test ends its whole group.
        watchdog.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let watchdog = watchdog.spawn().unwrap();
        let port = super::ports::free();
        let server = Self { binaries, directory, port, durable, watchdog };
        server.begin();
        server
    }

    /// The port of the loopback address on which it takes connections.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of its database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts a server that was stopped, on the same port, and waits until it takes connections.
    pub(crate) fn begin(&self) {
        let fsync = if self.durable { "on" } else { "off" };
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories='' -c shared_buffers=64MB \
             -c max_connections=60 -c fsync={fsync}",
            self.port
        );
        let log = self.directory.path().join("log");
        self.control(&["start", "-w", "-t", "120", "-o", &options, "-l", &log.to_string_lossy()]);
    }

    /// Stops the server as a failing machine does: nothing is finished, every connection breaks off.
    pub(crate) fn kill(&self) {
        self.control(&["stop", "-w", "-m", "immediate"]);
    }

    fn control(&self, arguments: &[&str]) {
        let mut command = as_owner(&self.binaries.join("pg_ctl"));
        command.arg("-D").arg(self.data()).args(arguments);
        let log = || std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        assert!(has_run(&mut command).is_ok(), "{command:?}: {}", log());
    }

    /// Where it keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // Its end is the server's, which may be stopped already.
        let _ = self.watchdog.wait();
    }
}

/// The directory of the newest version's programs, as Debian's packages lay them out, or wherever the path leads.
fn binaries() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    versions.sort();
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|directory| directory.join("initdb").exists())
    };
    versions.pop().map(|(_, path)| path).or_else(in_path).unwrap_or_else(|| {
        panic!("PostgreSQL is not installed; on Debian: apt install postgresql. ./scripts/test --fast leaves it out")
    })
}

/// A database directory to copy, made once: making one takes seconds.
fn template(binaries: &Path) -> PathBuf {
    let version = binaries.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("postgres-{version}"));
    if template.exists() {
        return template;
    }
    let directory = tempfile::Builder::new().prefix("tradebridge-initdb-").tempdir().unwrap();
    hand_over(directory.path());
    let made = directory.path().join("data");
    let mut initdb = as_owner(&binaries.join("initdb"));
    run(initdb.arg("-D").arg(&made).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]));
    let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    run(Command::new("cp").arg("-a").arg(&made).arg(copy.path()));
    // Whoever makes one at the same time makes the same.
    let renamed = std::fs::rename(copy.path().join("data"), &template);
    assert!(renamed.is_ok() || template.exists(), "{renamed:?}");
    template
}

/// Whether the tests run as root, as whom PostgreSQL refuses to run.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Hands a directory to whom PostgreSQL runs as.
fn hand_over(directory: &Path) {
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(directory));
    }
}

/// A command of PostgreSQL, as somebody it accepts.
fn as_owner(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // The directory of the tests may be closed to it.
    command.current_dir("/");
    command
}

fn run(command: &mut Command) {
    if let Err(said) = has_run(command) {
        panic!("{command:?}: {said}");
    }
}

/// Runs a command; what it said where it failed.
fn has_run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(()) } else { Err(said(&output.stdout) + &said(&output.stderr)) }
}
