//! Follows the messages of one core, and keeps those that were slow.
//!
//! A flight is here while its message is: from its frame, or its mail, until it is in other mail or in a send. What an inbox
//! keeps for later is not followed: how long it stays there is its device's affair. A record or a question to the tables on the
//! way is the gateway's own affair, and its time counts.
//!
//! Invariants
//! - At most [`FLIGHTS_MAX`] flights (as many wait for an answer), [`LEAVING_MAX`] sends and [`SLOW_MAX`] slow messages.

use super::line::{Line, Summary};
use super::{Flight, Spent, Stage, Way};
use foldhash::fast::RandomState;
use iris_protocol::{MessageId, Mono};
use iris_reactor::Conn;
use iris_shard::io::{LoadId, Ticket};
use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

/// Messages that are followed at once; above, the oldest half is forgotten.
pub(crate) const FLIGHTS_MAX: usize = 8_192;
/// Connections with frames that the kernel has not taken.
pub(crate) const LEAVING_MAX: usize = 4_096;
/// Slow messages that are kept.
pub(crate) const SLOW_MAX: usize = 256;

/// A message that was slower than the line of its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slow {
    /// Which.
    pub(crate) message_id: MessageId,
    /// What it ended in.
    pub(crate) way: Way,
    /// The connection that got the frame.
    pub(crate) conn: Conn,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// Its time, in microseconds.
    pub(crate) total_us: u32,
    /// The same by stage.
    pub(crate) spent_us: Spent,
}

/// Deliveries that were timed, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FlightFigures {
    /// How many.
    pub(crate) timed: u64,
    /// Microseconds by stage, together.
    spent_us: [u64; Stage::ALL.len()],
}

impl FlightFigures {
    /// Microseconds that they spent on a stage.
    pub(crate) fn spent(&self, stage: Stage) -> u64 {
        self.spent_us[stage as usize]
    }

    fn add(&mut self, flight: &Flight) {
        self.timed += 1;
        for (sum, us) in self.spent_us.iter_mut().zip(flight.spent_us()) {
            *sum += u64::from(us);
        }
    }
}

/// A frame on its way into the kernel.
struct Leaving {
    message_id: MessageId,
    way: Way,
    flight: Flight,
    /// What was joined to the same send.
    joined: Option<Box<Leaving>>,
}

/// What a shard has asked of its tables and its log so far, or what they have answered.
#[derive(Clone, Copy)]
struct Asked {
    load: LoadId,
    ticket: Ticket,
}

impl Asked {
    const NOTHING: Self = Self { load: LoadId(0), ticket: Ticket(0) };

    fn is_in(self, answered: Self) -> bool {
        self.load <= answered.load && self.ticket <= answered.ticket
    }
}

/// See the module.
pub(crate) struct Recorder {
    flights: HashMap<MessageId, Flight, RandomState>,
    /// In the order in which they began; some are over.
    order: VecDeque<MessageId>,
    /// In records that are not durable.
    gathered: VecDeque<(Ticket, MessageId)>,
    /// Over at the end of this tick.
    passing: Vec<MessageId>,
    /// Over once this is answered.
    waiting: VecDeque<(Asked, MessageId)>,
    /// The last of what the shard has asked.
    asked: Asked,
    /// The last of what was answered. Tables and log answer in order, each for itself.
    answered: Asked,
    leaving: HashMap<Conn, Leaving, RandomState>,
    accepted: Line,
    delivered: Line,
    slow: VecDeque<Slow>,
    figures: FlightFigures,
}

impl Recorder {
    /// A recorder that follows nothing.
    pub(crate) fn new() -> Self {
        Self {
            flights: HashMap::default(),
            order: VecDeque::new(),
            gathered: VecDeque::new(),
            passing: Vec::new(),
            waiting: VecDeque::new(),
            asked: Asked::NOTHING,
            answered: Asked::NOTHING,
            leaving: HashMap::default(),
            accepted: Line::new(),
            delivered: Line::new(),
            slow: VecDeque::new(),
            figures: FlightFigures::default(),
        }
    }

    /// A message begins here, or comes by mail. One that is followed already (a retry) goes on as it was.
    pub(crate) fn follow(&mut self, message_id: MessageId, flight: Flight) {
        if self.order.len() >= FLIGHTS_MAX {
            self.forget_old();
        }
        self.flights.entry(message_id).or_insert_with(|| {
            self.order.push_back(message_id);
            flight
        });
    }

    /// As [`follow`](Self::follow), to the end of the tick: what does not leave in it stays in an inbox.
    pub(crate) fn follow_through_tick(&mut self, message_id: MessageId, flight: Flight) {
        self.follow(message_id, flight);
        self.passing.push(message_id);
    }

    /// A message leaves for another core and is over here.
    pub(crate) fn hand_on(&mut self, message_id: &MessageId, now: Mono) -> Option<Flight> {
        let mut flight = self.flights.remove(message_id)?;
        flight.pass(Stage::Sequence, now);
        Some(flight)
    }

    /// A copy of a message leaves for another core.
    pub(crate) fn copy(&mut self, message_id: &MessageId, now: Mono) -> Option<Flight> {
        let mut flight = *self.flights.get(message_id)?;
        flight.pass(Stage::Deliver, now);
        Some(flight)
    }

    /// The shard wants a record: what comes until it is durable may wait for it.
    pub(crate) fn append(&mut self, ticket: Ticket) {
        self.asked.ticket = ticket;
    }

    /// A message is in a record.
    pub(crate) fn gather(&mut self, ticket: Ticket, message_id: MessageId, now: Mono) {
        if let Some(flight) = self.flights.get_mut(&message_id) {
            flight.pass(Stage::Sequence, now);
            self.gathered.push_back((ticket, message_id));
        }
    }

    /// Records are durable; the last of them was closed at `sealed`.
    pub(crate) fn stored(&mut self, through: Ticket, sealed: Mono, now: Mono) {
        self.answered.ticket = through;
        while let Some((_, message_id)) = self.gathered.pop_front_if(|(ticket, _)| *ticket <= through) {
            if let Some(flight) = self.flights.get_mut(&message_id) {
                flight.pass(Stage::StoreWait, sealed);
                flight.pass(Stage::Commit, now);
                self.passing.push(message_id);
            }
        }
    }

    /// A message is in a frame to this connection.
    pub(crate) fn leave(&mut self, conn: Conn, message_id: &MessageId, way: Way, now: Mono) {
        let Some(flight) = self.flights.get(message_id) else { return };
        let (mut flight, message_id) = (*flight, *message_id);
        flight.pass(Stage::Deliver, now);
        if let Some(first) = self.leaving.get_mut(&conn) {
            let joined = first.joined.take();
            first.joined = Some(Box::new(Leaving { message_id, way, flight, joined }));
        } else if self.leaving.len() < LEAVING_MAX {
            self.leaving.insert(conn, Leaving { message_id, way, flight, joined: None });
        }
        // A retry of what is durable is answered without a record.
        self.passing.push(message_id);
    }

    /// A connection is gone, and with it what it was not sent.
    pub(crate) fn closed(&mut self, conn: Conn) {
        self.leaving.remove(&conn);
    }

    /// The kernel has taken what this connection was sent.
    pub(crate) fn sent(&mut self, conn: Conn, now: Mono) {
        let mut next = self.leaving.remove(&conn);
        while let Some(Leaving { message_id, way, mut flight, joined }) = next {
            next = joined.map(|joined| *joined);
            flight.pass(Stage::Send, now);
            if way == Way::Delivered {
                self.figures.add(&flight);
            }
            if self.line(way).judge(&flight, now) {
                self.keep(Slow {
                    message_id,
                    way,
                    conn,
                    at_ms: wall_ms(),
                    total_us: flight.total_us(),
                    spent_us: flight.spent_us(),
                });
            }
        }
    }

    /// The shard asks the tables: what comes until the answer may wait for it.
    pub(crate) fn ask(&mut self, id: LoadId) {
        self.asked.load = id;
    }

    /// The tables have answered.
    pub(crate) fn answered(&mut self, id: LoadId) {
        self.answered.load = id;
    }

    /// The tick is over.
    pub(crate) fn end_tick(&mut self) {
        while let Some((_, message_id)) = self.waiting.pop_front_if(|(asked, _)| asked.is_in(self.answered)) {
            self.passing.push(message_id);
        }
        for message_id in self.passing.drain(..) {
            if !self.asked.is_in(self.answered) && self.waiting.len() < FLIGHTS_MAX {
                self.waiting.push_back((self.asked, message_id));
            } else {
                self.flights.remove(&message_id);
            }
        }
    }

    /// The slow ones, the oldest first.
    pub(crate) fn slow(&self) -> impl Iterator<Item = &Slow> {
        self.slow.iter()
    }

    /// What was timed since the start.
    pub(crate) fn figures(&self) -> FlightFigures {
        self.figures
    }

    /// The last complete window.
    pub(crate) fn summary(&self, way: Way) -> &Summary {
        match way {
            Way::Accepted => self.accepted.summary(),
            Way::Delivered => self.delivered.summary(),
        }
    }

    /// Connections with frames that the kernel has not taken.
    #[cfg(test)]
    pub(crate) fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// Messages that are followed.
    #[cfg(test)]
    pub(crate) fn followed(&self) -> usize {
        self.flights.len()
    }

    fn line(&mut self, way: Way) -> &mut Line {
        match way {
            Way::Accepted => &mut self.accepted,
            Way::Delivered => &mut self.delivered,
        }
    }

    fn keep(&mut self, slow: Slow) {
        if self.slow.len() == SLOW_MAX {
            self.slow.pop_front();
        }
        self.slow.push_back(slow);
    }

    /// Makes room: first what is over, then the oldest half, in which are the refused.
    fn forget_old(&mut self) {
        self.order.retain(|message_id| self.flights.contains_key(message_id));
        if self.order.len() > FLIGHTS_MAX / 2 {
            for message_id in self.order.drain(..self.order.len() / 2) {
                self.flights.remove(&message_id);
            }
        }
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
