//! The set against a naive search through everything that was put in, and policy case by case.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::observable::address::Port;
use crate::observable::{Event, Field, Form, Observations, Refused, Side, Value, digest, domain, pattern, plain, url};

static EVENT: Event = Event { name: "dns", app_proto: None };
static NAME: Field = Field::sought("dns.rrname", &domain::KINDS);
static ADDRESS: Field = Field::sought("dns.a", &address::KINDS).address();
static LINK: Field = Field::sought("http.url", &url::KINDS);
static AGENT: Field = Field::sought("http.http_user_agent", &[&plain::USER_AGENT]);
static REFERER: Field = Field::plain("http.http_refer", Form::Text);
static FILE: Field = Field::sought("fileinfo.md5", &[&digest::MD5]);
static FILE_SHA1: Field = Field::sought("fileinfo.sha1", &[&digest::SHA1]);
static CERTIFICATE: Field = Field::sought("tls.fingerprint", &[&digest::CERT_SHA1]);
static CERTIFICATE_SHA256: Field = Field::sought("tls.fingerprint_sha256", &[&digest::CERT_SHA256]);
static JA3: Field = Field::sought("tls.ja3.hash", &[&digest::JA3]);
static JA4: Field = Field::sought("tls.ja4", &[&plain::JA4]);

fn any_value(_: &[u8]) -> Result<(), Refused> {
    Ok(())
}

fn set_of(values: &[(&Kind, &str)]) -> IndicatorSet {
    let mut builder = Builder::new([7; 16], 0);
    let said = builder.say(Statement::default()).unwrap();
    for (kind, value) in values {
        builder.take(kind, value.as_bytes(), said, None, any_value).unwrap();
    }
    builder.build()
}

fn met(set: &IndicatorSet, observations: &Observations) -> Vec<(u32, u32, String)> {
    let (mut room, mut hits) = (Questions::default(), Vec::new());
    set.look_up(observations, &mut room, &mut hits);
    hits.iter().map(|hit| (hit.asked, hit.field, label(set, hit.entry))).collect()
}

fn label(set: &IndicatorSet, entry: Entry) -> String {
    let (kind, value) = set.value(entry);
    format!("{} {}", kind.name, (kind.text)(value))
}

fn names(seen: &[&str]) -> Observations {
    let mut out = Observations::default();
    for name in seen {
        out.begin(&EVENT, Side::Client).field(&NAME, name.as_bytes());
    }
    out
}

#[test]
fn a_name_meets_itself_and_listed_parents_on_label_boundaries_only() {
    let set = set_of(&[
        (&domain::DOMAIN_SUFFIX, "bad.example"),
        (&domain::DOMAIN, "c2.bad.example"),
        (&domain::DOMAIN, "exact.example"),
    ]);
    let seen = ["C2.BAD.example.", "bad.example", "notbad.example", "bad.example.test", "a.exact.example", "."];
    let hits = met(&set, &names(&seen));
    let expected = [
        (0, 0, "domain c2.bad.example".to_owned()),
        (0, 0, "domain_suffix bad.example".to_owned()),
        (1, 0, "domain_suffix bad.example".to_owned()),
    ];
    assert_eq!(hits, expected);
}

#[test]
fn a_name_off_the_wire_is_met_in_whatever_script_it_is_sent() {
    let set = set_of(&[(&domain::DOMAIN, "사이트.한국"), (&domain::DOMAIN_SUFFIX, "xn--bcher-kva.example")]);
    let seen =
        ["XN--vf4b27jhrk.xn--3e0b707e.", "사이트.한국", "사이.한국", "www.B\u{fc}CHER.example", "bucher.example"];
    let hits: Vec<u32> = met(&set, &names(&seen)).iter().map(|(asked, ..)| *asked).collect();
    assert_eq!(hits, [0, 1, 3]);
    let mut odd = Observations::default();
    odd.begin(&EVENT, Side::Client).field(&NAME, b"xn--99999999.example").field(&NAME, b"caf\xe9");
    assert_eq!((met(&set, &odd), odd.refused()), (vec![], 1));
    assert_eq!(met(&set_of(&[(&domain::DOMAIN, "XN--99999999.example")]), &odd).len(), 1);
}

#[test]
fn a_label_of_any_bytes_hides_no_name_that_is_listed_with_all_below() {
    let seen: [&[u8]; 4] = [b"\xff\xfe.evil.test", b"a b.Evil.test", b"\x01.evil.test.", b"evil.test\xff"];
    let mut odd = Observations::default();
    for name in seen {
        odd.begin(&EVENT, Side::Client).field(&NAME, name);
    }
    let hits = |kind| met(&set_of(&[(kind, "evil.test")]), &odd).iter().map(|(asked, ..)| *asked).collect::<Vec<_>>();
    assert_eq!(hits(&domain::DOMAIN_SUFFIX), [0, 1, 2]);
    assert_eq!(hits(&domain::DOMAIN), Vec::<u32>::new(), "exactly this name was asked by nobody");
}

#[test]
fn hits_come_in_the_order_of_observations_and_fields() {
    let set = set_of(&[(&address::IP, "203.0.113.66"), (&address::CIDR, "203.0.113.0/24"), (&url::URL, "http://a.b/")]);
    let mut seen = Observations::default();
    seen.begin(&EVENT, Side::Client).field(&LINK, b"http://A.b").address(&ADDRESS, &[203, 0, 113, 66]);
    seen.begin(&EVENT, Side::Server).address(&ADDRESS, &[203, 0, 113, 1]).address(&ADDRESS, &[203, 0, 114, 1]);
    let expected = [
        (0, 0, "url http://a.b/".to_owned()),
        (0, 1, "ip 203.0.113.66".to_owned()),
        (0, 1, "cidr 203.0.113.0/24".to_owned()),
        (1, 0, "cidr 203.0.113.0/24".to_owned()),
    ];
    assert_eq!(met(&set, &seen), expected);
}

#[test]
fn entry_numbers_and_version_do_not_depend_on_order() {
    let mut values = vec![(&domain::DOMAIN, "b.example"), (&domain::DOMAIN, "a.example"), (&address::IP, "192.0.2.1")];
    let one = set_of(&values);
    values.reverse();
    values.push(values[0]);
    let other = set_of(&values);
    assert_eq!(one.version(), other.version());
    assert_eq!((one.len(), one.version().len()), (3, 16));
    assert!((0..3).all(|n| label(&one, Entry(n)) == label(&other, Entry(n))));
    assert_eq!(label(&one, Entry(0)), "ip 192.0.2.1");
    assert_ne!(one.version(), set_of(&values[..1]).version());
}

#[test]
fn an_empty_set_meets_nothing() {
    let set = IndicatorSet::default();
    assert!(met(&set, &names(&["a.example"])).is_empty() && set.explain("a.example", None).is_empty());
    let mut hits = Vec::new();
    let question = AddressQuestion { asked: 1, field: 0, address: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    set.look_up_addresses(&[question], &mut Questions::default(), &mut hits);
    assert!(hits.is_empty());
}

#[test]
fn signature_numbers_are_stable_and_in_their_range() {
    let number = signature_id("domain_suffix", "bad.example");
    assert!((3_000_000_000..4_000_000_000).contains(&number));
    assert_eq!(number, signature_id("domain_suffix", "bad.example"));
    assert_ne!(number, signature_id("domain", "bad.example"));
}

fn day(day: i64) -> Timestamp {
    Timestamp::from_parts(day * 86_400, 0)
}

fn judged(statements: Vec<Statement>, at: i64, port: Option<(u16, u8)>) -> Result<usize, Refusal> {
    let mut builder = Builder::new([0; 16], 50);
    for statement in statements {
        let said = builder.say(statement).unwrap();
        builder.take(&address::IP, b"203.0.113.66", said, Some("x"), any_value).unwrap();
    }
    builder.allow(&address::CIDR, b"10.0.0.0/8").unwrap();
    let set = builder.build();
    let seen = canonical_of("203.0.113.66".parse().unwrap());
    set.admit(Entry(0), value(&ADDRESS, &seen), Circumstances { at: day(at), port }, &mut Admitted::default())
        .map(|iocs| iocs.len())
}

fn value<'a>(field: &'static Field, canonical: &'a [u8]) -> Value<'a> {
    Value { field, raw: canonical, canonical }
}

#[test]
fn policy_names_why_nothing_is_raised() {
    let good = Statement { confidence: 80, source: "a".into(), ..Statement::default() };
    let timed = Statement { valid_from: Some(day(10)), valid_until: Some(day(20)), ..good.clone() };
    let narrow = Statement { port: Port::read("3333/tcp"), ..good.clone() };
    let loose = Statement { port: Port::read("3333"), ..good.clone() };
    let revoked = Statement { revoked: true, ..good.clone() };
    let weak = Statement { confidence: 49, ..good.clone() };
    assert_eq!(judged(vec![timed.clone()], 9, None), Err(Refusal::NotYetValid));
    assert_eq!(judged(vec![timed.clone()], 10, None), Ok(1));
    assert_eq!(judged(vec![timed.clone()], 20, None), Err(Refusal::Expired));
    assert_eq!(judged(vec![narrow.clone()], 1, Some((3333, 17))), Err(Refusal::OtherPort));
    assert_eq!(judged(vec![narrow.clone()], 1, None), Err(Refusal::OtherPort));
    assert_eq!(judged(vec![narrow], 1, Some((3333, 6))), Ok(1));
    assert_eq!(judged(vec![loose.clone()], 1, Some((3333, 17))), Ok(1));
    assert_eq!(judged(vec![loose], 1, Some((3334, 17))), Err(Refusal::OtherPort));
    assert_eq!(judged(vec![weak.clone()], 1, None), Err(Refusal::LowConfidence));
    assert_eq!(judged(vec![weak, timed], 9, None), Err(Refusal::NotYetValid));
    assert_eq!(judged(vec![good.clone(), revoked.clone()], 1, None), Err(Refusal::Revoked));
    let elsewhere = Statement { source: "b".into(), ..good };
    assert_eq!(judged(vec![elsewhere, revoked], 1, None), Ok(1));
}

#[test]
fn an_allow_list_judges_what_was_seen_not_what_is_listed() {
    let mut builder = Builder::new([0; 16], 0);
    let said = builder.say(Statement::default()).unwrap();
    builder.take(&domain::DOMAIN_SUFFIX, b"cdn.example", said, None, any_value).unwrap();
    builder.take(&address::CIDR, b"203.0.113.0/24", said, None, any_value).unwrap();
    builder.allow(&domain::DOMAIN_SUFFIX, b"ours.cdn.example").unwrap();
    builder.allow(&address::CIDR, b"203.0.113.64/26").unwrap();
    let set = builder.build();
    let at = Circumstances { at: day(0), port: None };
    assert_eq!(
        set.admit(Entry(1), value(&NAME, b"www.ours.cdn.example"), at, &mut Admitted::default()).err(),
        Some(Refusal::Allowed)
    );
    assert!(set.admit(Entry(1), value(&NAME, b"theirs.cdn.example"), at, &mut Admitted::default()).is_ok());
    let address = |last| canonical_of([203, 0, 113, last].into());
    assert_eq!(
        set.admit(Entry(0), value(&ADDRESS, &address(66)), at, &mut Admitted::default()).err(),
        Some(Refusal::Allowed)
    );
    assert!(set.admit(Entry(0), value(&ADDRESS, &address(6)), at, &mut Admitted::default()).is_ok());
    let explained = set.explain("WWW.ours.cdn.example.", None);
    assert_eq!(explained[0].value, "cdn.example");
    assert_eq!(explained[0].words[0].verdict, Err(Refusal::Allowed));
    assert_eq!(set.explain("203.0.113.7", None)[0].words[0].verdict, Ok(()));
}

#[test]
fn an_indicator_for_other_sectors_or_held_closer_raises_nothing_and_says_why() {
    let judged = |ours: &[&str], tlp_max: Tlp, statement: Statement| {
        let mut builder = Builder::new([0; 16], 0);
        builder.site(&ours.iter().map(|sector| sector.to_string()).collect::<Vec<_>>(), tlp_max);
        let said = builder.say(statement).unwrap();
        builder.take(&address::IP, b"203.0.113.66", said, None, any_value).unwrap();
        let seen = canonical_of([203, 0, 113, 66].into());
        let at = Circumstances { at: day(0), port: None };
        builder.build().admit(Entry(0), value(&ADDRESS, &seen), at, &mut Admitted::default()).map(|iocs| iocs.len())
    };
    let meant = |sectors: &[&str]| Statement {
        sectors: sectors.iter().map(|sector| sector.to_string()).collect(),
        ..Statement::default()
    };
    assert_eq!(judged(&["Energy", "finance"], Tlp::Red, meant(&["finance", "health"])), Ok(1));
    assert_eq!(judged(&["energy"], Tlp::Red, meant(&["finance", "health"])), Err(Refusal::OtherSector));
    assert_eq!(judged(&["energy"], Tlp::Red, meant(&[])), Ok(1), "meant for all");
    assert_eq!(judged(&[], Tlp::Red, meant(&["finance"])), Ok(1), "a site that does not say hears everything");
    let red = Statement { tlp: Tlp::Red, ..Statement::default() };
    assert_eq!(judged(&[], Tlp::Red, red.clone()), Ok(1));
    assert_eq!(judged(&[], Tlp::AmberStrict, red), Err(Refusal::AboveTlp));
    assert_eq!(judged(&[], Tlp::Amber, Statement::default()), Ok(1));
}

const HEX: [&str; 3] = [
    "00112233445566778899aabbccddeeff",
    "00112233445566778899aabbccddeeff00112233",
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
];
const FINGERPRINT: &str = "t13d1516h2_8daaf6152771_02713d6af862";

#[test]
fn equal_kinds_meet_their_own_value_in_their_own_field_and_nothing_near_it() {
    let rows: [(&'static Field, &'static Kind, &str, &[&str]); 7] = [
        (&FILE, &digest::MD5, HEX[0], &["00112233445566778899aabbccddeefe", HEX[1]]),
        (&FILE_SHA1, &digest::SHA1, HEX[1], &["00112233445566778899aabbccddeeff00112234", HEX[0]]),
        (&CERTIFICATE, &digest::CERT_SHA1, HEX[1], &["10112233445566778899aabbccddeeff00112233"]),
        (&CERTIFICATE_SHA256, &digest::CERT_SHA256, HEX[2], &[HEX[1]]),
        (&JA3, &digest::JA3, HEX[0], &["00112233445566778899aabbccddeef0"]),
        (
            &JA4,
            &plain::JA4,
            FINGERPRINT,
            &["t13d1516h2_8daaf6152771_02713d6af863", "t13d1516h3_8daaf6152771_02713d6af862"],
        ),
        (
            &AGENT,
            &plain::USER_AGENT,
            "EvilUA/1.0",
            &["EvilUA/1.0 ", "EvilUA/1.1", "evilua/1.0", "EvilUA/1.0x", "vilUA/1.0"],
        ),
    ];
    let all = set_of(&rows.map(|(_, kind, listed, _)| (kind, listed)));
    for (field, kind, listed, near) in rows {
        let mut seen = Observations::default();
        seen.begin(&EVENT, Side::Client).field(field, listed.as_bytes());
        near.iter().for_each(|near| {
            seen.begin(&EVENT, Side::Client).field(field, near.as_bytes());
        });
        assert_eq!(met(&all, &seen), [(0, 0, format!("{} {listed}", kind.name))]);
        let explained = set_of(&[(kind, listed)]).explain(listed, None);
        assert_eq!(
            explained.iter().map(|one| (one.kind, one.value.as_str())).collect::<Vec<_>>(),
            [(kind.name, listed)]
        );
    }
    let kinds: Vec<&str> = all.explain(HEX[0], None).iter().map(|one| one.kind).collect();
    assert_eq!(kinds, ["ja3", "md5"], "what a text could be, it is asked as");
}

fn patterns(values: &[(&str, &'static Field, bool)]) -> IndicatorSet {
    let mut builder = Builder::new([7; 16], 0);
    for (needle, field, nocase) in values {
        let said = Statement { field: Some(field.name), nocase: *nocase, ..Statement::default() };
        let said = builder.say(said).unwrap();
        builder.take(&pattern::PATTERN, needle.as_bytes(), said, None, any_value).unwrap();
    }
    builder.build()
}

/// What is left of the hits once policy has been asked, as a worker asks it.
fn admitted(set: &IndicatorSet, all: &Observations) -> Vec<(u32, u32, String, usize)> {
    let (mut room, mut hits) = (Questions::default(), Vec::new());
    set.look_up(all, &mut room, &mut hits);
    assert!(hits.is_sorted_by_key(|hit| (hit.asked, hit.field, hit.entry)));
    let kept = &mut Admitted::default();
    let judged = hits.iter().map(|hit| {
        let seen = all.fields(&all.list()[hit.asked as usize])[hit.field as usize];
        let iocs = set.admit(hit.entry, all.value(&seen), Circumstances { at: day(0), port: None }, kept).unwrap();
        (hit.asked, hit.field, iocs[0].value.clone(), iocs.len())
    });
    judged.collect()
}

#[test]
fn a_pattern_is_met_in_its_own_field_only_and_says_what_it_is() {
    let set = patterns(&[
        ("EvilUA/", &AGENT, false),
        ("EvilUA/", &AGENT, false),
        (r"\x00", &LINK, false),
        ("c2.bad", &NAME, true),
        ("EVILUA/", &REFERER, true),
    ]);
    let mut seen = Observations::default();
    seen.begin(&EVENT, Side::Client).field(&AGENT, b"Mozilla EvilUA/1 EvilUA/2").field(&REFERER, b"x-evilUA/1");
    seen.begin(&EVENT, Side::Client).field(&AGENT, b"evilua/1").field(&REFERER, b"EvilUA").field(&LINK, b"EvilUA/");
    seen.begin(&EVENT, Side::Client).field(&NAME, b"x.C2.BAD.example.");
    let found = admitted(&set, &seen);
    let expected = [(0, 0, "EvilUA/".to_owned(), 1), (0, 1, "evilua/".to_owned(), 1), (2, 0, "c2.bad".to_owned(), 1)];
    assert_eq!(found, expected);
    assert_eq!(set.len(), 4, "one that is listed twice is one");
    let kinds: Vec<_> =
        set.explain("an EvilUA/ from nowhere", None).into_iter().map(|one| (one.kind, one.value)).collect();
    assert_eq!(kinds, [("pattern", "EvilUA/".to_owned()), ("pattern", "evilua/".to_owned())]);
    assert!(set.explain("an Evil UA/", None).is_empty());
}

#[test]
fn case_counts_for_the_source_that_says_so_and_for_no_other() {
    let set = patterns(&[("evil", &AGENT, false), ("EVIL", &AGENT, true)]);
    let mut seen = Observations::default();
    seen.begin(&EVENT, Side::Client).field(&AGENT, b"so Evil");
    seen.begin(&EVENT, Side::Client).field(&AGENT, b"so Evil and so evil");
    assert_eq!(set.len(), 1);
    assert_eq!(admitted(&set, &seen), [(0, 0, "evil".to_owned(), 1), (1, 0, "evil".to_owned(), 2)]);
}

#[test]
fn an_allow_list_speaks_of_the_value_that_a_pattern_met() {
    let mut builder = Builder::new([7; 16], 0);
    let said = builder.say(Statement { field: Some(NAME.name), ..Statement::default() }).unwrap();
    builder.take(&pattern::PATTERN, b"c2", said, None, any_value).unwrap();
    builder.allow(&domain::DOMAIN_SUFFIX, b"ours.example").unwrap();
    let set = builder.build();
    assert!(set.seeks(&domain::DOMAIN_SUFFIX) && !set.seeks(&domain::DOMAIN) && !set.seeks(&url::URL));
    let mut all = names(&["c2.ours.example", "c2.theirs.example"]);
    all.seek_only(|kind| set.seeks(kind));
    let verdict = |at: usize| {
        let seen = all.fields(&all.list()[at])[0];
        set.admit(Entry(0), all.value(&seen), Circumstances { at: day(0), port: None }, &mut Admitted::default()).err()
    };
    assert_eq!((verdict(0), verdict(1)), (Some(Refusal::Allowed), None));
}

#[test]
fn a_value_that_meets_too_many_patterns_is_counted_and_bounded() {
    let needles: Vec<String> = (0..200).map(|n| format!("p{n:03}")).collect();
    let values: Vec<(&str, &'static Field, bool)> =
        needles.iter().map(|needle| (needle.as_str(), &AGENT, false)).collect();
    let set = patterns(&values);
    let mut seen = Observations::default();
    seen.begin(&EVENT, Side::Client).field(&AGENT, needles.concat().as_bytes()).field(&AGENT, b"p007");
    let (mut room, mut hits) = (Questions::default(), Vec::new());
    set.look_up(&seen, &mut room, &mut hits);
    assert_eq!((hits.len(), room.shed()), (crate::limits::PATTERN_HITS_MAX + 1, 1));
    let set = patterns(&[("aa", &AGENT, false), ("ab", &AGENT, false)]);
    let mut seen = Observations::default();
    seen.begin(&EVENT, Side::Client).field(&AGENT, &[b'a'; 70_000]);
    hits.clear();
    set.look_up(&seen, &mut room, &mut hits);
    assert_eq!((hits.len(), room.shed()), (1, 2));
}

#[test]
fn a_digest_is_explained_by_its_text() {
    let set = set_of(&[(&digest::JA3, "00ff00ff00ff00ff00ff00ff00ff00ff")]);
    assert_eq!(set.explain(" 00FF00ff00ff00ff00ff00ff00ff00ff ", None)[0].kind, "ja3");
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "bad", "example", "x"]), 1..5)
        .prop_map(|labels| labels.join("."))
}

/// Few bits vary, so that addresses and networks meet often.
fn address() -> impl Strategy<Value = IpAddr> {
    let four = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits & 0x8181_0181)));
    let six = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits & (0x8101_u128 << 112 | 0x8000_0081))));
    prop_oneof![four, six]
}

fn network() -> impl Strategy<Value = (IpAddr, u8)> {
    (address(), 0_u8..=128).prop_map(|(address, length)| match address {
        IpAddr::V4(four) => {
            let length = length % 33;
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            (IpAddr::V4(Ipv4Addr::from(u32::from(four) & mask)), length)
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            (IpAddr::V6(Ipv6Addr::from(u128::from(six) & mask)), length)
        }
    })
}

fn lies_in(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u32::from(a) ^ u32::from(n)).leading_zeros() >= u32::from(length),
        (IpAddr::V6(a), IpAddr::V6(n)) => (u128::from(a) ^ u128::from(n)).leading_zeros() >= u32::from(length),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn names_are_found_exactly_as_a_naive_search_finds_them(
        exact in prop::collection::vec(name(), 0..20),
        below in prop::collection::vec(name(), 0..20),
        seen in prop::collection::vec(name(), 0..400),
    ) {
        let mut values: Vec<(&Kind, &str)> = exact.iter().map(|name| (&domain::DOMAIN, name.as_str())).collect();
        values.extend(below.iter().map(|name| (&domain::DOMAIN_SUFFIX, name.as_str())));
        let set = set_of(&values);
        let mut expected = std::collections::BTreeSet::new();
        for (at, name) in (0..).zip(&seen) {
            for (kind, listed) in &values {
                let met = name == listed || kind.name == "domain_suffix" && name.ends_with(&format!(".{listed}"));
                if met {
                    expected.insert((at, kind.index, listed.to_string()));
                }
            }
        }
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(at, kind, value)| (at, 0, format!("{} {value}", crate::observable::KINDS[usize::from(kind)].name)))
            .collect();
        let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
        prop_assert_eq!(met(&set, &names(&seen)), expected);
    }

    #[test]
    fn patterns_are_found_exactly_as_a_naive_search_finds_them(
        listed in prop::collection::vec(("[abAB\\x00]{1,4}", 0..2_usize, any::<bool>()), 0..24),
        seen in prop::collection::vec(("[abcABC\\x00]{0,24}", 0..3_usize), 0..60),
    ) {
        let fields: [&'static Field; 3] = [&AGENT, &REFERER, &LINK];
        let spelled: Vec<String> = listed.iter().map(|(needle, ..)| (pattern::PATTERN.text)(needle.as_bytes())).collect();
        let values: Vec<_> =
            listed.iter().zip(&spelled).map(|((_, field, nocase), text)| (text.as_str(), fields[*field], *nocase)).collect();
        let set = patterns(&values);
        let mut all = Observations::default();
        let mut expected = std::collections::BTreeMap::new();
        for (at, (value, place)) in (0_u32..).zip(&seen) {
            all.begin(&EVENT, Side::Client).field(fields[*place], value.as_bytes());
            for (needle, field, nocase) in &listed {
                let folded = |text: &str| if *nocase { text.to_ascii_lowercase() } else { text.to_owned() };
                if field == place && folded(value).contains(&folded(needle)) {
                    let words: &mut std::collections::BTreeSet<bool> =
                        expected.entry((at, (pattern::PATTERN.text)(folded(needle).as_bytes()))).or_default();
                    words.insert(*nocase);
                }
            }
        }
        let found: std::collections::BTreeMap<_, _> =
            admitted(&set, &all).into_iter().map(|(at, _, value, words)| ((at, value), words)).collect();
        let expected: std::collections::BTreeMap<_, _> =
            expected.into_iter().map(|(place, words)| (place, words.len())).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn addresses_are_found_exactly_as_a_naive_search_finds_them(
        hosts in prop::collection::vec(address(), 0..20),
        networks in prop::collection::vec(network(), 0..20),
        seen in prop::collection::vec(address(), 0..400),
    ) {
        let hosts_text: Vec<String> = hosts.iter().map(|host| host.to_string()).collect();
        let networks_text: Vec<String> = networks.iter().map(|(base, length)| format!("{base}/{length}")).collect();
        let mut values: Vec<(&Kind, &str)> = hosts_text.iter().map(|text| (&address::IP, text.as_str())).collect();
        values.extend(networks_text.iter().map(|text| (&address::CIDR, text.as_str())));
        let set = set_of(&values);
        let mut expected = std::collections::BTreeSet::new();
        for (at, address) in (0_u32..).zip(&seen) {
            let host = hosts.iter().zip(&hosts_text).filter(|(host, _)| *host == address);
            expected.extend(host.map(|(_, text)| (at, format!("ip {text}"))));
            let around = networks.iter().zip(&networks_text).filter(|(network, _)| lies_in(*address, **network));
            expected.extend(around.map(|(_, text)| (at, format!("cidr {text}"))));
        }
        let questions: Vec<AddressQuestion> =
            (0..).zip(&seen).map(|(asked, &address)| AddressQuestion { asked, field: 1, address }).collect();
        let (mut room, mut hits) = (Questions::default(), Vec::new());
        set.look_up_addresses(&questions, &mut room, &mut hits);
        let in_order = hits.is_sorted_by_key(|hit| (hit.asked, hit.entry));
        prop_assert!(in_order);
        let found: std::collections::BTreeSet<_> = hits.iter().map(|hit| (hit.asked, label(&set, hit.entry))).collect();
        prop_assert_eq!(found.len(), hits.len());
        prop_assert_eq!(found, expected);
    }
}
