//! TLS to the centre: a TCP connection goes in, one comes out over which only the centre can have been reached, by rules
//! that are ours: its certificate is verified anew for every connection, and held against the revocations that are known.
//!
//! ureq brings a connector of its own, which takes neither revocations nor a certificate that changes.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::stream::secured;

/// Puts TLS around the connections to `https://`.
pub(super) struct Tls {
    /// Whom to trust, and who we are.
    pub config: Arc<ClientConfig>,
    /// Until when the centre's certificate holds, in seconds since 1970: of the last that was verified. 0: none was.
    pub until: Arc<AtomicU64>,
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Secured>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let transport = chained.ok_or(Error::Tls("no connection to put TLS around"))?;
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let mut under = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        under.set_timeout(details.timeout);
        let stream = secured(&self.config, details.uri.host().unwrap_or_default(), under, &self.until)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Secured { buffers, stream })))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Tls")
    }
}

/// A connection to the centre.
pub(super) struct Secured {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for Secured {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        self.stream.flush()?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Secured")
    }
}
