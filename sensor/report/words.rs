//! What the page says, in both languages: rows beside the words that alerts use.
//!
//! In: stages, directions, roles, names of counters. Out: text. Never here: HTML of a section, a value.

use crate::alert::language::{ENGLISH, KOREAN, Said, Texts};
use crate::alert::reading::{self, Reading};
use crate::alert::{Alert, words};
use crate::indicator::{Refusal, Severity};
use crate::networks::{Direction, Role};
use crate::observable::{Side, Stage};

use super::text::Both;

/// A severity for a person.
pub(super) fn severity(severity: Severity) -> Both {
    long(|texts| (texts.severity)(severity))
}

/// How far a contact went.
pub(super) fn stage(stage: Stage) -> Both {
    long(|texts| (texts.stage)(stage))
}

/// What the screen says too, with more room.
fn long(said: impl Fn(&Texts) -> Said) -> Both {
    Both(said(&ENGLISH).long, said(&KOREAN).long)
}

/// Which way it went.
pub(super) fn direction(direction: Direction) -> Both {
    match direction {
        Direction::Outbound => Both("from inside to outside", "내부에서 외부로"),
        Direction::Inbound => Both("from outside to inside", "외부에서 내부로"),
        Direction::Internal => Both("inside", "내부 간"),
        Direction::External => Both("between outside addresses", "외부 간"),
        Direction::Unknown => Both("unknown: the beginning was not seen", "알 수 없음: 시작이 관측되지 않음"),
    }
}

/// The part that a host plays.
pub(super) fn role(role: Role) -> Both {
    match role {
        Role::Client => Both("client", "클라이언트"),
        Role::Server => Both("server", "서버"),
        Role::Resolver => Both("resolver", "DNS 리졸버"),
        Role::Proxy => Both("proxy", "프록시"),
        Role::Nat => Both("address translation (NAT)", "주소 변환(NAT)"),
        Role::Unknown => Both("unknown", "알 수 없음"),
    }
}

/// Why a hit raised nothing.
pub(super) fn refusal(refusal: Refusal) -> Both {
    match refusal {
        Refusal::NotYetValid => Both("Indicator not valid yet at packet time", "패킷 시각에 아직 유효하지 않은 지표"),
        Refusal::Expired => Both("Indicator expired at packet time", "패킷 시각에 만료된 지표"),
        Refusal::Revoked => Both("Indicator withdrawn by its source", "출처가 철회한 지표"),
        Refusal::LowConfidence => {
            Both("Indicator below the site's confidence floor", "기관의 최소 신뢰도보다 낮은 지표")
        }
        Refusal::Allowed => Both("On the site's allow-list", "기관의 허용 목록에 있음"),
        Refusal::OtherPort => Both("Another port than the indicator names", "지표가 지정한 포트와 다름"),
        Refusal::OtherSector => Both("Meant for other sectors than the site's", "다른 분야를 대상으로 한 지표"),
        Refusal::AboveTlp => Both("Above the TLP that the site takes", "기관이 받는 TLP보다 높은 지표"),
    }
}

/// What became of a frame, for those fates that are no reason to worry or have their own row elsewhere.
pub(super) fn fate(name: &str) -> Both {
    match name {
        "processed" => Both("read to the end", "끝까지 분석함"),
        "fragment_kept" => Both("fragment of a datagram that never became whole, or its piece", "IP 단편"),
        "fragment_shed" => Both("fragment without room", "공간 부족으로 버린 단편"),
        "not_ip" => Both("neither IPv4 nor IPv6 (ARP, LLDP, ...)", "IPv4·IPv6가 아님(ARP, LLDP 등)"),
        "link_unknown" => Both("link type that is not read", "지원하지 않는 링크 유형"),
        "never_watched" => Both("network that is never watched: counted, not read", "감시 제외 네트워크: 수만 셈"),
        "shed_heavy" => Both("payload of a heavy flow, passed over under load", "과부하로 건너뛴 대용량 흐름의 내용"),
        "shed_payload" => Both("payload passed over under load", "과부하로 건너뛴 내용"),
        "unaccounted" => Both("unaccounted: a fault of the sensor", "처리 결과 불명: 센서 결함"),
        _ => Both("malformed", "잘못된 형식"),
    }
}

/// What to do where no source says it. General, and told as such.
pub(super) fn advice(reading: &Reading<'_>, alert: &Alert) -> Both {
    let role = reading.asset.map_or(Role::Unknown, |asset| asset.role);
    if role == Role::Resolver {
        return Both(
            "The host is a resolver: search its log for the client that asked for this name.",
            "이 호스트는 DNS 리졸버입니다. 로그에서 이 이름을 질의한 단말을 찾으십시오.",
        );
    }
    if role == Role::Proxy || role == Role::Nat {
        return Both(
            "The host speaks for others: search its log for who was behind it at this time and port.",
            "이 호스트는 다른 단말을 대신합니다. 해당 시각과 포트의 실제 단말을 로그에서 찾으십시오.",
        );
    }
    if reading.near == Side::Server {
        return incoming(reading.stage);
    }
    match reading.stage {
        Stage::Attempted | Stage::Refused => Both(
            "Nothing was exchanged, but the host tried: find the program that did, and block the far end.",
            "데이터는 오가지 않았지만 접속 시도가 있었습니다. 시도한 프로그램을 찾고 상대 주소를 차단하십시오.",
        ),
        _ if alert.is_of_a_name() => Both(
            "A name was asked for: look for connections of this host that followed, and for the program that asked.",
            "이름을 질의했습니다. 이후 이 호스트의 접속과 질의한 프로그램을 확인하십시오.",
        ),
        Stage::Data => Both(
            "Data flowed: isolate the host, keep its memory and disk, and find out what was sent.",
            "데이터가 오갔습니다. 호스트를 격리하고 메모리와 디스크를 보존한 뒤 무엇이 전송되었는지 확인하십시오.",
        ),
        _ => Both(
            "The host was connected: find the program and check whether more followed.",
            "연결이 이루어졌습니다. 프로그램을 찾고 후속 통신이 있었는지 확인하십시오.",
        ),
    }
}

fn incoming(stage: Stage) -> Both {
    match stage {
        Stage::Attempted | Stage::Refused => Both(
            "Somebody knocked from a listed address and got nothing: no sign of an infection. Block the address if it persists.",
            "등록된 주소에서 접속을 시도했으나 성과가 없었습니다. 감염 징후는 아닙니다. 계속되면 주소를 차단하십시오.",
        ),
        _ => Both(
            "A listed address reached this host: check the service's log for what it was given, and whether it should be reachable.",
            "등록된 주소가 이 호스트에 접속했습니다. 서비스 로그에서 제공된 내용과 외부 공개 필요성을 확인하십시오.",
        ),
    }
}

/// The one sentence in Korean; see [`Reading::sentence`].
pub(super) fn korean_sentence(reading: &Reading<'_>, alert: &Alert) -> String {
    let (near, _, far, _) = reading::met(alert).endpoints(reading.near);
    let near = reading.asset.map_or(near, |asset| asset.address).to_string();
    let far = far.to_string();
    let said = match (reading.direction, reading.near) {
        (Direction::Unknown, _) => undirected(reading, &near),
        (_, Side::Client) => korean_outgoing(reading, &near),
        (_, Side::Server) => korean_incoming(reading, &near, &far),
    };
    let category = reading.category();
    match reading.worst.filter(|ioc| !said.contains(&reading.target) || !reading::names_the_far_end(ioc)) {
        Some(ioc) => format!("{said} ({category}; {} {})", ioc.kind, words::printable(ioc.value.as_bytes(), 80)),
        None => format!("{said} ({category})"),
    }
}

fn korean_outgoing(reading: &Reading<'_>, near: &str) -> String {
    let target = &reading.target;
    match reading.stage {
        Stage::Attempted => format!("{near}에서 {target}에 접속을 시도했습니다"),
        Stage::Refused => format!("{near}에서 {target}에 접속하려 했으나 거부되었습니다"),
        Stage::Asked => format!("{near}에서 {target}의 주소를 질의했습니다"),
        Stage::Nxdomain => format!("{near}에서 {target}의 주소를 질의했으나 존재하지 않는 이름입니다"),
        Stage::Answered if reading.target_is_address => {
            format!("{near}에서 질의한 이름의 응답에 {target} 주소가 있었습니다")
        }
        Stage::Answered => format!("{near}에서 {target}의 주소를 질의해 응답을 받았습니다"),
        Stage::Established | Stage::Handshake => format!("{near}에서 {target}에 접속했습니다"),
        Stage::Data if reading.bytes_out == 0 => {
            format!("{near}에서 {target}의 데이터 {}를 받았습니다", words::size(reading.bytes_in))
        }
        Stage::Data => format!("{near}에서 {target}에 {}를 보냈습니다", words::size(reading.bytes_out)),
    }
}

fn korean_incoming(reading: &Reading<'_>, near: &str, far: &str) -> String {
    let target = &reading.target;
    match reading.stage {
        Stage::Attempted => format!("{far}에서 {near}에 접속을 시도했습니다"),
        Stage::Refused => format!("{far}에서 {near}에 접속하려 했으나 거부되었습니다"),
        Stage::Asked => format!("{far}에서 {near}에 {target}의 주소를 질의했습니다"),
        Stage::Nxdomain => format!("{far}에서 {near}에 {target}의 주소를 질의했으나 존재하지 않는 이름입니다"),
        Stage::Answered => format!("{far}에서 {near}에 {target}의 주소를 질의해 응답을 받았습니다"),
        Stage::Established | Stage::Handshake => format!("{far}에서 {near}에 접속했습니다"),
        Stage::Data if reading.bytes_out == 0 => {
            format!("{far}에서 {near}에 {}를 보냈습니다", words::size(reading.bytes_in))
        }
        Stage::Data => format!("{far}에서 {near}에 접속해 {}를 받아 갔습니다", words::size(reading.bytes_out)),
    }
}

fn undirected(reading: &Reading<'_>, near: &str) -> String {
    let all = reading.bytes_out.saturating_add(reading.bytes_in);
    match reading.stage {
        Stage::Data => format!("{near}와(과) {} 사이에 {}가 오갔습니다", reading.target, words::size(all)),
        _ => format!("{near}와(과) {} 사이에 통신이 있었습니다", reading.target),
    }
}
