//! Benches: what a packet, a look-up and a set cost. See README.md beside this file.
//!
//! usage: bench [--list] [--rounds N] [--small] [--once NAME] [FILTER]...
//! Out: one line of JSON for each bench whose name contains one of the filters. `--once` does the work of one bench one time
//! and says nothing, for a tool that counts from outside. `--small` is the size for that.

// Whole generators are shared with the tests, and a bench needs only a part of each.
#[allow(dead_code)]
#[path = "../dice.rs"]
mod dice;
mod lookups;
mod measure;
mod names;
mod path;
mod stages;
#[allow(dead_code)]
mod traffic;
#[allow(dead_code)]
#[path = "../wire.rs"]
mod wire;

use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use haetae::indicator::IndicatorSet;
use lookups::What;
use measure::Ready;
use names::{BENCHES, Row};

/// Rounds unless said otherwise; a median of nine stands four disturbed ones.
const ROUNDS: usize = 9;

struct Asked {
    list: bool,
    once: Option<String>,
    rounds: usize,
    /// Packets of a capture.
    packets: usize,
    filters: Vec<String>,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked { list: false, once: None, rounds: ROUNDS, packets: 100_000, filters: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word}: what?"));
        match word.as_str() {
            "--list" => asked.list = true,
            "--small" => asked.packets = 2_000,
            "--once" => asked.once = Some(value()?),
            "--rounds" => asked.rounds = value()?.parse::<usize>().map_err(|error| error.to_string())?.max(1),
            "--bench" => {} // cargo says so
            option if option.starts_with('-') => return Err(format!("{option}: unknown")),
            filter => asked.filters.push(filter.to_string()),
        }
    }
    Ok(asked)
}

/// Sets are made once for all look-ups of a kind and size, and dropped with their group.
#[derive(Default)]
struct Sets(Vec<(String, Rc<IndicatorSet>)>);

impl Sets {
    fn of(&mut self, what: What, name: &str, entries: u64) -> Rc<IndicatorSet> {
        let key = format!("{name}-{entries}");
        if let Some((_, set)) = self.0.iter().find(|(known, _)| *known == key) {
            return Rc::clone(set);
        }
        let set = lookups::set(what, entries);
        self.0.push((key, Rc::clone(&set)));
        set
    }
}

/// Fills a row with its work; `None`: nobody has written it.
fn ready(row: &'static Row, packets: usize, sets: &mut Sets) -> Option<Ready> {
    let words: Vec<&str> = row.name.split('-').collect();
    let work = match words[..] {
        ["path", "known"] => path::over(traffic::known, packets),
        ["path", "new"] => path::over(traffic::new, packets),
        ["path", "http"] => path::over(traffic::http, packets),
        ["path", "tls"] => path::over(traffic::tls, packets),
        ["path", "dns"] => path::over(traffic::dns, packets),
        ["stages", "decode"] => stages::decoding(packets),
        ["stages", "flow"] => stages::following(packets),
        ["stages", "look", "up"] => stages::looking_up(packets),
        ["stages", "hand", "over"] => stages::handing_over(packets),
        ["lookups", name, meets, size] => {
            let what = match name {
                "names" => What::Names,
                "addresses" => What::Addresses,
                "digests" => What::Digests,
                "urls" => What::Urls,
                _ => return None,
            };
            let entries = if size == "1m" { 1_000_000 } else { 1_000 };
            lookups::asked(what, &sets.of(what, name, entries), meets == "hit")
        }
        ["build", "names", _] => lookups::building(&[What::Names], 1_000_000),
        ["build", "mixed", _] => {
            lookups::building(&[What::Names, What::Addresses, What::Digests, What::Urls], 1_000_000)
        }
        _ => return None,
    };
    Some(Ready { name: row.name, unit: row.unit, work })
}

fn group(row: &Row) -> &'static str {
    row.name.split('-').next().unwrap_or_default()
}

fn run(asked: &Asked) -> Result<(), String> {
    let wanted = |row: &&'static Row| {
        asked.once.as_ref().map_or(asked.filters.is_empty(), |once| once == row.name)
            || asked.filters.iter().any(|filter| row.name.contains(filter.as_str()))
    };
    let rows: Vec<&'static Row> = BENCHES.iter().filter(wanted).collect();
    if rows.is_empty() {
        return Err("no bench has such a name (--list shows them)".into());
    }
    if asked.list {
        rows.iter().for_each(|row| println!("{}{}", row.name, if row.counted { " counted" } else { "" }));
        return Ok(());
    }
    for rows in rows.chunk_by(|one, other| group(one) == group(other)) {
        let mut sets = Sets::default();
        let filled = rows.iter().map(|row| ready(row, asked.packets, &mut sets).ok_or(row.name));
        let mut filled =
            filled.collect::<Result<Vec<_>, _>>().map_err(|name| format!("{name}: nobody has written it"))?;
        if asked.once.is_some() {
            for bench in &mut filled {
                measure::counted(&mut bench.work);
            }
            continue;
        }
        measure::in_turns(&mut filled, asked.rounds, &mut io::stdout().lock()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match asked().and_then(|asked| run(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::from(2)
        }
    }
}
