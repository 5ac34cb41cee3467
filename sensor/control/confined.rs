//! What the kernel lets this process do, as it says itself (proc_pid_status(5)).

use std::fs;

use serde_json::{Value, json};

/// Capabilities that matter to a sensor, by their bit (capabilities(7), `linux/capability.h`).
static CAPABILITIES: [(u32, &str); 4] =
    [(12, "cap_net_admin"), (13, "cap_net_raw"), (21, "cap_sys_admin"), (39, "cap_bpf")];

/// Whether system calls are filtered, privileges can be gained, and which capabilities are held; `null` where it cannot be read.
pub(super) fn confinement() -> Value {
    fs::read_to_string("/proc/self/status").map_or(Value::Null, |status| read(&status))
}

fn read(status: &str) -> Value {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    let flag = |name: &str| field(name).map(|value| value != "0");
    let held = field("CapEff").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let names = held.map(|held| {
        let known = CAPABILITIES.iter().filter(|(bit, _)| held >> bit & 1 == 1).map(|(_, name)| *name);
        let others = CAPABILITIES.iter().fold(held, |held, (bit, _)| held & !(1 << bit)).count_ones();
        json!({ "held": known.collect::<Vec<_>>(), "others": others })
    });
    json!({
        "seccomp": flag("Seccomp"),
        "no_new_privileges": flag("NoNewPrivs"),
        "capabilities": names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let told = read("Name:\thaetae\nCapEff:\t0000008000003001\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t9\n");
        assert_eq!(told["seccomp"], true);
        assert_eq!(told["no_new_privileges"], true);
        let held = json!({ "held": ["cap_net_admin", "cap_net_raw", "cap_bpf"], "others": 1 });
        assert_eq!(told["capabilities"], held);
        assert_eq!(read("nonsense\n")["seccomp"], Value::Null);
        assert_ne!(confinement(), Value::Null);
    }
}
