//! The sink table: whoever hears from this site, one row each: what its form can carry, what leaves where the member says
//! nothing, and beyond which marking nothing leaves whatever the member says.
//!
//! In: nothing. Out: rows. Never here: a member's own words; `policy.rs` holds them against these rows.

use serde::Deserialize;

use super::form::{self, Form};
use super::policy::WrittenSink;
use super::{Projected, misp, nats, stix, syslog};
use crate::indicator::{Pap, Tlp};

/// A group of fields. Identity, revision, severity and what was shed always leave: without them there is no alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// When.
    Time,
    /// Over what, and which way.
    Protocol,
    /// The other side, if it is surely not the site's, and the port it serves.
    Peer,
    /// Where and as what it was seen.
    Seen,
    /// The query of a URL that was seen: what a person typed may be in it. Off unless it is asked for.
    Query,
    /// The inside host: tokens and a role; its network's name only with `network_names`.
    Asset,
    /// How far it went.
    Contact,
    /// Outside addresses that a resolver answered.
    Answers,
    /// A token.
    Resolver,
    /// Whether a proxy or a translation lies between.
    Via,
    /// What the sensor could not see.
    Coverage,
    /// Which indicators were loaded, and how old.
    Set,
}

/// Every group, with the fields that are gone without it: paths within a projected alert.
pub static GROUPS: [(Group, &[&str]); 12] = [
    (Group::Time, &["timestamp", "contact.first", "contact.last", "shed.first", "shed.last"]),
    (Group::Protocol, &["proto", "app_proto", "direction"]),
    (Group::Peer, &["peer.ip", "peer.port"]),
    (Group::Seen, &["indicators.seen_in", "indicators.seen"]),
    (Group::Query, &[]), // a part of `indicators.seen`
    (Group::Asset, &["asset.token", "asset.name", "asset.role", "asset.network"]),
    (Group::Contact, &["contact.stage", "contact.sinkhole", "contact.bytes_out", "contact.bytes_in", "contact.count"]),
    (Group::Answers, &["contact.answer"]),
    (Group::Resolver, &["contact.resolver"]),
    (Group::Via, &["via.proxy", "via.nat"]),
    (
        Group::Coverage,
        &[
            "coverage.both_directions",
            "coverage.missing_bytes",
            "coverage.loss_ppm",
            "coverage.midstream",
            "coverage.name_hidden",
        ],
    ),
    (Group::Set, &["set.version", "set.age_s"]),
];

/// What leaves whatever groups are taken away; a form without a place for one of them leaves it out.
pub static ALWAYS: &[&str] = &[
    "sequence",
    "id",
    "revision",
    "final",
    "incident",
    "repeats.first",
    "repeats.alerts",
    "mode",
    "severity",
    "category",
    "tlp",
    "pap",
    "confidence",
    "indicators.type",
    "indicators.value",
    "indicators.id",
    "indicators.source",
    "indicators.valid_until",
    "shed.critical",
    "shed.normal",
    "shed.low",
    "shed.bytes",
    "signature",
];

/// Of a TLP:RED indicator nothing but these fields leaves, to nobody.
pub static OF_RED: &[&str] = &["type", "id", "source", "valid_until"];

/// Somebody who hears from this site.
#[derive(Clone, Copy, Debug)]
pub struct Sink {
    /// Its name in `gate.yaml`.
    pub name: &'static str,
    /// Whether it is the alliance's centre: it hears what the file says at its top. Others hear less where nothing is said.
    pub alliance: bool,
    /// The groups that its form has a place for: no more can leave.
    pub carries: &'static [Group],
    /// The groups of these that leave where the member says nothing.
    pub leaves: &'static [Group],
    /// The strictest TLP that leaves where the member says nothing.
    pub tlp_max: Tlp,
    /// The strictest that can.
    pub tlp_ceiling: Tlp,
    /// The strictest PAP that leaves where the member says nothing.
    pub pap_max: Pap,
    /// The strictest that can.
    pub pap_ceiling: Pap,
    /// What it is sent.
    pub form: Form,
    /// Whether that has words for an alert.
    pub says: fn(&Projected) -> bool,
}

impl PartialEq for Sink {
    fn eq(&self, other: &Sink) -> bool {
        self.name == other.name
    }
}

impl Eq for Sink {}

/// Everything but what a person may have typed.
const SAFE: &[Group] = &[
    Group::Time,
    Group::Protocol,
    Group::Peer,
    Group::Seen,
    Group::Asset,
    Group::Contact,
    Group::Answers,
    Group::Resolver,
    Group::Via,
    Group::Coverage,
    Group::Set,
];

const ALL: &[Group] = &[
    Group::Time,
    Group::Protocol,
    Group::Peer,
    Group::Seen,
    Group::Query,
    Group::Asset,
    Group::Contact,
    Group::Answers,
    Group::Resolver,
    Group::Via,
    Group::Coverage,
    Group::Set,
];

/// What an event in one flat line has a place for.
const EVENT: &[Group] =
    &[Group::Time, Group::Protocol, Group::Peer, Group::Seen, Group::Query, Group::Asset, Group::Contact];

/// The alliance's own centre. PAP:RED is for the site's own machines: it goes to no other.
const CENTRE_ROW: Sink = Sink {
    name: "",
    alliance: true,
    carries: ALL,
    leaves: SAFE,
    tlp_max: Tlp::Amber,
    tlp_ceiling: Tlp::Red,
    pap_max: Pap::Amber,
    pap_ceiling: Pap::Amber,
    form: form::ingest,
    says: |_| true,
};

/// A collector of events, the site's own as a rule: who reads there is not known, so TLP:RED, which is for named recipients,
/// stays; PAP:RED may go there if the member says that it is a machine of the site's.
const EVENTS_ROW: Sink = Sink {
    name: "",
    alliance: false,
    carries: ALL,
    leaves: &[Group::Time, Group::Protocol, Group::Peer, Group::Seen, Group::Asset, Group::Contact],
    tlp_max: Tlp::Green,
    tlp_ceiling: Tlp::AmberStrict,
    pap_max: Pap::Amber,
    pap_ceiling: Pap::Red,
    form: syslog::messages,
    says: |_| true,
};

/// A community that shares sightings. To tell whoever shared an indicator that it was seen is nothing that its adversary could
/// notice: PAP:AMBER may go, and every source that says nothing is of that kind.
const COMMUNITY_ROW: Sink = Sink {
    name: "",
    alliance: false,
    carries: &[Group::Time, Group::Protocol, Group::Peer, Group::Seen, Group::Contact],
    leaves: &[Group::Time, Group::Seen, Group::Contact],
    tlp_max: Tlp::Green,
    tlp_ceiling: Tlp::Amber,
    pap_max: Pap::Amber,
    pap_ceiling: Pap::Amber,
    form: stix::messages,
    says: stix::says,
};

/// Makes the table, and what `gate.yaml` may say of each row.
macro_rules! sinks {
    ($($(#[$what:meta])* $constant:ident $name:ident: $row:expr;)*) => {
        $($(#[$what])* pub static $constant: Sink = Sink { name: stringify!($name), ..$row };)*

        /// The table.
        pub static SINKS: &[&Sink] = &[$(&$constant),*];

        /// What `gate.yaml` says of sinks.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct WrittenSinks {
            $($(#[$what])* pub $name: Option<WrittenSink>,)*
        }

        impl WrittenSinks {
            /// By row.
            pub(super) fn by_row(self) -> Vec<(&'static Sink, Option<WrittenSink>)> {
                vec![$((&$constant, self.$name)),*]
            }
        }
    };
}

sinks! {
    /// The alliance's ingest endpoint over HTTPS.
    CENTRE centre: CENTRE_ROW;
    /// The alliance's NATS JetStream.
    NATS nats: Sink { form: nats::messages, ..CENTRE_ROW };
    /// A collector of syslog (RFC 5424).
    SYSLOG syslog: EVENTS_ROW;
    /// A collector of CEF.
    CEF cef: Sink { carries: EVENT, form: syslog::cef_messages, ..EVENTS_ROW };
    /// A TAXII 2.1 collection: STIX sightings with what was observed.
    TAXII taxii: COMMUNITY_ROW;
    /// A MISP instance: a sighting has a time and says which attribute was seen.
    MISP misp: Sink {
        carries: &[Group::Time],
        leaves: &[Group::Time],
        form: misp::messages,
        says: misp::says,
        ..COMMUNITY_ROW
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_lets_out_unasked_what_it_may_not_and_others_hear_no_more_than_the_centre() {
        for sink in SINKS {
            assert!(sink.leaves.iter().all(|group| sink.carries.contains(group)), "{}", sink.name);
            assert!(!sink.leaves.contains(&Group::Query), "{}", sink.name);
            assert!(sink.tlp_max <= sink.tlp_ceiling && sink.pap_max <= sink.pap_ceiling, "{}", sink.name);
            assert!(sink.alliance || sink.tlp_max < CENTRE.tlp_max, "{}", sink.name);
            assert!(sink.alliance || sink.leaves.iter().all(|group| CENTRE.leaves.contains(group)), "{}", sink.name);
        }
    }

    #[test]
    fn a_field_belongs_to_one_group_or_always_leaves() {
        let mut all: Vec<&str> = GROUPS.iter().flat_map(|(_, fields)| fields.iter()).chain(ALWAYS).copied().collect();
        let many = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), many);
        assert!(ALL.iter().all(|group| GROUPS.iter().filter(|(named, _)| named == group).count() == 1));
        assert_eq!(GROUPS.len(), ALL.len());
    }
}
