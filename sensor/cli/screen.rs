//! The closing lines of a replay, for a person: what was read, what was not seen, what left.
//!
//! In: a [`Closing`]. Out: text. All words stand in one table, so that another language is another table.
//! Never here: a number that nobody counted.

use std::io::{self, Write};

/// What is told at the end.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// Capture files read.
    pub files: u64,
    /// Frames handed out by them.
    pub packets: u64,
    /// Frames lost on the way in.
    pub dropped: u64,
    /// Frames without a fate; anything but 0 is a fault of the sensor.
    pub unaccounted: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// Of these, alerts that were not printed because one like them was.
    pub alike: u64,
    /// Wall time.
    pub seconds: f64,
    /// Entries of the indicator set; `None`: none was given.
    pub indicators: Option<u64>,
    /// Entries of rule files that were not taken.
    pub rules_refused: u64,
    /// Captures of which something could not be read: name, how many bytes, and why.
    pub cut: Vec<(String, u64, &'static str)>,
    /// What the sensor could not see.
    pub not_seen: NotSeen,
    /// Whether the configuration says what is inside.
    pub networks_given: bool,
    /// What left this machine; `None`: nothing, because nobody asked for it.
    pub delivery: Option<Delivery>,
}

/// What the sensor could not see.
#[derive(Clone, Debug, Default)]
pub struct NotSeen {
    /// Holes in streams.
    pub gaps: u64,
    /// Frames of which the capture holds only the beginning.
    pub truncated: u64,
    /// Malformed frames, by layer (`ipv4`, `tcp`).
    pub malformed: Vec<(&'static str, u64)>,
    /// Flows of which one direction was seen.
    pub one_way: u64,
    /// TLS connections in whose hello the client gave no name.
    pub names_hidden: u64,
    /// TLS connections whose certificate was encrypted.
    pub certificates_encrypted: u64,
    /// Frames of networks that are never watched.
    pub never_watched: u64,
    /// Values in no canonical form, flows beyond a bound, and whatever else was lost, by its counter's name.
    pub other: Vec<(String, u64)>,
}

/// What left this machine.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// The centre's URL.
    pub url: String,
    /// Revisions of alerts that it has committed: most alerts have a first and a last.
    pub committed: u64,
    /// Alerts that wait in the spool.
    pub waiting: u64,
    /// Alerts that the gate held back.
    pub held_back: u64,
}

/// One and many of something.
type Noun = [&'static str; 2];

/// All words, in one language.
struct Words {
    files: Noun,
    packets: Noun,
    dropped: &'static str,
    unaccounted: &'static str,
    seconds: &'static str,
    alerts: Noun,
    alike: Noun,
    indicators: Noun,
    rules_refused: Noun,
    none_given: &'static str,
    none_loaded: &'static str,
    cut: &'static str,
    bytes: Noun,
    unread: &'static str,
    not_seen: &'static str,
    certificates: Noun,
    names: Noun,
    gaps: Noun,
    truncated: &'static str,
    malformed: &'static str,
    one_way: Noun,
    never_watched: Noun,
    no_networks: &'static str,
    nothing_left: &'static str,
    left: Noun,
    waiting: &'static str,
    held_back: &'static str,
}

static ENGLISH: Words = Words {
    files: ["file", "files"],
    packets: ["packet", "packets"],
    dropped: "dropped",
    unaccounted: "unaccounted",
    seconds: "s",
    alerts: ["alert", "alerts"],
    alike: ["more alert like one of these (--alerts FILE has all)", "more alerts like these (--alerts FILE has all)"],
    indicators: ["indicator", "indicators"],
    rules_refused: ["rule refused (-v shows it)", "rules refused (-v shows them)"],
    none_given: "No indicators given: nothing was looked for (-S RULES).",
    none_loaded: "No indicators loaded: nothing was looked for.",
    cut: "Cut short",
    bytes: ["byte", "bytes"],
    unread: "not read",
    not_seen: "Not seen",
    certificates: ["TLS certificate (encrypted in TLS 1.3)", "TLS certificates (encrypted in TLS 1.3)"],
    names: ["TLS name (not given)", "TLS names (not given)"],
    gaps: ["gap", "gaps"],
    truncated: "truncated",
    malformed: "malformed",
    one_way: ["flow one way only", "flows one way only"],
    never_watched: ["packet of never-watch networks", "packets of never-watch networks"],
    no_networks: "No networks given: treated private ranges as inside.",
    nothing_left: "Nothing left this machine.",
    left: ["alert revision committed by", "alert revisions committed by"],
    waiting: "waiting in the spool",
    held_back: "held back by the gate",
};

impl Closing {
    /// Writes the closing lines.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let words = &ENGLISH;
        if self.alike > 0 {
            writeln!(out, "{:9}{}", "", counted(self.alike, words.alike))?;
        }
        writeln!(out, "{}", self.counts(words))?;
        for (capture, bytes, reason) in &self.cut {
            let unread = format!("{} {}", counted(*bytes, words.bytes), words.unread);
            writeln!(out, "{}: {} ({unread}: {reason})", words.cut, plain(capture))?;
        }
        writeln!(out, "{}: {}", words.not_seen, self.not_seen.list(words))?;
        match self.indicators {
            None => writeln!(out, "{}", words.none_given)?,
            Some(0) => writeln!(out, "{}", words.none_loaded)?,
            Some(_) => {}
        }
        let mut last = Vec::new();
        if !self.networks_given {
            last.push(words.no_networks.to_string());
        }
        last.push(self.delivery.as_ref().map_or_else(|| words.nothing_left.to_string(), |sent| sent.line(words)));
        writeln!(out, "{}", last.join(" "))
    }

    fn counts(&self, words: &Words) -> String {
        let mut parts = vec![
            counted(self.files, words.files),
            counted(self.packets, words.packets),
            format!("{} {}", grouped(self.dropped), words.dropped),
            format!("{} {}", grouped(self.unaccounted), words.unaccounted),
        ];
        parts.push(counted(self.alerts, words.alerts));
        parts.extend(self.indicators.map(|count| counted(count, words.indicators)));
        if self.rules_refused > 0 {
            parts.push(counted(self.rules_refused, words.rules_refused));
        }
        parts.push(format!("{:.2} {}", self.seconds, words.seconds));
        parts.join(", ")
    }
}

impl NotSeen {
    /// Gaps and truncated frames are named even when there are none: that is news too.
    fn list(&self, words: &Words) -> String {
        let nouns = [
            (self.certificates_encrypted, words.certificates),
            (self.names_hidden, words.names),
            (self.one_way, words.one_way),
            (self.never_watched, words.never_watched),
        ];
        let mut parts: Vec<String> =
            nouns.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(*count, *noun)).collect();
        parts.push(counted(self.gaps, words.gaps));
        parts.push(format!("{} {}", grouped(self.truncated), words.truncated));
        let total = self.malformed.iter().map(|(_, count)| count).sum();
        if total > 0 {
            let layers = self.malformed.iter().filter(|(_, count)| *count > 0);
            let layers: Vec<String> = layers.map(|(layer, count)| format!("{layer} {}", grouped(*count))).collect();
            parts.push(format!("{} {} ({})", grouped(total), words.malformed, layers.join(", ")));
        }
        let other = self.other.iter().filter(|(_, count)| *count > 0);
        parts.extend(other.map(|(name, count)| format!("{} {name}", grouped(*count))));
        parts.join(", ")
    }
}

impl Delivery {
    fn line(&self, words: &Words) -> String {
        let mut line = format!("{} {}", counted(self.committed, words.left), plain(&self.url));
        for (count, what) in [(self.waiting, words.waiting), (self.held_back, words.held_back)] {
            if count > 0 {
                line.push_str(&format!(", {} {what}", grouped(count)));
            }
        }
        line.push('.');
        line
    }
}

/// `1 packet`, `1 114 packets`.
pub fn counted(count: u64, noun: [&str; 2]) -> String {
    format!("{} {}", grouped(count), noun[usize::from(count != 1)])
}

/// Digits in groups of three: `1 114`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A text from outside without what would move a terminal's cursor or change its colours.
pub fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(closing: &Closing) -> String {
        let mut out = Vec::new();
        closing.write(&mut out).expect("a vector takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_replay_closes_with_what_was_read_what_was_not_seen_and_what_left() {
        let closing = Closing {
            files: 17,
            packets: 1_114,
            alerts: 2_002,
            alike: 2_000,
            seconds: 0.0449,
            indicators: Some(1_000_000),
            not_seen: NotSeen { certificates_encrypted: 3, ..NotSeen::default() },
            ..Closing::default()
        };
        assert_eq!(
            written(&closing),
            "         2 000 more alerts like these (--alerts FILE has all)\n\
             17 files, 1 114 packets, 0 dropped, 0 unaccounted, 2 002 alerts, 1 000 000 indicators, 0.04 s\n\
             Not seen: 3 TLS certificates (encrypted in TLS 1.3), 0 gaps, 0 truncated\n\
             No networks given: treated private ranges as inside. Nothing left this machine.\n"
        );
    }

    #[test]
    fn one_is_not_many() {
        let closing = Closing { files: 1, packets: 1, alerts: 1, networks_given: true, ..Closing::default() };
        let text = written(&closing);
        assert!(text.starts_with("1 file, 1 packet, 0 dropped, 0 unaccounted, 1 alert, 0.00 s\n"), "{text}");
        assert!(text.contains("No indicators given"), "{text}");
        assert!(text.ends_with("\nNothing left this machine.\n"), "{text}");
        let closing = Closing { indicators: Some(0), ..closing };
        assert!(written(&closing).contains("No indicators loaded"));
    }

    #[test]
    fn a_cut_capture_is_named_and_cannot_move_the_cursor() {
        let closing = Closing { cut: vec![("a\u{1b}[2J.pcap".into(), 13, "the file ends")], ..Closing::default() };
        assert!(written(&closing).contains("Cut short: a\u{fffd}[2J.pcap (13 bytes not read: the file ends)\n"));
    }

    #[test]
    fn what_was_malformed_is_told_by_layer() {
        let not_seen = NotSeen { malformed: vec![("ipv4", 1_000), ("udp", 0), ("tcp", 2)], ..NotSeen::default() };
        assert_eq!(not_seen.list(&ENGLISH), "0 gaps, 0 truncated, 1 002 malformed (ipv4 1 000, tcp 2)");
    }

    #[test]
    fn what_left_is_told_with_what_did_not() {
        let delivery = Delivery { url: "https://c/".into(), committed: 5, waiting: 2, held_back: 0 };
        assert_eq!(delivery.line(&ENGLISH), "5 alert revisions committed by https://c/, 2 waiting in the spool.");
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }
}
