//! The section `control:`: where the running sensor is asked, and by whom.
//!
//! In: the section as it is written. Out: checked values, or faults. Never here: a socket that is made.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use serde::Deserialize;

use super::check::Desk;
use crate::limits::{GROUP_NAME_BYTES_MAX, SOCKET_PATH_BYTES_MAX};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenControl {
    pub(crate) socket: PathBuf,
    pub(crate) group: Option<String>,
    pub(crate) tell_withheld: Option<bool>,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its path.
    pub socket: PathBuf,
    /// Whose members may ask, by name or number; `None`: the process's own group.
    pub group: Option<String>,
    /// Whether who looks a value up is told that something of it is withheld, which confirms that it is listed.
    pub tell_withheld: bool,
}

impl Desk<'_> {
    pub(super) fn control(&mut self, written: WrittenControl) -> Control {
        let socket = self.makeable("control.socket", written.socket, "like /run/haetae/control.sock");
        let length = socket.as_os_str().len();
        if length > SOCKET_PATH_BYTES_MAX {
            let help = format!("{SOCKET_PATH_BYTES_MAX} at most: the system takes no longer name for a socket");
            self.fault("control.socket", format!("has {length} bytes"), &help);
        } else if fs::symlink_metadata(&socket).is_ok_and(|there| !there.file_type().is_socket()) {
            self.fault("control.socket", format!("is no socket: {}", socket.display()), "name what is not there yet");
        }
        let odd = |letter: char| letter.is_whitespace() || letter.is_control() || ":,/".contains(letter);
        if let Some(group) = written.group.as_deref()
            && (group.is_empty() || group.len() > GROUP_NAME_BYTES_MAX || group.contains(odd))
        {
            let problem = format!("`{}` is not a group's name", group.escape_default());
            self.fault("control.group", problem, "`getent group` lists them");
        }
        Control { socket, group: written.group, tell_withheld: written.tell_withheld.unwrap_or(false) }
    }
}
