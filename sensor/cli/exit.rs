//! Exit codes, as `sysexits.h` has them where it has one.

use std::io::ErrorKind;

use crate::config::Refused;
use crate::control::Failure;

/// All went well.
pub const SOUND: u8 = 0;
/// An indicator was met and `--fail-on-match` was given; or a rule test failed.
pub const MATCHED: u8 = 1;
/// No alert of the captures has the id that was asked for, or several have; nothing at this site has the token.
pub const UNKNOWN: u8 = 1;
/// The doctor found something of severity `error`.
pub const ILL: u8 = 1;

/// The running sensor does not do all that it is configured to do, or did not take what was to be reloaded.
pub const NOT_READY: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// A capture was damaged and `--strict` was given.
pub const DAMAGED: u8 = 65;
/// A ledger or a spool does not hold.
pub const BROKEN: u8 = 65;
/// No running sensor is where it was asked.
pub const UNAVAILABLE: u8 = 69;
/// The system lacks a layer of the sandbox that the configuration requires, or one does not hold.
pub const SANDBOX: u8 = 71;
/// A file or stream could not be used.
pub const IO: u8 = 74;
/// There was no permission to use it.
pub const PERMISSION: u8 = 77;
/// The sensor itself is at fault.
pub const FAULT: u8 = 70;

/// The configuration is wrong.
pub const CONFIGURATION: u8 = 78;

/// The code for an error of input or output. A reader that has gone away (`| head`) is no error.
pub fn of_io(error: &std::io::Error) -> u8 {
    match error.kind() {
        ErrorKind::BrokenPipe => SOUND,
        ErrorKind::PermissionDenied => PERMISSION,
        _ => IO,
    }
}

/// The code for a failed replay.
pub fn of_failure(failure: &Failure) -> u8 {
    match failure {
        Failure::Io(_, error) => of_io(error),
        Failure::Configuration(_) => CONFIGURATION,
        Failure::Fault(_) => FAULT,
        Failure::Sandbox(_) => SANDBOX,
    }
}

/// The code for a configuration that was not taken: a file that is not there is a wrong configuration too.
pub fn of_refused(refused: &Refused) -> u8 {
    match refused {
        Refused::Unreadable(_, error) if error.kind() == ErrorKind::PermissionDenied => PERMISSION,
        _ => CONFIGURATION,
    }
}
