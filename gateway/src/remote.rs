//! Commands that ask a running gateway, or order it something, through its admin port.
//!
//! Invariants
//! - With `--json` the gateway's answer is printed as it came, on one line.
//! - What is missing is named, with the setting or the flag that provides it.

mod show;
mod top;

use crate::commands::{complain, print, print_json};
use crate::exit::ExitStatus;
use crate::secret_file;
use iris_protocol::{DeviceId, UserId};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Request;

/// How long an answer is awaited.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Which gateway, and how.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The admin port's URL.
    pub admin: String,
    /// The file with the operators' credential.
    pub credential: Option<PathBuf>,
    /// Print JSON.
    pub json: bool,
}

/// What is asked or ordered.
#[derive(Clone, Debug)]
pub enum Order {
    /// Health and figures.
    Status,
    /// What the cores do, again and again.
    Top {
        /// How long between two looks.
        interval: Duration,
        /// How many times; `None`: until it is ended.
        count: Option<u32>,
    },
    /// Some connections.
    Connections {
        /// How many.
        limit: u16,
        /// `next` of an earlier answer.
        from: Option<String>,
    },
    /// The slowest messages.
    Slow {
        /// How many.
        limit: u16,
    },
    /// A user.
    User(UserId),
    /// Close connections.
    Kick(UserId, Option<DeviceId>),
    /// Revoke a token by its `jti`.
    RevokeToken(String),
    /// Revoke a user's tokens, or a device's.
    RevokeBearer(UserId, Option<DeviceId>),
    /// Refuse an address for this long; `None`: no longer.
    Ban(IpAddr, Option<Duration>),
    /// Who is banned.
    Bans,
    /// Drain and end.
    Drain,
}

/// What is sent: a body of `Null` is an empty one.
enum Verb {
    Get,
    Post(Value),
    Delete,
}

impl Verb {
    fn method(&self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post(_) => "POST",
            Self::Delete => "DELETE",
        }
    }

    fn body(&self) -> String {
        match self {
            Self::Post(body) if !body.is_null() => body.to_string(),
            Self::Get | Self::Post(_) | Self::Delete => String::new(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum RemoteError {
    #[error(
        "no admin port answers at {url} ({source}): is the gateway running, and does its `admin.listen` say so? \
         --admin names another"
    )]
    Unreachable { url: String, source: Box<ureq::Error> },
    #[error("{url} is not the URL of an admin port, such as http://127.0.0.1:7480")]
    Url { url: String },
    #[error(
        "this needs --credential FILE, the file that the gateway's `admin.credential` names; \
         `iris-gateway admin keygen` makes one"
    )]
    NoCredential,
    #[error("the terminal cannot be used: {source}")]
    Terminal { source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Credential { path: PathBuf, source: std::io::Error },
    #[error("{code}: {message}")]
    Refused { code: String, message: String },
    #[error("the answer is not that of an admin port: {text:.100}")]
    Answer { text: String },
}

/// An answer that is a success, or `/readyz`.
struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    fn json(&self) -> Result<Value, RemoteError> {
        serde_json::from_str(&self.text).map_err(|_| RemoteError::Answer { text: self.text.clone() })
    }
}

/// Does it, and prints the outcome.
pub fn run(remote: &Remote, order: &Order) -> ExitStatus {
    match carry_out(remote, order) {
        Ok(status) => status,
        Err(error) => {
            complain(error);
            ExitStatus::Failed
        }
    }
}

fn carry_out(remote: &Remote, order: &Order) -> Result<ExitStatus, RemoteError> {
    let (path, verb) = match order {
        Order::Status => return status(remote),
        Order::Top { interval, count } => return top::run(remote, *interval, *count),
        Order::Connections { limit, from } => {
            let from = from.as_ref().map(|from| format!("&from={from}")).unwrap_or_default();
            (format!("connections?limit={limit}{from}"), Verb::Get)
        }
        Order::Slow { limit } => (format!("slow?limit={limit}"), Verb::Get),
        Order::User(user) => (format!("users/{user}"), Verb::Get),
        Order::Kick(user, None) => (format!("users/{user}/kick"), Verb::Post(Value::Null)),
        Order::Kick(user, Some(device)) => {
            (format!("users/{user}/devices/{device}/kick"), Verb::Post(Value::Null))
        }
        Order::RevokeToken(jti) => ("revocations".to_owned(), Verb::Post(json!({ "jti": jti }))),
        Order::RevokeBearer(user, device) => {
            let mut body = json!({ "user": user.as_str() });
            if let Some(device) = device {
                body["device"] = json!(device.as_str());
            }
            ("revocations".to_owned(), Verb::Post(body))
        }
        Order::Ban(address, Some(ttl)) => {
            ("bans".to_owned(), Verb::Post(json!({ "address": address, "ttl_s": ttl.as_secs() })))
        }
        Order::Ban(address, None) => (format!("bans/{address}"), Verb::Delete),
        Order::Bans => ("bans".to_owned(), Verb::Get),
        Order::Drain => ("drain".to_owned(), Verb::Post(Value::Null)),
    };
    let answer = remote.ask_as_operator(&path, &verb)?.json()?;
    if remote.json {
        return Ok(print_json(&answer));
    }
    Ok(print(&match order {
        Order::Connections { .. } => show::connections(&answer),
        Order::Slow { .. } => show::slow(&answer),
        Order::User(_) => show::user(&answer),
        Order::Kick(..) => format!("closed {}\n", answer["closed"]),
        Order::RevokeToken(_) | Order::RevokeBearer(..) => show::revoked(&answer),
        Order::Ban(address, Some(_)) => {
            format!("new connections of {address} are refused; those that are open stay\n")
        }
        Order::Ban(address, None) => format!("{address} may connect again\n"),
        Order::Bans => show::bans(&answer),
        Order::Drain => "the gateway drains\n".to_owned(),
        Order::Status | Order::Top { .. } => String::new(),
    }))
}

/// Health and figures of a gateway.
struct Seen {
    is_ready: bool,
    checks: Vec<String>,
    shards: Value,
    memory: Value,
}

fn gather(remote: &Remote) -> Result<Seen, RemoteError> {
    let ready = remote.send("/readyz?verbose", None, &Verb::Get)?;
    // While the process starts there are no cores yet.
    let figures = |path: &str| match remote.send(path, None, &Verb::Get).and_then(|answer| answer.json()) {
        Err(RemoteError::Refused { .. }) => Ok(Value::Null),
        outcome => outcome,
    };
    let shards = figures("/api/v1/shards")?["shards"].as_array().cloned().unwrap_or_default();
    let memory = figures("/api/v1/memory")?;
    let checks = ready.text.lines().map(str::to_owned).collect();
    Ok(Seen { is_ready: ready.status == 200, checks, shards: Value::Array(shards), memory })
}

/// Ready or not, and the figures of each core: [`ExitStatus::Failed`] if it is not ready.
fn status(remote: &Remote) -> Result<ExitStatus, RemoteError> {
    let Seen { is_ready, checks, shards, memory } = gather(remote)?;
    let printed = if remote.json {
        print_json(&json!({ "ready": is_ready, "checks": checks, "shards": shards, "memory": memory }))
    } else {
        print(&show::status(&checks, &shards, &memory))
    };
    Ok(if is_ready { printed } else { ExitStatus::Failed })
}

impl Remote {
    fn ask_as_operator(&self, path: &str, verb: &Verb) -> Result<Answer, RemoteError> {
        let path_of_credential = self.credential.as_ref().ok_or(RemoteError::NoCredential)?;
        let credential = secret_file::read(path_of_credential)
            .map_err(|source| RemoteError::Credential { path: path_of_credential.clone(), source })?;
        self.send(&format!("/api/v1/{path}"), Some(credential.trim()), verb)
    }

    fn send(&self, path: &str, credential: Option<&str>, verb: &Verb) -> Result<Answer, RemoteError> {
        let url = format!("{}{path}", self.admin.trim_end_matches('/'));
        let mut request = Request::builder().method(verb.method()).uri(&url);
        if let Some(credential) = credential {
            request = request.header("Authorization", format!("Bearer {credential}"));
        }
        let request = request.body(verb.body()).map_err(|_| RemoteError::Url { url: self.admin.clone() })?;
        let config = Agent::config_builder()
            .timeout_global(Some(ANSWER_MAX))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        let unreachable =
            |source| RemoteError::Unreachable { url: self.admin.clone(), source: Box::new(source) };
        let mut response = Agent::from(config).run(request).map_err(unreachable)?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        let answer = Answer { status, text };
        if answer.status < 300 || path.starts_with("/readyz") {
            return Ok(answer);
        }
        let refusal = answer.json()?;
        let word = |name: &str| refusal[name].as_str().unwrap_or_default().to_owned();
        Err(RemoteError::Refused { code: word("code"), message: word("message") })
    }
}
