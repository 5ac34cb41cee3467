//! A headless Chromium, driven over its own pipe: what a page does is asked of a browser, not of its text.
//!
//! In: a page's path. Out: what it asked of the network, what it complained of, what its document holds. The pipe is two
//! FIFOs that a shell makes descriptors 3 and 4 of, as `--remote-debugging-pipe` wants them (DevTools protocol: JSON with
//! a NUL behind each message). Never here: a word about a report.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// A browser that has not answered by then never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// The names under which distributions have it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: String,
    scripts: bool,
    next: u64,
    /// Everything that it said without being asked.
    events: Vec<Value>,
    _folder: tempfile::TempDir,
}

/// The browser of this machine.
///
/// Says so loudly and gives `None` where there is none: a checkout without it can still be tested.
///
/// # Panics
/// Where there is none and `CI` is set: there, a page that nobody opens is a test that fails.
pub fn open() -> Option<Browser> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name)));
    let found = places.into_iter().find(|place| place.is_file());
    if found.is_none() {
        let said = format!("NOT TESTED: no browser ({}) in PATH; Debian: apt-get install chromium", NAMES.join(", "));
        assert!(std::env::var_os("CI").is_none(), "{said}");
        eprintln!("{said}");
    }
    found.map(|program| Browser::start(&program))
}

impl Browser {
    fn start(program: &Path) -> Browser {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = |name: &str| -> PathBuf {
            let place = folder.path().join(name);
            let made = Command::new("mkfifo").arg(&place).status().expect("mkfifo");
            assert!(made.success(), "a pipe with a name");
            place
        };
        let (into, out) = (fifo("in"), fifo("out"));
        let child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<\"$PIPE_IN\" 4>\"$PIPE_OUT\"", "sh"])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .env("PIPE_IN", &into)
            .env("PIPE_OUT", &out)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a browser");
        // the shell opens them in this order and waits for the other end of each
        let to = File::options().write(true).open(&into).expect("the pipe to it");
        let from = File::open(&out).expect("the pipe from it");
        let (send, receive) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0) {
                let Ok(message) = message.map_err(drop).and_then(|text| serde_json::from_slice(&text).map_err(drop))
                else {
                    return;
                };
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            child,
            to,
            from: receive,
            session: String::new(),
            scripts: true,
            next: 0,
            events: Vec::new(),
            _folder: folder,
        };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.ask("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Network", "Log", "Audits"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method and gives its result.
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        self.to.write_all(&text).expect("the browser listens");
        loop {
            let said = self.from.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{method}: no answer"));
            if said["id"] == self.next {
                assert!(said["error"].is_null(), "{method}: {}", said["error"]);
                return said["result"].clone();
            }
            self.events.push(said);
        }
    }

    /// Opens a page and waits until it has loaded.
    pub fn visit(&mut self, page: &Path) {
        self.events.clear();
        self.ask("Page.navigate", json!({"url": format!("file://{}", page.display())}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let said = self.from.recv_timeout(PATIENCE).expect("the page loads");
            self.events.push(said);
        }
        self.settle();
    }

    /// Waits until what was begun is drawn.
    pub fn settle(&mut self) {
        if !self.scripts {
            self.value("document.body.offsetHeight"); // styles and places are made up to date by asking for one
            return;
        }
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))");
    }

    /// Whether scripts of pages run from the next visit on.
    pub fn scripts(&mut self, run: bool) {
        self.scripts = run;
        self.ask("Emulation.setScriptExecutionDisabled", json!({"value": !run}));
    }

    /// What an expression comes to in the page. DevTools evaluates it outside the page's own policy.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.ask("Runtime.evaluate", asked);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// An expression's text.
    pub fn text(&mut self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_else(|| panic!("{expression}: no text")).to_owned()
    }

    /// Everything that a page should not give rise to: complaints, violations of its policy, dialogs, and requests beside
    /// that for itself.
    pub fn complaints(&self) -> Vec<String> {
        let ours = |event: &&Value| {
            let method = event["method"].as_str().unwrap_or_default();
            let complaint =
                ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Audits.issueAdded"];
            let dialog = method == "Page.javascriptDialogOpening";
            let request = method == "Network.requestWillBeSent" && event["params"]["type"] != "Document";
            complaint.contains(&method) || dialog || request
        };
        self.events.iter().filter(ours).map(ToString::to_string).collect()
    }

    /// How many requests were sent, that for the page itself with them.
    pub fn requests(&self) -> usize {
        self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent").count()
    }

    /// Clicks what a selector finds.
    pub fn click(&mut self, selector: &str) {
        self.value(&format!(
            "document.querySelector({selector:?}).scrollIntoView({{block: 'center', behavior: 'instant'}})"
        ));
        let (x, y) = self.middle(selector);
        self.mouse("mousePressed", (x, y), json!({"button": "left", "buttons": 1, "clickCount": 1}));
        self.mouse("mouseReleased", (x, y), json!({"button": "left", "clickCount": 1}));
        self.settle();
    }

    /// Presses a key where the focus is.
    pub fn key(&mut self, key: &str) {
        let mut press = json!({"type": "keyDown", "key": key});
        if key.len() == 1 {
            press["text"] = key.into();
        }
        self.ask("Input.dispatchKeyEvent", press);
        self.ask("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key}));
        self.settle();
    }

    /// A mouse event at a place of the window.
    pub fn mouse(&mut self, kind: &str, (x, y): (f64, f64), more: Value) {
        let mut event = json!({"type": kind, "x": x, "y": y});
        for (name, value) in more.as_object().expect("members") {
            event[name] = value.clone();
        }
        self.ask("Input.dispatchMouseEvent", event);
    }

    /// The middle of what a selector finds, in the window.
    pub fn middle(&mut self, selector: &str) -> (f64, f64) {
        let asked = format!(
            "(() => {{ const b = document.querySelector({selector:?}).getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        );
        let place = self.value(&asked);
        (place[0].as_f64().expect("a place"), place[1].as_f64().expect("a place"))
    }

    /// Width and height of the window.
    pub fn window(&mut self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
        self.settle();
    }

    /// A picture of the page's first 4000 pixels, where `HAETAE_PICTURES` names a folder for it: for people to look at.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("HAETAE_PICTURES") else { return };
        use base64::Engine as _;
        let view = self.value("[innerWidth, innerHeight, Math.min(4000, document.documentElement.scrollHeight)]");
        let [width, height, whole] = [0, 1, 2].map(|at| view[at].as_u64().unwrap_or(1) as u32);
        self.window(width, whole);
        self.value("scrollTo({top: 0, behavior: 'instant'})");
        self.settle();
        let shot = self.ask("Page.captureScreenshot", json!({"format": "png"}));
        self.window(width, height);
        let bytes = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().expect("a picture"));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(Path::new(&folder).join(name), bytes.expect("base64")).expect("a picture");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.next += 1;
        let close = format!("{{\"id\":{},\"method\":\"Browser.close\"}}\0", self.next);
        let _ = self.to.write_all(close.as_bytes());
        for _ in 0..50 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
