//! Devices: real client sessions on a bad network.

use iris_client::session::{Backoff, Session, SessionConfig};
use iris_client::state::DeviceState;
use iris_protocol::{DeviceId, Mono, UserId};
use iris_shard::io::ConnId;
use std::time::Duration;

/// One device.
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) session: Session,
    /// Its connection, and the shard that has it.
    pub(crate) conn: Option<ConnId>,
    /// When the world will next tick it; `None`: not planned.
    pub(crate) tick_at: Option<Mono>,
    /// Arrivals keep their order: the last one to the server and from it.
    pub(crate) last_to_server: Mono,
    pub(crate) last_from_server: Mono,
    jitter_seed: u64,
    /// Starts so far: the instance that its Hellos name.
    pub(crate) starts: u32,
    /// The last Hello of this device that arrived was one of an earlier start.
    pub(crate) is_doubled: bool,
}

impl Person {
    pub(crate) fn new(user: UserId, device: DeviceId, jitter_seed: u64) -> Self {
        let session = Session::new(config(jitter_seed, 1), user.clone(), DeviceState::default());
        Self {
            user,
            device,
            session,
            conn: None,
            tick_at: None,
            last_to_server: Mono(0),
            last_from_server: Mono(0),
            jitter_seed,
            starts: 1,
            is_doubled: false,
        }
    }

    /// The device stops and comes back from what it had saved.
    pub(crate) fn restart(&mut self) {
        let state = self.session.state();
        self.restart_from(state);
    }

    /// As [`Person::restart`], from an older state.
    pub(crate) fn restart_from(&mut self, state: DeviceState) {
        self.starts += 1;
        self.session = Session::new(config(self.jitter_seed, self.starts), self.user.clone(), state);
        self.conn = None;
        self.tick_at = None;
    }

    /// How the world names it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.user, self.device)
    }
}

fn config(jitter_seed: u64, instance: u32) -> SessionConfig {
    SessionConfig {
        window: 8,
        answer_timeout: Duration::from_secs(3),
        backoff: Backoff {
            base: Duration::from_millis(20),
            cap: Duration::from_secs(1),
            stable_after: Duration::from_millis(500),
        },
        jitter_seed,
        instance,
        ..SessionConfig::default()
    }
}
