//! The commands besides `serve`: short tasks that print an outcome.
//!
//! Invariants
//! - The outcome goes to standard output, what went wrong to standard error, and the exit status says which it was.
//! - With `--json` the outcome is one JSON object on one line.

use crate::args::{Bearers, IssuePlan, ManyBearers, VerifyPlan};
use crate::config::{Flags, Sources, text};
use crate::exit::ExitStatus;
use crate::secret_file;
use crate::tls::selfsigned;
use crate::token::issuer::{Bearer, IssueError, Issuer, keygen};
use crate::token::{Claims, Verifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use iris_protocol::Wall;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Most bytes of a token that is read from standard input: enough to say that it is too long.
const INPUT_BYTES_MAX: u64 = 64 << 10;

/// `config default`.
pub fn config_default() -> ExitStatus {
    print(&text::default_file())
}

/// `config check`: every problem is printed, and the status is [`ExitStatus::Config`] if there is one.
pub fn config_check(sources: &Sources, flags: Flags, json: bool) -> ExitStatus {
    let problems: Vec<String> = match sources.load() {
        Err(error) => vec![error.to_string()],
        Ok(config) => {
            let all = config.problems(flags).into_iter().chain(config.file_problems());
            all.map(|problem| problem.to_string()).collect()
        }
    };
    if json {
        print_json(&json!({ "ok": problems.is_empty(), "problems": problems }));
    } else if problems.is_empty() {
        print("the configuration is valid\n");
    }
    for problem in problems.iter().filter(|_| !json) {
        complain(problem);
    }
    if problems.is_empty() { ExitStatus::Ok } else { ExitStatus::Config }
}

/// `token keygen`.
pub fn token_keygen(out: &Path) -> ExitStatus {
    match keygen(out) {
        Ok(kid) => {
            print(&format!("key {kid}: {0}/issuer.key (keep it secret), {0}/jwks.json\n", out.display()))
        }
        Err(error) => failed(&error),
    }
}

/// `admin keygen`.
pub fn admin_keygen(out: &Path) -> ExitStatus {
    let mut bytes = [0; 32];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        return failed(&IssueError::Random);
    }
    let credential = format!("{}\n", URL_SAFE_NO_PAD.encode(bytes));
    match secret_file::write_new(out, credential.as_bytes()) {
        Ok(()) => print(&format!("credential in {} (keep it secret)\n", out.display())),
        Err(error) => failed(&format!("{}: {error}", out.display())),
    }
}

/// `token issue`.
pub fn token_issue(plan: &IssuePlan) -> ExitStatus {
    let outcome = Issuer::load(&plan.key).and_then(|issuer| match &plan.bearers {
        Bearers::One(bearer) => {
            let token = issuer.issue(bearer, &plan.policy, now(), plan.lifetime)?;
            Ok(format!("{token}\n"))
        }
        Bearers::Many(many) => {
            let written = issue_many(&issuer, plan, many);
            written.map_err(|source| IssueError::File { path: many.out.clone(), source })?;
            Ok(format!("{} tokens in {}\n", many.count, many.out.display()))
        }
    });
    match outcome {
        Ok(text) => print(&text),
        Err(error) => failed(&error),
    }
}

/// Writes a line `user device token` for every user.
fn issue_many(issuer: &Issuer, plan: &IssuePlan, many: &ManyBearers) -> io::Result<()> {
    let mut file = BufWriter::new(secret_file::create(&many.out)?);
    let now = now();
    for number in 0..many.count {
        let user = many.user(number).map_err(io::Error::other)?;
        let bearer = Bearer { user, device: many.device.clone() };
        let token = issuer.issue(&bearer, &plan.policy, now, plan.lifetime).map_err(io::Error::other)?;
        writeln!(file, "{} {} {token}", bearer.user, bearer.device)?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// `token verify`: [`ExitStatus::Failed`] if the token is not valid.
pub fn token_verify(plan: &VerifyPlan) -> ExitStatus {
    let token = match &plan.token {
        Some(token) => token.clone(),
        None => match read_token() {
            Ok(token) => token,
            Err(error) => return failed(&error),
        },
    };
    let verifier = match Verifier::load(&plan.jwks, plan.policy.clone()) {
        Ok(verifier) => verifier,
        Err(error) => return failed(&format!("{}: {error}", plan.jwks.display())),
    };
    match verifier.verify(token.trim(), now()) {
        Ok(claims) => tell_claims(&claims, plan.json),
        Err(error) => {
            if plan.json {
                print_json(
                    &json!({ "valid": false, "reason": format!("{error:?}"), "message": error.to_string() }),
                );
            } else {
                complain(format!("not valid: {error}"));
            }
            ExitStatus::Failed
        }
    }
}

fn tell_claims(claims: &Claims, json: bool) -> ExitStatus {
    let left_seconds = claims.expires_at.0.saturating_sub(now().0) / 1000;
    let (user, device) = (claims.user.as_str(), claims.device.as_str());
    if json {
        return print_json(&json!({
            "valid": true, "user": user, "device": device, "jti": claims.jti,
            "expires_at_ms": claims.expires_at.0, "expires_in_seconds": left_seconds,
        }));
    }
    print(&format!("valid: user {user}, device {device}, expires in {left_seconds} s, jti {}\n", claims.jti))
}

fn read_token() -> io::Result<String> {
    let mut token = String::new();
    io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut token)?;
    Ok(token)
}

/// `tls selfsigned`.
pub fn tls_selfsigned(out: &Path, names: &[String]) -> ExitStatus {
    match selfsigned::write(out, names) {
        Ok(()) => {
            let dir = out.display();
            print(&format!(
                "clients trust {dir}/ca.pem; the server has {dir}/server.pem and {dir}/server.key\n"
            ))
        }
        Err(error) => failed(&error),
    }
}

/// `version`.
pub fn version(json: bool) -> ExitStatus {
    let version = env!("CARGO_PKG_VERSION");
    if json {
        return print_json(&json!({ "name": "iris-gateway", "version": version, "protocol": "iris.v1" }));
    }
    print(&format!("iris-gateway {version} (protocol iris.v1)\n"))
}

/// The host's wall clock.
pub(crate) fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Prints to standard output. A reader that has gone, as of `| head`, is no failure.
pub(crate) fn print(text: &str) -> ExitStatus {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitStatus::Ok,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Ok,
        Err(error) => failed(&error),
    }
}

pub(crate) fn print_json(value: &Value) -> ExitStatus {
    print(&format!("{value}\n"))
}

/// Says on standard error what is wrong.
pub fn complain(what: impl std::fmt::Display) {
    // Standard error that is closed leaves nobody to tell; the exit status remains.
    let _unwritten = writeln!(io::stderr().lock(), "iris-gateway: {what}");
}

fn failed(error: &dyn std::fmt::Display) -> ExitStatus {
    complain(error);
    ExitStatus::Failed
}
