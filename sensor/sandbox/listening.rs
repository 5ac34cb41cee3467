//! The calls of whoever keeps a socket at its place: made again where it was taken away, and taken away at the end.
//!
//! In: nothing. Out: rows for [`super::calls`]. Never here: where that place is; Landlock says it.

#![allow(clippy::unnecessary_cast, reason = "the types of these numbers differ from one C library to the next")]

use super::calls::{ANY, Like, Row};

/// The mode that lets a group ask, and no other.
const GROUP_ASKS: u64 = 0o660;

pub(super) const LISTENS: &[Row] = &[
    (libc::SYS_socket, &[&[Like::Equal(0, libc::AF_UNIX as u64)]]),
    (libc::SYS_bind, ANY),
    (libc::SYS_listen, ANY),
    (libc::SYS_fchownat, ANY),
    (libc::SYS_fchmodat, &[&[Like::Equal(2, GROUP_ASKS)]]),
    (libc::SYS_unlinkat, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chown, ANY),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, &[&[Like::Equal(1, GROUP_ASKS)]]),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, ANY),
];
