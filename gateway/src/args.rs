//! What the command line means: checked types made from [`crate::cli`].
//!
//! Invariants
//! - What exists as a [`Task`] can be begun; every mistake of the command line was told before.

use crate::cli::{
    self, AdminCommand, Cli, Command, ConfigCommand, Source, TlsCommand, TokenCommand, TokenIssue,
    TokenVerify,
};
use crate::config::units::UnitError;
use crate::config::{Flags, Sources, Span};
use crate::echo::EchoPlan;
use crate::remote::{Order, Remote};
use crate::token::issuer::Bearer;
use crate::token::{LIFETIME_SECONDS_MAX, Policy};
use iris_protocol::{DeviceId, IdError, UserId};
use std::path::PathBuf;
use std::time::Duration;

/// Something to do.
#[derive(Debug)]
pub enum Task {
    /// Serve clients.
    Serve(ServePlan),
    /// Check a configuration.
    ConfigCheck {
        /// Where it comes from.
        sources: Sources,
        /// What it may say.
        flags: Flags,
        /// Print JSON.
        json: bool,
    },
    /// Print the default configuration.
    ConfigDefault,
    /// Make a key pair in this directory.
    TokenKeygen {
        /// The directory.
        out: PathBuf,
    },
    /// Sign tokens.
    TokenIssue(IssuePlan),
    /// Check a token.
    TokenVerify(VerifyPlan),
    /// Make certificates.
    TlsSelfsigned {
        /// The directory.
        out: PathBuf,
        /// Names besides those of this host.
        names: Vec<String>,
    },
    /// Ask a running gateway, or order it something.
    Remote(Remote, Order),
    /// Make a credential of the admin port.
    AdminKeygen {
        /// Its file.
        out: PathBuf,
    },
    /// Check a data directory.
    Fsck {
        /// The directory.
        data_dir: PathBuf,
        /// Print JSON.
        json: bool,
    },
    /// Echo WebSocket messages.
    WebsocketEcho(EchoPlan),
    /// Print the version.
    Version {
        /// Print JSON.
        json: bool,
    },
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServePlan {
    /// Where the configuration comes from; SIGHUP reads it again.
    pub sources: Sources,
    /// What the configuration may say.
    pub flags: Flags,
    /// Take the wall clock however far it is ahead.
    pub accept_clock: bool,
    /// Change the incarnation.
    pub new_incarnation: bool,
    /// Serve the demo page.
    pub demo: bool,
}

/// Which tokens to sign.
#[derive(Debug)]
pub struct IssuePlan {
    /// The private key's file.
    pub key: PathBuf,
    /// Whom the tokens are for.
    pub bearers: Bearers,
    /// How long they are valid.
    pub lifetime: Duration,
    /// Audience and issuer.
    pub policy: Policy,
}

/// Whom tokens are for.
#[derive(Debug)]
pub enum Bearers {
    /// One device, whose token is printed.
    One(Bearer),
    /// Many users, with the same name of a device each.
    Many(ManyBearers),
}

/// Users by number.
#[derive(Debug)]
pub struct ManyBearers {
    /// In front of the number.
    pub before: String,
    /// Behind it.
    pub after: String,
    /// How many; numbers begin at 0.
    pub count: u32,
    /// Each user's device.
    pub device: DeviceId,
    /// File for the lines.
    pub out: PathBuf,
}

impl ManyBearers {
    /// The user with this number.
    ///
    /// # Errors
    /// [`IdError`] if that is not a user id; never for numbers below the count.
    pub fn user(&self, number: u32) -> Result<UserId, IdError> {
        UserId::parse(&format!("{}{number}{}", self.before, self.after))
    }
}

/// Which token to check.
#[derive(Debug)]
pub struct VerifyPlan {
    /// The public keys' file.
    pub jwks: PathBuf,
    /// The token; without it, standard input is read.
    pub token: Option<String>,
    /// What it must say.
    pub policy: Policy,
    /// Print JSON.
    pub json: bool,
}

/// What is wrong with the command line.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// `--set` without a key or a value.
    #[error("--set {text:?} is not SECTION.KEY=VALUE")]
    Setting {
        /// What was typed.
        text: String,
    },
    /// Not an id.
    #[error("{flag}: {source}")]
    Id {
        /// The flag.
        flag: &'static str,
        /// What is wrong with it.
        source: IdError,
    },
    /// Not a duration.
    #[error("{flag}: {source}")]
    Duration {
        /// The flag.
        flag: &'static str,
        /// What is wrong with it.
        source: UnitError,
    },
    /// `--ttl` out of range.
    #[error("--ttl: a token is valid for 1s to 24h")]
    Lifetime,
    /// `--users` without its place for the number.
    #[error("--users {text:?} must have %d once, where the number stands")]
    Pattern {
        /// What was typed.
        text: String,
    },
    /// `--count 0`.
    #[error("--count must be at least 1")]
    Count,
}

impl Task {
    /// Checks what was typed.
    ///
    /// # Errors
    /// [`UsageError`] naming the flag.
    pub fn of(cli: Cli) -> Result<Self, UsageError> {
        Ok(match cli.command {
            Command::Serve(serve) => {
                let (sources, flags) = sources(serve.source)?;
                let (accept_clock, new_incarnation) = (serve.accept_clock, serve.new_incarnation);
                Self::Serve(ServePlan { sources, flags, accept_clock, new_incarnation, demo: serve.demo })
            }
            Command::Config(ConfigCommand::Check(check)) => {
                let (sources, flags) = sources(check.source)?;
                Self::ConfigCheck { sources, flags, json: check.json }
            }
            Command::Config(ConfigCommand::Default) => Self::ConfigDefault,
            Command::Token(TokenCommand::Keygen(keygen)) => Self::TokenKeygen { out: keygen.out },
            Command::Token(TokenCommand::Issue(issue)) => Self::TokenIssue(issue_plan(issue)?),
            Command::Token(TokenCommand::Verify(verify)) => Self::TokenVerify(verify_plan(verify)?),
            Command::Tls(TlsCommand::Selfsigned(tls)) => {
                Self::TlsSelfsigned { out: tls.out, names: tls.names }
            }
            Command::Status(remote) => Self::Remote(reached(remote), Order::Status),
            Command::Top(cli::Top { remote, interval, count }) => {
                let interval = duration("--interval", &interval)?;
                Self::Remote(reached(remote), Order::Top { interval, count })
            }
            Command::Drain(remote) => Self::Remote(reached(remote), Order::Drain),
            Command::Connections(cli::Connections { remote, limit, from }) => {
                Self::Remote(reached(remote), Order::Connections { limit, from })
            }
            Command::Slow(cli::Slow { remote, limit }) => {
                Self::Remote(reached(remote), Order::Slow { limit })
            }
            Command::User(cli::User { user, remote }) => {
                Self::Remote(reached(remote), Order::User(user_id("USER", &user)?))
            }
            Command::Kick(cli::Kick { user, device, remote }) => {
                Self::Remote(reached(remote), Order::Kick(user_id("USER", &user)?, device_id(device)?))
            }
            Command::Revoke(revoke) => revocation(revoke)?,
            Command::Ban(cli::Ban { address, ttl, lift, remote }) => {
                let ttl = (!lift).then(|| duration("--for", &ttl)).transpose()?;
                Self::Remote(reached(remote), Order::Ban(address, ttl))
            }
            Command::Bans(remote) => Self::Remote(reached(remote), Order::Bans),
            Command::Admin(AdminCommand::Keygen(keygen)) => Self::AdminKeygen { out: keygen.out },
            Command::Fsck(fsck) => Self::Fsck { data_dir: fsck.data_dir, json: fsck.json },
            Command::WebsocketEcho(echo) => {
                let tls = echo.tls_certificate.zip(echo.tls_key);
                Self::WebsocketEcho(EchoPlan { listen: echo.listen, tls })
            }
            Command::Version(version) => Self::Version { json: version.json },
        })
    }
}

fn reached(remote: cli::Remote) -> Remote {
    Remote { admin: remote.admin, credential: remote.credential, json: remote.json }
}

fn revocation(revoke: cli::Revoke) -> Result<Task, UsageError> {
    let order = match (revoke.jti, revoke.user) {
        (Some(jti), _) => Order::RevokeToken(jti),
        (None, user) => {
            let user = user_id("--user", &user.unwrap_or_default())?;
            Order::RevokeBearer(user, device_id(revoke.device)?)
        }
    };
    Ok(Task::Remote(reached(revoke.remote), order))
}

fn user_id(flag: &'static str, text: &str) -> Result<UserId, UsageError> {
    UserId::parse(text).map_err(|source| UsageError::Id { flag, source })
}

fn device_id(text: Option<String>) -> Result<Option<DeviceId>, UsageError> {
    let device = text.map(|text| DeviceId::parse(&text)).transpose();
    device.map_err(|source| UsageError::Id { flag: "--device", source })
}

fn sources(source: Source) -> Result<(Sources, Flags), UsageError> {
    let mut settings = Vec::new();
    for text in source.settings {
        match text.split_once('=') {
            Some((key, value)) if key.contains('.') => settings.push((key.to_owned(), value.to_owned())),
            Some(_) | None => return Err(UsageError::Setting { text }),
        }
    }
    let flags = Flags { insecure_plaintext: source.insecure_plaintext };
    Ok((Sources::of_process(source.config, settings), flags))
}

fn issue_plan(issue: TokenIssue) -> Result<IssuePlan, UsageError> {
    let lifetime = duration("--ttl", &issue.ttl)?;
    if !(1..=LIFETIME_SECONDS_MAX).contains(&lifetime.as_secs()) {
        return Err(UsageError::Lifetime);
    }
    let device =
        DeviceId::parse(&issue.device).map_err(|source| UsageError::Id { flag: "--device", source })?;
    let policy = Policy { audience: issue.audience, issuer: issue.issuer, leeway: Duration::ZERO };
    let bearers = if let (Some(pattern), Some(count), Some(out)) = (issue.users, issue.count, issue.out) {
        Bearers::Many(many(&pattern, count, device, out)?)
    } else {
        let user = UserId::parse(&issue.user.unwrap_or_default());
        Bearers::One(Bearer {
            user: user.map_err(|source| UsageError::Id { flag: "--user", source })?,
            device,
        })
    };
    Ok(IssuePlan { key: issue.key, bearers, lifetime, policy })
}

fn many(pattern: &str, count: u32, device: DeviceId, out: PathBuf) -> Result<ManyBearers, UsageError> {
    let wrong = || UsageError::Pattern { text: pattern.to_owned() };
    let (before, after) = pattern.split_once("%d").ok_or_else(wrong)?;
    if after.contains("%d") {
        return Err(wrong());
    }
    let last = count.checked_sub(1).ok_or(UsageError::Count)?;
    let many = ManyBearers { before: before.to_owned(), after: after.to_owned(), count, device, out };
    // The last number is the longest: if it is an id, all are.
    many.user(last).map_err(|source| UsageError::Id { flag: "--users", source })?;
    Ok(many)
}

fn verify_plan(verify: TokenVerify) -> Result<VerifyPlan, UsageError> {
    let leeway = duration("--leeway", &verify.leeway)?;
    let policy = Policy { audience: verify.audience, issuer: verify.issuer, leeway };
    Ok(VerifyPlan { jwks: verify.jwks, token: verify.token, policy, json: verify.json })
}

fn duration(flag: &'static str, text: &str) -> Result<Duration, UsageError> {
    let Span(duration) = text.parse().map_err(|source| UsageError::Duration { flag, source })?;
    Ok(duration)
}

#[cfg(test)]
mod tests;
