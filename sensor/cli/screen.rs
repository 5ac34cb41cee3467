//! The closing lines of a replay, for a person: what was read, what was not seen, what left.
//!
//! In: a [`Closing`]. Out: text, in the words of [`crate::alert::language`].
//! Never here: a number that nobody counted.

use std::io::{self, Write};

use crate::alert::language::{Texts, filled};
use crate::alert::words;

/// What is told at the end.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// The language it is told in: `en`, `ko`.
    pub language: &'static str,
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

impl Closing {
    /// Writes the closing lines.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let texts = Texts::of(self.language);
        if self.alike > 0 {
            writeln!(out, "{:9}{}", "", texts.count(self.alike, texts.alike))?;
        }
        writeln!(out, "{}", self.counts(texts))?;
        for (capture, bytes, reason) in &self.cut {
            let unread = texts.count(*bytes, texts.unread);
            writeln!(out, "{}", filled(texts.cut, &[&plain(capture), &unread, reason]))?;
        }
        writeln!(out, "{}", filled(texts.not_seen, &[&self.not_seen.list(texts)]))?;
        match self.indicators {
            None => writeln!(out, "{}", texts.none_given)?,
            Some(0) => writeln!(out, "{}", texts.none_loaded)?,
            Some(_) => {}
        }
        let mut last = Vec::new();
        if !self.networks_given {
            last.push(texts.no_networks.to_string());
        }
        last.push(self.delivery.as_ref().map_or_else(|| texts.nothing_left.to_string(), |sent| sent.line(texts)));
        writeln!(out, "{}", last.join(" "))
    }

    fn counts(&self, texts: &Texts) -> String {
        let mut parts = vec![
            texts.count(self.files, texts.files),
            texts.count(self.packets, texts.packets),
            texts.count(self.dropped, texts.dropped),
            texts.count(self.unaccounted, texts.unaccounted),
            texts.count(self.alerts, texts.alerts),
        ];
        parts.extend(self.indicators.map(|count| texts.count(count, texts.indicators)));
        if self.rules_refused > 0 {
            parts.push(texts.count(self.rules_refused, texts.rules_refused));
        }
        parts.push(filled(texts.seconds, &[&format!("{:.2}", self.seconds)]));
        parts.join(", ")
    }
}

impl NotSeen {
    /// Gaps and truncated frames are named even when there are none: that is news too.
    fn list(&self, texts: &Texts) -> String {
        let counts = [
            (self.certificates_encrypted, texts.certificates),
            (self.names_hidden, texts.names),
            (self.one_way, texts.one_way),
            (self.never_watched, texts.never_watched),
        ];
        let met = counts.iter().filter(|(count, _)| *count > 0);
        let mut parts: Vec<String> = met.map(|(count, text)| texts.count(*count, text)).collect();
        parts.push(texts.count(self.gaps, texts.gaps));
        parts.push(texts.count(self.truncated, texts.truncated));
        let total = self.malformed.iter().map(|(_, count)| count).sum();
        if total > 0 {
            let layers = self.malformed.iter().filter(|(_, count)| *count > 0);
            let layers: Vec<String> =
                layers.map(|(layer, count)| format!("{layer} {}", texts.number(*count))).collect();
            parts.push(texts.count_with(total, texts.malformed, &[&layers.join(", ")]));
        }
        let other = self.other.iter().filter(|(_, count)| *count > 0);
        parts.extend(other.map(|(name, count)| texts.other(*count, name)));
        parts.join(", ")
    }
}

impl Delivery {
    fn line(&self, texts: &Texts) -> String {
        let mut line = texts.count_with(self.committed, texts.left, &[&plain(&self.url)]);
        for (count, text) in [(self.waiting, texts.waiting), (self.held_back, texts.held_back)] {
            if count > 0 {
                line.push_str(&format!(", {}", texts.count(count, text)));
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
    words::grouped(number, ' ')
}

/// A text from outside without what would move a terminal's cursor or change its colours.
pub fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@+%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::language::{ENGLISH, KOREAN};

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
    fn a_replay_closes_in_the_language_of_the_site() {
        let closing = Closing {
            language: "ko",
            files: 17,
            packets: 1_114,
            alerts: 2_002,
            alike: 2_000,
            seconds: 0.0449,
            indicators: Some(1_000_000),
            rules_refused: 1,
            cut: vec![("a.pcap".into(), 1_300, "the file ends")],
            not_seen: NotSeen {
                certificates_encrypted: 3,
                malformed: vec![("ipv4", 1_000), ("tcp", 2)],
                other: vec![("streams given up".into(), 4)],
                ..NotSeen::default()
            },
            ..Closing::default()
        };
        assert_eq!(
            written(&closing),
            "         이와 비슷한 경보 2,000건이 더 있습니다(전체는 --alerts FILE)\n\
             파일 17개, 패킷 1,114개, 유실 0개, 처리 결과 불명 0개, 경보 2,002건, 지표 1,000,000개, \
             거부된 규칙 1개(-v로 확인), 0.04초\n\
             잘린 캡처: a.pcap (1,300바이트를 읽지 못함: the file ends)\n\
             보지 못한 것: TLS 인증서 3개(TLS 1.3에서 암호화됨), 빈 구간 0개, 일부만 저장된 패킷 0개, \
             잘못된 패킷 1,002개(ipv4 1,000, tcp 2), 재조립을 포기한 스트림 4개\n\
             네트워크를 지정하지 않아 사설 주소 대역을 내부로 간주했습니다. 이 장비 밖으로 나간 것은 없습니다.\n"
        );
        let delivery = Delivery { url: "https://c/".into(), committed: 5, waiting: 2, held_back: 1 };
        let said = "경보 리비전 5건 수신 확인: https://c/, 스풀에서 대기 중 2건, 게이트에서 보류 1건.";
        assert_eq!(delivery.line(&KOREAN), said);
    }
}
