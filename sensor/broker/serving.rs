//! The broker's own end: questions in, descriptors out, until nobody asks any more.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use af_xdp::{Error, OwnRights, Rights, pass_packet_socket};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;

use super::{Answer, Asked, Beginning, Short, Why, all, receive, send};
use crate::limits::BROKER_DESCRIPTORS_MAX;

/// Serves on `socket` until its peer ends. `begin` is told what was said first, and gives what of the sandbox does not hold;
/// from then on the list of interfaces is sealed.
///
/// # Errors
/// The peer says what is no question; whoever does so once is not to be trusted again.
pub fn serve(socket: &OwnedFd, begin: impl FnOnce(&Beginning) -> Vec<Short>) -> io::Result<()> {
    let Some((Asked::Begin(beginning), _)) = receive(socket.as_fd())? else {
        return Err(io::Error::other("what is said first is which interfaces there are"));
    };
    send(socket.as_fd(), &Answer::Begun(begin(&beginning)), &[])?;
    let mut rights = OwnRights::default();
    let mut refused = 0_u64;
    let mut listener: Option<OwnedFd> = None;
    loop {
        let (asked_for, called) = wait(socket, listener.as_ref())?;
        if called && listener.as_ref().is_some_and(|listener| pass_packet_socket(listener.as_fd()).is_err()) {
            listener = None; // whoever called has ended
        }
        if !asked_for {
            continue;
        }
        let Some((asked, passed)) = receive::<Asked>(socket.as_fd())? else { break };
        if let Asked::Listen = asked {
            listener = passed.into_iter().next();
            send(socket.as_fd(), &Answer::Listening, &[])?;
            continue;
        }
        let known = asked.interface().is_some_and(|name| beginning.interfaces.iter().any(|known| known == name));
        let (answer, descriptors) = if known {
            answer(&asked, &mut rights).unwrap_or_else(|error| {
                tracing::debug!(?asked, %error, "the broker cannot");
                (Answer::Refused(Why::from(&error)), Vec::new())
            })
        } else {
            refused += 1;
            tracing::error!(?asked, refused, "the broker was asked for what the configuration does not name");
            (Answer::Refused(Why::Foreign), Vec::new())
        };
        send(socket.as_fd(), &answer, &all(&descriptors))?;
    }
    Ok(())
}

/// Waits for a question, or for a call for a packet socket.
fn wait(socket: &OwnedFd, listener: Option<&OwnedFd>) -> io::Result<(bool, bool)> {
    let waited = [Some(socket), listener].into_iter().flatten();
    let mut waited: Vec<PollFd<'_>> = waited.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    retry_on_intr(|| poll(&mut waited, None))?;
    let came = |at: usize| waited.get(at).is_some_and(|one| !one.revents().is_empty());
    Ok((came(0), came(1)))
}

fn answer(asked: &Asked, rights: &mut OwnRights) -> Result<(Answer, Vec<OwnedFd>), Error> {
    Ok(match asked {
        Asked::Begin(_) | Asked::Listen => (Answer::Refused(Why::Foreign), Vec::new()),
        Asked::Prepare { interface, promiscuous, busy_poll, shunts } => {
            let prepared = rights.prepare(interface, *promiscuous, *busy_poll, *shunts)?;
            let (shunts, promiscuous) = (prepared.shunts.is_some(), prepared.promiscuous.is_some());
            let mut descriptors = vec![prepared.unclaimed];
            descriptors.extend(prepared.shunts);
            descriptors.extend(prepared.promiscuous);
            descriptors.extend(prepared.sockets);
            if descriptors.len() > BROKER_DESCRIPTORS_MAX {
                return Err(Error::Call { what: "passing them", error: io::Error::from_raw_os_error(libc::E2BIG) });
            }
            (Answer::Prepared { index: prepared.index, shunts, promiscuous }, descriptors)
        }
        Asked::Attach(interface) => (Answer::Attached, vec![rights.attach(interface)?]),
        Asked::Uses(interface) => {
            (Answer::Uses(rights.uses(interface)?.into_iter().map(Into::into).collect()), Vec::new())
        }
        Asked::State(interface) => {
            let state = rights.state(interface)?;
            let (dropped, missed) = (state.lost.dropped, state.lost.missed);
            (Answer::State { index: state.index, queues: state.queues, dropped, missed }, Vec::new())
        }
    })
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn only_interfaces_of_the_configuration_are_spoken_of() {
        let (here, there) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair");
        let serving = std::thread::spawn(move || serve(&there, |_| Vec::new()));
        let ask = |asked: Asked| {
            send(here.as_fd(), &asked, &[]).expect("it hears");
            receive::<Answer>(here.as_fd()).expect("it answers").expect("and goes on").0
        };
        let begin = |name: &str| Asked::Begin(Beginning { interfaces: vec![name.to_owned()], json: false });
        assert!(matches!(ask(begin("lo")), Answer::Begun(short) if short.is_empty()));
        assert!(matches!(ask(Asked::State("lo".into())), Answer::State { index: 1, queues: 1, .. }));
        for asked in [
            Asked::Prepare { interface: "b7".into(), promiscuous: true, busy_poll: None, shunts: true },
            Asked::Attach("b7".into()),
            Asked::Uses("b7".into()),
            Asked::State("b7".into()),
            // the list is sealed
            begin("b7"),
        ] {
            assert!(matches!(ask(asked), Answer::Refused(Why::Foreign)));
        }
        assert!(matches!(ask(Asked::State("b7".into())), Answer::Refused(Why::Foreign)));
        drop(here);
        assert!(serving.join().expect("it ends").is_ok(), "with its peer");
    }
}
