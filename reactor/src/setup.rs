//! Why a reactor cannot start on this host, in a sentence that an operator can act on.
//!
//! Invariants
//! - Every refusal of the kernel becomes one [`SetupError`]; none is retried with less.

use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

/// The first kernel with everything that is used here.
const KERNEL_MIN: &str = "6.12";

/// Why no ring could be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The kernel was built without io_uring.
    #[error(
        "this kernel ({kernel}) has no io_uring; run Linux {KERNEL_MIN} or newer, built with CONFIG_IO_URING"
    )]
    Missing {
        /// Release of the running kernel.
        kernel: String,
    },
    /// The host forbids it.
    #[error("io_uring is forbidden here: {reason}")]
    Forbidden {
        /// By what, and what to do.
        reason: String,
    },
    /// The kernel lacks something that is needed.
    #[error("this kernel ({kernel}) is too old: it lacks {lacks}; run Linux {KERNEL_MIN} or newer")]
    TooOld {
        /// Release of the running kernel.
        kernel: String,
        /// The operation or feature.
        lacks: &'static str,
    },
    /// The kernel refused memory.
    #[error(
        "no memory for io_uring ({what}: {source}); raise the service's memory limit or RLIMIT_MEMLOCK, or lower the queue and buffer sizes"
    )]
    Memory {
        /// What it was for.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Too few descriptors.
    #[error(
        "too few file descriptors for io_uring ({what}: {source}); raise RLIMIT_NOFILE (LimitNOFILE= of a service)"
    )]
    Descriptors {
        /// What they were for.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A setting is out of range.
    #[error("reactor settings: {rule}")]
    Config {
        /// The rule that is broken.
        rule: &'static str,
    },
    /// Something else.
    #[error("setting up io_uring failed ({what}: {source})")]
    Other {
        /// At which step.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl SetupError {
    /// What a failed io_uring_setup(2) means. Source: its ERRORS section.
    pub(crate) fn from_setup(source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ENOSYS) => Self::Missing { kernel: kernel() },
            Some(libc::EPERM | libc::EACCES) => Self::Forbidden { reason: reason(disabled().as_deref()) },
            Some(libc::EINVAL) => {
                Self::TooOld { kernel: kernel(), lacks: "deferred task work for a single issuer" }
            }
            _ => Self::from_step("ring", source),
        }
    }

    /// What a failed later step means.
    pub(crate) fn from_step(what: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ENOMEM | libc::ENOBUFS) => Self::Memory { what, source },
            Some(libc::EMFILE | libc::ENFILE) => Self::Descriptors { what, source },
            Some(libc::EPERM | libc::EACCES) => Self::Forbidden { reason: reason(disabled().as_deref()) },
            _ => Self::Other { what, source },
        }
    }
}

/// Release of the running kernel.
fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn disabled() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()
}

/// Who forbids it. Source: Documentation/admin-guide/sysctl/kernel.rst, "io_uring_disabled".
fn reason(disabled: Option<&str>) -> String {
    match disabled.map(str::trim) {
        Some("2") => "the sysctl kernel.io_uring_disabled is 2; set it to 0".to_owned(),
        Some("1") => "the sysctl kernel.io_uring_disabled is 1 and this process is neither privileged nor in the group \
             kernel.io_uring_group; set it to 0, or put the service into that group"
            .to_owned(),
        _ => "a seccomp filter or security module refuses it (containers often do); allow the system calls \
             io_uring_setup, io_uring_enter and io_uring_register"
            .to_owned(),
    }
}

/// Operations and the words for them.
const OPERATIONS: [(u8, &str); 13] = [
    (opcode::Accept::CODE, "accept through the ring"),
    (opcode::RecvMulti::CODE, "receive through the ring"),
    (opcode::Send::CODE, "send through the ring"),
    (opcode::PollAdd::CODE, "poll through the ring"),
    (opcode::AsyncCancel2::CODE, "cancellation"),
    (opcode::Connect::CODE, "connect through the ring"),
    (opcode::Close::CODE, "close through the ring"),
    (opcode::Shutdown::CODE, "shutdown through the ring"),
    (opcode::Socket::CODE, "socket creation through the ring"),
    (opcode::Bind::CODE, "bind through the ring"),
    (opcode::MsgRingData::CODE, "messages between rings"),
    (opcode::SetSockOpt::CODE, "socket options through the ring"),
    (opcode::Write::CODE, "file writes through the ring"),
];

/// Refuses a kernel that lacks an operation or feature that is used later.
pub(crate) fn check_kernel(uring: &IoUring) -> Result<(), SetupError> {
    let mut probe = Probe::new();
    uring.submitter().register_probe(&mut probe).map_err(|source| SetupError::from_step("probe", source))?;
    let lacks = OPERATIONS.iter().find(|(code, _)| !probe.is_supported(*code)).map(|(_, words)| *words);
    let parameters = uring.params();
    // The shortest wait came with 6.12, as did a good part of what the flags above rely on.
    let old = (!parameters.is_feature_nodrop()).then_some("completions that are never dropped");
    let old = old.or((!parameters.is_feature_ext_arg()).then_some("waiting with a timeout"));
    let old =
        old.or((!parameters.is_feature_min_timeout()).then_some("a minimum wait (IORING_FEAT_MIN_TIMEOUT)"));
    match lacks.or(old) {
        Some(lacks) => Err(SetupError::TooOld { kernel: kernel(), lacks }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
