//! What may leave of an alert, field by field: for whoever says it in another dialect than the centre's. In: the projected value
//! and nothing else. Out: typed fields; what the policy took away is `None`. Never here: the record.

use std::net::IpAddr;

use serde_json_borrow::Value;

use super::Projected;
use super::shape::{Out, Said};
use crate::indicator::{Pap, Tlp};

/// An indicator that was met, as far as it may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met<'a> {
    /// The kind's name.
    pub kind: &'a str,
    /// The listed value; `None` of a TLP:RED indicator.
    pub value: Option<&'a str>,
    /// The source's own name for it.
    pub id: Option<&'a str>,
    /// Who says it.
    pub source: Option<&'a str>,
    /// Until when.
    pub valid_until: Option<&'a str>,
    /// The field that it was seen in.
    pub seen_in: Option<&'a str>,
    /// As what.
    pub seen: Option<&'a str>,
}

/// Alerts that the sensor had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed<'a> {
    /// Alerts of the lane of the most urgent.
    pub critical: u64,
    /// Of the next.
    pub normal: u64,
    /// Of the last.
    pub low: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// When the first was.
    pub first: Option<&'a str>,
    /// When the last was.
    pub last: Option<&'a str>,
}

impl Projected {
    /// All of it, as it goes on the wire.
    pub(super) fn said(&self) -> &Said {
        &self.value
    }

    /// All of it, for a reader of any JSON.
    pub fn value(&self) -> serde_json::Value {
        (&self.value).into()
    }

    /// One field by its path: `contact.stage`.
    fn field(&self, path: &str) -> Option<&Said> {
        path.split('.').try_fold(&self.value, |value, name| value.as_object()?.get(name))
    }

    /// A field that is a text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.field(path)?.as_str()
    }

    /// A field that is a number.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.field(path)?.as_u64()
    }

    /// The alert's identity within its site.
    pub fn id(&self) -> &str {
        self.text("id").unwrap_or_default()
    }

    /// Its revision, from 1.
    pub fn revision(&self) -> u64 {
        self.number("revision").unwrap_or_default()
    }

    /// 1, the worst, to 4.
    pub fn severity(&self) -> Option<u64> {
        self.number("severity")
    }

    /// How far it may be passed on.
    pub fn tlp(&self) -> Tlp {
        self.text("tlp").and_then(Tlp::from_name).unwrap_or(Tlp::Red)
    }

    /// What may be done with it.
    pub fn pap(&self) -> Pap {
        self.text("pap").and_then(Pap::from_name).unwrap_or(Pap::Red)
    }

    /// The sentence.
    pub fn sentence(&self) -> &str {
        self.text("signature").unwrap_or_default()
    }

    /// The indicators that were met; none in what the sensor says of itself.
    pub fn met(&self) -> impl Iterator<Item = Met<'_>> {
        let list = self.field("indicators").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|one| {
            let text = |name: &str| one.as_object()?.get(name)?.as_str();
            Some(Met {
                kind: text("type")?,
                value: text("value"),
                id: text("id"),
                source: text("source"),
                valid_until: text("valid_until"),
                seen_in: text("seen_in"),
                seen: text("seen"),
            })
        })
    }

    /// The other side, and the port that it serves.
    pub fn peer(&self) -> Option<(IpAddr, Option<u16>)> {
        let address = self.text("peer.ip")?.parse().ok()?;
        Some((address, self.number("peer.port").and_then(|port| u16::try_from(port).ok())))
    }

    /// The inside host's token.
    pub fn asset(&self) -> Option<&str> {
        self.text("asset.token")
    }

    /// What the sensor had no room for, if that is what it says.
    pub fn shed(&self) -> Option<Shed<'_>> {
        let shed: &Out = self.field("shed")?.as_object()?;
        let number = |name: &str| shed.get(name).and_then(Value::as_u64).unwrap_or_default();
        let text = |name: &str| shed.get(name).and_then(Value::as_str);
        Some(Shed {
            critical: number("critical"),
            normal: number("normal"),
            low: number("low"),
            bytes: number("bytes"),
            first: text("first"),
            last: text("last"),
        })
    }
}
