//! System calls: a list for each role of those that it makes, and nothing else.
//!
//! In: a role. Out: a thread whose other calls are refused with EPERM, so that a library that can do without goes on; calls
//! younger than the lists are answered as by a kernel that does not know them (ENOSYS), which is what makes a younger C
//! library take the older call. Once the thread has tried that they are refused, calls that nothing here ever makes, and
//! that somebody who has taken the thread over would, end the process: a sensor that is started again is seen, and one that
//! goes on in strange hands is not. Never here: what a call's pointers point to; the kernel looks at numbers alone.

#![allow(clippy::unnecessary_cast, reason = "the types of these numbers differ from one C library to the next")]

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use super::Role;
use super::listening::LISTENS;

/// What a call must be like: the number of an argument, and its value.
#[derive(Clone, Copy)]
pub(super) enum Like {
    /// Exactly this.
    Equal(u8, u64),
    /// A pointer to nothing.
    Null(u8),
    /// None of these bits.
    Without(u8, u64),
    /// All of these bits.
    With(u8, u64),
}

/// A call, and what it must be like: in all of one of the ways, or in any way where there is none.
pub(super) type Row = (c_long, &'static [&'static [Like]]);

/// In any way.
pub(super) const ANY: &[&[Like]] = &[];

/// Everybody works with memory, locks, clocks and descriptors that are open.
const EVERYBODY: &[Row] = &[
    (libc::SYS_read, ANY),
    (libc::SYS_readv, ANY),
    (libc::SYS_write, ANY),
    (libc::SYS_writev, ANY),
    (libc::SYS_close, ANY),
    (libc::SYS_lseek, ANY),
    (libc::SYS_fstat, ANY),
    (libc::SYS_fcntl, FLAGS_OF_DESCRIPTORS),
    (libc::SYS_ppoll, ANY),
    (libc::SYS_futex, ANY),
    (libc::SYS_munmap, ANY),
    (libc::SYS_mremap, ANY),
    (libc::SYS_madvise, ANY),
    (libc::SYS_brk, ANY),
    (libc::SYS_rt_sigaction, ANY),
    (libc::SYS_rt_sigprocmask, ANY),
    (libc::SYS_rt_sigreturn, ANY),
    (libc::SYS_sigaltstack, ANY),
    (libc::SYS_restart_syscall, ANY),
    (libc::SYS_exit, ANY),
    (libc::SYS_exit_group, ANY),
    (libc::SYS_clock_gettime, ANY),
    (libc::SYS_clock_getres, ANY),
    (libc::SYS_clock_nanosleep, ANY),
    (libc::SYS_nanosleep, ANY),
    (libc::SYS_gettimeofday, ANY),
    (libc::SYS_getrandom, ANY),
    (libc::SYS_sched_yield, ANY),
    (libc::SYS_sched_getaffinity, ANY),
    (libc::SYS_gettid, ANY),
    (libc::SYS_getpid, ANY),
    (libc::SYS_set_robust_list, ANY),
    (libc::SYS_rseq, ANY),
    (libc::SYS_membarrier, ANY),
    (libc::SYS_prctl, NAMES_AND_LESS_RIGHTS),
    // on a socket that is connected; and a signal that meets a thread is told on to the one that hears it
    (libc::SYS_sendto, &[&[Like::Null(4)]]),
    // a filter can only take away
    (libc::SYS_seccomp, &[&[Like::Equal(0, libc::SECCOMP_SET_MODE_FILTER as u64), Like::Equal(1, 0)]]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_time, ANY),
];

/// Threads that load no library make no memory that can be run.
const DATA: &[Row] = &[(libc::SYS_mmap, NOT_RUN), (libc::SYS_mprotect, NOT_RUN)];
const NOT_RUN: &[&[Like]] = &[&[Like::Without(2, libc::PROT_EXEC as u64)]];

/// Without F_SETOWN and F_SETSIG, which send signals.
const FLAGS_OF_DESCRIPTORS: &[&[Like]] = &[
    &[Like::Equal(1, libc::F_GETFD as u64)],
    &[Like::Equal(1, libc::F_SETFD as u64)],
    &[Like::Equal(1, libc::F_GETFL as u64)],
    &[Like::Equal(1, libc::F_SETFL as u64)],
    &[Like::Equal(1, libc::F_DUPFD_CLOEXEC as u64)],
];

const NAMES_AND_LESS_RIGHTS: &[&[Like]] =
    &[&[Like::Equal(0, libc::PR_SET_NAME as u64)], &[Like::Equal(0, libc::PR_SET_NO_NEW_PRIVS as u64)]];

/// Files are looked at.
const LOOKS: &[Row] = &[
    (libc::SYS_statx, ANY),
    (libc::SYS_newfstatat, ANY),
    (libc::SYS_readlinkat, ANY),
    (libc::SYS_faccessat, ANY),
    (libc::SYS_getdents64, ANY),
    (libc::SYS_getcwd, ANY),
    (libc::SYS_pread64, ANY),
    (libc::SYS_fadvise64, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_readlink, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_access, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_stat, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_lstat, ANY),
];

/// Files are opened and not written to.
const READS: &[Row] = &[(libc::SYS_openat, NOT_WRITTEN)];
const NOT_WRITTEN: &[&[Like]] = &[&[Like::Without(2, (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64)]];

/// Files are kept: Landlock says which.
const KEEPS: &[Row] = &[
    (libc::SYS_openat, ANY),
    (libc::SYS_ftruncate, ANY),
    (libc::SYS_fsync, ANY),
    (libc::SYS_fdatasync, ANY),
    (libc::SYS_flock, ANY),
    (libc::SYS_pwrite64, ANY),
    (libc::SYS_renameat, ANY),
    (libc::SYS_renameat2, ANY),
    (libc::SYS_unlinkat, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, ANY),
];

/// Signals are heard from a socket, into which the thread that each of them met has put a word.
const HEARS: &[Row] = &[(libc::SYS_recvfrom, ANY)];

/// Links are read and counted; no socket is made or bound.
const LINKS: &[Row] = &[
    (libc::SYS_recvfrom, ANY),
    (libc::SYS_getsockopt, ANY),
    (libc::SYS_setsockopt, &[&[Like::Equal(1, libc::SOL_PACKET as u64)]]),
    (libc::SYS_getsockname, ANY),
    (libc::SYS_ioctl, &[&[Like::Equal(1, libc::SIOCGIFNAME as u64)], &[Like::Equal(1, libc::SIOCGIFFLAGS as u64)]]),
];

/// What the broker passed, or what was open before, is bound again and gets its memory; and it is seen how the broker ended.
const TAKES: &[Row] = &[
    (libc::SYS_bind, ANY),
    (libc::SYS_setsockopt, ANY),
    (libc::SYS_ioctl, &[&[Like::Equal(1, libc::SIOCGIFINDEX as u64)]]),
    (libc::SYS_sendmsg, ANY),
    (libc::SYS_recvmsg, ANY),
    (libc::SYS_wait4, ANY),
    (libc::SYS_waitid, ANY),
];

/// libpcap opens links; sockets for packets are made by the broker.
const CALLS: &[Row] = &[
    (
        libc::SYS_socket,
        &[
            &[Like::Equal(0, libc::AF_PACKET as u64)],
            &[Like::Equal(0, libc::AF_NETLINK as u64)],
            &[Like::Equal(0, libc::AF_UNIX as u64)],
        ],
    ),
    (libc::SYS_ioctl, ANY),
    (libc::SYS_eventfd2, ANY),
    (libc::SYS_uname, ANY),
];

/// Links are opened: sockets, memory, programs, and what the system says of an interface.
const PORTS: &[Row] = &[
    (
        libc::SYS_socket,
        &[
            &[Like::Equal(0, libc::AF_XDP as u64)],
            &[Like::Equal(0, libc::AF_PACKET as u64)],
            &[Like::Equal(0, libc::AF_NETLINK as u64)],
            &[Like::Equal(0, libc::AF_INET as u64)],
            &[Like::Equal(0, libc::AF_UNIX as u64)],
        ],
    ),
    (libc::SYS_bpf, ANY),
    (libc::SYS_bind, ANY),
    (libc::SYS_setsockopt, ANY),
    (libc::SYS_ioctl, ANY),
    (libc::SYS_sendto, ANY),
    (libc::SYS_sendmsg, ANY),
    (libc::SYS_recvmsg, ANY),
    (libc::SYS_eventfd2, ANY),
    (libc::SYS_uname, ANY),
];

/// Connections are taken and answered.
const ANSWERS: &[Row] = &[
    (libc::SYS_accept4, ANY),
    (libc::SYS_recvfrom, ANY),
    (libc::SYS_setsockopt, ANY),
    (libc::SYS_shutdown, ANY),
    (libc::SYS_ioctl, &[&[Like::Equal(1, libc::FIONBIO as u64)]]),
];

/// The centre is asked for by name and connected to: Landlock says at which ports. Threads that look up a name, and give up
/// in time, are begun; processes are not.
const CONNECTS: &[Row] = &[
    (
        libc::SYS_socket,
        &[
            &[Like::Equal(0, libc::AF_INET as u64)],
            &[Like::Equal(0, libc::AF_INET6 as u64)],
            &[Like::Equal(0, libc::AF_UNIX as u64)],
            &[Like::Equal(0, libc::AF_NETLINK as u64)],
        ],
    ),
    (libc::SYS_connect, ANY),
    (libc::SYS_bind, ANY),
    (libc::SYS_getsockname, ANY),
    (libc::SYS_getpeername, ANY),
    (libc::SYS_getsockopt, ANY),
    (libc::SYS_setsockopt, ANY),
    (libc::SYS_sendto, ANY),
    (libc::SYS_sendmsg, ANY),
    (libc::SYS_sendmmsg, ANY),
    (libc::SYS_recvfrom, ANY),
    (libc::SYS_recvmsg, ANY),
    (libc::SYS_shutdown, ANY),
    (libc::SYS_ioctl, &[&[Like::Equal(1, libc::FIONBIO as u64)], &[Like::Equal(1, libc::FIONREAD as u64)]]),
    (libc::SYS_clone, &[&[Like::With(0, (libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND) as u64)]]),
    (libc::SYS_mmap, ANY),
    (libc::SYS_mprotect, ANY),
    (libc::SYS_epoll_create1, ANY),
    (libc::SYS_epoll_ctl, ANY),
    (libc::SYS_epoll_pwait, ANY),
    (libc::SYS_eventfd2, ANY),
    (libc::SYS_uname, ANY),
    (libc::SYS_sysinfo, ANY),
    (libc::SYS_getuid, ANY),
    (libc::SYS_geteuid, ANY),
    (libc::SYS_getgid, ANY),
    (libc::SYS_getegid, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, ANY),
];

/// Calls that nothing of a sensor makes, by whose means a thread gets out, in elsewhere, or a hold on the kernel.
const DEADLY: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// The first call that every architecture has the same number for and a C library of Debian 12 can do without (`clone3`), and
/// a number that the kernel will not reach for decades.
const YOUNG: std::ops::Range<c_long> = libc::SYS_clone3..600;

fn lists(role: Role) -> &'static [&'static [Row]] {
    match role {
        Role::Control => &[EVERYBODY, DATA, LOOKS, READS, HEARS],
        Role::Worker => &[EVERYBODY, DATA, LINKS],
        Role::Reader => &[EVERYBODY, DATA, LINKS, LOOKS, KEEPS],
        Role::Keeper => &[EVERYBODY, DATA, LINKS, LOOKS, READS, TAKES],
        Role::Caller => &[EVERYBODY, DATA, LINKS, LOOKS, READS, TAKES, CALLS],
        Role::Opener | Role::Broker => &[EVERYBODY, DATA, LINKS, LOOKS, READS, PORTS],
        Role::Metrics => &[EVERYBODY, DATA, ANSWERS],
        Role::Answers => &[EVERYBODY, DATA, ANSWERS, LOOKS, LISTENS],
        Role::Uplink => &[EVERYBODY, LOOKS, KEEPS, CONNECTS],
        Role::Collector | Role::Tender | Role::Quarantine => &[EVERYBODY, DATA, LOOKS, KEEPS],
        // what workers used is read from one open file, again and again
        Role::Watchdog => &[EVERYBODY, DATA, &[(libc::SYS_pread64, ANY)]],
    }
}

fn rows(role: Role) -> impl Iterator<Item = &'static Row> {
    lists(role).iter().copied().flatten()
}

/// From here on the calling thread makes the calls of its role; all others are refused.
///
/// # Errors
/// Why it is not bounded.
pub(super) fn bound(role: Role) -> Result<(), String> {
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut always = Vec::new();
    for (call, ways) in rows(role) {
        let rules = allowed.entry(*call).or_default();
        if ways.is_empty() {
            always.push(*call);
        }
        for way in *ways {
            rules.push(rule(way)?);
        }
    }
    // in one list any way, in another some: any
    always.iter().for_each(|call| drop(allowed.insert(*call, Vec::new())));
    // one more: who asks to end itself does, whoever it is (abort)
    allowed.insert(libc::SYS_tgkill, vec![rule(&[Like::Equal(0, u64::from(std::process::id()))])?]);
    let young = YOUNG.filter(|call| !allowed.contains_key(call)).map(|call| (call, Vec::new())).collect();
    apply(filter(allowed, refused(libc::EPERM), SeccompAction::Allow)?)?;
    // of two filters that refuse, the younger one is heard
    apply(filter(young, SeccompAction::Allow, refused(libc::ENOSYS))?)
}

/// From here on what nothing of a sensor calls ends the process.
///
/// # Errors
/// Why it does not.
pub(super) fn deadly(role: Role) -> Result<(), String> {
    let made = |call: &&c_long| rows(role).any(|(made, _)| made == *call);
    let deadly = DEADLY.iter().filter(|call| !made(call)).map(|call| (*call, Vec::new())).collect();
    apply(filter(deadly, SeccompAction::Allow, SeccompAction::KillProcess)?)
}

fn refused(code: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(code as u32)
}

fn rule(way: &[Like]) -> Result<SeccompRule, String> {
    let condition = |like: &Like| {
        // numbers and flags are of 32 bits to the kernel, whatever stands in the other half
        let (argument, len, operator, value) = match *like {
            Like::Equal(argument, value) => (argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value),
            Like::Null(argument) => (argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0),
            Like::Without(argument, bits) => (argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), 0),
            Like::With(argument, bits) => (argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), bits),
        };
        SeccompCondition::new(argument, len, operator, value)
    };
    let conditions: Result<Vec<_>, _> = way.iter().map(condition).collect();
    conditions.and_then(SeccompRule::new).map_err(|error| error.to_string())
}

fn filter(
    calls: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    these: SeccompAction,
) -> Result<BpfProgram, String> {
    let said = |error: seccompiler::BackendError| error.to_string();
    let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(said)?;
    SeccompFilter::new(calls, others, these, machine).and_then(BpfProgram::try_from).map_err(said)
}

fn apply(program: BpfProgram) -> Result<(), String> {
    apply_filter(&program).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use ::af_xdp::Call;

    use super::*;

    const ROLES: [Role; 13] = [
        Role::Control,
        Role::Collector,
        Role::Tender,
        Role::Worker,
        Role::Reader,
        Role::Keeper,
        Role::Caller,
        Role::Opener,
        Role::Broker,
        Role::Metrics,
        Role::Answers,
        Role::Uplink,
        Role::Watchdog,
    ];

    #[test]
    fn a_thread_of_any_role_can_do_what_every_thread_does() {
        for role in ROLES {
            let thread = std::thread::spawn(move || {
                bound(role).and_then(|()| deadly(role)).expect("the kernel filters calls");
                let memory: Vec<u64> = (0..1 << 18).collect();
                std::thread::sleep(std::time::Duration::from_millis(1));
                let caught = std::panic::catch_unwind(|| panic!("a panic is told and unwinds"));
                memory.len() + usize::from(caught.is_err())
            });
            assert_eq!(thread.join().expect("it ends"), (1 << 18) + 1, "{role}");
        }
    }

    #[test]
    fn a_call_that_is_younger_than_the_lists_is_not_known_to_the_kernel() {
        let thread = std::thread::spawn(|| {
            bound(Role::Uplink).expect("the kernel filters calls");
            // its C library falls back from clone3 to clone
            let other = std::thread::Builder::new().spawn(|| Call::Fork.is_refused());
            other.expect("threads may begin").join().expect("it ends")
        });
        assert!(thread.join().expect("it ends"), "a process may not");
        let thread = std::thread::spawn(|| {
            bound(Role::Worker).expect("the kernel filters calls");
            std::thread::Builder::new().spawn(|| ()).is_err()
        });
        assert!(thread.join().expect("it ends"), "a worker begins nothing");
    }

    /// In a process of its own, which is this test again.
    #[test]
    fn a_call_that_nothing_here_makes_ends_the_process() {
        const CHILD: &str = "HAETAE_TEST_DEADLY";
        if std::env::var_os(CHILD).is_some() {
            bound(Role::Worker).expect("the kernel filters calls");
            assert!(Call::Ptrace.is_refused(), "it is tried before it is deadly");
            deadly(Role::Worker).expect("the kernel filters calls");
            let _never = Call::Ptrace.is_refused();
            return;
        }
        let name = "sandbox::calls::tests::a_call_that_nothing_here_makes_ends_the_process";
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        let ended = command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().expect("it runs");
        assert_eq!(ended.status.signal(), Some(libc::SIGSYS), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}
