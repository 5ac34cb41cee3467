//! Temporary.
use super::Failure;
use crate::cli::screen;
use crate::config::{CentreOptions, Config};
use crate::spool::Spool;

pub(super) struct Delivery {
    spool: Spool,
}

impl Delivery {
    pub(super) fn open(_centre: &CentreOptions, _config: &Config) -> Result<Delivery, Failure> {
        Err(Failure::Configuration("no delivery yet".into()))
    }
    pub(super) fn key(&self) -> &[u8] {
        &[]
    }
    pub(super) fn spool(&mut self) -> &mut Spool {
        &mut self.spool
    }
    pub(super) fn drain(self) -> Result<screen::Delivery, Failure> {
        Err(Failure::Configuration("no delivery yet".into()))
    }
}
