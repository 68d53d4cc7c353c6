//! What a reload takes, and what the operators' page says of it.

use super::{LIVE, is_live, merge};
use crate::config::{Config, DESCRIPTIONS, Size, Span};
use std::time::Duration;

/// Proves: G-RELOAD-1 (live keys are in force at once, the others wait for a restart and are told again)
/// Seen to fail when: `merge` takes every new value.
#[test]
fn live_keys_change_and_the_others_wait() {
    let old = Config::default();
    let mut new = Config::default();
    new.limits.devices = 3;
    new.server.drain = Span(Duration::from_secs(1));
    new.server.shards = 7;
    new.storage.ballast = Size(1 << 20);
    let (config, changed, waiting) = merge(&old, &new);
    assert_eq!(changed, ["limits.devices", "server.drain"]);
    assert_eq!(waiting, ["server.shards", "storage.ballast"]);
    assert_eq!((config.limits.devices, config.server.drain), (3, new.server.drain));
    assert_eq!((config.server.shards, config.storage.ballast), (0, old.storage.ballast));
    let (_, changed, waiting) = merge(&config, &new);
    assert!(changed.is_empty() && waiting.len() == 2, "{changed:?} {waiting:?}");
}

/// Proves: G-RELOAD-1 (the operators' page names the keys that are live, and they exist)
/// Seen to fail when: a key is made live without the page.
#[test]
fn the_operators_page_names_the_live_keys() {
    let keys =
        || DESCRIPTIONS.iter().flat_map(|section| section.keys.iter().map(|key| (section.name, key.name)));
    for live in LIVE {
        assert!(
            keys()
                .any(|(section, key)| *live == format!("{section}.*") || *live == format!("{section}.{key}")),
            "{live}"
        );
    }
    assert!(keys().any(|(section, key)| !is_live(section, key)));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATING.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once("<!-- live keys -->\n").expect("the opening mark");
    let (documented, _) = rest.split_once("<!-- end of live keys -->").expect("the closing mark");
    let names: Vec<&str> = documented.split('`').skip(1).step_by(2).collect();
    assert_eq!(names, LIVE);
}
