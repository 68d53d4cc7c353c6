//! SIGHUP: the configuration is read again, judged as a whole, and put in force as far as that goes without a restart.
//!
//! Invariants
//! - A configuration, or a file that it names, with any fault changes nothing.
//! - Nobody is disconnected. A connection keeps the certificate that it began with; limits hold from the next thing that is judged.
//! - What is in force is known: a key that waits for a restart is told at every reload until then.

use crate::args::ServePlan;
use crate::config::{Config, text};
use crate::demo::{self, Demo};
use crate::tls::{ServerTls, Tickets};
use crate::token::Verifier;
use iris_protocol::websocket::Origins;
use std::sync::Arc;

/// Keys that take effect at once, and sections all of whose keys do. docs/OPERATING.md names them; a test holds the two together.
pub(crate) const LIVE: &[&str] = &[
    "limits.*",
    "log.level",
    "server.drain",
    "server.memory",
    "server.reconnect_spread",
    "tls.*",
    "tokens.audience",
    "tokens.issuer",
    "tokens.jwks",
    "tokens.leeway",
    "websocket.origins",
];

/// A configuration that was found to be without fault, with what its files hold.
pub(crate) struct Reload {
    /// What is in force from now on: the new values of live keys, the old ones of the others.
    pub(crate) config: Config,
    /// The token keys.
    pub(crate) verifier: Verifier,
    /// Origins whose pages may connect.
    pub(crate) origins: Origins,
    /// The certificate, if TLS is served.
    pub(crate) tls: Option<ServerTls>,
    /// Keys that changed and take effect now.
    pub(crate) changed: Vec<String>,
    /// Keys that changed and wait for a restart.
    pub(crate) waiting: Vec<String>,
}

impl Reload {
    /// Reads everything again and compares it with what is in force.
    ///
    /// # Errors
    /// Everything that is wrong, in words: keep what is in force.
    pub(crate) fn read(
        plan: &ServePlan,
        in_force: &Config,
        demo: Option<&Demo>,
        tickets: &Arc<Tickets>,
    ) -> Result<Self, Vec<String>> {
        let mut new = plan.sources.load().map_err(|error| vec![error.to_string()])?;
        new.websocket.origins.extend(demo.into_iter().flat_map(Demo::origins));
        let problems = new.problems(plan.flags).into_iter().chain(new.file_problems());
        let problems: Vec<String> = problems.map(|problem| problem.to_string()).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let (config, changed, waiting) = merge(in_force, &new);
        let verifier = demo::verifier(&config.tokens, demo).map_err(|error| vec![error.to_string()])?;
        let files = (&config.tls.certificate, &config.tls.key);
        let needed =
            config.listen.needs_certificate().then(|| ServerTls::load(files.0, files.1, Arc::clone(tickets)));
        let tls = needed.transpose().map_err(|error| vec![error.to_string()])?;
        let origins = config.websocket.origins().map_err(|error| vec![error.to_string()])?;
        Ok(Self { config, verifier, origins, tls, changed, waiting })
    }
}

fn is_live(section: &str, key: &str) -> bool {
    LIVE.iter().filter_map(|live| live.split_once('.')).any(|(s, k)| s == section && (k == key || k == "*"))
}

/// The configuration in force after a reload; what changed in it, and what did not although it should.
fn merge(in_force: &Config, new: &Config) -> (Config, Vec<String>, Vec<String>) {
    let (mut merged, new) = (text::values(in_force), text::values(new));
    let (mut changed, mut waiting) = (Vec::new(), Vec::new());
    for (section, values) in &mut merged {
        let (Some(values), Some(new)) =
            (values.as_table_mut(), new.get(section).and_then(toml::Value::as_table))
        else {
            continue;
        };
        for (key, value) in values {
            let Some(new) = new.get(key).filter(|new| *new != value) else { continue };
            let name = format!("{section}.{key}");
            if is_live(section, key) {
                *value = new.clone();
                changed.push(name);
            } else {
                waiting.push(name);
            }
        }
    }
    let config = merged.try_into().unwrap_or_else(|error| panic!("values of two configurations: {error}"));
    (config, changed, waiting)
}

#[cfg(test)]
mod tests;
