//! The scripted sessions of `client/vectors/session.json`, which the TypeScript client passes too
//! (`client/typescript/test/vectors.test.ts` writes down what it does; here the reference judges it).
#![cfg(test)]

#[path = "vectors/events.rs"]
mod events;
#[path = "vectors/frames.rs"]
mod frames;

use iris_client::session::{Backoff, SendError};
use iris_client::{DeviceState, Output, Session, SessionConfig, Target};
use iris_protocol::{ConversationId, MessageId, Mono, Offset, UserId};
use serde_json::{Value, json};
use std::time::Duration;

/// When every session begins.
const START: Mono = Mono(1);

fn duration(value: &Value) -> Duration {
    Duration::from_millis(value.as_u64().unwrap())
}

fn config(wishes: &Value) -> SessionConfig {
    let mut config = SessionConfig::default();
    for (name, value) in wishes.as_object().unwrap() {
        let number = || u32::try_from(value.as_u64().unwrap()).unwrap();
        match name.as_str() {
            "window" => config.window = number(),
            "sendWindow" => config.send_window = number(),
            "heartbeatMs" => config.heartbeat = duration(value),
            "ackEvery" => config.ack_every = number(),
            "backoffCapMs" => config.backoff = Backoff { cap: duration(value), ..config.backoff },
            "outboxMax" => config.outbox_max = usize::try_from(number()).unwrap(),
            "instance" => config.instance = number(),
            "jitterSeed" => config.jitter_seed = value.as_str().unwrap().parse().unwrap(),
            _ => panic!("no setting {name}"),
        }
    }
    config
}

/// A caller that saves whenever it must, and stores messages when the script says so.
struct Player {
    config: SessionConfig,
    session: Session,
    saved: DeviceState,
    now: Mono,
}

fn session(config: &SessionConfig, state: &DeviceState) -> Session {
    Session::new(config.clone(), UserId::parse("alice").unwrap(), state.clone())
}

impl Player {
    fn new(wishes: &Value) -> Self {
        let (config, saved) = (config(wishes), DeviceState::default());
        Self { session: session(&config, &saved), config, saved, now: START }
    }

    /// What comes of a step, and when the next tick is due.
    fn play(&mut self, step: &Value) -> (Vec<Value>, Value) {
        let mut then = Vec::new();
        if let Err(refused) = self.act(step) {
            then.push(json!({ "error": refused }));
        }
        while let Some(output) = self.session.poll() {
            then.push(match output {
                Output::Frame(frame) => json!({ "frame": frames::client_frame(&frame) }),
                Output::Event(event) => json!({ "event": events::event(&event) }),
                Output::Connect => json!({ "connect": true }),
                Output::Disconnect { reason } => json!({ "disconnect": events::reason(reason) }),
            });
        }
        if self.session.unsaved() {
            self.saved = self.session.state();
            self.session.saved();
        }
        (then, json!(self.session.next_deadline().map(|deadline| events::ms(deadline.since(START)))))
    }

    fn act(&mut self, step: &Value) -> Result<(), &'static str> {
        let (what, value) = step
            .as_object()
            .unwrap()
            .iter()
            .find(|(key, _)| !["then", "deadline"].contains(&key.as_str()))
            .unwrap();
        let (now, session) = (self.now, &mut self.session);
        let offline = |_| "not logged in";
        match what.as_str() {
            "connected" => session.connected(now, value.as_str().unwrap()),
            "disconnected" => session.disconnected(now),
            "receive" => session.handle(now, frames::server_frame(value)),
            "send" => return self.send(value),
            "stored" => session.stored(now, Offset(value.as_u64().unwrap())),
            "flush" => session.flush_acks(now),
            "pass" => {
                self.now = now.after(duration(value));
                session.tick(self.now);
            }
            "close" => session.close(now),
            "restart" => session.restart(now),
            "refresh" => drop(session.refresh(now, value.as_str().unwrap()).map_err(offline)?),
            "devices" => drop(session.devices(now).map_err(offline)?),
            "unlink" => drop(session.unlink(now, value.as_str().unwrap()).map_err(offline)?),
            "forgetUnknown" => {
                let id = MessageId::parse(&frames::from_hex(value.as_str().unwrap())).unwrap();
                session.forget_unknown(id).ok_or("not there")?;
            }
            "anew" => {
                self.saved = DeviceState::default();
                self.session = self::session(&self.config, &self.saved);
            }
            "crash" => self.session = self::session(&self.config, &self.saved),
            _ => panic!("no step {what}"),
        }
        Ok(())
    }

    fn send(&mut self, message: &Value) -> Result<(), &'static str> {
        let target = message.get("to").map_or_else(
            || {
                Target::Conversation(
                    ConversationId::parse(message["conversation"].as_str().unwrap()).unwrap(),
                )
            },
            |user| Target::To(UserId::parse(user.as_str().unwrap()).unwrap()),
        );
        let id = MessageId::parse(&frames::from_hex(message["messageId"].as_str().unwrap())).unwrap();
        let payload = message["payload"].as_str().map_or_else(
            || vec![0; usize::try_from(message["payload"]["bytes"].as_u64().unwrap()).unwrap()],
            frames::from_hex,
        );
        self.session.send(self.now, target, id, payload.into()).map_err(|refused| match refused {
            SendError::PayloadTooLarge { .. } => "payload too large",
            SendError::OutboxFull { .. } => "outbox full",
        })
    }

    fn end(&self) -> Value {
        json!({
            "online": self.session.is_online(),
            "next": events::next(self.session.next()),
            "unanswered": self.session.unanswered_count(),
            "state": events::state(&self.session.state()),
        })
    }
}

/// What is wrong with a vector, if anything is.
fn judge(vector: &Value) -> Option<String> {
    let mut player = Player::new(&vector["config"]);
    for (index, step) in vector["steps"].as_array().unwrap().iter().enumerate() {
        let (then, deadline) = player.play(step);
        if json!(then) != step["then"] || deadline != step["deadline"] {
            return Some(format!("step {index}: {step}\ngave {} and {deadline}", json!(then)));
        }
    }
    let end = player.end();
    (end != vector["end"]).then(|| format!("the end: {}\nis {end}", vector["end"]))
}

/// Proves: G-CLIENT-3 (both clients do the same)
/// Seen to fail when: what stands under `break` in the file is done, for each vector; `Incoming::envelope` compares with
/// `<` instead of `<=`, for one.
#[test]
fn every_vector_is_what_this_client_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/session.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 50, "only {} vectors", vectors.len());
    let wrong: Vec<String> = vectors
        .iter()
        .filter_map(|vector| judge(vector).map(|what| format!("vector: {}\n{what}", vector["name"])))
        .collect();
    assert!(wrong.is_empty(), "{} of {} vectors:\n{}", wrong.len(), vectors.len(), wrong.join("\n\n"));
}
