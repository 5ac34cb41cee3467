//! What a person's screen says, a table for each language: the two lines of an alert and the closing lines of a replay.
//! The report takes its words for severities and stages from here too.
//!
//! In: a language's name, numbers and values. Out: text. Labels, TLP and names of kinds are the feeds' and stay as they are.
//! Never here: which of the texts is said.

use unicode_width::UnicodeWidthStr;

use super::words;
use crate::indicator::Severity;
use crate::observable::Stage;

/// A word where there is little room, and where there is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// On a line of the screen.
    pub short: &'static str,
    /// On a page.
    pub long: &'static str,
}

/// A text with a number in it, in each form that the language has for numbers, as [`Texts::count`] chooses one.
pub type Counted = &'static [&'static str];

/// All texts, in one language. `{}` stands for a value, in the order of the field's description.
pub struct Texts {
    /// Which form of a [`Counted`] a number takes (Unicode CLDR, cardinal plural rules).
    plural: fn(u64) -> usize,
    /// What stands between groups of three digits.
    grouping: char,
    /// How bad it is.
    pub severity: fn(Severity) -> Said,
    /// How far it went.
    pub stage: fn(Stage) -> Said,
    /// A name, and who was asked for it.
    pub asked_of: &'static str,
    /// A stage, and a size that came in.
    pub bytes_in: &'static str,
    /// A stage, and a size that went out.
    pub bytes_out: &'static str,
    /// The second line of an alert.
    pub why: &'static str,
    /// A name that takes in those below it.
    pub subdomains: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// A day.
    pub valid_to: &'static str,
    /// Alerts that were not printed.
    pub alike: Counted,
    /// Captures read.
    pub files: Counted,
    /// Frames read.
    pub packets: Counted,
    /// Frames lost.
    pub dropped: Counted,
    /// Frames without a fate.
    pub unaccounted: Counted,
    /// Alerts raised.
    pub alerts: Counted,
    /// Entries of the set.
    pub indicators: Counted,
    /// Entries that were not taken.
    pub rules_refused: Counted,
    /// Seconds, as a decimal number.
    pub seconds: &'static str,
    /// No rules were named.
    pub none_given: &'static str,
    /// Rules were named and gave nothing.
    pub none_loaded: &'static str,
    /// A capture, [`Texts::unread`], and why.
    pub cut: &'static str,
    /// Bytes that could not be read.
    pub unread: Counted,
    /// A list.
    pub not_seen: &'static str,
    /// Certificates that nobody can see.
    pub certificates: Counted,
    /// Names that were not given.
    pub names: Counted,
    /// Holes in streams.
    pub gaps: Counted,
    /// Frames kept in part.
    pub truncated: Counted,
    /// Malformed frames; and, after the number, a list of layers with theirs.
    pub malformed: Counted,
    /// Flows of which one direction was seen.
    pub one_way: Counted,
    /// Frames of networks that are never watched.
    pub never_watched: Counted,
    /// What else was not seen, as counters call it, in this language.
    others: &'static [(&'static str, &'static str)],
    /// Nobody said what is inside.
    pub no_networks: &'static str,
    /// Nothing was delivered.
    pub nothing_left: &'static str,
    /// Revisions committed; and, after the number, by whom.
    pub left: Counted,
    /// Alerts in the spool.
    pub waiting: Counted,
    /// Alerts that the gate held back.
    pub held_back: Counted,
    /// Frames read in a second.
    pub rate: Counted,
    /// How long reading will take: minutes and seconds.
    pub remaining: &'static str,
}

/// English.
pub static ENGLISH: Texts = Texts {
    plural: |count| usize::from(count != 1),
    grouping: ' ',
    severity: english_severity,
    stage: english_stage,
    asked_of: "{} (asked of {})",
    bytes_in: "{}, {} in",
    bytes_out: "{}, {} out",
    why: "why: {}",
    subdomains: "{} (+subdomains)",
    source: "source {}",
    valid_to: "valid to {}",
    alike: &[
        "{} more alert like one of these (--alerts FILE has all)",
        "{} more alerts like these (--alerts FILE has all)",
    ],
    files: &["{} file", "{} files"],
    packets: &["{} packet", "{} packets"],
    dropped: &["{} dropped"; 2],
    unaccounted: &["{} unaccounted"; 2],
    alerts: &["{} alert", "{} alerts"],
    indicators: &["{} indicator", "{} indicators"],
    rules_refused: &["{} rule refused (-v shows it)", "{} rules refused (-v shows them)"],
    seconds: "{} s",
    none_given: "No indicators given: nothing was looked for (-S RULES).",
    none_loaded: "No indicators loaded: nothing was looked for.",
    cut: "Cut short: {} ({}: {})",
    unread: &["{} byte not read", "{} bytes not read"],
    not_seen: "Not seen: {}",
    certificates: &["{} TLS certificate (encrypted in TLS 1.3)", "{} TLS certificates (encrypted in TLS 1.3)"],
    names: &["{} TLS name (not given)", "{} TLS names (not given)"],
    gaps: &["{} gap", "{} gaps"],
    truncated: &["{} truncated"; 2],
    malformed: &["{} malformed ({})"; 2],
    one_way: &["{} flow one way only", "{} flows one way only"],
    never_watched: &["{} packet of never-watch networks", "{} packets of never-watch networks"],
    others: &[],
    no_networks: "No networks given: treated private ranges as inside.",
    nothing_left: "Nothing left this machine.",
    left: &["{} alert revision committed by {}", "{} alert revisions committed by {}"],
    waiting: &["{} waiting in the spool"; 2],
    held_back: &["{} held back by the gate"; 2],
    rate: &["{}/s"; 2],
    remaining: "{} left",
};

/// Korean: nouns have one form for every number, and the number stands behind them with its counter.
pub static KOREAN: Texts = Texts {
    plural: |_| 0,
    grouping: ',',
    severity: korean_severity,
    stage: korean_stage,
    asked_of: "{} ({}에 질의)",
    bytes_in: "{} {} 수신",
    bytes_out: "{} {} 송신",
    why: "근거: {}",
    subdomains: "{} (하위 도메인 포함)",
    source: "출처 {}",
    valid_to: "{}까지 유효",
    alike: &["이와 비슷한 경보 {}건이 더 있습니다(전체는 --alerts FILE)"],
    files: &["파일 {}개"],
    packets: &["패킷 {}개"],
    dropped: &["유실 {}개"],
    unaccounted: &["처리 결과 불명 {}개"],
    alerts: &["경보 {}건"],
    indicators: &["지표 {}개"],
    rules_refused: &["거부된 규칙 {}개(-v로 확인)"],
    seconds: "{}초",
    none_given: "지표를 지정하지 않아 아무것도 탐지하지 않았습니다(-S RULES).",
    none_loaded: "불러온 지표가 없어 아무것도 탐지하지 않았습니다.",
    cut: "잘린 캡처: {} ({}: {})",
    unread: &["{}바이트를 읽지 못함"],
    not_seen: "보지 못한 것: {}",
    certificates: &["TLS 인증서 {}개(TLS 1.3에서 암호화됨)"],
    names: &["TLS 이름 {}개(제공되지 않음)"],
    gaps: &["빈 구간 {}개"],
    truncated: &["일부만 저장된 패킷 {}개"],
    malformed: &["잘못된 패킷 {}개({})"],
    one_way: &["한 방향만 보인 플로우 {}개"],
    never_watched: &["감시 제외 네트워크의 패킷 {}개"],
    others: &[
        ("frames of link types that are not read", "지원하지 않는 링크 유형의 프레임 {}개"),
        ("fragments without room", "공간 부족으로 버린 단편 {}개"),
        ("frames that another worker had no room for", "다른 워커의 큐가 가득 차 버린 프레임 {}개"),
        ("flows given up for want of room", "공간 부족으로 추적을 포기한 플로우 {}개"),
        ("streams given up", "재조립을 포기한 스트림 {}개"),
        ("damaged TLS certificates", "손상된 TLS 인증서 {}개"),
    ],
    no_networks: "네트워크를 지정하지 않아 사설 주소 대역을 내부로 간주했습니다.",
    nothing_left: "이 장비 밖으로 나간 것은 없습니다.",
    left: &["경보 리비전 {}건 수신 확인: {}"],
    waiting: &["스풀에서 대기 중 {}건"],
    held_back: &["게이트에서 보류 {}건"],
    rate: &["초당 {}개"],
    remaining: "{} 남음",
};

impl Texts {
    /// Those of a language by its name (`en`, `ko`); English for every other.
    pub fn of(language: &str) -> &'static Texts {
        if language == "ko" { &KOREAN } else { &ENGLISH }
    }

    /// A text with its number.
    pub fn count(&self, count: u64, text: Counted) -> String {
        self.count_with(count, text, &[])
    }

    /// A text with its number and the values behind it.
    pub fn count_with(&self, count: u64, text: Counted, values: &[&str]) -> String {
        let form = text.get((self.plural)(count)).or(text.last()).copied().unwrap_or_default();
        filled(form, &[&[self.number(count).as_str()], values].concat())
    }

    /// What else was not seen, by its counter's name.
    pub fn other(&self, count: u64, name: &str) -> String {
        match self.others.iter().find(|(english, _)| *english == name) {
            Some((_, text)) => filled(text, &[&self.number(count)]),
            None => format!("{} {name}", self.number(count)),
        }
    }

    /// Digits in groups of three.
    pub fn number(&self, number: u64) -> String {
        words::grouped(number, self.grouping)
    }
}

/// A text with each `{}` replaced by a value, in order. What looks like one in a value stays as it is.
pub fn filled(text: &str, values: &[&str]) -> String {
    let mut parts = text.split("{}");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for (part, value) in parts.zip(values) {
        out.push_str(value);
        out.push_str(part);
    }
    out
}

/// A text with spaces behind it up to that many columns of a terminal; a Hangul syllable takes two.
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text}{:1$}", "", columns.saturating_sub(text.width()))
}

fn english_severity(severity: Severity) -> Said {
    let long = match severity {
        Severity::Critical => "Critical",
        Severity::High => "High",
        Severity::Medium => "Medium",
        Severity::Low => "Low",
    };
    Said { short: words::severity(severity), long }
}

fn korean_severity(severity: Severity) -> Said {
    let word = match severity {
        Severity::Critical => "심각",
        Severity::High => "높음",
        Severity::Medium => "중간",
        Severity::Low => "낮음",
    };
    Said { short: word, long: word }
}

fn english_stage(stage: Stage) -> Said {
    let long = match stage {
        Stage::Attempted => "attempted: nothing came back",
        Stage::Refused => "refused by the other end",
        Stage::Asked => "name asked for, no answer seen",
        Stage::Nxdomain => "name does not exist",
        Stage::Answered => "name asked for and answered",
        Stage::Established => "connected",
        Stage::Handshake => "connected, encryption agreed",
        Stage::Data => "data flowed",
    };
    Said { short: stage.name(), long }
}

fn korean_stage(stage: Stage) -> Said {
    let (short, long) = match stage {
        Stage::Attempted => ("접속 시도", "시도: 응답 없음"),
        Stage::Refused => ("접속 거부됨", "상대가 거부함"),
        Stage::Asked => ("이름 질의", "이름 질의, 응답 없음"),
        Stage::Nxdomain => ("없는 이름(NXDOMAIN)", "존재하지 않는 이름"),
        Stage::Answered => ("질의 응답", "이름 질의에 응답받음"),
        Stage::Established => ("연결됨", "연결됨"),
        Stage::Handshake => ("암호화 협상 완료", "연결 및 암호화 협상 완료"),
        Stage::Data => ("데이터", "데이터가 오감"),
    };
    Said { short, long }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every counted text, and how many values it takes.
    fn counted(texts: &Texts) -> Vec<(Counted, usize)> {
        let one = [
            texts.alike,
            texts.files,
            texts.packets,
            texts.dropped,
            texts.unaccounted,
            texts.alerts,
            texts.indicators,
            texts.rules_refused,
            texts.unread,
            texts.certificates,
            texts.names,
            texts.gaps,
            texts.truncated,
            texts.one_way,
            texts.never_watched,
            texts.waiting,
            texts.held_back,
            texts.rate,
        ];
        let two = [texts.malformed, texts.left];
        one.map(|text| (text, 1)).into_iter().chain(two.map(|text| (text, 2))).collect()
    }

    #[test]
    fn every_text_has_the_forms_and_the_values_that_its_language_asks_for() {
        for texts in [&ENGLISH, &KOREAN] {
            let forms = (0..=200).map(texts.plural).max().map_or(0, |last| last + 1);
            for (text, values) in counted(texts) {
                assert_eq!(text.len(), forms, "{text:?}");
                assert!(text.iter().all(|form| form.matches("{}").count() == values), "{text:?}");
            }
            for (text, values) in [
                (texts.asked_of, 2),
                (texts.bytes_in, 2),
                (texts.bytes_out, 2),
                (texts.why, 1),
                (texts.subdomains, 1),
                (texts.source, 1),
                (texts.valid_to, 1),
                (texts.seconds, 1),
                (texts.cut, 3),
                (texts.not_seen, 1),
                (texts.remaining, 1),
            ] {
                assert_eq!(text.matches("{}").count(), values, "{text}");
            }
        }
    }

    #[test]
    fn numbers_choose_the_form_and_are_grouped_as_the_language_does() {
        assert_eq!([0, 1, 2].map(|count| ENGLISH.count(count, ENGLISH.gaps)), ["0 gaps", "1 gap", "2 gaps"]);
        assert_eq!([1, 1_234_567].map(|count| KOREAN.count(count, KOREAN.alerts)), ["경보 1건", "경보 1,234,567건"]);
        assert_eq!(ENGLISH.number(1_234_567), "1 234 567");
    }

    #[test]
    fn what_counters_call_by_name_is_said_in_the_language_where_it_has_a_text() {
        assert_eq!(ENGLISH.other(1_000, "streams given up"), "1 000 streams given up");
        assert_eq!(KOREAN.other(1_000, "streams given up"), "재조립을 포기한 스트림 1,000개");
        assert_eq!(KOREAN.other(2, "something new"), "2 something new");
    }

    #[test]
    fn a_value_is_never_filled_itself() {
        assert_eq!(filled("{} and {}.", &["{}", "b"]), "{} and b.");
    }

    #[test]
    fn columns_count_cells_and_not_letters() {
        assert_eq!([padded("심각", 8), padded("CRITICAL", 8), padded("LOW", 8)], ["심각    ", "CRITICAL", "LOW     "]);
        assert_eq!(padded("랜섬웨어 유포지", 12), "랜섬웨어 유포지");
    }

    #[test]
    fn a_language_that_nobody_knows_is_english() {
        assert_eq!(
            ["ko", "en", "", "fr"].map(|name| Texts::of(name).why),
            ["근거: {}", "why: {}", "why: {}", "why: {}"]
        );
    }
}
