//! Making connections, and asking for a peer's address.
//!
//! A socket is made straight into the descriptor table; options, bind and connect follow as one linked chain, so that
//! a connection costs two submissions and no ordinary descriptor.
//!
//! Invariants
//! - The addresses of a chain live until the connect has completed.

use std::io;
use std::net::SocketAddr;
use std::os::raw::c_void;

use io_uring::squeue::{self, Flags};
use io_uring::{opcode, types};
use socket2::{SockAddr, SockAddrStorage};

use super::{Completion, Output, Ring};
use crate::conn::{Conn, Listener};
use crate::event::{CloseCause, Event};
use crate::slots::{NONE, Phase};
use crate::tag::Kind;

/// The value of an option that is switched on.
static ON: libc::c_int = 1;

/// What an operation of a connection in the making points to.
#[derive(Debug)]
pub(super) enum Address {
    /// Where to, and from where.
    Connect { to: SockAddr, from: Option<SockAddr> },
    /// Room for the answer, and who will be told.
    Peer { storage: SockAddrStorage, listener: Listener },
}

/// The address family of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn address_bytes(self) -> u32 {
        let bytes = match self {
            Self::V4 => size_of::<libc::sockaddr_in>(),
            Self::V6 => size_of::<libc::sockaddr_in6>(),
        };
        u32::try_from(bytes).unwrap_or(0)
    }
}

impl Ring {
    /// Begins a connection; the caller has found room in the table.
    pub(crate) fn connect(&mut self, to: SocketAddr, from: Option<SocketAddr>) -> Conn {
        let address = Address::Connect { to: to.into(), from: from.map(SockAddr::from) };
        let index = self.slots.insert();
        let side = u32::try_from(self.addresses.insert(Box::new(address))).unwrap_or(NONE);
        let slot = self.slots.at(index);
        slot.phase = Phase::Connecting;
        slot.side = side;
        let domain = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let socket = opcode::Socket::new(domain, libc::SOCK_STREAM, 0);
        let socket = socket.file_index(Some(types::DestinationSlot::auto_target())).build();
        let socket = socket.user_data(self.tag(Kind::Socket, index));
        // SAFETY: the entry points to nothing.
        unsafe { self.push_owed(index, socket) };
        self.conn(index)
    }

    pub(super) fn on_socket(&mut self, index: u32, completion: Completion, output: &mut Output) {
        match u32::try_from(completion.result) {
            Ok(descriptor) => {
                self.slots.at(index).descriptor = descriptor;
                if self.slots.peek(index).phase == Phase::Connecting {
                    self.push_connect(index);
                } else {
                    self.drop_address(index);
                    self.settle(index, output);
                }
            }
            Err(_) => self.fail_connect(index, completion.errno().unwrap_or(libc::EIO), output),
        }
    }

    /// No delay, then bind if asked for (the port is left to connect), then connect.
    fn push_connect(&mut self, index: u32) {
        let fixed = self.fixed(index);
        let side = self.slots.peek(index).side as usize;
        let mut chain: [Option<squeue::Entry>; 4] = [const { None }; 4];
        chain[0] = Some(switch_on(fixed, libc::IPPROTO_TCP, libc::TCP_NODELAY));
        let Address::Connect { to, from } = &*self.addresses[side] else {
            unreachable!("slot {index} connects without an address")
        };
        if let Some(from) = from {
            if from.as_socket().is_some_and(|from| from.port() == 0) {
                chain[1] = Some(switch_on(fixed, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT));
            }
            chain[2] = Some(opcode::Bind::new(fixed, from.as_ptr().cast(), from.len()).build());
        }
        let connect = opcode::Connect::new(fixed, to.as_ptr().cast(), to.len()).build();
        let prepare = self.tag(Kind::Prepare, index);
        let linked =
            chain.iter().flatten().map(|entry| entry.clone().user_data(prepare).flags(Flags::IO_LINK));
        let last = connect.user_data(self.tag(Kind::Connect, index));
        let entries: Vec<squeue::Entry> = linked.chain([last]).collect();
        let owed = u16::try_from(entries.len()).unwrap_or(u16::MAX);
        self.slots.at(index).pending += owed;
        self.owe(u32::from(owed));
        // SAFETY: option values are static, addresses stay in `addresses` until the connect's completion.
        unsafe { self.push_linked(&entries) };
    }

    /// An option or a bind is done. Its failure breaks the chain, and its error number is the one worth telling.
    pub(super) fn on_prepare(&mut self, index: u32, completion: Completion, output: &mut Output) {
        let slot = self.slots.at(index);
        if let Some(errno) = completion.errno()
            && errno != libc::ECANCELED
            && slot.phase == Phase::Connecting
        {
            slot.set_cause(CloseCause::Error(errno));
        }
        self.settle(index, output);
    }

    pub(super) fn on_connect(&mut self, index: u32, completion: Completion, output: &mut Output) {
        if let Some(errno) = completion.errno() {
            return self.fail_connect(index, errno, output);
        }
        self.drop_address(index);
        let conn = self.conn(index);
        let slot = self.slots.at(index);
        if slot.phase == Phase::Connecting {
            slot.phase = Phase::Open;
            output.counters.connects += 1;
            output.events.push_back(Event::Connected { conn, result: Ok(()) });
        }
        self.settle(index, output);
    }

    fn fail_connect(&mut self, index: u32, errno: i32, output: &mut Output) {
        self.drop_address(index);
        let conn = self.conn(index);
        let slot = self.slots.at(index);
        if slot.phase != Phase::Connecting {
            return self.settle(index, output);
        }
        let errno = match (errno, slot.cause()) {
            (libc::ECANCELED, CloseCause::Error(first)) => first,
            (errno, CloseCause::Error(_) | CloseCause::Peer | CloseCause::Reset | CloseCause::Local) => errno,
        };
        output.events.push_back(Event::Connected { conn, result: Err(io::Error::from_raw_os_error(errno)) });
        self.begin_close(index, CloseCause::Error(errno), output);
    }

    fn drop_address(&mut self, index: u32) -> Option<Box<Address>> {
        let side = std::mem::replace(&mut self.slots.at(index).side, NONE);
        self.addresses.try_remove(side as usize)
    }

    /// Takes a descriptor that a listener of this reactor accepted, with its peer's address if that is known.
    pub(crate) fn accept(
        &mut self,
        descriptor: u32,
        listener: Listener,
        peer: Option<SocketAddr>,
        output: &mut Output,
    ) {
        let index = self.adopt(descriptor, Phase::Open);
        let conn = self.conn(index);
        output.counters.accepts += 1;
        output.events.push_back(Event::Accepted { conn, listener, peer });
        self.settle(index, output);
    }

    /// As [`Ring::accept`], after asking the kernel who the peer is. `family` is the listener's: the kernel refuses to
    /// answer into more room than the address takes (SO_PEERNAME, net/core/sock.c).
    pub(crate) fn accept_and_ask(&mut self, descriptor: u32, listener: Listener, family: Family) {
        let index = self.adopt(descriptor, Phase::Naming);
        let room = Box::new(Address::Peer { storage: SockAddrStorage::zeroed(), listener });
        let side = self.addresses.insert(room);
        let slot = self.slots.at(index);
        slot.side = u32::try_from(side).unwrap_or(NONE);
        slot.flags.set_unannounced(true);
        let Address::Peer { storage, .. } = &mut *self.addresses[side] else { unreachable!("just inserted") };
        let value = std::ptr::from_mut(storage).cast::<c_void>();
        let question = opcode::SetSockOpt::new(
            self.fixed(index),
            libc::SOL_SOCKET.unsigned_abs(),
            libc::SO_PEERNAME.unsigned_abs(),
            value,
            family.address_bytes(),
        );
        let question = into_question(question.build()).user_data(self.tag(Kind::PeerName, index));
        // SAFETY: the boxed storage stays in `addresses` until the answer; it is longer than the entry says.
        unsafe { self.push_owed(index, question) };
    }

    pub(super) fn on_peer_name(&mut self, index: u32, completion: Completion, output: &mut Output) {
        let room = self.drop_address(index);
        let conn = self.conn(index);
        let slot = self.slots.at(index);
        let Some(Address::Peer { storage, listener }) = room.map(|room| *room) else {
            unreachable!("an answer without a question in slot {index}")
        };
        if slot.phase != Phase::Naming {
            return self.settle(index, output);
        }
        slot.phase = Phase::Open;
        slot.flags.set_unannounced(false);
        let peer = libc::socklen_t::try_from(completion.result).ok().and_then(|len| {
            // SAFETY: the kernel wrote an address of this length into the storage.
            unsafe { SockAddr::new(storage, len) }.as_socket()
        });
        output.counters.accepts += 1;
        output.events.push_back(Event::Accepted { conn, listener, peer });
        self.settle(index, output);
    }
}

fn switch_on(fixed: types::Fixed, level: libc::c_int, option: libc::c_int) -> squeue::Entry {
    let value = (&raw const ON).cast();
    let bytes = u32::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    opcode::SetSockOpt::new(fixed, level.unsigned_abs(), option.unsigned_abs(), value, bytes).build()
}

/// Turns a setsockopt command into the getsockopt command of the same option; the crate has no builder for that.
fn into_question(mut entry: squeue::Entry) -> squeue::Entry {
    /// Source: enum io_uring_socket_op, linux/io_uring.h.
    const SOCKET_URING_OP_GETSOCKOPT: u32 = 2;
    /// Where `cmd_op` lies in a submission. Source: struct io_uring_sqe, linux/io_uring.h.
    const CMD_OP: usize = 8;
    const { assert!(size_of::<squeue::Entry>() == 64, "not a submission as the kernel defines it") };
    // SAFETY: an entry is the kernel's 64-byte structure of plain numbers; these four bytes hold the command's number.
    unsafe {
        let at = (&raw mut entry).cast::<[u8; 4]>().byte_add(CMD_OP);
        at.write(SOCKET_URING_OP_GETSOCKOPT.to_ne_bytes());
    }
    entry
}
