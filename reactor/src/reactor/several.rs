//! Waiting for several rings on one thread.
//!
//! Each ring signals an eventfd when it has something to do, and an edge-triggered epoll waits for all of them. (Waiting
//! for a ring's own descriptor never wakes with deferred task work: a ring is readable when completions are posted, and
//! they are posted inside enter only.)
//!
//! Invariants
//! - A ring signals before the wait returns: its edge stays in the epoll until it is taken.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, epoll, eventfd};

use crate::ring::{Limit, Ring};
use crate::setup::SetupError;

/// Signals taken from one wait; the rest stays for the next.
const SIGNALS: usize = 64;

pub(super) struct Several {
    epoll: OwnedFd,
    /// Kept open: the epoll watches them.
    eventfds: Vec<OwnedFd>,
}

impl Several {
    /// Begins to watch the first ring.
    pub(super) fn new(first: &Ring) -> Result<Self, SetupError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        let epoll = epoll.map_err(|source| SetupError::from_step("epoll", source.into()))?;
        let mut several = Self { epoll, eventfds: Vec::new() };
        several.add(0, first)?;
        Ok(several)
    }

    /// Watches one ring more.
    pub(super) fn add(&mut self, number: usize, ring: &Ring) -> Result<(), SetupError> {
        let watched = || -> io::Result<OwnedFd> {
            let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let number = epoll::EventData::new_u64(number as u64);
            epoll::add(&self.epoll, &signal, number, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
            ring.signal_through(signal.as_raw_fd())?;
            Ok(signal)
        };
        let signal = watched().map_err(|source| SetupError::from_step("ring signal", source))?;
        self.eventfds.push(signal);
        Ok(())
    }

    /// Waits until a ring signals or the time is up.
    pub(super) fn wait(&self, limit: Limit) -> io::Result<()> {
        let limit = limit.after().map(|limit| libc::timespec {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(limit.subsec_nanos().cast_signed()),
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let mut signals = [const { libc::epoll_event { events: 0, u64: 0 } }; SIGNALS];
        let room = libc::c_int::try_from(SIGNALS).unwrap_or(1);
        let sigmask = std::ptr::null::<libc::sigset_t>();
        // SAFETY: the events and the timeout live until the call returns, and the room is the array's length.
        let waited = unsafe {
            let (epoll, signals) = (self.epoll.as_raw_fd(), signals.as_mut_ptr());
            libc::syscall(libc::SYS_epoll_pwait2, epoll, signals, room, limit, sigmask, 0usize)
        };
        if waited >= 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINTR) => Ok(()),
            error => Err(error),
        }
    }
}
