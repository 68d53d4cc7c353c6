//! What can change while the process serves, and its change.
//!
//! Invariants
//! - Everything of a reload is put in force, or nothing.

use crate::address::AddressTable;
use crate::admin::board::Board;
use crate::args::ServePlan;
use crate::config::{Config, DiskShare};
use crate::control::Control;
use crate::demo::Demo;
use crate::gate::{Current, Keys};
use crate::logging::LogControl;
use crate::reload::Reload;
use crate::tls::{ServerTls, Tickets};
use iris_protocol::websocket::Origins;
use std::sync::Arc;

/// The configuration, and where its live part is used.
pub(crate) struct InForce<'a> {
    /// Where the configuration comes from.
    pub(crate) plan: &'a ServePlan,
    /// The demo, if there is one.
    pub(crate) demo: Option<Arc<Demo>>,
    /// The log, if this process has one.
    pub(crate) log: Option<LogControl>,
    /// Its values.
    pub(crate) config: Config,
    /// What the cores share.
    pub(crate) share: DiskShare,
    /// Keys that tokens are checked with.
    pub(crate) keys: Keys,
    /// Origins whose pages may connect.
    pub(crate) origins: Current<Origins>,
    /// The certificate, if TLS is served.
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// Keys of session tickets.
    pub(crate) tickets: Arc<Tickets>,
    /// What addresses may do.
    pub(crate) addresses: Arc<AddressTable>,
    /// Shows the configuration.
    pub(crate) board: Arc<Board>,
    /// Tells the cores.
    pub(crate) control: Arc<Control>,
}

impl InForce<'_> {
    /// SIGHUP.
    pub(crate) fn reload(&mut self) {
        match Reload::read(self.plan, &self.config, self.demo.as_deref(), &self.tickets) {
            Ok(reload) => self.put_in_force(reload),
            Err(problems) => tracing::warn!(?problems, "not reloaded: everything stays as it was"),
        }
    }

    fn put_in_force(&mut self, reload: Reload) {
        let Reload { config, verifier, origins, tls, changed, waiting } = reload;
        self.keys.replace(verifier);
        self.origins.replace(origins);
        if let (Some(old), Some(new)) = (&self.tls, &tls) {
            old.replace(new);
        }
        self.addresses.set_limits(&config.limits.of_addresses());
        self.control.set_limits(config.shard_limits(self.share));
        if let (Some(log), true) = (&self.log, config.log.level != self.config.log.level) {
            // The log ends with the process alone.
            let _ended = log.set_level(config.log.level);
        }
        self.board.show(Arc::new(config.clone()));
        self.config = config;
        tracing::info!(?changed, "reloaded: token keys and the certificate were read again");
        if !waiting.is_empty() {
            tracing::warn!(?waiting, "these keys changed, too, and wait for a restart");
        }
    }
}
