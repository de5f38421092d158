//! `pgbench`: how often a second a server gets through a script.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::Outcome;
use super::script::Script;

/// Rounds are numbered from so many on in each run: no two runs make the same order.
const NUMBERS: u64 = 10_000_000;

/// The program, and how often it ran.
#[derive(Debug)]
pub struct Pgbench {
    program: PathBuf,
    runs: u64,
}

impl Pgbench {
    /// Looks for the program.
    pub fn find() -> Outcome<Self> {
        let usual = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut places: Vec<PathBuf> = usual.map(|version| version.path().join("bin/pgbench")).collect();
        places.push("/usr/bin/pgbench".into());
        places.sort();
        let program = places.into_iter().rfind(|place| place.exists());
        let program = program.ok_or("pgbench is not installed; in Debian it is in postgresql-contrib")?;
        Ok(Self { program, runs: 0 })
    }

    /// Runs a script on so many connections; rounds a second.
    pub async fn run(
        &mut self,
        script: &Script,
        directory: &Path,
        url: &str,
        connections: usize,
        time: Duration,
    ) -> Outcome<f64> {
        let path = directory.join("script.sql");
        std::fs::write(&path, &script.text)?;
        self.runs += 1;
        let mut command = Command::new(&self.program);
        command
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--client"])
            .arg(connections.to_string())
            .arg("--time")
            .arg(time.as_secs().max(1).to_string())
            .args(["--define", &format!("number={}", self.runs * NUMBERS)])
            .arg("--file")
            .arg(path)
            .arg(url)
            .stdin(Stdio::null());
        let done = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&done.stdout);
        let line = said.lines().find_map(|line| line.strip_prefix("tps = "));
        match (done.status.success(), line.and_then(|line| line.split(' ').next()?.parse().ok())) {
            (true, Some(rate)) => Ok(rate),
            _ => Err(format!("pgbench: {said}{}", String::from_utf8_lossy(&done.stderr)).into()),
        }
    }
}
