//! Markings: how far a word may be passed on (TLP), and what may be done with it (PAP).
//!
//! In: their spellings in feeds and records. Out: levels in order, the strictest last. Never here: who obeys them.

/// Traffic Light Protocol 2.0, with strict amber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tlp {
    /// No limit.
    Clear,
    /// The community.
    Green,
    /// The organisation and its clients.
    #[default]
    Amber,
    /// The organisation only.
    AmberStrict,
    /// The recipients only.
    Red,
}

/// Permissible Actions Protocol: what an adversary might notice. Nothing said is amber, as for TLP: who wants more done says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pap {
    /// No limit.
    Clear,
    /// Active measures are allowed: blocking, asking the listed host.
    Green,
    /// Passive measures only, others' services included; nothing that reaches the listed host.
    #[default]
    Amber,
    /// Passive measures on the site's own machines only.
    Red,
}

impl Tlp {
    /// All of them, the strictest last.
    pub const ALL: [Tlp; 5] = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red];

    /// Its name in EVE metadata and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Tlp::Clear => "clear",
            Tlp::Green => "green",
            Tlp::Amber => "amber",
            Tlp::AmberStrict => "amber+strict",
            Tlp::Red => "red",
        }
    }

    /// Reads a feed's spelling; TLP 1 said `white`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = level(name, "tlp:");
        Tlp::ALL.into_iter().find(|tlp| tlp.name().eq_ignore_ascii_case(name))
    }
}

impl Pap {
    /// All of them, the strictest last.
    pub const ALL: [Pap; 4] = [Pap::Clear, Pap::Green, Pap::Amber, Pap::Red];

    /// Its name in EVE metadata and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Pap::Clear => "clear",
            Pap::Green => "green",
            Pap::Amber => "amber",
            Pap::Red => "red",
        }
    }

    /// Reads a feed's spelling; older ones say `white`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = level(name, "pap:");
        Pap::ALL.into_iter().find(|pap| pap.name().eq_ignore_ascii_case(name))
    }
}

/// The level in a spelling, with its scheme before it (`PAP:RED`, as tags have it) or without.
fn level<'a>(name: &'a str, scheme: &str) -> &'a str {
    let name = name.trim();
    let start = name.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme));
    let name = start.map_or(name, |start| &name[start.len()..]);
    if name.eq_ignore_ascii_case("white") { "clear" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_read_as_it_is_written_and_as_a_tag() {
        for tlp in Tlp::ALL {
            for spelled in [tlp.name().to_owned(), format!("TLP:{}", tlp.name().to_uppercase())] {
                assert_eq!(Tlp::from_name(&spelled), Some(tlp), "{spelled}");
            }
        }
        for pap in Pap::ALL {
            for spelled in [pap.name().to_owned(), format!(" Pap:{} ", pap.name().to_uppercase())] {
                assert_eq!(Pap::from_name(&spelled), Some(pap), "{spelled}");
            }
        }
        assert_eq!((Tlp::from_name("white"), Pap::from_name("PAP:WHITE")), (Some(Tlp::Clear), Some(Pap::Clear)));
        assert_eq!((Tlp::from_name("pap:red"), Pap::from_name("amber+strict"), Pap::from_name("")), (None, None, None));
    }

    #[test]
    fn levels_are_in_order_and_what_nobody_says_is_amber() {
        assert!(Tlp::ALL.is_sorted() && Pap::ALL.is_sorted());
        assert_eq!((Tlp::default(), Pap::default()), (Tlp::Amber, Pap::Amber));
    }
}
