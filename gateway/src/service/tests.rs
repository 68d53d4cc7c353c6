//! Signs of life, and the unit file that is shipped.

use super::Watch;
use crate::args::Task;
use crate::cli::Cli;
use crate::config::{Config, Span};
use crate::exit::ExitStatus;
use clap::Parser as _;
use std::collections::BTreeSet;

const UNIT: &str = include_str!("../../../dist/iris-gateway.service");

/// The values of a key of the unit, in all sections.
fn values(key: &str) -> Vec<&'static str> {
    let pairs = UNIT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
}

fn value(key: &str) -> &'static str {
    let values = values(key);
    assert_eq!(values.len(), 1, "{key}: {values:?}");
    values[0]
}

fn seconds(key: &str) -> u64 {
    let Span(time) = value(key).replace("min", "m").parse().unwrap();
    time.as_secs()
}

/// Proves: G-SERVICE-1 (one core that stands is enough to give no sign of life, whatever the others do)
/// Seen to fail when: only the sum of the cores' turns is looked at.
#[test]
fn a_core_that_stands_ends_the_signs_of_life() {
    let mut watch = Watch::default();
    assert_eq!(watch.first_that_stands(vec![0, 0]), None, "there was no look before");
    assert_eq!(watch.first_that_stands(vec![5, 7]), None);
    assert_eq!(watch.first_that_stands(vec![9, 7]), Some(1));
    assert_eq!(watch.first_that_stands(vec![9, 8]), Some(0));
    assert_eq!(watch.first_that_stands(vec![10, 9]), None);
}

/// Proves: G-SERVICE-1 (the unit starts what the command understands, and restarts where a restart helps and nowhere else)
/// Seen to fail when: a status is left out of `RestartPreventExitStatus`.
#[test]
fn the_unit_fits_the_command_and_its_exit_statuses() {
    assert_eq!((value("Type"), value("Restart")), ("notify", "on-failure"));
    let start = Cli::try_parse_from(value("ExecStart").split(' ')).unwrap();
    assert!(matches!(Task::of(start).unwrap(), Task::Serve(_)));
    assert_eq!(value("ExecReload"), "/bin/kill -HUP $MAINPID");
    let prevented: BTreeSet<u8> =
        value("RestartPreventExitStatus").split(' ').map(|status| status.parse().unwrap()).collect();
    let hopeless =
        ExitStatus::ALL.iter().filter(|status| !status.restart_helps() && **status != ExitStatus::Ok);
    assert_eq!(prevented, hopeless.map(|status| status.number()).collect());
}

/// Proves: G-SERVICE-1 (the unit leaves time to drain, room for descriptors and rings, the data directory, and io_uring)
/// Seen to fail when: a `SystemCallFilter` is added to the unit.
#[test]
fn the_unit_leaves_what_the_gateway_needs() {
    let config = Config::default();
    assert!(seconds("TimeoutStopSec") > config.server.drain.0.as_secs() * 2);
    assert!(seconds("WatchdogSec") >= 5);
    assert_eq!(value("ReadWritePaths"), config.server.data_dir.to_str().unwrap());
    assert_eq!(value("ProtectSystem"), "strict");
    assert_eq!(value("LimitMEMLOCK"), "infinity");
    assert!(value("LimitNOFILE").parse::<u32>().unwrap() >= config.connections.descriptors_per_ring);
    for forbidden in ["SystemCallFilter", "ProcSubset", "PrivateNetwork", "IPAddressDeny"] {
        assert!(values(forbidden).is_empty(), "{forbidden}");
    }
    let families: BTreeSet<&str> = value("RestrictAddressFamilies").split(' ').collect();
    assert!(families.is_superset(&BTreeSet::from(["AF_INET", "AF_INET6", "AF_UNIX"])));
}
