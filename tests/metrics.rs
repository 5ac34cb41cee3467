//! The metrics, the alert rules and the dashboard, against the programs that will read them.
//!
//! A server of the real kind shows two made-up sensors, one to which all goes well and one to which all goes ill; a real
//! Prometheus scrapes both. promtool and Prometheus are not part of the repository: without them these tests say so and pass,
//! where `CI` is set they fail.

pub mod tools;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tools::{Prometheus, is_there, promtool};
use world::Sensor;

/// Where nothing listens: a port of the system that is not used on loopback.
const NOBODY: &str = "127.0.0.1:1";

/// Rules that fire for neither sensor, and why.
const SILENT: [(&str, &str); 2] =
    [("HaetaeMissing", "there are sensors"), ("HaetaeLossBeforePort", "where all goes ill, the ports lose frames too")];

/// Series that a sensor may show at most, all workers and links together.
const SERIES_MAX: usize = 2_000;

pub fn deployed(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(deployed(path)).unwrap_or_else(|error| panic!("deploy/{path}: {error}"))
}

/// What a server gives for a page, without the head.
pub fn page(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n").expect("to ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

/// Both expositions, as the server gives them.
fn expositions() -> [String; 2] {
    let shown = |sight: fn(f64) -> _| page(Sensor::start(sight).address, "/metrics");
    [shown(world::well), shown(world::ill)]
}

/// A rule: its name, its expression, and the rest.
pub fn rules() -> Vec<(String, String, Value)> {
    let file: Value = serde_yaml::from_str(&read("prometheus/haetae.rules.yml")).expect("YAML");
    assert_eq!(file["groups"].as_array().map(Vec::len), Some(1));
    let rules = file["groups"][0]["rules"].as_array().expect("rules");
    let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_else(|| panic!("{key} of {rule}")).to_owned();
    rules.iter().map(|rule| (text(rule, "alert"), text(rule, "expr"), rule.clone())).collect()
}

pub fn dashboard() -> Value {
    serde_json::from_str(&read("grafana/haetae.json")).expect("JSON")
}

/// The panels that show something.
fn panels(dashboard: &Value) -> Vec<Value> {
    let panels = dashboard["panels"].as_array().expect("panels");
    panels.iter().filter(|panel| panel["type"] != "row").cloned().collect()
}

/// Every expression of a dashboard, by the title of its panel, as Grafana asks it.
pub fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in panels(dashboard).iter().chain(dashboard["annotations"]["list"].as_array().expect("annotations")) {
        let title = panel["title"].as_str().or(panel["name"].as_str()).expect("a title").to_owned();
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        let asked = targets.iter().chain([panel]).filter_map(|target| target["expr"].as_str());
        found.extend(asked.map(|expression| (title.clone(), expression.to_owned())));
    }
    found
}

/// The names of our metrics in a text.
pub fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|one: char| !one.is_ascii_alphanumeric() && one != '_');
    words.filter(|word| word.starts_with("haetae_")).collect()
}

/// The family of a name: a histogram is shown, and asked for, by its parts.
fn family(name: &str) -> &str {
    let parts = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
    parts.filter(|family| family.ends_with("_seconds")).unwrap_or(name)
}

#[test]
fn promtool_finds_nothing_to_say_about_an_exposition() {
    if is_there("promtool") {
        for exposition in expositions() {
            assert_eq!(promtool(&deployed(""), &["check", "metrics"], &exposition), "");
        }
    }
}

#[test]
fn the_rules_are_sound_and_each_fires_when_it_should_and_not_otherwise() {
    let tests: Value = serde_yaml::from_str(&read("prometheus/haetae.rules.test.yml")).expect("YAML");
    let tested: BTreeSet<&str> =
        tests["tests"].as_array().expect("tests").iter().filter_map(|test| test["name"].as_str()).collect();
    for (name, expression, rule) in rules() {
        assert!(tested.contains(&name[..]), "{name} has no test");
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: severity {severity:?}");
        let [summary, description] =
            ["summary", "description"].map(|one| rule["annotations"][one].as_str().unwrap_or_default());
        assert!(!summary.is_empty() && summary.len() <= 120, "{name}: {summary:?}");
        assert!(description.len() >= 120 && description.ends_with('.'), "{name}: what to do? {description:?}");
        assert!(expression.contains("haetae"), "{name}: {expression}");
    }
    if is_there("promtool") {
        promtool(&deployed("prometheus"), &["check", "rules", "haetae.rules.yml"], "");
        promtool(&deployed("prometheus"), &["test", "rules", "haetae.rules.test.yml"], "");
    }
}

#[test]
fn rules_and_dashboard_ask_only_for_what_is_shown() {
    let shown = expositions();
    let known: BTreeSet<&str> = shown
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let files = ["prometheus/haetae.rules.yml", "prometheus/haetae.rules.test.yml", "grafana/haetae.json"]
        .map(|path| (path, read(path)));
    for (path, text) in &files {
        let unknown: Vec<&str> = names(text).into_iter().map(family).filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "deploy/{path} asks for {unknown:?}");
    }
    let asked: BTreeSet<&str> = names(&files[2].1).into_iter().map(family).collect();
    let unseen: Vec<&&str> = known.iter().filter(|name| !asked.contains(**name)).collect();
    assert_eq!(unseen, [&"haetae_start_time_seconds"; 0], "no panel shows these");
    for text in &shown {
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!(series <= SERIES_MAX, "{series} series");
    }
}

#[test]
fn the_dashboard_is_one_that_any_grafana_can_take_in() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let variables: Vec<&str> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);
    assert!(dashboard["schemaVersion"].as_u64() >= Some(41) && dashboard["id"].is_null());
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is taken");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|one| panel["gridPos"][one].as_u64().expect("a place"));
        assert!(x + w <= 24, "{title} is too far right");
        let free = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))).all(|place| taken.insert(place));
        assert!(free, "{title} lies upon another");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}: what does it show?");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
        for place in panel["targets"].as_array().expect("targets").iter().chain([panel]) {
            assert_eq!(place["datasource"]["uid"], "${datasource}", "{title}");
        }
        let mut letters: Vec<&Value> =
            panel["targets"].as_array().expect("targets").iter().map(|one| &one["refId"]).collect();
        letters.dedup();
        assert_eq!(letters.len(), panel["targets"].as_array().map_or(0, Vec::len), "{title}: a refId twice");
    }
    for (title, expression) in expressions(&dashboard) {
        assert!(expression.contains("job=\"$job\",instance=~\"$instance\""), "{title}: {expression}");
        let ranges = expression.matches('[').count();
        let own = expression.matches("[$__rate_interval]").count() + expression.matches("[2m]").count();
        assert_eq!(ranges, own, "{title}: {expression}");
    }
}

/// Which sensors an answer speaks of.
fn instances(series: &[Value]) -> BTreeSet<String> {
    series.iter().filter_map(|one| one["metric"]["instance"].as_str()).map(str::to_owned).collect()
}

#[test]
fn a_prometheus_that_scrapes_the_sensor_answers_every_rule_and_every_panel() {
    if !is_there("prometheus") {
        return;
    }
    let (well, ill) = (Sensor::start(world::well), Sensor::start(world::ill));
    let [well_at, ill_at] = [&well, &ill].map(|sensor| sensor.address.to_string());
    let rules_file = deployed("prometheus/haetae.rules.yml");
    let prometheus = Prometheus::start(&[well_at.clone(), ill_at.clone(), NOBODY.to_owned()], &rules_file);
    prometheus.wait_for("count_over_time(haetae_ready[1m]) >= 6", 2);
    let mut wrong = Vec::new();
    for (name, expression, _) in rules() {
        let given = prometheus.ask(&expression);
        let fires = given.as_ref().map(|series| instances(series)).unwrap_or_default();
        let for_ill = fires.contains(&ill_at) || (name == "HaetaeDown" && fires.contains(NOBODY));
        let silent = SILENT.iter().any(|(rule, _)| *rule == name);
        if given.is_err() || for_ill == silent || fires.contains(&well_at) {
            wrong.push(format!("rule {name}: {given:?}"));
        }
    }
    for (title, expression) in expressions(&dashboard()) {
        let asked = expression.replace("$__rate_interval", "10s").replace("$job", "haetae").replace("$instance", ".+");
        match prometheus.ask(&asked) {
            Ok(series) if !series.is_empty() => {}
            given => wrong.push(format!("panel {title}: {asked}: {given:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    annotations_are_filled_in(&prometheus);
    everything_scraped_is_taken(&prometheus);
}

/// Every rule that is pending or fires says so in words.
fn annotations_are_filled_in(prometheus: &Prometheus) {
    let alerts = prometheus.get("alerts", &[]).expect("alerts");
    let alerts = alerts["data"]["alerts"].as_array().expect("alerts").clone();
    let raised: BTreeSet<&str> = alerts.iter().filter_map(|alert| alert["labels"]["alertname"].as_str()).collect();
    assert_eq!(raised.len(), rules().len() - SILENT.len(), "{raised:?}");
    for alert in &alerts {
        for text in ["summary", "description"].map(|one| alert["annotations"][one].as_str().unwrap_or_default()) {
            let odd = ["{{", "<no value>", "<error", "%!", "NaN", "  "].iter().find(|odd| text.contains(**odd));
            assert!(odd.is_none() && !text.is_empty(), "{odd:?} in {text:?} of {alert}");
        }
    }
    let rules = prometheus.get("rules", &[]).expect("rules");
    assert!(!rules.to_string().contains("\"health\":\"err\""), "{rules:#}");
}

/// Prometheus leaves out no sample, takes none twice, and can say what each metric means.
fn everything_scraped_is_taken(prometheus: &Prometheus) {
    let targets = prometheus.get("targets", &[]).expect("targets");
    for target in targets["data"]["activeTargets"].as_array().expect("targets") {
        let dead = target["labels"]["instance"] == NOBODY;
        assert_eq!(target["health"], if dead { "down" } else { "up" }, "{target:#}");
        assert_eq!(target["lastError"] == "", !dead, "{target:#}");
    }
    let taken = prometheus.ask("scrape_samples_scraped - scrape_samples_post_metric_relabeling").expect("counts");
    assert!(taken.iter().all(|series| series["value"][1] == "0"), "{taken:?}");
    let described = prometheus.get("metadata", &[]).expect("metadata");
    let described = described["data"].as_object().expect("metadata");
    let shown = expositions().concat();
    let missing: Vec<&str> =
        names(&shown).into_iter().map(family).filter(|name| !described.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_readme_describes_each_metric_as_the_sensor_does() {
    let [well, ill] = expositions();
    let mut labels: BTreeMap<&str, String> = BTreeMap::new();
    for line in well.lines().chain(ill.lines()).filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).expect("a sample");
        if name.ends_with("_bucket") {
            continue; // `le` is how a histogram is written
        }
        let name = family(name);
        let found = rest.split("\",").filter_map(|pair| pair.split_once("=\"")).map(|(label, _)| format!("`{label}`"));
        labels.insert(name, found.collect::<Vec<_>>().join(", "));
    }
    let text = |kind: &str, name: &str| -> String {
        let line = well
            .lines()
            .chain(ill.lines())
            .find_map(|line| line.strip_prefix(kind)?.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_default().to_owned()
    };
    let order: Vec<&str> = well.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let row = |name: &&str| {
        let labels = if labels[name].is_empty() { "-" } else { &labels[name] };
        format!("| `{name}` | {} | {labels} | {} |", text("# TYPE ", name), text("# HELP ", name))
    };
    let table: Vec<String> = order.iter().map(row).collect();
    let readme = read("prometheus/README.md");
    let written: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `haetae_")).collect();
    assert!(written == table, "deploy/prometheus/README.md should have\n{}", table.join("\n"));
}

#[test]
fn the_configuration_that_the_readme_shows_is_sound() {
    let readme = read("prometheus/README.md");
    let (_, shown) = readme.split_once("```yaml\n").expect("a configuration");
    let (shown, _) = shown.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("prometheus.yml"), shown).expect("its configuration");
    fs::copy(deployed("prometheus/haetae.rules.yml"), folder.path().join("haetae.rules.yml")).expect("the rules");
    if is_there("promtool") {
        let said = promtool(folder.path(), &["check", "config", "prometheus.yml"], "");
        assert!(said.contains(&format!("{} rules found", rules().len())), "{said}");
    }
}

/// Asks without pause until `stop`; gives how many answers came.
pub fn flood(address: SocketAddr, stop: &AtomicBool) -> u64 {
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let _ = stream.write_all(b"GET /metrics?flood HTTP/1.1\r\nX-Label: flood\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        answers += u64::from(stream.read_to_end(&mut answer).is_ok_and(|count| count > 0));
    }
    answers
}

#[test]
fn a_flood_of_askers_costs_little_and_keeps_nobody_out() {
    let busy = std::sync::Arc::new(AtomicU64::new(0));
    let told = std::sync::Arc::clone(&busy);
    let sensor = Sensor::start(move |seconds| {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        told.store(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64, Ordering::Relaxed);
        world::ill(seconds)
    });
    let before = page(sensor.address, "/metrics");
    let (stop, began) = (AtomicBool::new(false), Instant::now());
    let mut slow: Vec<TcpStream> = (0..100).filter_map(|_| TcpStream::connect(sensor.address).ok()).collect();
    slow.iter_mut().for_each(|stream| drop(stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")));
    let answers: u64 = thread::scope(|scope| {
        let floods: Vec<_> = (0..6).map(|_| scope.spawn(|| flood(sensor.address, &stop))).collect();
        for _ in 0..5 {
            let asked = Instant::now();
            assert!(page(sensor.address, "/metrics").contains("haetae_ready 0"));
            assert!(asked.elapsed() < Duration::from_secs(10), "a scraper waited {:?}", asked.elapsed());
            thread::sleep(Duration::from_millis(500));
        }
        stop.store(true, Ordering::Relaxed);
        floods.into_iter().map(|flood| flood.join().expect("a flood")).sum()
    });
    let (seconds, busy) = (began.elapsed().as_secs_f64(), busy.load(Ordering::Relaxed) as f64 / 1e9);
    eprintln!("{answers} answers in {seconds:.1} s cost {busy:.2} s of a processor");
    assert!(answers as f64 <= 600.0 * (seconds + 1.0), "{answers} answers in {seconds:.1} s");
    assert!(busy < 0.1 * seconds, "{busy:.2} s of {seconds:.1} s");
    let after = page(sensor.address, "/metrics");
    assert_eq!(before.lines().count(), after.lines().count(), "what is asked makes no series");
    assert!(!after.contains("flood"), "{after}");
}
