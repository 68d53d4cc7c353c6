//! Peers that vanish without a word: a network of its own, whose link goes down.

use crate::harness::*;
use iris_client::driver::Driver;
use iris_client::endpoint::Endpoint;
use std::process::Command;
use std::time::{Duration, Instant};

/// Two links between this host and a namespace where the gateway runs.
struct Network {
    namespace: String,
    links: [Link; 2],
}

struct Link {
    name: String,
    /// The first three bytes of its addresses: this host has .1, the gateway .2.
    subnet: String,
}

impl Link {
    fn far(&self) -> String {
        format!("{}.2", self.subnet)
    }
}

fn ip(args: &str) -> Result<(), String> {
    let output = Command::new("ip").args(args.split_whitespace()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("ip {args}: {said}")) }
}

impl Network {
    /// `None` where it cannot be made.
    fn make() -> Option<Self> {
        let pid = std::process::id();
        // A process has one such network; addresses of others must differ.
        let link = |letter: char, number: u32| Link {
            name: format!("iris{letter}{pid}"),
            subnet: format!("10.{number}.{}", pid % 250),
        };
        let network = Self { namespace: format!("iris-{pid}"), links: [link('a', 213), link('b', 214)] };
        match network.bring_up() {
            Ok(()) => Some(network),
            Err(why) => {
                skip(&why);
                None
            }
        }
    }

    fn bring_up(&self) -> Result<(), String> {
        let space = &self.namespace;
        ip(&format!("netns add {space}"))?;
        ip(&format!("-n {space} link set lo up"))?;
        for (number, Link { name, subnet }) in self.links.iter().enumerate() {
            ip(&format!("link add {name} type veth peer name far{number} netns {space}"))?;
            ip(&format!("addr add {subnet}.1/30 dev {name}"))?;
            ip(&format!("-n {space} addr add {subnet}.2/30 dev far{number}"))?;
            ip(&format!("link set {name} up"))?;
            ip(&format!("-n {space} link set far{number} up"))?;
        }
        Ok(())
    }

    fn setup(&self) -> Setup {
        let prefix = ["ip", "netns", "exec", &self.namespace].map(str::to_owned).to_vec();
        let names = self.links.iter().map(Link::far).collect();
        let extra = "[limits]\nheartbeat = \"1s\"\n".to_owned();
        Setup { prefix, names, tls: "0.0.0.0:0".to_owned(), extra, ..Setup::default() }
    }

    /// The gateway over one of the links.
    fn over(&self, link: usize, gateway: &Gateway) -> Endpoint {
        let port = gateway.tls_address().rsplit(':').next().unwrap();
        let address = format!("{}:{port}", self.links[link].far());
        Endpoint::tls(&address, &gateway.dir.path().join("ca.pem")).unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The far ends, and with them the near ones, go with the namespace; sockets may keep it a little longer.
        for link in &self.links {
            let _gone = ip(&format!("link del {}", link.name));
        }
        let _gone = ip(&format!("netns del {}", self.namespace));
    }
}

/// Lets a device answer pings until nobody else is connected.
fn wait_alone(gateway: &mut Gateway, device: &mut Driver) -> Duration {
    let begun = Instant::now();
    while gateway.stats()["connections"] != 1 {
        assert!(begun.elapsed() < PATIENCE, "{}", gateway.stats());
        let notice = device.next(Duration::from_millis(50)).unwrap();
        assert!(notice.is_none(), "{notice:?}");
    }
    begun.elapsed()
}

/// Proves: G-EDGE-2 (on a real network: a link goes down under an idle connection and under one with unacknowledged data; both
/// are closed within the heartbeat, the time for its answer and the time of a close, and the device gets everything over
/// another link)
/// Seen to fail when: a session that does not answer its ping is not closed; an entry leaves the inbox when it was sent.
#[test]
fn f_46_a_peer_behind_a_dead_link_is_found_and_gets_its_messages_over_another() {
    let Some(network) = Network::make() else { return };
    let mut gateway = Gateway::start(network.setup());
    let mut alice = gateway.device(network.over(1, &gateway), "alice", "phone");
    let mut bob = gateway.device(network.over(0, &gateway), "bob", "phone");
    let mut carol = gateway.device(network.over(0, &gateway), "carol", "phone");
    for device in [&mut alice, &mut bob, &mut carol] {
        wait_welcome(device);
        assert_eq!(caught_up(device), Vec::<String>::new());
    }
    send_accepted(&mut alice, to("bob"), "one");
    assert_eq!(text(&wait_message(&mut bob)), "one");
    assert!(bob.next(Duration::ZERO).unwrap().is_none(), "he has stored it");
    gateway.stats_with("connections", 3);
    ip(&format!("link set {} down", network.links[0].name)).unwrap();
    for text in ["two", "three"] {
        send_accepted(&mut alice, to("bob"), text);
    }
    while alice.next(Duration::from_millis(50)).unwrap().is_some() {}
    let found_in = wait_alone(&mut gateway, &mut alice);
    println!("found after {found_in:.1?}");
    assert!(found_in < Duration::from_secs(1 + 20 + 5 + 4), "{found_in:?}");
    drop((bob, carol));
    let mut bob = gateway.device(network.over(1, &gateway), "bob", "phone");
    assert_eq!(caught_up(&mut bob), ["two", "three"]);
    let mut carol = gateway.device(network.over(1, &gateway), "carol", "phone");
    assert_eq!(caught_up(&mut carol), Vec::<String>::new());
    send_accepted(&mut alice, to("carol"), "four");
    assert_eq!(text(&wait_message(&mut carol)), "four");
}
