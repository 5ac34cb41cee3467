//! The latest of something that one thread says and others look at, always whole.

use std::sync::{Mutex, PoisonError};

/// See the head of this file. Said a few times a second at most, by who waits for nothing else.
#[derive(Debug, Default)]
pub struct Latest<T>(Mutex<T>);

impl<T: Copy> Latest<T> {
    /// It is this from now on.
    pub fn say(&self, now: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// What was said last.
    pub fn get(&self) -> T {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
