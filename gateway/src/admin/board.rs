//! What the admin port knows of the process.
//!
//! Invariants
//! - The port is served while the process starts: what is not there yet is a value.

use super::access::Credential;
use crate::config::Config;
use crate::control::{Control, CoreStats};
use crate::logging::LogControl;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

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
}

/// See the module.
pub(crate) struct Board {
    parts: BoardParts,
    config: RwLock<Arc<Config>>,
    cores: OnceLock<Vec<Arc<CoreStats>>>,
    started_s: u64,
}

impl Board {
    /// A board without cores.
    pub(crate) fn new(parts: BoardParts) -> Self {
        let started_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let config = RwLock::new(Arc::clone(&parts.config));
        Self { parts, config, cores: OnceLock::new(), started_s }
    }

    /// The cores have started: from here on they are shown.
    pub(crate) fn introduce(&self, cores: Vec<Arc<CoreStats>>) {
        assert!(self.cores.set(cores).is_ok(), "the cores were introduced twice");
    }

    /// The cores, by shard; `None` while the process starts.
    pub(crate) fn cores(&self) -> Option<&[Arc<CoreStats>]> {
        self.cores.get().map(Vec::as_slice)
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

    /// When the process started, in seconds since 1970.
    pub(crate) fn started_s(&self) -> u64 {
        self.started_s
    }
}
