//! The broker as a process: `haetae broker`, which `haetae run` starts by itself.
//!
//! In: a socket on standard input. Out: nothing but what is asked there. What the sensor is told by signals it does not hear:
//! it ends with the sensor.

use std::io;
use std::os::fd::AsFd;

use af_xdp::{OwnRights, Rights as Takes};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::opening::{Sources, open_sources};
use super::{Failure, bounds, logs};
use crate::broker::{self, Beginning, Broker, Short, Up};
use crate::config::{Backend, Capture, Config, Level, LogFormat, Logs, Sandbox, Source};

/// Serves until the sensor ends.
///
/// # Errors
/// Nobody is there to be served; or whoever is says what makes no sense.
pub fn broker() -> Result<(), Failure> {
    let failed = |error| Failure::Io("the broker's socket".into(), error);
    // a service manager, or a terminal, signals all processes of a service
    let _unheard = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map_err(failed)?;
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    broker::serve(&socket, |beginning| {
        let format = if beginning.json { LogFormat::Json } else { LogFormat::Human };
        logs::start(Logs { format, level: Level::Info }, false);
        // a name that cannot be given is missed by nobody
        let _unnamed = rustix::thread::set_name(c"haetae-broker");
        bounds::of_broker()
    })
    .map_err(failed)
}

/// Who takes interfaces for this sensor.
pub(super) struct Taker {
    pub(super) rights: Box<dyn Takes>,
    /// Whether the broker is there; `None`: there is none.
    pub(super) broker: Option<Up>,
    /// What of the broker's sandbox does not hold.
    pub(super) short: Vec<Short>,
}

/// What the configuration names, opened, and who opens it again.
///
/// # Errors
/// As [`open_sources`].
pub(super) fn taken(config: &Config, workers: usize) -> Result<(Taker, Sources), Failure> {
    let mut taker = taker(config, workers);
    let sources = open_sources(&config.capture, workers, taker.rights.as_mut())?;
    // to open for the first time what is yet to come takes a right, whoever reads it
    let needs_one = sources.lack_some() && taker.broker.is_none() && taker.short.is_empty();
    let taker = if needs_one && config.sandbox != Sandbox::Off { brokered(config) } else { taker };
    Ok((taker, sources))
}

/// Starts a broker if it is needed: before any thread, while there are rights that it can have.
fn taker(config: &Config, workers: usize) -> Taker {
    let is_link = |capture: &Capture| matches!(capture.source, Source::Interface { .. });
    let shared = workers > 1 && config.capture.iter().any(is_link);
    if by_driver(config).is_empty() && !shared || config.sandbox == Sandbox::Off {
        own(Vec::new())
    } else {
        brokered(config)
    }
}

fn own(short: Vec<Short>) -> Taker {
    Taker { rights: Box::new(OwnRights::default()), broker: None, short }
}

/// The interfaces that a driver may hand to the sensor.
fn by_driver(config: &Config) -> Vec<String> {
    let by_driver = |source: &Source| match source {
        Source::Interface { name, backend } if *backend != Backend::Libpcap => Some(name.clone()),
        _ => None,
    };
    config.capture.iter().filter_map(|capture| by_driver(&capture.source)).collect()
}

fn brokered(config: &Config) -> Taker {
    match Broker::start(Beginning { interfaces: by_driver(config), json: config.logs.format == LogFormat::Json }) {
        Ok((broker, short)) => Taker { broker: Some(broker.up()), rights: Box::new(broker), short },
        Err(error) => own(vec![("capabilities".to_owned(), format!("no broker: {error}"))]),
    }
}
