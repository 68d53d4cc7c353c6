//! What operators see and order through the admin port, and through the commands that use it.

use crate::admin::{request, with_admin};
use crate::floods::{asked, connect_from};
use crate::harness::*;
use crate::raw::*;
use iris_protocol::CloseCode;
use iris_protocol::wire::{self, client_frame, server_frame::Frame};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Proves: G-ADMIN-4 (a user is shown with devices and inbox, from memory and from the tables; nobody is unknown)
/// Seen to fail when: `Core::ask_user` does not ask the tables.
#[test]
fn a_user_is_shown_in_memory_or_not() {
    let mut gateway = Gateway::start(with_admin());
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    for text in ["one", "two", "three"] {
        send_accepted(&mut alice, to("bob"), text);
    }
    let user =
        |gateway: &Gateway, name: &str| gateway.order("GET", &format!("/api/v1/users/{name}"), "").json();
    let shown = user(&gateway, "alice");
    assert_eq!(
        (&shown["devices"][0]["device"], &shown["devices"][0]["connected"]),
        (&json!("phone"), &json!(true))
    );
    assert!(shown["devices"][0]["behind"].is_number(), "{shown}");
    wait_until("bob's inbox", || user(&gateway, "bob")["inbox"]["entries"] == 3);
    assert_eq!(user(&gateway, "bob")["devices"], json!([]));
    drop(alice);
    assert_eq!(gateway.terminate(), Some(0), "{}", gateway.log());
    gateway.restart();
    let shown = user(&gateway, "bob");
    assert_eq!((&shown["inbox"]["entries"], &shown["inbox"]["bytes"]), (&json!(3), &json!(11)), "{shown}");
    let shown = user(&gateway, "alice");
    assert_eq!(
        (&shown["devices"][0]["device"], &shown["devices"][0]["connected"]),
        (&json!("phone"), &json!(false))
    );
    gateway.order("GET", "/api/v1/users/nobody", "").assert_refused(404, "UNKNOWN_USER");
    gateway.order("GET", "/api/v1/users/no:body", "").assert_refused(400, "INVALID");
    gateway.order("GET", "/api/v1/users/%ff", "").assert_refused(400, "INVALID");
}

/// Proves: G-ADMIN-5 (each message's way to the acknowledgement and to the device is shown by its id, with its stages, which add up;
/// no user and no payload are)
/// Seen to fail when: `Core::follow_mail` follows nothing, when `stored` does not tell the recorder, and when `sent` does not.
#[test]
fn slow_messages_are_shown_with_the_stages_of_their_way() {
    let gateway = Gateway::start(with_admin());
    let mut alice = gateway.device(gateway.over_tls(), "alice", "phone");
    let names = ["bob", "carol", "dave", "erin"];
    let mut others = names.map(|name| gateway.device(gateway.over_tls(), name, "phone"));
    for device in &mut others {
        assert_eq!(caught_up(device), Vec::<String>::new());
    }
    let sent: BTreeSet<String> =
        names.iter().map(|name| send_accepted(&mut alice, to(name), "secret words").to_string()).collect();
    for device in &mut others {
        wait_message(device);
    }
    let page = |limit: &str| gateway.order("GET", &format!("/api/v1/slow{limit}"), "").json();
    let rows = |page: &Value| page["slow"].as_array().unwrap().clone();
    // Before the first thousand messages there is no line: all are shown.
    wait_until("both ways of each message", || rows(&page("")).len() == 2 * names.len());
    let shown = page("?limit=500");
    for way in ["accepted", "delivered"] {
        let ids = rows(&shown).into_iter().filter(|row| row["way"] == way);
        let ids: BTreeSet<String> = ids.map(|row| row["message_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, sent, "{way}: {shown}");
    }
    for row in rows(&shown) {
        let stages = row["stages_us"].as_object().unwrap();
        let sum: u64 = stages.values().map(|us| us.as_u64().unwrap()).sum();
        assert_eq!(row["total_us"], sum, "{row}");
        assert!(stages["commit"].as_u64() > Some(0), "{row}");
    }
    assert!(rows(&shown).iter().any(|row| row["stages_us"]["mail"].as_u64() > Some(0)), "{shown}");
    assert!(rows(&shown).is_sorted_by_key(|row| std::cmp::Reverse(row["total_us"].as_u64())), "{shown}");
    assert_eq!(rows(&page("?limit=1")).as_slice(), &rows(&shown)[..1]);
    assert!(!shown.to_string().contains("alice") && !shown.to_string().contains("secret"), "{shown}");
    for wrong in ["limit=0", "limit=501", "limit=x", "from=1"] {
        gateway.order("GET", &format!("/api/v1/slow?{wrong}"), "").assert_refused(400, "INVALID");
    }
}

/// Every connection, page by page.
fn connections(gateway: &Gateway, limit: usize) -> Vec<Value> {
    let (mut all, mut from) = (Vec::new(), String::new());
    loop {
        let page = gateway.order("GET", &format!("/api/v1/connections?limit={limit}{from}"), "").json();
        let rows = page["connections"].as_array().unwrap();
        assert!(rows.len() <= limit);
        all.extend(rows.clone());
        let Some(next) = page["next"].as_str() else { return all };
        from = format!("&from={next}");
    }
}

/// Proves: G-ADMIN-4 (connections are shown page by page, each once, with whose they are)
/// Seen to fail when: a page begins one place later than the one before ended.
#[test]
fn connections_are_shown_in_pages() {
    let gateway = Gateway::start(with_admin());
    let names: BTreeSet<String> = (0..7).map(|number| format!("u{number}")).collect();
    let _open: Vec<_> = names.iter().map(|name| logged_in(&gateway, &gateway.token(name, "phone"))).collect();
    for limit in [1, 2, 500] {
        let rows = connections(&gateway, limit);
        let shown: Vec<&str> = rows.iter().map(|row| row["session"]["user"].as_str().unwrap()).collect();
        assert_eq!(shown.len(), names.len(), "{rows:?}");
        assert_eq!(shown.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), names);
    }
    for query in ["limit=0", "limit=501", "limit=x", "from=x", "from=1.2", "from=-1.0.0", "other=1"] {
        gateway.order("GET", &format!("/api/v1/connections?{query}"), "").assert_refused(400, "INVALID");
    }
    let far = gateway.order("GET", "/api/v1/connections?from=99.0.0", "").json();
    assert_eq!(far, json!({ "connections": [], "next": null }));
}

fn is_alive(conn: &mut iris_client::raw::RawConn) -> bool {
    conn.send_frame(send(wire::send::Target::To("zoe".into()), &fresh_id(), 1)).unwrap();
    matches!(answer(conn), Some(Frame::Accepted(_)))
}

/// Proves: G-ADMIN-4 (a kick closes the device or the user that it names, with KICKED, and nobody else; who was kicked may return)
/// Seen to fail when: `conns_of` does not look at the device.
#[test]
fn a_kick_closes_what_it_names() {
    let gateway = Gateway::start(with_admin());
    let open = |user: &str, device: &str| logged_in(&gateway, &gateway.token(user, device));
    let (mut phone, mut tablet, mut bob) =
        (open("alice", "phone"), open("alice", "tablet"), open("bob", "phone"));
    let kick = |path: &str| gateway.order("POST", &format!("/api/v1/users/{path}/kick"), "").json();
    assert_eq!(kick("alice/devices/phone"), json!({ "closed": 1 }));
    assert_eq!(close_code(&mut phone), Some(CloseCode::Kicked));
    assert!(is_alive(&mut tablet));
    let mut phone = open("alice", "phone");
    assert_eq!(kick("alice"), json!({ "closed": 2 }));
    assert_eq!(close_code(&mut phone), Some(CloseCode::Kicked));
    assert_eq!(close_code(&mut tablet), Some(CloseCode::Kicked));
    assert!(is_alive(&mut bob) && is_alive(&mut open("alice", "phone")));
    assert_eq!(kick("nobody"), json!({ "closed": 0 }));
    assert_eq!(kick("bob/devices/other"), json!({ "closed": 0 }));
    gateway.order("POST", "/api/v1/users/bob/devices/a:b/kick", "").assert_refused(400, "INVALID");
}

/// Proves: G-TOKEN-1 (tokens are issued where a key is configured, for whoever has the issuer's credential and nobody else, for a
/// day at most)
/// Seen to fail when: `tokens::issue` asks for an `Operator`.
#[test]
fn tokens_are_issued_where_a_key_is_configured() {
    let mut gateway = Gateway::start(with_admin());
    let body = r#"{"user":"alice","device":"phone","ttl_s":60}"#;
    gateway.order("POST", "/api/v1/tokens", body).assert_refused(403, "NOT_CONFIGURED");
    assert_eq!(gateway.terminate(), Some(0));
    let dir = gateway.dir.path().to_owned();
    let at = |name: &str| dir.join(name).into_os_string();
    let made = run(&["admin", "keygen", "--out", dir.join("issuer.credential").to_str().unwrap()]);
    assert!(made.status.success());
    gateway.set(|setup| {
        setup.environment = vec![
            ("IRIS__ADMIN__ISSUER_KEY", at("issuer.key")),
            ("IRIS__ADMIN__ISSUER_CREDENTIAL", at("issuer.credential")),
        ];
    });
    gateway.restart();
    let credential = std::fs::read_to_string(dir.join("issuer.credential")).unwrap();
    let bearer = format!("Authorization: Bearer {}", credential.trim());
    let issue = |body: &str| request(gateway.admin_address(), "POST /api/v1/tokens", &[&bearer], body);
    gateway.order("POST", "/api/v1/tokens", body).assert_refused(401, "UNAUTHORIZED");
    request(gateway.admin_address(), "GET /api/v1/revocations", &[&bearer], "")
        .assert_refused(401, "UNAUTHORIZED");
    let issued = issue(body);
    assert_eq!(issued.status, 201, "{issued:?}");
    let token = issued.json()["token"].as_str().unwrap().to_owned();
    assert!(is_alive(&mut logged_in(&gateway, &token)));
    assert!(!gateway.log().contains(&token));
    for wrong in [
        r#"{"user":"alice","device":"phone","ttl_s":86401}"#,
        r#"{"user":"alice","device":"phone","ttl_s":0}"#,
        r#"{"user":"alice","device":"phone","ttl_s":-1}"#,
        r#"{"user":"a:b","device":"phone"}"#,
        r#"{"user":"alice"}"#,
    ] {
        issue(wrong).assert_refused(400, "INVALID");
    }
}

/// What a body may be besides what is described.
const JUNK: &[&str] =
    &["", "{", "[]", "null", "0", "{}", r#"{"x":1}"#, r#"{"user":[]}"#, "\u{0}", r#"{"user":"é"}"#];

/// Proves: G-ADMIN-3 (every described path answers what is described, refuses without its credential, and answers anything else with a
/// typed refusal; the process lives on)
/// Seen to fail when: a path of the description is not served; or the credential of one is not asked for.
#[test]
fn what_is_described_is_served_and_everything_else_is_refused() {
    let mut gateway = Gateway::start(with_admin());
    let described = gateway.ask("GET", "/api/v1/openapi.json").json();
    let mut operations = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let (method, is_drain) = (method.to_uppercase(), path.ends_with("/drain"));
            let filled = path.replace("{user}", "alice").replace("{device}", "phone");
            let filled = filled.replace("{address}", "192.0.2.77");
            let needs = operation["security"][0].as_object().and_then(|needs| needs.keys().next()).cloned();
            if needs.is_some() {
                let status = gateway.ask(&method, &filled).status;
                assert!(matches!(status, 401 | 403), "{method} {path}: {status}");
            }
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            for body in JUNK.iter().filter(|_| !schema.is_null() && needs.as_deref() == Some("operator")) {
                gateway.order(&method, &filled, body).assert_refused(400, "INVALID");
            }
            for id in ["%00", "%ff", "a:b", "%2e%2e%2f", &"x".repeat(65)] {
                if path.contains("{user}") {
                    let junk = path.replace("{user}", id).replace("{device}", id);
                    gateway.order(&method, &junk, "").assert_refused(400, "INVALID");
                }
            }
            for parameter in operation["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "query")
            {
                let name = parameter["name"].as_str().unwrap();
                for value in ["", "-1", "1e9", "99999999999999999999", "%00", "x%ff"] {
                    let status = gateway.order(&method, &format!("{filled}?{name}={value}"), "").status;
                    assert!(status < 500, "{method} {path}?{name}={value}: {status}");
                }
            }
            if is_drain || needs.as_deref() == Some("issuer") {
                continue;
            }
            let one = if schema["oneOf"].is_array() { &schema["oneOf"][0] } else { schema };
            let body = if schema.is_null() { String::new() } else { one["example"].to_string() };
            let answer = gateway.order(&method, &filled, &body);
            let is_described = operation["responses"][answer.status.to_string()].is_object();
            let is_unknown = filled != *path && answer.status == 404;
            assert!(is_described || is_unknown, "{method} {path}: {answer:?}");
        }
    }
    assert!(operations >= 18, "{operations} operations");
    assert!(!gateway.has_ended(), "{}", gateway.log());
}

/// Proves: G-ADMIN-4 (the commands do what the port does, print JSON when asked, and name what is missing)
/// Seen to fail when: `Remote::send` does not look at the status of an answer.
#[test]
fn the_commands_ask_and_order() {
    let mut gateway = Gateway::start(with_admin());
    let mut phone = logged_in(&gateway, &gateway.token("alice", "phone"));
    let url = format!("http://{}", gateway.admin_address());
    let file = gateway.dir.path().join("admin.credential");
    let file = file.to_str().unwrap().to_owned();
    let command = |words: &[&str]| {
        let output = run(&[words, &["--admin", &url]].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let order = |words: &[&str]| command(&[words, &["--credential", &file]].concat());
    wait_until("the gateway to be ready", || command(&["status"]).0 == 0);
    let top = command(&["top", "--json", "--interval", "10ms", "--count", "2"]).1;
    let looks: Vec<Value> = top.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(looks.len() == 2 && looks[1]["shards"][0]["turns/s"].is_number(), "{top}");
    let status: Value = serde_json::from_str(&command(&["status", "--json"]).1).unwrap();
    assert_eq!((&status["ready"], status["shards"].as_array().unwrap().len()), (&json!(true), 2));
    assert!(command(&["status"]).1.contains("shard  connections"), "{:?}", command(&["status"]));
    assert!(order(&["connections"]).1.contains("alice"), "{:?}", order(&["connections"]));
    assert!(order(&["slow"]).1.contains("p99.9 ms  receive"), "{:?}", order(&["slow"]));
    let user: Value = serde_json::from_str(&order(&["user", "alice", "--json"]).1).unwrap();
    assert_eq!(user["devices"][0]["device"], "phone");
    assert!(order(&["user", "alice"]).1.contains("phone"), "{:?}", order(&["user", "alice"]));
    assert_eq!(order(&["kick", "alice", "--device", "phone"]).1, "closed 1\n");
    assert_eq!(close_code(&mut phone), Some(CloseCode::Kicked));
    assert_eq!(order(&["revoke", "--user", "alice", "--device", "phone"]).0, 0);
    assert_eq!(order(&["revoke", "--jti", "some"]).0, 0);
    assert_eq!(order(&["ban", "192.0.2.9", "--for", "2h"]).0, 0);
    assert!(order(&["bans"]).1.contains("192.0.2.9"), "{:?}", order(&["bans"]));
    assert_eq!(order(&["ban", "192.0.2.9", "--lift"]).1, "192.0.2.9 may connect again\n");
    assert!(order(&["ban", "192.0.2.9", "--lift"]).2.contains("UNKNOWN_BAN"));
    let (code, _, said) = order(&["user", "nobody"]);
    assert!(code == 1 && said.contains("UNKNOWN_USER"), "{said}");
    let (code, _, said) = command(&["kick", "alice"]);
    assert!(code == 1 && said.contains("--credential") && said.contains("admin.credential"), "{said}");
    assert_eq!(order(&["kick", "a:b"]).0, 2);
    assert_eq!(order(&["drain"]).0, 0);
    assert_eq!(gateway.ended(), Some(0), "{}", gateway.log());
    let (code, _, said) = command(&["status"]);
    assert!(code == 1 && said.contains("admin.listen"), "{said}");
}

/// Proves: G-ADMIN-4 (a ban refuses new connections of the address that it names, and nobody else's; those that are open stay; lifted,
/// they come in again)
/// Seen to fail when: `admit` does not ask for bans.
#[test]
fn a_ban_refuses_what_comes_from_its_address() {
    let gateway = Gateway::start(with_admin());
    let token = gateway.token("alice", "phone");
    let log_in = |from: &str| {
        let mut stream = connect_from(&gateway, from);
        matches!(asked(&mut stream, hello(&token)), Some(Frame::Welcome(_))).then_some(stream)
    };
    let mut open = log_in("127.0.0.9").unwrap();
    let ban = r#"{"address":"127.0.0.9","ttl_s":600}"#;
    let answer = gateway.order("POST", "/api/v1/bans", ban);
    assert_eq!((answer.status, &answer.json()["address"]), (201, &json!("127.0.0.9")));
    let ping = client_frame::Frame::Ping(wire::Ping { nonce: 7 });
    assert!(matches!(asked(&mut open, ping), Some(Frame::Pong(_))), "an open connection was closed");
    assert!(log_in("127.0.0.9").is_none(), "a banned address came in");
    assert!(log_in("127.0.0.8").is_some());
    let bans = gateway.order("GET", "/api/v1/bans", "").json();
    assert_eq!(bans["bans"].as_array().map(Vec::len), Some(1), "{bans}");
    assert!((1..=600).contains(&bans["bans"][0]["ends_in_s"].as_u64().unwrap()), "{bans}");
    assert_eq!(gateway.order("DELETE", "/api/v1/bans/127.0.0.9", "").status, 200);
    assert!(log_in("127.0.0.9").is_some());
    gateway.order("DELETE", "/api/v1/bans/127.0.0.9", "").assert_refused(404, "UNKNOWN_BAN");
    for body in [r#"{"address":"alice","ttl_s":1}"#, r#"{"address":"::1","ttl_s":0}"#, r#"{"address":"::1"}"#]
    {
        gateway.order("POST", "/api/v1/bans", body).assert_refused(400, "INVALID");
    }
    gateway.ask("GET", "/api/v1/bans").assert_refused(401, "UNAUTHORIZED");
}
