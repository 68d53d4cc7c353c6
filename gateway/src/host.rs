//! Whether this host carries what is planned: said in the log at every start.
//!
//! Invariants
//! - Nothing here stops a start: a host that is too small for the plan still serves what it can.

use crate::config::Config;
use iris_tuning::{Host, Plan, Verdict, capacity, failed};

/// Logs how many connections the host can hold, and each setting that stands in the way of the planned number.
pub(crate) fn tell(config: &Config, shards: u16) {
    let host = Host::here();
    let plan = plan(config, shards);
    tracing::info!(capacity = %capacity(&host, &plan), "host");
    for finding in failed(&host, &plan) {
        match finding.verdict {
            Verdict::Fail => tracing::warn!(check = finding.check, %finding, "the host does not fit"),
            Verdict::Warn | Verdict::Ok => {
                tracing::info!(check = finding.check, %finding, "the host could do better");
            }
        }
    }
}

/// The standard number of connections, on the rings, ports and disk of this configuration.
fn plan(config: &Config, shards: u16) -> Plan {
    let listen = &config.listen;
    let listening = [listen.tls.0, listen.plaintext.0, listen.websocket.0, listen.websocket_plaintext.0];
    Plan {
        shards,
        rings_per_shard: config.connections.rings,
        descriptors_per_ring: config.connections.descriptors_per_ring,
        ports: listening.into_iter().flatten().map(|address| address.port()).collect(),
        data_dir: config.server.data_dir.clone(),
        ..Plan::default()
    }
}
