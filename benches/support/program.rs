//! The program itself as a child process: one command with the most memory it took, or the daemon.

use std::io::BufReader;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Outcome;

/// How often the system is asked for the peak. It only ever grows, so no more is missed than what a process takes anew in
/// the last moment before its end, when the store is closed already.
const LOOK: Duration = Duration::from_millis(2);

/// How long the daemon may take to be ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a command came to.
#[derive(Debug)]
pub struct Done {
    /// Its answer.
    pub answer: Value,
    /// The most memory that was resident at once, in bytes.
    pub peak: u64,
    pub seconds: f64,
}

fn program(configuration: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tradebridge"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRADEBRIDGE_")) {
        command.env_remove(name);
    }
    command.arg("--config").arg(configuration).args(arguments);
    command
}

/// Runs a command to its end; it must end well.
pub fn command(configuration: &Path, arguments: &[&str]) -> Outcome<Done> {
    let begun = Instant::now();
    let mut child = program(configuration, arguments)
        .args(["--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    // Once the process has ended its memory is gone from there, until then the figure grows.
    while child.try_wait()?.is_none() {
        peak = peak.max(high_water_mark(&status).unwrap_or_default());
        std::thread::sleep(LOOK);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said);
        return Err(format!("{arguments:?} ended with {}: {said}", output.status).into());
    }
    Ok(Done { answer: serde_json::from_slice(&output.stdout)?, peak, seconds })
}

/// The most memory that was resident at once, in bytes.
fn high_water_mark(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// A running daemon. Dropped, it is killed.
pub struct Daemon {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Daemon {
    /// Starts the daemon and waits until it is ready.
    pub fn start(configuration: &Path) -> Outcome<Self> {
        let mut child = program(configuration, &["run"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or("the daemon says nothing")?;
        let mut daemon = Self { child, address: String::new() };
        let lines = follow(BufReader::new(stderr));
        let mut said = Vec::new();
        loop {
            let Ok(line) = lines.recv_timeout(PATIENCE) else {
                return Err(format!("the daemon does not start: {}", said.join("\n")).into());
            };
            let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
            if parsed["message"] == "tradebridge is ready" {
                parsed["address"].as_str().unwrap_or_default().clone_into(&mut daemon.address);
                return Ok(daemon);
            }
            said.push(line);
        }
    }

    /// The most memory that was resident at once so far, in bytes.
    pub fn peak(&self) -> u64 {
        high_water_mark(&format!("/proc/{}/status", self.child.id())).unwrap_or_default()
    }

    /// Processor time that it used so far, in seconds.
    pub fn processor_time(&self) -> f64 {
        // Fields 14 and 15, counted behind the name in parentheses, in hundredths of a second.
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }
}

/// Takes lines as long as there are any, whether or not somebody wants them: who writes them must not be held up.
fn follow(source: impl std::io::BufRead + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in source.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
