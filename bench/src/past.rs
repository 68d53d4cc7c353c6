//! What a gateway has behind it before it is measured: users it has had, or entries that wait in inboxes.
//!
//! Invariants
//! - A past is made by clients, as any past is; what went wrong with one of its messages fails the run.
//! - Nobody of the past is connected when it is made.

use crate::clock::Clock;
use crate::drive::{self, Nobody, Target, load_config};
use crate::error::BenchError;
use crate::fleet::{Fleet, Meter};
use crate::gateway::Credential;
use crate::links::Links;
use crate::output::Progress;
use crate::payload::Run;
use crate::plan::{Span, TrafficPlan};
use std::sync::Arc;
use std::time::Duration;

/// Users that come, send a message each and go, at the same time.
const CROWD: usize = 20_000;
/// Messages a second of a past.
const RATE: f64 = 5_000.0;
/// Connections a second of a past.
const CONNECT_RATE: f64 = 4_000.0;
/// Connections on their way at the same time.
const CONNECTING: u32 = 256;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// A fresh gateway.
    Nothing,
    /// So many users were there once, and each wrote to another one.
    Users(u32),
    /// So many entries wait in the inbox of each user who will be measured, for a second device that does not come.
    Waiting(u32),
}

impl Past {
    /// True if conversations have begun.
    pub fn is_something(self) -> bool {
        self != Self::Nothing
    }

    /// Makes it, and gives how many messages it took. `plan` is the load that is measured later; `absent`: the second devices of
    /// its users.
    ///
    /// # Errors
    /// The gateway or the load failed, or a message was lost, doubled, reordered or altered.
    pub fn make(
        self,
        plan: &TrafficPlan,
        target: &Target,
        devices: &[Credential],
        absent: &[Credential],
    ) -> Result<u64, BenchError> {
        match self {
            Self::Nothing => Ok(0),
            Self::Users(users) => {
                let users = devices.get(..users as usize).unwrap_or(devices);
                let mut messages = 0;
                for crowd in users.chunks(CROWD) {
                    let pairs = u32::try_from(crowd.len() / 2).unwrap_or(u32::MAX);
                    messages += exchange(plan, target, crowd, pairs, u64::from(pairs) * 2)?;
                }
                Ok(messages)
            }
            Self::Waiting(entries) => {
                link(plan, target, absent)?;
                // A message is an entry of its recipient, and the own copy of its sender.
                let messages = u64::from(entries) * u64::from(plan.pairs);
                exchange(plan, target, devices, plan.pairs, messages)
            }
        }
    }
}

/// Pairs write to each other, all of them as often, and leave. Gives how many messages it were.
fn exchange(
    plan: &TrafficPlan,
    target: &Target,
    devices: &[Credential],
    pairs: u32,
    messages: u64,
) -> Result<u64, BenchError> {
    let span = Span {
        ramp: Duration::ZERO,
        warmup: Duration::ZERO,
        duration: Duration::from_secs_f64(crate::schedule::exact(messages) / RATE),
    };
    let threads = plan.threads.min(u16::try_from(pairs).unwrap_or(u16::MAX));
    let past = TrafficPlan {
        pairs,
        rate: RATE,
        skew: 0.0,
        span,
        threads,
        connecting: CONNECTING,
        connect_rate: CONNECT_RATE,
        ..plan.clone()
    };
    // A user may be in more than one past.
    let target = Target { fresh: false, ..target.clone() };
    let driven = drive::drive(&past, &target, devices, &mut Nobody)?;
    let verdict = driven.tally.verdict(true);
    verdict.map_or(Ok(driven.tally.transmitted), |why| {
        Err(BenchError::Verdict(format!("before it was measured: {why}")))
    })
}

/// Devices log in, once, so that what comes later waits for them.
fn link(plan: &TrafficPlan, target: &Target, devices: &[Credential]) -> Result<(), BenchError> {
    Progress::new().say(&format!("linking {} second devices", devices.len()));
    let plan = TrafficPlan { threads: 1, connecting: CONNECTING, connect_rate: CONNECT_RATE, ..plan.clone() };
    let plan = drive::fleet_plan(&plan, target, Run(0), 0);
    let mut links = Links::new(&load_config(), target.security.clone())?;
    let mut fleet = Fleet::new(plan, Clock::start(), devices.to_vec(), Arc::new(Meter::default()));
    fleet.log_in(&mut links, usize::MAX)
}
