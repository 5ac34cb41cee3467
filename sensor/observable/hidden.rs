//! What is known to be there and cannot be read: numbers for the person at the screen and for the counters.
//! Never here: a value.

/// What readers knew to be there and could not read, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// TLS connections whose client named no server in clear text.
    pub names: u64,
    /// TLS connections whose certificates were encrypted.
    pub certificates: u64,
    /// Certificates of which nothing but the digest is known: what is in them is damaged.
    pub certificates_damaged: u64,
}

impl Hidden {
    /// Adds others.
    pub fn add(&mut self, other: Hidden) {
        self.names += other.names;
        self.certificates += other.certificates;
        self.certificates_damaged += other.certificates_damaged;
    }
}
