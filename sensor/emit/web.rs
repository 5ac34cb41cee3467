//! What sinks that speak to a web service have in common: requests go in with who we are, answers come out. Never here: a redirect
//! followed, a certificate not verified, a second attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::Request;

use super::answer::Answer;
use super::credentials::{Credentials, Named, Of};
use super::https::{CONNECTION_AGE_MAX, agent, why};
use super::{Delivery, Facts, Problem, Secrets, Trouble, check_url};
use crate::limits::ANSWER_BYTES_MAX;

/// One web service.
pub(super) struct Web {
    url: String,
    credentials: Credentials,
    /// What the secret is in a header.
    authorization: Box<dyn Fn(&str) -> String + Send>,
    line: Option<Line>,
    /// Until when its certificate holds, in seconds since 1970; 0: none was seen.
    until: Arc<AtomicU64>,
}

/// Connections made with what held at that time.
struct Line {
    agent: Agent,
    authorization: Option<String>,
    generation: u64,
    since: Instant,
}

/// A request.
pub(super) struct Ask<'a> {
    pub url: &'a str,
    pub accept: &'a str,
    /// What is sent, and its type; `None`: nothing is, something is asked for.
    pub body: Option<(&'a str, &'a [u8])>,
}

impl Web {
    /// Reads the files; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with a file, for a person.
    pub(super) fn open(
        of: Of,
        url: &str,
        files: Named,
        authorization: Box<dyn Fn(&str) -> String + Send>,
    ) -> Result<Web, String> {
        let secured = url.starts_with("https:");
        let credentials = Credentials::open(of, files, secured)?;
        Ok(Web { url: url.to_owned(), credentials, authorization, line: None, until: Arc::default() })
    }

    /// What was learned of certificates.
    pub(super) fn facts(&self) -> Facts {
        let centre_until = Some(self.until.load(Ordering::Acquire)).filter(|until| *until > 0);
        Facts { own_until: self.credentials.held().0.until, centre_until, ..Facts::default() }
    }

    /// Asks, and reads the whole answer; `end` is when nobody waits any more.
    ///
    /// # Errors
    /// What it means that there is no answer.
    pub(super) fn ask(&mut self, ask: &Ask<'_>, end: Instant) -> Result<Answer, Delivery> {
        self.credentials.refresh(false);
        let (held, generation) = self.credentials.held();
        let good = |line: &Line| line.generation == generation && line.since.elapsed() < CONNECTION_AGE_MAX;
        let line = self.line.take().filter(good).unwrap_or_else(|| Line {
            agent: agent(held.tls.clone().filter(|_| self.url.starts_with("https:")), &self.until),
            authorization: held
                .authorization
                .as_deref()
                .map(|bearer| (self.authorization)(bearer.strip_prefix("Bearer ").unwrap_or(bearer))),
            generation,
            since: Instant::now(),
        });
        match sent(&line, ask, end.saturating_duration_since(Instant::now())) {
            Ok(answer) => {
                self.line = Some(line);
                if matches!(answer.status, 401 | 403) {
                    // What was renewed on the disk meanwhile is taken with the next attempt.
                    self.credentials.refresh(true);
                }
                Ok(answer)
            }
            Err(error) => {
                let (trouble, why) = why(&error);
                if trouble == Trouble::Certificate {
                    self.credentials.refresh(true);
                }
                let also = self.credentials.trouble().map(|trouble| format!(" (and {trouble})")).unwrap_or_default();
                Err(Delivery::Later { trouble, reason: format!("{}: {why}{also}", ask.url), after: None })
            }
        }
    }
}

fn sent(line: &Line, ask: &Ask<'_>, patience: Duration) -> Result<Answer, ureq::Error> {
    let builder = Request::builder().uri(ask.url).header("Accept", ask.accept);
    let builder = match &line.authorization {
        Some(authorization) => builder.header("Authorization", authorization),
        None => builder,
    };
    // Nothing is asked for without at least this much time: zero would mean as long as it takes.
    let patience = Some(patience.max(Duration::from_millis(1)));
    let response = match ask.body {
        Some((kind, body)) => {
            let request = builder.method("POST").header("Content-Type", kind).body(body)?;
            line.agent.run(line.agent.configure_request(request).timeout_global(patience).build())
        }
        None => {
            let request = builder.method("GET").body(())?;
            line.agent.run(line.agent.configure_request(request).timeout_global(patience).build())
        }
    };
    let (parts, mut body) = response?.into_parts();
    let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// What an answer that is neither yes nor about what was sent means; `who` gives it.
pub(super) fn not_now(who: &str, answer: &Answer) -> Delivery {
    let (trouble, why) = match answer.status {
        401 => (Trouble::Token, "does not take the secret"),
        403 | 405 => (Trouble::Token, "gives no right to it"),
        404 => (Trouble::Other, "has no such place, or gives no right to it"),
        406 | 415 => (Trouble::Other, "does not speak this version"),
        429 => (Trouble::Busy, "asks for patience"),
        503 => (Trouble::Down, "is not there"),
        _ => (Trouble::Other, "gives no answer that it should"),
    };
    let said = said(answer).map(|said| format!(": {said}")).unwrap_or_default();
    let reason = format!("{who} {why} ({}){said}", answer.status);
    Delivery::Later { trouble, reason, after: answer.retry_after() }
}

/// What an answer says to a person, if it says that it is JSON and is: whoever is on the way may answer with anything.
pub(super) fn said(answer: &Answer) -> Option<String> {
    let kind = answer.headers.get("content-type")?.to_str().ok()?;
    let json = kind.split(';').next()?.trim();
    if json != "application/json" && !json.ends_with("+json") {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let text = ["errors", "description", "message", "title", "name"].iter().find_map(|name| match &body[*name] {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Null => None,
        other => Some(other.to_string()),
    })?;
    Some(text.chars().filter(|letter| !letter.is_control()).take(SAID_CHARACTERS_MAX).collect())
}

/// Of what others say: enough for a person to see what it is about.
const SAID_CHARACTERS_MAX: usize = 200;

/// What is wrong with a URL and files, as of now, each under the option that names it: `secret` for the token.
pub(super) fn problems(url: &str, files: &Named, secrets: Secrets, secret: &'static str) -> Vec<Problem> {
    let mut problems: Vec<Problem> = check_url(url).err().into_iter().map(|why| ("url", why)).collect();
    if secrets == Secrets::Opened {
        let secured = url.starts_with("https:") && problems.is_empty();
        let wrong = files.read(secured).err().into_iter().flatten();
        problems.extend(wrong.map(|(key, why)| (if key == "token" { secret } else { key }, why)));
    }
    problems
}
