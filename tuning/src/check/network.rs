//! The network stack: queues of new connections, memory, ports, connection tracking.

use super::{Answer, Check, at_least, sysctl};
use crate::finding::Verdict;
use crate::host::{Host, ReadError};
use crate::plan::Plan;

pub(super) const LISTEN_QUEUE: Check = Check {
    name: "somaxconn",
    reads: "proc/sys/net/core/somaxconn",
    why: "after a restart everybody knocks at once; beyond the queue a client waits a second for its next try",
    ask: |host, plan| at_least(host, LISTEN_QUEUE.reads, plan.knocking(), Verdict::Warn),
};

pub(super) const SYN_QUEUE: Check = Check {
    name: "tcp_max_syn_backlog",
    reads: "proc/sys/net/ipv4/tcp_max_syn_backlog",
    why: "half-open handshakes beyond it are dropped when SYN cookies are off",
    ask: syn_queue,
};

pub(super) const TCP_MEMORY: Check = Check {
    name: "tcp_mem",
    reads: "proc/sys/net/ipv4/tcp_mem",
    why: "when every connection holds one page of unread or unsent bytes, TCP shrinks windows and then drops",
    ask: tcp_memory,
};

pub(super) const LOCAL_PORTS: Check = Check {
    name: "ip_local_port_range",
    reads: "proc/sys/net/ipv4/ip_local_port_range",
    why: "an outgoing connection may take the port of a listener while the gateway is down",
    ask: local_ports,
};

pub(super) const CONNTRACK: Check = Check {
    name: "conntrack",
    reads: "proc/sys/net/netfilter/nf_conntrack_max",
    why: "a firewall that tracks connections drops new ones when its table is full",
    ask: conntrack,
};

fn syn_queue(host: &Host, plan: &Plan) -> Result<Answer, ReadError> {
    let cookies = match host.number("proc/sys/net/ipv4/tcp_syncookies") {
        Err(error) if error.is_missing() => 0,
        other => other?,
    };
    let found = host.number(SYN_QUEUE.reads)?;
    let wanted = plan.knocking();
    let answer = Answer::new(found.to_string(), format!("at least {wanted}, or SYN cookies"));
    Ok(answer.or_warn(cookies != 0 || found >= wanted, sysctl(SYN_QUEUE.reads, wanted.to_string())))
}

/// Three numbers of pages: no pressure below, pressure from, never above. Source: tcp(7).
fn tcp_memory(host: &Host, plan: &Plan) -> Result<Answer, ReadError> {
    let [_, pressure, _] = host.numbers::<3>(TCP_MEMORY.reads)?;
    let wanted = plan.connections;
    let remedy =
        sysctl(TCP_MEMORY.reads, format!("{} {wanted} {}", wanted / 4 * 3, wanted.saturating_mul(2)));
    let answer = Answer::new(format!("pressure from {pressure} pages"), format!("at least {wanted} pages"));
    Ok(answer.or_warn(pressure >= wanted, remedy))
}

fn local_ports(host: &Host, plan: &Plan) -> Result<Answer, ReadError> {
    const RESERVED: &str = "proc/sys/net/ipv4/ip_local_reserved_ports";
    let [low, high] = host.numbers::<2>(LOCAL_PORTS.reads)?;
    let reserved = match host.text(RESERVED) {
        Err(error) if error.is_missing() => String::new(),
        other => other?,
    };
    let ranges = ranges(&reserved).ok_or_else(|| ReadError::form(RESERVED))?;
    let is_reserved = |port: u64| ranges.iter().any(|(from, to)| (*from..=*to).contains(&port));
    let open = |port: &u16| (low..=high).contains(&u64::from(*port)) && !is_reserved(u64::from(*port));
    let taken: Vec<String> = plan.ports.iter().filter(|port| open(port)).map(u16::to_string).collect();
    let found = format!("{low}-{high}, reserved {}", if reserved.is_empty() { "none" } else { &reserved });
    let all = [reserved, taken.join(",")].into_iter().filter(|list| !list.is_empty()).collect::<Vec<_>>();
    let answer = Answer::new(found, "no listening port in the range, unless reserved");
    Ok(answer.or_warn(taken.is_empty(), sysctl(RESERVED, all.join(","))))
}

/// Ranges of a list such as `1-4,7443`. Source: Documentation/networking/ip-sysctl.rst.
fn ranges(list: &str) -> Option<Vec<(u64, u64)>> {
    let parts = list.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
        })
        .collect()
}

/// Absent as long as no rule of a firewall asks for tracking.
fn conntrack(host: &Host, plan: &Plan) -> Result<Answer, ReadError> {
    match at_least(host, CONNTRACK.reads, plan.connections, Verdict::Warn) {
        Err(error) if error.is_missing() => Ok(Answer::new("no tracking", "no tracking, or room")),
        other => other,
    }
}
