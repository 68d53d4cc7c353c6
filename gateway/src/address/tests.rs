//! What an address is allowed, and what its neighbours notice.

use super::{AddressLimits, AddressTable, Network, Networks, Refusal, Seat};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

fn table(unauthenticated: u32, handshakes_per_second: u32) -> Arc<AddressTable> {
    AddressTable::new(&AddressLimits { unauthenticated, handshakes_per_second, allow: Networks::default() })
}

fn admit(table: &Arc<AddressTable>, address: IpAddr, now: Instant) -> Result<Seat, Refusal> {
    table.admit(Some(SocketAddr::new(address, 4242)), now)
}

/// Proves: G-EDGE-3 (an address has so many connections before login and no more, and each that ends makes room for one)
/// Seen to fail when: `Seat` gives nothing back.
#[test]
fn an_address_has_its_places_and_gets_them_back() {
    let (table, now) = (table(10, 1000), Instant::now());
    let mut seats: Vec<Seat> = (0..10).map(|_| admit(&table, ATTACKER, now).unwrap()).collect();
    for _ in 0..3 {
        assert_eq!(admit(&table, ATTACKER, now).unwrap_err(), Refusal::Unauthenticated);
        seats.pop();
        seats.push(admit(&table, ATTACKER, now).unwrap());
    }
    drop(seats);
    assert!(table.is_vacant());
}

/// Proves: G-EDGE-3 (an address may connect so often a second, and twice as often at once)
/// Seen to fail when: `Cell::with_one_more` keeps the old time.
#[test]
fn an_address_keeps_to_its_rate() {
    let (table, begin) = (table(1000, 5), Instant::now());
    for _ in 0..10 {
        drop(admit(&table, ATTACKER, begin).unwrap());
    }
    let mut admitted = 0;
    for ms in 0..10_000 {
        match admit(&table, ATTACKER, begin + Duration::from_millis(ms)) {
            Ok(_) => admitted += 1,
            Err(refusal) => assert_eq!(refusal, Refusal::Handshakes),
        }
    }
    assert_eq!(admitted, 49, "5 a second in just less than 10 s, and no burst left");
}

/// Proves: G-EDGE-3 (who shares cells with an address that is full is served)
/// Seen to fail when: an address is judged by the fullest of its cells.
#[test]
fn the_neighbours_of_an_attacker_are_served() {
    let (table, begin) = (table(10, 10_000), Instant::now());
    let _seats: Vec<Seat> = (0..10).map(|_| admit(&table, ATTACKER, begin).unwrap()).collect();
    for number in 0..100_000_u32 {
        let stranger = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
        let admitted = admit(&table, stranger, begin + Duration::from_millis(u64::from(number)));
        assert!(admitted.is_ok(), "stranger {number}: {admitted:?}");
    }
    assert_eq!(admit(&table, ATTACKER, begin).unwrap_err(), Refusal::Unauthenticated);
}

/// Proves: G-EDGE-3 (a subscriber's IPv6 addresses count together, and so do two ways to write an IPv4 one)
/// Seen to fail when: `source_of` takes an IPv6 address as it is.
#[test]
fn addresses_of_one_subscriber_count_together() {
    let now = Instant::now();
    let v6 = |high: u16, low: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, high, 0, 0, 0, low));
    let mapped = IpAddr::V6(Ipv4Addr::new(198, 51, 100, 7).to_ipv6_mapped());
    for (one, same, other) in [(v6(1, 1), v6(1, 2), v6(2, 1)), (ATTACKER, mapped, v6(3, 3))] {
        let table = table(1, 1000);
        let _seat = admit(&table, one, now).unwrap();
        assert_eq!(admit(&table, same, now).unwrap_err(), Refusal::Unauthenticated);
        assert!(admit(&table, other, now).is_ok());
    }
}

/// Proves: G-EDGE-3 (an address on the allow-list is not limited; a list that is changed holds from then on)
/// Seen to fail when: `AddressTable::set_limits` forgets the list.
#[test]
fn the_allow_list_exempts() {
    let (table, now) = (table(1, 1), Instant::now());
    let mut limits = AddressLimits {
        unauthenticated: 1,
        handshakes_per_second: 1,
        allow: Networks(vec!["198.51.100.0/24".parse().unwrap()]),
    };
    table.set_limits(&limits);
    let seats: Vec<Seat> = (0..100).map(|_| admit(&table, ATTACKER, now).unwrap()).collect();
    limits.allow = Networks::default();
    table.set_limits(&limits);
    let _seat = admit(&table, ATTACKER, now).unwrap();
    assert_eq!(admit(&table, ATTACKER, now).unwrap_err(), Refusal::Unauthenticated);
    drop(seats);
}

/// Proves: G-EDGE-3 (a ban refuses until its end, or until it is taken back; a peer that has gone is not served)
/// Seen to fail when: the time of a ban is not looked at.
#[test]
fn a_ban_lasts_until_its_end() {
    let (table, now) = (table(10, 1000), Instant::now());
    let minute = Duration::from_mins(1);
    table.ban(ATTACKER, now + minute).unwrap();
    assert_eq!(table.banned(), [(ATTACKER, now + minute)]);
    assert_eq!(admit(&table, ATTACKER, now).unwrap_err(), Refusal::Banned);
    assert!(table.unban(ATTACKER) && !table.unban(ATTACKER));
    assert!(admit(&table, ATTACKER, now).is_ok());
    table.ban(ATTACKER, now + minute).unwrap();
    assert!(admit(&table, ATTACKER, now + minute).is_ok());
    assert_eq!(table.admit(None, now).unwrap_err(), Refusal::Gone);
}

/// Proves: G-EDGE-3 (cores that admit and release at the same time lose no count)
/// Seen to fail when: `AddressTable::release` loads, subtracts and stores.
#[test]
fn places_are_counted_exactly_by_many_threads() {
    let (table, now) = (table(10_000, 10_000), Instant::now());
    let all_here = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                all_here.wait();
                for round in 0..200_000 {
                    drop(admit(&table, ATTACKER, now + Duration::from_millis(round)));
                }
            });
        }
    });
    assert!(table.is_vacant());
}

/// Proves: a network is written in one way, and has the addresses that begin with its bits.
/// Seen to fail when: bits behind the prefix are ignored.
#[test]
fn networks_are_read_as_written() {
    let network = |text: &str| text.parse::<Network>();
    for (text, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("0.0.0.0/0", "203.0.113.9", "::1"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("::/0", "2001:db8::1", "10.0.0.1"),
    ] {
        let read = network(text).unwrap();
        assert!(read.contains(inside.parse().unwrap()) && !read.contains(outside.parse().unwrap()), "{text}");
        assert_eq!(network(&read.to_string()), Ok(read), "{text}");
    }
    for text in ["", "10.0.0.0/33", "10.1.2.3/8", "2001:db8::1/64", "::/129", "10.0.0.0/", "host", "10.0.0/8"]
    {
        assert!(network(text).is_err(), "{text}");
    }
}
