//! A network of real hosts beside a link: clients and a server with the kernel's own TCP, and a switch that mirrors what
//! passes between them to the sensor's port.

use std::process::{Child, Command, Stdio};

use crate::support::namespaces::{Elsewhere, Link};

/// What the switch mirrors of the clients' port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mirror {
    /// What comes to it and what leaves by it.
    Both,
    /// What comes to it alone.
    InAlone,
    /// Both, and both again.
    BothTwice,
}

/// Gone with the link.
pub struct Network {
    programs: Vec<Child>,
    _server: Elsewhere,
}

const SERVER: &str = "
import socket, threading
listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('198.51.100.1', 80)); listener.listen(64)
def answer(s):
    s.recv(100); s.sendall(bytes(range(250)) * 400); s.close()
while True:
    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
";

const CLIENT: &str = "
import socket, time
while True:
    try:
        s = socket.create_connection(('198.51.100.1', 80), 2)
        s.sendall(b'question %d' % time.monotonic_ns())
        while s.recv(65536): pass
        s.close()
    except OSError: pass
    time.sleep(0.01)
";

impl Network {
    /// Clients on the sender's side of a link, a server elsewhere, both with this MTU. `as_on_a_wire`: frames are as a cable
    /// would have them.
    pub fn beside(link: &Link, mirror: Mirror, as_on_a_wire: bool, mtu: u32) -> Network {
        let server = Elsewhere::new();
        let near = |words: &str| link.run_at_sender("ip", &words.split(' ').collect::<Vec<_>>());
        let far = |program: &str, words: &str| server.run(program, &words.split(' ').collect::<Vec<_>>());
        near(&format!("link add c0 type veth peer name c1 netns {}", server.name()));
        near("addr add 10.20.0.1/24 dev c0");
        near(&format!("link set c0 mtu {mtu} up"));
        far("ip", "addr add 198.51.100.1/24 dev c1");
        far("ip", &format!("link set c1 mtu {mtu} up"));
        near("route add 198.51.100.0/24 dev c0");
        far("ip", "route add 10.20.0.0/24 dev c1");
        if as_on_a_wire {
            let off = "tso off gso off gro off tx off";
            // what leaves c0 is mirrored before it is cut up and summed: a0 does both
            for port in ["c0", "a0"] {
                link.run_at_sender("ethtool", &[&["-K", port], &off.split(' ').collect::<Vec<_>>()[..]].concat());
            }
            far("ethtool", &format!("-K c1 {off}"));
        }
        let tc = |words: &str| link.run_at_sender("tc", &words.split(' ').collect::<Vec<_>>());
        tc("qdisc add dev c0 clsact");
        let copies = if mirror == Mirror::BothTwice { " action mirred egress mirror dev a0" } else { "" };
        let ways: &[&str] = if mirror == Mirror::InAlone { &["ingress"] } else { &["ingress", "egress"] };
        for way in ways {
            let all = "protocol all u32 match u32 0 0 action mirred egress mirror dev a0";
            tc(&format!("filter add dev c0 {way} {all}{}", copies.replace("action", "pipe action")));
        }
        let mut python = Command::new("python3");
        let answering = server.command(python.args(["-c", SERVER])).stderr(Stdio::null()).spawn().expect("python3");
        let mut python = Command::new("python3");
        let asking = link.at_sender(python.args(["-c", CLIENT])).stderr(Stdio::null()).spawn().expect("python3");
        Network { programs: vec![answering, asking], _server: server }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ended_already = program.kill();
            let _reaped = program.wait();
        }
    }
}
