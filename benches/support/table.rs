//! Figures beside their limits, as a table of text.

/// A table whose columns are as wide as what is in them.
#[derive(Debug)]
pub struct Table {
    lines: Vec<Vec<String>>,
}

/// The columns of a table that compares rates.
pub const RATES: [&str; 7] = ["what", "rows/s", "limit", "rows/s", "ratio", "target", "reached"];

impl Table {
    pub fn new(heads: &[&str]) -> Self {
        Self { lines: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.lines.push(cells.into());
    }

    /// A rate beside its limit; with a target, whether it is reached.
    pub fn rate(&mut self, what: &str, rate: f64, limit: (&str, f64), target: Option<f64>) {
        let ratio = rate / limit.1;
        self.row([
            what.to_owned(),
            count(rate),
            limit.0.to_owned(),
            count(limit.1),
            format!("{ratio:.2}"),
            target.map_or_else(String::new, |target| format!(">= {target:.2}")),
            target.map_or("", |target| word(ratio >= target)).to_owned(),
        ]);
    }

    /// A figure that is there for information.
    pub fn figure(&mut self, what: &str, rate: f64) {
        let none = String::new;
        self.row([what.to_owned(), count(rate), none(), none(), none(), none(), none()]);
    }

    pub fn print(&self) {
        let columns = self.lines.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.lines.iter().filter_map(|l| l.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, line) in self.lines.iter().enumerate() {
            let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            println!("{}", cells.join("  ").trim_end());
            if number == 0 {
                println!("{}", "-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)));
            }
        }
    }
}

/// Whether a target is reached, in a word.
pub fn word(reached: bool) -> &'static str {
    if reached { "yes" } else { "NO" }
}

/// Figures, smallest first.
pub fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

/// The figure that a share of a hundred stays within, of figures of which the smallest comes first.
pub fn percentile(sorted: &[f64], share: usize) -> f64 {
    let at = (sorted.len() * share).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(f64::INFINITY)
}

/// A figure without decimals, its thousands apart.
pub fn count(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The machine that the figures are of: processors, memory, system.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "{processors} x {}, memory {}, Linux {}, load {}",
        field(&read("/proc/cpuinfo"), "model name"),
        field(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default()
    )
}
