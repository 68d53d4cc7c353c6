//! What the admin port knows of the process.
//!
//! Invariants
//! - The port is served while the process starts: what is not there yet is a value.

use super::access::Credential;
use super::errors::{Code, Failure};
use super::tokens::Issuing;
use crate::address::AddressTable;
use crate::asks::{Ask, Asker};
use crate::config::Config;
use crate::control::{Control, CoreStats};
use crate::demo::Demo;
use crate::logging::LogControl;
use crate::revocations::Revocations;
use iris_protocol::{Placement, UserId};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// How long a core's answer is awaited.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// What a board is made of.
pub(crate) struct BoardParts {
    /// The configuration at the start.
    pub(crate) config: Arc<Config>,
    /// Flags of the process.
    pub(crate) control: Arc<Control>,
    /// The log, if this process has one.
    pub(crate) log: Option<LogControl>,
    /// What operators must show; `None`: they are refused.
    pub(crate) credential: Option<Credential>,
    /// What tokens are issued with; `None`: none are.
    pub(crate) issuing: Option<Issuing>,
    /// The demo, if there is to be one.
    pub(crate) demo: Option<Arc<Demo>>,
}

/// A core as the port sees it.
pub(crate) struct Core {
    /// What it publishes.
    pub(crate) stats: Arc<CoreStats>,
    /// Where it is asked.
    pub(crate) asker: Asker,
}

impl Core {
    /// Asks the core.
    ///
    /// # Errors
    /// CORE_BUSY if it has too many questions, or does not answer in time.
    pub(super) async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        if !self.asker.ask(ask(reply)) {
            return Err(Failure::of(Code::CoreBusy));
        }
        match tokio::time::timeout(ANSWER_MAX, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Failure::of(Code::CoreBusy)),
        }
    }
}

/// What is there once the cores have started.
pub(crate) struct Serving {
    /// By shard.
    pub(crate) cores: Vec<Core>,
    /// Which shard owns which slot.
    pub(crate) placement: Placement,
    /// What is revoked.
    pub(crate) revocations: Revocations,
    /// What addresses may do.
    pub(crate) addresses: Arc<AddressTable>,
}

/// See the module.
pub(crate) struct Board {
    parts: BoardParts,
    config: RwLock<Arc<Config>>,
    serving: OnceLock<Serving>,
    started_s: u64,
}

impl Board {
    /// A board without cores.
    pub(crate) fn new(parts: BoardParts) -> Self {
        let started_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let config = RwLock::new(Arc::clone(&parts.config));
        Self { parts, config, serving: OnceLock::new(), started_s }
    }

    /// The cores have started: from here on they are shown and asked.
    pub(crate) fn introduce(&self, serving: Serving) {
        assert!(self.serving.set(serving).is_ok(), "the cores were introduced twice");
    }

    fn serving(&self) -> Result<&Serving, Failure> {
        self.serving.get().ok_or_else(|| Failure::of(Code::Starting))
    }

    /// The cores, by shard.
    ///
    /// # Errors
    /// STARTING while there are none.
    pub(crate) fn cores(&self) -> Result<&[Core], Failure> {
        self.serving().map(|serving| serving.cores.as_slice())
    }

    /// The core on which a user lives, and its shard.
    ///
    /// # Errors
    /// STARTING while there are none.
    pub(super) fn home(&self, user: &UserId) -> Result<(usize, &Core), Failure> {
        let Serving { cores, placement, .. } = self.serving()?;
        let shard = usize::from(placement.shard_of(user.slot()).0);
        cores.get(shard).map(|core| (shard, core)).ok_or_else(|| Failure::of(Code::Starting))
    }

    /// What is revoked.
    ///
    /// # Errors
    /// STARTING until it was read.
    pub(super) fn revocations(&self) -> Result<&Revocations, Failure> {
        self.serving().map(|serving| &serving.revocations)
    }

    /// What addresses may do.
    ///
    /// # Errors
    /// STARTING while nobody is let in.
    pub(super) fn addresses(&self) -> Result<&AddressTable, Failure> {
        self.serving().map(|serving| serving.addresses.as_ref())
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another configuration is in force.
    pub(crate) fn show(&self, config: Arc<Config>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Flags of the process.
    pub(crate) fn control(&self) -> &Control {
        &self.parts.control
    }

    /// The log, if this process has one.
    pub(crate) fn log(&self) -> Option<&LogControl> {
        self.parts.log.as_ref()
    }

    /// What operators must show.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.parts.credential.as_ref()
    }

    /// What tokens are issued with.
    pub(super) fn issuing(&self) -> Option<&Issuing> {
        self.parts.issuing.as_ref()
    }

    /// The demo, if there is one.
    pub(crate) fn demo(&self) -> Option<&Demo> {
        self.parts.demo.as_deref()
    }

    /// When the process started, in seconds since 1970.
    pub(crate) fn started_s(&self) -> u64 {
        self.started_s
    }
}

#[cfg(test)]
mod tests;
