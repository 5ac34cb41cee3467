//! System calls that a sandbox is to refuse, each with arguments by which nothing comes of it where it does not.
//!
//! In: a call. Out: whether it was refused. They stand here because a call that its library would never make has to be made
//! by hand, and what is made by hand stands behind this wall.

use std::os::fd::{FromRawFd, OwnedFd};
use std::{io, ptr};

/// A call that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "system calls have manual pages")]
pub enum Call {
    Execve,
    Execveat,
    Fork,
    Ptrace,
    ProcessVmReadv,
    Kill,
    Bpf,
    PerfEventOpen,
    IoUringSetup,
    Userfaultfd,
    Unshare,
    Setns,
    Mount,
    Keyctl,
    FinitModule,
    PacketSocket,
    InternetSocket,
    ExecutableMemory,
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 18] = [
        Call::Execve,
        Call::Execveat,
        Call::Fork,
        Call::Ptrace,
        Call::ProcessVmReadv,
        Call::Kill,
        Call::Bpf,
        Call::PerfEventOpen,
        Call::IoUringSetup,
        Call::Userfaultfd,
        Call::Unshare,
        Call::Setns,
        Call::Mount,
        Call::Keyctl,
        Call::FinitModule,
        Call::PacketSocket,
        Call::InternetSocket,
        Call::ExecutableMemory,
    ];

    /// For a person.
    pub const fn name(self) -> &'static str {
        match self {
            Call::Execve => "execve",
            Call::Execveat => "execveat",
            Call::Fork => "clone",
            Call::Ptrace => "ptrace",
            Call::ProcessVmReadv => "process_vm_readv",
            Call::Kill => "kill",
            Call::Bpf => "bpf",
            Call::PerfEventOpen => "perf_event_open",
            Call::IoUringSetup => "io_uring_setup",
            Call::Userfaultfd => "userfaultfd",
            Call::Unshare => "unshare",
            Call::Setns => "setns",
            Call::Mount => "mount",
            Call::Keyctl => "keyctl",
            Call::FinitModule => "finit_module",
            Call::PacketSocket => "socket(AF_PACKET)",
            Call::InternetSocket => "socket(AF_INET)",
            Call::ExecutableMemory => "mmap(PROT_EXEC)",
        }
    }

    /// Tries it: whether the kernel refuses it for who asks, and not for what is asked.
    pub fn is_refused(self) -> bool {
        let refusals = [libc::EPERM, libc::EACCES, libc::ENOSYS];
        self.attempt().is_err_and(|error| error.raw_os_error().is_some_and(|code| refusals.contains(&code)))
    }

    fn attempt(self) -> io::Result<()> {
        const NOBODY: libc::c_long = -1;
        const NOTHING: *const libc::c_void = ptr::null();
        // SAFETY: of all of them: pointers are null and lengths 0, so nothing is read or written; a process, thread, namespace or
        // descriptor is one that is not, or the call changes nothing by its manual page, as the words behind it say.
        let answer = unsafe {
            match self {
                Call::Execve => libc::syscall(libc::SYS_execve, NOTHING, NOTHING, NOTHING),
                Call::Execveat => libc::syscall(libc::SYS_execveat, NOBODY, NOTHING, NOTHING, NOTHING, 0),
                // flags that exclude each other: nobody is born
                Call::Fork => {
                    let flags = libc::c_long::from(libc::CLONE_NEWNS | libc::CLONE_FS);
                    libc::syscall(libc::SYS_clone, flags, NOTHING, NOTHING, NOTHING, NOTHING)
                }
                // there is no process 0
                Call::Ptrace => libc::syscall(libc::SYS_ptrace, libc::PTRACE_ATTACH, 0, NOTHING, NOTHING),
                Call::ProcessVmReadv => libc::syscall(libc::SYS_process_vm_readv, 0, NOTHING, 0, NOTHING, 0, 0),
                // signal 0 only asks
                Call::Kill => libc::syscall(libc::SYS_kill, 1, 0),
                Call::Bpf => libc::syscall(libc::SYS_bpf, NOBODY, NOTHING, 0),
                Call::PerfEventOpen => libc::syscall(libc::SYS_perf_event_open, NOTHING, NOBODY, NOBODY, NOBODY, 0),
                Call::IoUringSetup => libc::syscall(libc::SYS_io_uring_setup, 0, NOTHING),
                Call::Userfaultfd => libc::syscall(libc::SYS_userfaultfd, NOBODY),
                // of nothing
                Call::Unshare => libc::syscall(libc::SYS_unshare, 0),
                Call::Setns => libc::syscall(libc::SYS_setns, NOBODY, 0),
                Call::Mount => libc::syscall(libc::SYS_mount, NOTHING, NOTHING, NOTHING, 0, NOTHING),
                Call::Keyctl => libc::syscall(libc::SYS_keyctl, NOBODY),
                Call::FinitModule => libc::syscall(libc::SYS_finit_module, NOBODY, NOTHING, 0),
                Call::PacketSocket => return closed(libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
                Call::InternetSocket => return closed(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0)),
                Call::ExecutableMemory => return executable(),
            }
        };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn closed(socket: libc::c_int) -> io::Result<()> {
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(socket) });
    Ok(())
}

/// A page that could be run, and is gone again.
fn executable() -> io::Result<()> {
    const PAGE: usize = 4096;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, wherever there is room.
    let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, libc::PROT_READ | libc::PROT_EXEC, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping was just made, and nobody points into it.
    unsafe { libc::munmap(page, PAGE) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_may_be_made_is_not_taken_for_refused() {
        for call in
            [Call::Execve, Call::Fork, Call::Ptrace, Call::Unshare, Call::InternetSocket, Call::ExecutableMemory]
        {
            assert!(!call.is_refused(), "{}: {:?}", call.name(), call.attempt());
        }
    }
}
