//! What is asked for on the command line.

use std::ops::RangeInclusive;

pub(crate) const USAGE: &str =
    "usage: cargo test --test chaos -- [--seed N | --seeds FROM..TO] [--orders N] [--daemons N] \
                                [--faults N] [--keep]

  --seed N          what the faults are drawn from (1)
  --seeds FROM..TO  one run after the other with each of these seeds, both included
  --orders N        orders that shops post (150)
  --daemons N       daemons over the one store and broker (2)
  --faults N        faults of machines and network while they do (one for every 25 orders, at least 6)
  --keep            keeps the logs of runs in which nothing went wrong, too";

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub seeds: RangeInclusive<u64>,
    pub orders: usize,
    pub daemons: usize,
    pub faults: usize,
    pub keep: bool,
}

impl Options {
    /// Reads them; otherwise what is wrong.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { seeds: 1..=1, orders: 150, daemons: 2, faults: 0, keep: false };
        let mut arguments = arguments.flat_map(|argument| match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
            _ => vec![argument],
        });
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} wants a value"));
            match name.as_str() {
                "--seed" => {
                    let seed = number(&name, &value()?)?;
                    options.seeds = seed..=seed;
                }
                "--seeds" => {
                    let text = value()?;
                    let (from, to) = text.split_once("..").ok_or_else(|| format!("{name} wants FROM..TO"))?;
                    options.seeds = number(&name, from)?..=number(&name, to.trim_start_matches('='))?;
                }
                "--orders" => options.orders = number(&name, &value()?)?,
                "--daemons" => options.daemons = number(&name, &value()?)?,
                "--faults" => options.faults = number(&name, &value()?)?,
                "--keep" => options.keep = true,
                _ => return Err(format!("{name} is not known\n\n{USAGE}")),
            }
        }
        if options.orders == 0 || options.daemons == 0 || options.seeds.is_empty() {
            return Err(format!("there is nothing to do\n\n{USAGE}"));
        }
        if options.faults == 0 {
            options.faults = (options.orders / 25).clamp(6, 60);
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name}: {text} is no number"))
}
