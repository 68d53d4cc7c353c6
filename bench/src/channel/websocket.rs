//! WebSocket inside a channel: the load's frames with their prefixes on one side, masked messages on the other.
//!
//! Invariants
//! - A message is sent only once the upgrade is complete; what is sealed is whole frames.
//! - Every ping is answered.

use crate::error::BenchError;
use iris_protocol::frame::body_length;
use iris_protocol::limits::{FRAME_BYTES_MAX, LENGTH_BYTES};
use iris_protocol::websocket::upgrade::{read_answer, request};
use iris_protocol::websocket::write::encode;
use iris_protocol::websocket::{Event, Opcode, Reader, Role};

/// The key of a request: no proxy is in the way, so it need not be hard to guess.
const KEY: [u8; 16] = [0x5a; 16];
/// The host that requests name.
const HOST: &str = "localhost";

/// A client's end.
pub struct WebSocketEnd {
    state: State,
    mask: u64,
}

/// How far the upgrade has come.
enum State {
    /// Nothing was said.
    New,
    /// The request is out; the answer so far.
    Asked(Vec<u8>),
    /// Messages go both ways.
    Open(Reader),
}

impl WebSocketEnd {
    /// One end; `number` tells those of a load apart.
    pub(super) fn new(number: u64) -> Self {
        Self { state: State::New, mask: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// True once messages can flow.
    pub(super) fn is_open(&self) -> bool {
        match self.state {
            State::New | State::Asked(_) => false,
            State::Open(_) => true,
        }
    }

    /// Appends the request to `out`, once.
    pub(super) fn ask(&mut self, out: &mut Vec<u8>) {
        if matches!(self.state, State::New) {
            out.extend_from_slice(&request(HOST, KEY, None));
            self.state = State::Asked(Vec::new());
        }
    }

    /// Takes received bytes: frames with their prefixes are appended to `frames`, what must be answered to `out`.
    pub(super) fn receive(
        &mut self,
        received: &[u8],
        frames: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), BenchError> {
        let failed = |error: &dyn std::fmt::Display| BenchError::Protocol(format!("websocket: {error}"));
        let upgraded = match &mut self.state {
            State::New => return Err(failed(&"bytes before the request")),
            State::Open(_) => None,
            State::Asked(answer) => {
                answer.extend_from_slice(received);
                match read_answer(answer, KEY).map_err(|error| failed(&error))? {
                    Some(head) => Some(answer.split_off(head)),
                    None => return Ok(()),
                }
            }
        };
        if upgraded.is_some() {
            self.state = State::Open(Reader::new(Role::Client, false));
        }
        let mut rest = upgraded.as_deref().unwrap_or(received);
        loop {
            let State::Open(reader) = &mut self.state else { return Ok(()) };
            match reader.next(&mut rest, FRAME_BYTES_MAX).map_err(|error| failed(&error))? {
                Some(Event::Binary(body)) => {
                    frames.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
                    frames.extend_from_slice(&body);
                }
                Some(Event::Ping(payload)) => {
                    let mask = self.next_mask();
                    encode(Opcode::Pong, &payload, Some(mask), out);
                }
                Some(Event::Text(_)) => return Err(failed(&"a text message")),
                Some(Event::Pong(_) | Event::Close(_)) => {}
                None => return Ok(()),
            }
        }
    }

    /// Appends whole frames, given with their prefixes, as messages.
    pub(super) fn send(&mut self, mut frames: &[u8], out: &mut Vec<u8>) -> Result<(), BenchError> {
        while !frames.is_empty() {
            let length = body_length(frames, FRAME_BYTES_MAX).ok().flatten();
            let whole = length.and_then(|length| frames.split_at_checked(LENGTH_BYTES + length));
            let Some((frame, rest)) = whole else {
                return Err(BenchError::Protocol("a frame was queued in parts".to_owned()));
            };
            let mask = self.next_mask();
            encode(Opcode::Binary, &frame[LENGTH_BYTES..], Some(mask), out);
            frames = rest;
        }
        Ok(())
    }

    fn next_mask(&mut self) -> [u8; 4] {
        // xorshift64: cheap, and never zero.
        self.mask ^= self.mask << 13;
        self.mask ^= self.mask >> 7;
        self.mask ^= self.mask << 17;
        let [a, b, c, d, ..] = self.mask.to_be_bytes();
        [a, b, c, d]
    }
}
