"""A small client of Iris, written from docs/PROTOCOL.md alone (the section numbers below are that page's).

One `Client` is one device. It blocks, uses one thread, and keeps what must survive in one JSON file:

    client = Client("127.0.0.1:7443", token=lambda: open("alice.token").read(), state=State("alice.json"), ca="ca.pem")
    client.send(b"hello", to="bob")
    while not client.stopped:
        for event in client.step():     # connects, reconnects, sends, receives
            print(event)                # what step() returned is acknowledged by the next step(): store it before

Rules it keeps: a message is repeated with the same id and bytes until it is answered; each message is applied once
and in order; nothing is acknowledged before it was stored.
"""

import base64
import ipaddress
import json
import os
import random
import secrets
import socket
import ssl
import struct
import time

import iris_pb2 as pb
from google.protobuf.message import DecodeError

ANSWER_TIMEOUT = 20.0
WAIT_MAX = 60.0
FRAME_BYTES_MAX = 131072
WINDOW = 256

# Section 11.
REJECTS = {
    1: "RATE_LIMITED", 2: "INBOX_FULL", 3: "STORAGE_FULL", 4: "BUSY", 5: "NOT_OWNER", 20: "UNKNOWN_FRAME",
    21: "INVALID_ID", 22: "INVALID_MESSAGE_ID", 23: "PAYLOAD_TOO_LARGE", 24: "IDEMPOTENCY_CONFLICT", 25: "CLOCK_SKEW",
    26: "FORBIDDEN", 27: "UNKNOWN_DEVICE", 28: "TOKEN_REFUSED", 60: "MESSAGE_ID_TOO_OLD",
}
CLOSES = {
    101: "AUTH_FAILED", 102: "TOKEN_EXPIRED", 103: "VERSION_UNSUPPORTED", 104: "FRAME_TOO_LARGE", 105: "MALFORMED_FRAME",
    106: "HELLO_EXPECTED", 107: "UNEXPECTED_HELLO", 108: "ACK_TOO_HIGH", 109: "CONFLICT", 110: "SLOW_CONSUMER",
    111: "HEARTBEAT_TIMEOUT", 112: "LOGIN_TIMEOUT", 113: "GOING_AWAY", 114: "INVALID_WINDOW", 115: "DEVICE_UNLINKED",
    116: "TOO_MANY_DEVICES", 117: "OVERLOADED", 118: "STORAGE_FAULT", 119: "KICKED",
}
TOKEN_EXPIRED = 102
ACK_TOO_HIGH = 108


def reject_class(code):
    """What to do with a refused request, also for a code of a later version (section 6)."""
    return "retry" if 1 <= code <= 19 else "refused" if 20 <= code <= 59 else "unknown"


def close_class(code):
    """What to do with a closed connection, also for a code of a later version (section 10)."""
    if code in (101, 102):
        return "fresh token"
    if code in (103, 109, 115, 116):
        return "stop"
    return "client fault" if code in (104, 105, 106, 107, 108, 114) else "reconnect"


def new_message_id():
    """A UUIDv7: 48 bits of milliseconds, the rest random (RFC 9562, section 5.7)."""
    now_ms = time.time_ns() // 1_000_000
    bits = now_ms << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return bits.to_bytes(16, "big")


class Lost(Exception):
    """This connection is over, by a Close with a code or (0) without one."""

    def __init__(self, reason, code=0, retry_after_ms=0):
        super().__init__(reason)
        self.code, self.retry_after_ms = code, retry_after_ms


class State:
    """What a device must remember (section 8), in one file that is replaced as a whole."""

    def __init__(self, path):
        self.path = path
        self.offset = None  # everything up to here is stored; None: no state yet
        self.incarnation = None
        self.last = {}  # conversation: last sequence applied
        self.outbox = []  # messages without a final answer, oldest first
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.__dict__.update(json.load(file))

    def save(self):
        """Durable when it returns: write beside, sync, rename, sync the folder."""
        fields = {name: getattr(self, name) for name in ("offset", "incarnation", "last", "outbox")}
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(fields, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)
        folder = os.open(os.path.dirname(os.path.abspath(self.path)), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


class Client:
    """One device's session, over as many connections as it takes."""

    def __init__(self, server, token, state, ca=None, plaintext=False, backoff=1.0):
        self.host, _, port = server.rpartition(":")
        self.host, self.port = self.host.strip("[]"), int(port)
        self.token, self.state, self.ca, self.plaintext, self.backoff = token, state, ca, plaintext, backoff
        if plaintext and self.host != "localhost" and not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError("a token goes over plain TCP to this host alone, never to " + self.host)
        self.stopped = False  # after a close that forbids to come back by itself
        self.caught_up = False
        self.duplicates = 0
        # What step() returned, and goes into `state` when step() is called again.
        self.received, self.last, self.incarnation, self.answered = state.offset, dict(state.last), state.incarnation, []
        self.changed = False
        self.attempt, self.retry_at, self.forget_offset = 0, 0.0, False
        # Which run of this client it is, and how many connections it opened: a late Hello of it throws nobody out.
        self.instance, self.connections = secrets.randbits(32) | 1, 0
        self.used_token, self.refused_token = None, None
        self.retry_from = {}  # message id: not to be sent again before this time
        self.sock, self.welcome, self.events = None, None, []

    # -- what a program calls ------------------------------------------------------------------------------------

    def send(self, payload, to=None, conversation=None):
        """Queues a message; its id is made when it is sent for the first time (section 6)."""
        target = {"to": to} if to else {"conversation": conversation}
        entry = {"id": None, "payload": base64.b64encode(payload).decode(), **target}
        self.state.outbox.append(entry)
        self.state.save()

    def step(self, timeout=1.0):
        """Does what is due, waits at most `timeout` seconds for a frame, and returns what happened.

        Calling it again acknowledges the events that it returned before.
        """
        try:
            self._remember()
            if self.sock is None:
                self._connect(timeout)
            else:
                self._acknowledge()
                self._transmit()
                self._receive(min(timeout, 1.0))
                self._watch()
        except Lost as lost:
            self._lost(str(lost), lost.code, lost.retry_after_ms)
        except (OSError, DecodeError) as error:
            self._lost(str(error) or type(error).__name__)
        events, self.events = self.events, []
        return events

    def close(self):
        """Leaves after acknowledging what step() returned; what is unanswered stays in the state."""
        self._remember()
        if self.sock is not None:
            try:
                self._acknowledge()
            except OSError:
                pass  # it is repeated by resume_offset
            self._disconnect()

    # -- connection ----------------------------------------------------------------------------------------------

    def _connect(self, timeout):
        wait = self.retry_at - time.monotonic()
        if self.stopped or wait > 0:
            time.sleep(max(0.0, min(wait, timeout)))
            return
        token = self.token().strip()
        if token == self.refused_token:
            self._stop("the token was refused and there is no other")
            return
        sock = socket.create_connection((self.host, self.port), timeout=ANSWER_TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.plaintext:
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            sock = context.wrap_socket(sock, server_hostname=self.host)
        self.sock, self.buffer, self.welcome, self.unanswered = sock, b"", None, {}
        self.leave_at, self.pinged, self.request_id = None, False, 0
        self.heard = self.connected_at = time.monotonic()
        self.used_token, self.acked = token, self.received
        hello = pb.Hello(versions=[1], token=token, window=WINDOW, instance=self.instance, attempt=self.connections)
        self.connections += 1
        if self.received is not None and not self.forget_offset:
            hello.resume_offset = self.received
        self._write(hello=hello)
        while self.welcome is None:
            if time.monotonic() - self.connected_at > ANSWER_TIMEOUT:
                raise Lost("no answer to Hello")
            self._receive(1.0)

    def _lost(self, reason, code=0, retry_after_ms=0):
        """Decides whether and when to come back (section 10)."""
        at_login, kind = self.welcome is None, close_class(code)
        self._disconnect()
        self.events.append({"event": "disconnected", "reason": reason, "code": code, "class": kind})
        self.refused_token = self.used_token if kind == "fresh token" else None
        self.forget_offset = code == ACK_TOO_HIGH and at_login and not self.forget_offset
        wait = random.uniform(0, min(WAIT_MAX, self.backoff * 2**self.attempt))
        if kind == "client fault" and not self.forget_offset:
            wait = WAIT_MAX
        self.attempt = min(self.attempt + 1, 16)
        self.retry_at = time.monotonic() + wait + retry_after_ms / 1000
        if kind == "stop":
            self._stop(reason)

    def _stop(self, reason):
        self.stopped = True
        self.events.append({"event": "stopped", "reason": reason})

    def _disconnect(self):
        if self.sock is not None:
            self.sock.close()
        self.sock, self.welcome, self.caught_up = None, None, False

    def _watch(self):
        """Timeouts, heartbeat, and a GoAway whose time has come (section 10)."""
        now = time.monotonic()
        if now - self.connected_at > WAIT_MAX:
            self.attempt = 0
        if any(now - sent_at > ANSWER_TIMEOUT for _, sent_at in self.unanswered.values()):
            raise Lost("a Send was not answered")
        quiet = now - self.heard
        if quiet > self.welcome.heartbeat_s + ANSWER_TIMEOUT:
            raise Lost("the server is silent")
        if quiet > self.welcome.heartbeat_s and not self.pinged:
            self._write(ping=pb.Ping(nonce=secrets.randbits(32)))
            self.pinged = True
        if self.leave_at is not None and now >= self.leave_at and not self.unanswered:
            self._disconnect()
            self.retry_at = now

    # -- frames (section 2) --------------------------------------------------------------------------------------

    def _write(self, **frame):
        body = pb.ClientFrame(**frame).SerializeToString()
        self.sock.settimeout(ANSWER_TIMEOUT)
        self.sock.sendall(struct.pack(">I", len(body)) + body)

    def _receive(self, timeout):
        self.sock.settimeout(max(timeout, 0.001))
        try:
            chunk = self.sock.recv(65536)
        except TimeoutError:
            return
        if not chunk:
            raise Lost("the server ended the connection")
        self.buffer += chunk
        self.heard, self.pinged = time.monotonic(), False
        while len(self.buffer) >= 4:
            (length,) = struct.unpack(">I", self.buffer[:4])
            if not 1 <= length <= FRAME_BYTES_MAX:
                raise Lost(f"a frame of {length} bytes")
            if len(self.buffer) < 4 + length:
                break
            body, self.buffer = self.buffer[4 : 4 + length], self.buffer[4 + length :]
            frame = pb.ServerFrame.FromString(body)
            kind = frame.WhichOneof("frame")
            if kind is not None:  # None: a kind of a later version
                getattr(self, "_on_" + kind, lambda _: None)(getattr(frame, kind))

    # -- sending (section 6) -------------------------------------------------------------------------------------

    def _transmit(self):
        now = time.monotonic()
        sent = {entry["id"] for entry, _ in self.unanswered.values()}
        ready = [e for e in self.state.outbox if e["id"] is None or e["id"] not in sent]
        ready = [e for e in ready if self.retry_from.get(e["id"], 0) <= now]
        ready = [e for e in ready if e not in self.answered][: max(0, self.welcome.send_window - len(sent))]
        for entry in ready:
            entry["id"] = entry["id"] or new_message_id().hex()
        if ready:
            self.state.save()  # ids and bytes are stored before their first transmission
        for entry in ready:
            self.request_id += 1
            self.unanswered[self.request_id] = (entry, now)
            target = {key: entry[key] for key in ("to", "conversation") if key in entry}
            payload, message_id = base64.b64decode(entry["payload"]), bytes.fromhex(entry["id"])
            self._write(send=pb.Send(request_id=self.request_id, message_id=message_id, payload=payload, **target))

    def _on_accepted(self, accepted):
        entry = self._answered(accepted.request_id)
        self.answered.append(entry)
        durability = {pb.DURABILITY_FSYNC: "fsync"}.get(accepted.durability, "os")  # unknown: the weaker
        self.events.append({"event": "accepted", "message_id": entry["id"], "conversation": accepted.conversation,
                            "sequence": accepted.sequence, "durability": durability})
        if accepted.HasField("offset"):  # this device's own copy
            self._apply(accepted, base64.b64decode(entry["payload"]), own=True)

    def _on_rejected(self, rejected):
        entry, kind = self._answered(rejected.request_id), reject_class(rejected.code)
        self.events.append({"event": "rejected", "message_id": entry["id"], "code": rejected.code, "class": kind,
                            "name": REJECTS.get(rejected.code, "?")})
        if kind == "retry":
            wait = rejected.retry_after_ms / 1000 or random.uniform(0, self.backoff)
            self.retry_from[entry["id"]] = time.monotonic() + wait
        else:  # told to the user, and never sent under another id by this program
            self.answered.append(entry)

    def _answered(self, request_id):
        if request_id not in self.unanswered:
            raise Lost(f"fault of the server: an answer to request {request_id}, which is none")
        entry, _ = self.unanswered.pop(request_id)
        self.retry_from.pop(entry["id"], None)
        self.changed = True
        return entry

    # -- receiving (section 7) -----------------------------------------------------------------------------------

    def _apply(self, frame, payload, own):
        """The sequence rule."""
        last = self.last.get(frame.conversation)
        if last is not None and frame.previous_sequence > last:
            raise Lost(f"fault of the server: {frame.conversation} {frame.previous_sequence} is missing after {last}")
        if last is not None and frame.sequence <= last:
            self.duplicates += 1
        else:
            self.last[frame.conversation] = frame.sequence
            sender = {"own": True} if own else {"sender": frame.sender, "device": frame.device}
            self.events.append({"event": "message", "conversation": frame.conversation, "sequence": frame.sequence,
                                "message_id": frame.message_id.hex(), "time": frame.server_time, "payload": payload, **sender})
        self._took(frame.offset)

    def _took(self, offset):
        self.received, self.changed = max(self.received, offset), True
        if self.received >= self.welcome.end_offset and not self.caught_up:
            self.caught_up = True
            self.events.append({"event": "caught up"})

    def _on_deliver(self, deliver):
        self._apply(deliver, deliver.payload, own=False)

    def _on_gap(self, gap):
        if gap.conversation == "":
            self.last.clear()  # each next message is a base
        else:
            self.last[gap.conversation] = max(self.last.get(gap.conversation, 0), gap.through_sequence)
        self.events.append({"event": "gap", "conversation": gap.conversation, "from": gap.from_sequence,
                            "through": gap.through_sequence, "reason": gap.reason})
        self._took(gap.offset)

    def _remember(self):
        """Stores what step() returned, now that the program has dealt with it."""
        if self.changed:
            for entry in self.answered:
                self.state.outbox.remove(entry)
            self.answered, self.changed = [], False
            self.state.offset, self.state.last, self.state.incarnation = self.received, dict(self.last), self.incarnation
            self.state.save()

    def _acknowledge(self):
        if self.received > self.acked:  # both stand for what is stored: step() has called _remember()
            self._write(ack=pb.Ack(through_offset=self.received))
            self.acked = self.received

    # -- the session (sections 4, 8 and 10) ----------------------------------------------------------------------

    def _on_welcome(self, welcome):
        self.welcome, incarnation = welcome, welcome.incarnation.hex()
        rewound = self.incarnation not in (None, incarnation)
        if rewound or self.forget_offset or self.received is None:
            self.received = welcome.resumed_at
        self.acked, self.incarnation, self.forget_offset = self.received, incarnation, False
        self.events.append({"event": "welcome", "linked_now": welcome.linked_now, "resumed_at": welcome.resumed_at})
        if rewound:
            self.last.clear()
            self.events.append({"event": "gap", "conversation": "", "from": 0, "through": 0,
                                "reason": pb.GAP_REASON_HISTORY_REWOUND})
        self._took(self.received)

    def _on_ping(self, ping):
        self._write(pong=pb.Pong(nonce=ping.nonce))

    def _on_go_away(self, go_away):
        if go_away.reason != TOKEN_EXPIRED:  # a token that ends is no reason to go: Refresh, or wait for the close
            self.leave_at = time.monotonic() + go_away.reconnect_after_ms / 1000

    def _on_close(self, close):
        raise Lost(CLOSES.get(close.code, close.message), close.code, close.retry_after_ms)
