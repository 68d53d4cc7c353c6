"""Claims about the client, against a scripted server in this process (loopback, plain TCP).

    py=$(examples/python/setup) && "$py" -m unittest discover -v -s examples/python

With IRIS_SERVER (HOST:PORT), IRIS_CA (PEM file), IRIS_TOKEN_ALICE and IRIS_TOKEN_BOB (token files) the same run
also talks to a real gateway; without them those tests say that they were skipped.
"""

import base64
import json
import os
import pathlib
import queue
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import iris
import iris_pb2 as pb

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
INCARNATION = b"i" * 16
SECONDS_MAX = 20.0


class Connection:
    """The server's end of one connection."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(SECONDS_MAX)

    def read(self):
        """The next frame's content, or None at the end of the connection."""
        head = self.exactly(4)
        if head is None:
            return None
        body = self.exactly(struct.unpack(">I", head)[0])
        frame = pb.ClientFrame.FromString(body)
        return getattr(frame, frame.WhichOneof("frame"))

    def exactly(self, count):
        data = b""
        while len(data) < count:
            chunk = self.sock.recv(count - len(data))
            if not chunk:
                return None
            data += chunk
        return data

    def write(self, **frame):
        body = pb.ServerFrame(**frame).SerializeToString()
        self.sock.sendall(struct.pack(">I", len(body)) + body)

    def welcome(self, **fields):
        """Reads the Hello, answers it, and gives it."""
        hello = self.read()
        facts = {"version": 1, "incarnation": INCARNATION, "resumed_at": hello.resume_offset, "window": 256,
                 "send_window": 100, "heartbeat_s": 60, "end_offset": 1 << 40}
        self.write(welcome=pb.Welcome(**{**facts, **fields}))
        return hello

    def deliver(self, offset, sequence, previous, conversation="d:alice:bob"):
        self.write(deliver=pb.Deliver(offset=offset, conversation=conversation, sequence=sequence, sender="bob", device="d",
                                      previous_sequence=previous, message_id=bytes(16), payload=b"%d" % sequence))

    def accept(self, send, sequence, **fields):
        self.write(accepted=pb.Accepted(request_id=send.request_id, message_id=send.message_id, sequence=sequence,
                                        conversation="d:alice:bob", durability=pb.DURABILITY_FSYNC, **fields))


class Server:
    """Plays one script a connection, in order, and keeps what a script returned."""

    def __init__(self, *scripts):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.results = queue.Queue()
        self.thread = threading.Thread(target=self.play, args=(scripts,), daemon=True)
        self.thread.start()

    def play(self, scripts):
        for script in scripts:
            try:
                conn = Connection(self.listener.accept()[0])
            except OSError:
                return  # closed at the end of the test
            try:
                self.results.put(script(conn))
            except Exception as error:  # shown by the test that waits for the result
                self.results.put(error)
            finally:
                conn.sock.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(SECONDS_MAX)

    def result(self):
        value = self.results.get(timeout=SECONDS_MAX)
        if isinstance(value, Exception):
            raise value
        return value


class Rules(unittest.TestCase):
    """Each rule against a server that would break it."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "state.json")
        self.client = None

    def tearDown(self):
        if self.client is not None:
            self.client._disconnect()
        self.folder.cleanup()

    def serve(self, *scripts):
        server = Server(*scripts)
        self.addCleanup(server.close)
        return server

    def connect(self, server, token=lambda: "token"):
        self.client = iris.Client(server.address, token, iris.State(self.path), plaintext=True, backoff=0.02)
        return self.client

    def until(self, condition):
        """Steps until the condition holds for all events so far, and gives them."""
        events, ends_at = [], time.monotonic() + SECONDS_MAX
        while not condition(events):
            self.assertLess(time.monotonic(), ends_at, f"timeout after {events}")
            events += self.client.step(0.05)
        return events

    def until_event(self, name, count=1):
        return self.until(lambda events: sum(e["event"] == name for e in events) >= count)

    def sequences(self, events):
        return [event["sequence"] for event in events if event["event"] == "message"]

    def test_an_unanswered_message_is_repeated_with_the_same_id_and_bytes(self):
        """Seen to fail when: _transmit makes a new id although the entry has one."""

        def lose(conn):
            conn.welcome()
            return conn.read()

        def answer(conn):
            conn.welcome()
            send = conn.read()
            conn.accept(send, 1)
            return send

        server = self.serve(lose, answer)
        self.connect(server).send(b"hello", to="bob")
        self.until_event("accepted")
        first, second = server.result(), server.result()
        self.assertEqual((first.message_id, first.payload, first.to), (second.message_id, second.payload, "bob"))
        self.assertEqual(first.message_id[6] >> 4, 7)
        self.client.step(0)
        self.assertEqual(iris.State(self.path).outbox, [])

    def test_a_message_survives_a_restart_of_the_program_under_its_id(self):
        """Seen to fail when: the state is saved after the first transmission instead of before."""

        def lose(conn):
            conn.welcome()
            return conn.read().message_id, json.loads(pathlib.Path(self.path).read_text())["outbox"][0]["id"]

        def answer(conn):
            conn.welcome()
            send = conn.read()
            conn.accept(send, 1)
            return send.message_id

        server = self.serve(lose, answer)
        self.connect(server).send(b"hello", to="bob")
        self.until_event("disconnected")
        self.connect(server)  # a new program with the same file
        self.until_event("accepted")
        sent, stored = server.result()
        self.assertEqual(sent.hex(), stored)
        self.assertEqual(server.result(), sent)

    def test_a_refused_message_is_reported_and_never_sent_again(self):
        """Seen to fail when: reject_class gives retry for 24 or 60."""

        def refuse(conn):
            conn.welcome()
            for code in (24, 60):
                send = conn.read()
                conn.write(rejected=pb.Rejected(request_id=send.request_id, message_id=send.message_id, code=code))
            return conn.read()

        server = self.serve(refuse)
        self.connect(server)
        self.client.send(b"one", to="bob")
        self.client.send(b"two", to="bob")
        events = self.until_event("rejected", 2)
        self.assertEqual([e["class"] for e in events if e["event"] == "rejected"], ["refused", "unknown"])
        self.client.close()
        self.assertIsNone(server.result())
        self.assertEqual(iris.State(self.path).outbox, [])

    def test_a_message_that_has_to_wait_is_sent_again_after_the_given_time(self):
        """Seen to fail when: retry_after_ms is not added to the time."""

        def busy(conn):
            conn.welcome()
            first = conn.read()
            conn.write(rejected=pb.Rejected(request_id=first.request_id, code=4, retry_after_ms=300))
            asked_at = time.monotonic()
            second = conn.read()
            conn.accept(second, 1)
            return first.message_id == second.message_id, time.monotonic() - asked_at

        server = self.serve(busy)
        self.connect(server).send(b"hello", to="bob")
        self.until_event("accepted")
        same, waited = server.result()
        self.assertTrue(same)
        self.assertGreaterEqual(waited, 0.29)

    def test_each_message_is_applied_once_in_order_and_duplicates_are_acknowledged(self):
        """Seen to fail when: a sequence at or below the last one is applied."""

        def script(conn):
            conn.welcome()
            for offset, sequence in ((11, 5), (12, 6), (13, 5), (14, 6), (15, 7)):
                conn.deliver(offset, sequence, min(sequence - 1, 6))
            ack = 0
            while ack < 15:
                ack = conn.read().through_offset
            return ack

        server = self.serve(script)
        self.connect(server)
        events = self.until(lambda events: len(self.sequences(events)) >= 3)
        self.assertEqual(self.sequences(events), [5, 6, 7])
        self.client.step(0.05)
        self.assertEqual(server.result(), 15)
        self.assertEqual(self.client.duplicates, 2)

    def test_a_hole_that_no_gap_explains_is_not_acknowledged(self):
        """Seen to fail when: previous_sequence is not compared."""

        def hole(conn):
            conn.welcome()
            conn.deliver(11, 5, 4)
            conn.deliver(12, 8, 7)
            frames = []
            while (frame := conn.read()) is not None:
                frames.append(frame.through_offset)
            return frames

        def again(conn):
            return conn.welcome().resume_offset

        server = self.serve(hole, again)
        self.connect(server)
        events = self.until(lambda events: any("fault" in e.get("reason", "") for e in events))
        self.assertEqual(self.sequences(events), [5])
        self.until_event("welcome")
        self.assertNotIn(12, server.result())
        self.assertEqual(server.result(), 11)

    def test_a_gap_explains_a_hole_and_is_acknowledged(self):
        """Seen to fail when: _on_gap does not raise the last sequence."""

        def script(conn):
            conn.welcome()
            conn.deliver(11, 5, 4)
            conn.write(gap=pb.Gap(offset=12, conversation="d:alice:bob", from_sequence=6, through_sequence=9,
                                  reason=pb.GAP_REASON_EXPIRED))
            conn.deliver(13, 10, 9)
            ack = 0
            while ack < 13:
                ack = conn.read().through_offset
            return ack

        server = self.serve(script)
        self.connect(server)
        events = self.until(lambda events: len(self.sequences(events)) >= 2)
        self.client.step(0.05)
        self.assertEqual(server.result(), 13)
        self.assertEqual([(e["from"], e["through"]) for e in events if e["event"] == "gap"], [(6, 9)])

    def test_a_gap_without_a_conversation_makes_each_next_message_a_base(self):
        """Seen to fail when: such a gap forgets nothing."""

        def script(conn):
            conn.welcome()
            conn.deliver(11, 5, 4)
            conn.write(gap=pb.Gap(offset=12, reason=pb.GAP_REASON_DEVICE_DETACHED))
            conn.deliver(13, 90, 89)
            return conn.read()

        server = self.serve(script)
        self.connect(server)
        events = self.until(lambda events: len(self.sequences(events)) >= 2)
        self.assertEqual(self.sequences(events), [5, 90])

    def test_nothing_is_acknowledged_or_remembered_before_the_program_has_dealt_with_it(self):
        """Seen to fail when: step() acknowledges what it is about to return, or send() saves newer progress."""
        delivered = threading.Event()

        def script(conn):
            conn.welcome()
            conn.deliver(11, 5, 4)
            delivered.wait(SECONDS_MAX)
            conn.sock.setblocking(False)
            try:
                early = conn.sock.recv(1)
            except BlockingIOError:
                early = b""
            conn.sock.settimeout(SECONDS_MAX)
            return early, conn.read()

        server = self.serve(script)
        self.connect(server)
        self.until_event("message")
        self.client.send(b"an answer", to="bob")  # writes the state while the message is being dealt with
        stored = iris.State(self.path)
        self.assertEqual((stored.offset or 0, stored.last), (0, {}))
        delivered.set()
        while server.results.empty():
            self.client.step(0.05)
        early, ack = server.result()
        self.assertEqual((early, ack.through_offset), (b"", 11))
        self.assertEqual(iris.State(self.path).last, {"d:alice:bob": 5})

    def test_a_restarted_program_resumes_where_it_stored(self):
        """Seen to fail when: Hello leaves resume_offset out, or is 0."""

        def first(conn):
            hello = conn.welcome()
            conn.deliver(11, 5, 4)
            conn.read()
            return hello.HasField("resume_offset")

        def second(conn):
            hello = conn.welcome()
            conn.deliver(11, 5, 4)
            conn.deliver(12, 6, 5)
            conn.read()
            return hello.resume_offset

        server = self.serve(first, second)
        self.connect(server)
        self.until_event("message")
        self.client.close()
        self.assertFalse(server.result(), "a device without state names no offset")
        self.connect(server)
        self.assertEqual(self.sequences(self.until_event("message")), [6])
        self.client.close()
        self.assertEqual(server.result(), 11)

    def test_an_accepted_with_an_offset_is_the_own_copy(self):
        """Seen to fail when: _on_accepted does not apply it: then 7 looks like a hole, or the ack stays away."""

        def script(conn):
            conn.welcome()
            conn.deliver(11, 5, 4)
            send = conn.read()
            while not isinstance(send, pb.Send):
                send = conn.read()
            conn.accept(send, 6, offset=12, previous_sequence=5)
            conn.deliver(13, 7, 6)
            ack = 0
            while ack < 13:
                ack = conn.read().through_offset
            return ack

        server = self.serve(script)
        self.connect(server)
        self.until_event("message")
        self.client.send(b"mine", to="bob")
        events = self.until(lambda events: len(self.sequences(events)) >= 2)
        own = [e["payload"] for e in events if e.get("own")]
        self.client.step(0.05)
        self.assertEqual((own, self.sequences(events), server.result()), ([b"mine"], [6, 7], 13))

    def test_an_accepted_without_an_offset_does_not_count_in_the_sequence_rule(self):
        """Seen to fail when: the last sequence is raised by it: then the own copy is dropped as a duplicate."""

        def script(conn):
            conn.welcome()
            conn.deliver(11, 5, 4)
            send = conn.read()
            while not isinstance(send, pb.Send):
                send = conn.read()
            conn.accept(send, 7)
            conn.deliver(12, 6, 5)
            conn.deliver(13, 7, 6)
            return conn.read()

        server = self.serve(script)
        self.connect(server)
        self.until_event("message")
        self.client.send(b"mine", to="bob")
        self.assertEqual(self.sequences(self.until(lambda events: len(self.sequences(events)) >= 2)), [6, 7])

    def test_a_new_incarnation_is_told_once_and_makes_each_next_message_a_base(self):
        """Seen to fail when: the stored incarnation is not compared."""

        def before(conn):
            conn.welcome()
            conn.deliver(1 << 35, 50, 49)
            conn.read()

        def restored(conn):
            hello = conn.welcome(incarnation=b"j" * 16, resumed_at=3)
            conn.deliver(4, 20, 19)
            conn.read()
            return hello.resume_offset

        def later(conn):
            hello = conn.welcome(incarnation=b"j" * 16)
            conn.read()
            return hello.resume_offset

        server = self.serve(before, restored, later)
        self.connect(server)
        self.until_event("message")
        events = self.until(lambda events: any(e["event"] == "message" for e in events))
        self.assertEqual([e["reason"] for e in events if e["event"] == "gap"], [pb.GAP_REASON_HISTORY_REWOUND])
        self.assertEqual(self.sequences(events), [20])
        events = self.until_event("welcome")
        self.client.close()
        self.assertEqual([e for e in events if e["event"] == "gap"], [])
        self.assertIsNone(server.result())
        self.assertEqual((server.result(), server.result()), (1 << 35, 4))

    def test_an_offset_that_a_restored_server_never_gave_is_withdrawn(self):
        """Seen to fail when: ACK_TOO_HIGH after Hello is treated like every fault: the next Hello names it again."""

        def refuse(conn):
            hello = conn.read()
            conn.write(close=pb.Close(code=108))
            return hello.resume_offset

        def take(conn):
            hello = conn.read()
            conn.write(welcome=pb.Welcome(version=1, incarnation=b"j" * 16, resumed_at=3, window=256, send_window=100,
                                          heartbeat_s=60))
            conn.read()
            return hello.HasField("resume_offset")

        state = iris.State(self.path)
        state.offset, state.incarnation = 1 << 40, INCARNATION.hex()
        state.save()
        server = self.serve(refuse, take)
        self.connect(server)
        self.until_event("welcome")
        self.client.close()
        self.assertEqual((server.result(), server.result()), (1 << 40, False))
        self.assertEqual(iris.State(self.path).offset, 3)

    def test_after_conflict_the_client_stays_away(self):
        """Seen to fail when: close_class gives reconnect for 109."""

        def conflict(conn):
            conn.welcome()
            conn.write(close=pb.Close(code=109))

        server = self.serve(conflict, lambda conn: self.fail("it came back"))
        self.connect(server)
        self.until_event("stopped")
        for _ in range(10):
            self.assertEqual(self.client.step(0.05), [])
        self.assertTrue(self.client.stopped)

    def test_a_refused_token_is_not_tried_twice_and_a_fresh_one_is(self):
        """Seen to fail when: the token is read once only, or the refused one is sent again."""
        tokens = iter(["old", "new", "new"])

        def refuse(conn):
            token = conn.read().token
            conn.write(close=pb.Close(code=101))
            return token

        server = self.serve(refuse, refuse)
        self.connect(server, lambda: next(tokens))
        self.until_event("stopped")
        self.assertEqual((server.result(), server.result()), ("old", "new"))

    def test_a_hint_of_the_server_is_the_least_wait(self):
        """Seen to fail when: retry_after_ms is left out."""

        def overloaded(conn):
            conn.read()
            conn.write(close=pb.Close(code=117, retry_after_ms=300))
            return time.monotonic()

        def later(conn):
            conn.welcome()
            return time.monotonic()

        server = self.serve(overloaded, later)
        self.connect(server)
        self.until_event("welcome")
        closed_at, back_at = server.result(), server.result()
        self.assertGreaterEqual(back_at - closed_at, 0.29)

    def test_a_ping_is_answered_and_unknown_frames_and_fields_are_survived(self):
        """Seen to fail when: _on_ping is missing, or an unknown kind raises."""

        def script(conn):
            conn.welcome()
            for body in (bytes([15 << 3 | 2, 2, 8, 1]), bytes([12 << 3 | 2, 4, 8, 7, 15 << 3, 1])):
                conn.sock.sendall(struct.pack(">I", len(body)) + body)
            return conn.read()

        server = self.serve(script)
        self.connect(server)
        self.until(lambda _: not server.results.empty())
        self.assertEqual(server.result(), pb.Pong(nonce=7))

    def test_a_silent_server_is_pinged_and_then_given_up(self):
        """Seen to fail when: _watch does not look at the silence."""
        pinged = threading.Event()

        def silent(conn):
            conn.welcome(heartbeat_s=1)
            ping = conn.read()
            pinged.set()
            return isinstance(ping, pb.Ping), conn.read()

        server = self.serve(silent)
        self.connect(server)
        self.until(lambda _: pinged.is_set())
        self.client.heard -= iris.ANSWER_TIMEOUT  # as if 20 seconds had passed
        events = self.until_event("disconnected")
        self.assertIn("silent", events[-1]["reason"])
        self.assertEqual(server.result(), (True, None))

    def test_after_go_away_the_client_moves_at_the_given_time(self):
        """Seen to fail when: _on_go_away does nothing."""

        def leaving(conn):
            conn.welcome()
            conn.write(go_away=pb.GoAway(reason=113, reconnect_after_ms=200, close_after_ms=60_000))
            return conn.read()

        server = self.serve(leaving, Connection.welcome)
        self.connect(server)
        self.until_event("welcome", 2)
        self.assertIsNone(server.result())

    def test_a_frame_in_pieces_is_put_together(self):
        """Seen to fail when: _receive takes a part as a frame, or drops it."""
        seen = {count: threading.Event() for count in (1, 3, 4, 6)}

        def script(conn):
            conn.welcome()
            body = pb.ServerFrame(ping=pb.Ping(nonce=9)).SerializeToString()
            data, start = struct.pack(">I", len(body)) + body, 0
            for count, event in seen.items():
                conn.sock.sendall(data[start:count])
                event.wait(SECONDS_MAX)
                start = count
            conn.sock.sendall(data[start:])
            return conn.read()

        server = self.serve(script)
        self.connect(server)
        self.until_event("welcome")
        for count, event in seen.items():
            self.until(lambda _: len(self.client.buffer) == count)
            event.set()
        self.until(lambda _: not server.results.empty())
        self.assertEqual(server.result().nonce, 9)

    def test_a_token_never_leaves_this_host_without_tls(self):
        """Seen to fail when: the address is not looked at."""
        with self.assertRaises(ValueError):
            iris.Client("192.0.2.1:7443", lambda: "token", iris.State(self.path), plaintext=True)

    def test_a_server_with_an_unknown_certificate_gets_no_token(self):
        """Seen to fail when: the context's verify_mode is CERT_NONE."""
        if shutil.which("openssl") is None:
            self.skipTest("SKIPPED: no openssl command to make a certificate with")
        key, cert = os.path.join(self.folder.name, "key.pem"), os.path.join(self.folder.name, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=iris", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)

        def hello(conn):
            try:
                conn.sock = context.wrap_socket(conn.sock, server_side=True)
                return conn.sock.version(), conn.welcome().token
            except (ssl.SSLError, ConnectionError):
                return None

        for ca, expected in ((None, None), (cert, ("TLSv1.3", "token"))):
            server = self.serve(hello)
            self.client = iris.Client(server.address, lambda: "token", iris.State(self.path), ca=ca)
            self.until(lambda _: not server.results.empty())
            self.assertEqual(server.result(), expected)
            self.client._disconnect()


class Page(unittest.TestCase):
    """The constants here against the page, and the generated code against the golden bytes."""

    def table(self, name):
        page = (REPOSITORY / "docs/PROTOCOL.md").read_text()
        block = page.split(f"<!-- table: {name} -->\n")[1].split("\n\n")[0]
        return [[cell.strip() for cell in row.strip("|").split("|")] for row in block.splitlines()[2:]]

    def test_the_codes_are_those_of_the_page(self):
        """Seen to fail when: a code's name or class differs."""
        rejects = {int(row[0]): (row[1], row[2]) for row in self.table("rejects")}
        closes = {int(row[0]): (row[1], row[2]) for row in self.table("closes")}
        self.assertEqual({n: (name, iris.reject_class(n)) for n, name in iris.REJECTS.items()}, rejects)
        self.assertEqual({n: (name, iris.close_class(n)) for n, name in iris.CLOSES.items()}, closes)

    def test_golden_frames_mean_the_same_here(self):
        """Seen to fail when: a field's number is changed in a golden file."""
        files = sorted((REPOSITORY / "protocol/golden").glob("*.hex"))
        self.assertGreater(len(files), 15)
        for file in files:
            lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
            data = bytes.fromhex("".join(lines))
            kind = pb.ClientFrame if file.name.startswith("client_") else pb.ServerFrame
            frame = kind.FromString(data[4:])
            self.assertTrue(re.sub("^(client|server)_", "", file.stem).startswith(frame.WhichOneof("frame")), file.name)
            frame.DiscardUnknownFields()
            self.assertEqual(struct.pack(">I", len(data) - 4) + frame.SerializeToString(), data, file.name)

    def test_message_ids_are_uuids_of_version_7_with_the_time_inside(self):
        """Seen to fail when: the version's bits are left out."""
        now_ms = time.time_ns() // 1_000_000
        ids = [iris.new_message_id() for _ in range(100)]
        for made in ids:
            self.assertEqual((len(made), made[6] >> 4, made[8] >> 6), (16, 7, 2))
            self.assertLess(abs(int.from_bytes(made[:6], "big") - now_ms), 60_000)
        self.assertEqual(len(set(ids)), 100)


@unittest.skipUnless("IRIS_SERVER" in os.environ, "SKIPPED: no gateway named by IRIS_SERVER, IRIS_CA, IRIS_TOKEN_*")
class Gateway(unittest.TestCase):
    """The same client against a real gateway."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.tag = os.urandom(4).hex()

    def tearDown(self):
        self.folder.cleanup()

    def device(self, name):
        path = os.environ["IRIS_TOKEN_" + name.upper()]
        state = iris.State(os.path.join(self.folder.name, name))
        return iris.Client(os.environ["IRIS_SERVER"], pathlib.Path(path).read_text, state,
                           ca=os.environ.get("IRIS_CA"), plaintext="IRIS_CA" not in os.environ, backoff=0.1)

    def user(self, name):
        """The user inside a token: the part that a client may know."""
        middle = pathlib.Path(os.environ["IRIS_TOKEN_" + name.upper()]).read_text().split(".")[1]
        return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))["sub"]

    def run_until(self, client, condition):
        events, ends_at = [], time.monotonic() + SECONDS_MAX
        while not condition(events):
            self.assertLess(time.monotonic(), ends_at, f"timeout after {events[-5:]}")
            events += client.step(0.1)
        return events

    def texts(self, events):
        """What this run of the test sent, as it was received; an earlier run may have left other messages."""
        found = [e["payload"].decode() for e in events if e["event"] == "message"]
        return [text for text in found if text.startswith(self.tag)]

    def send_all(self, client, texts, to):
        for text in texts:
            client.send(text.encode(), to=to)
        accepted = lambda events: [e for e in events if e["event"] == "accepted"]
        return self.run_until(client, lambda events: len(accepted(events)) >= len(texts))

    def test_messages_to_a_device_that_is_away_come_once_and_in_order(self):
        alice, bob = self.device("alice"), self.device("bob")
        self.run_until(bob, lambda _: bob.caught_up)
        bob.close()
        texts = [f"{self.tag} {number}" for number in range(30)]
        events = self.send_all(alice, texts, self.user("bob"))
        sequences = [e["sequence"] for e in events if e["event"] == "accepted"]
        self.assertEqual(sequences, list(range(sequences[0], sequences[0] + 30)))
        bob = self.device("bob")  # from its state file
        received = self.texts(self.run_until(bob, lambda events: len(self.texts(events)) >= 30))
        self.assertEqual(received, texts)
        bob.close()
        bob = self.device("bob")
        more = self.texts(self.run_until(bob, lambda _: bob.caught_up))
        self.assertEqual((more, bob.duplicates), ([], 0))
        bob.close()
        alice.close()

    def test_a_message_whose_answer_was_lost_is_stored_once(self):
        alice, bob = self.device("alice"), self.device("bob")
        self.run_until(bob, lambda _: bob.caught_up)
        self.run_until(alice, lambda _: alice.caught_up)
        alice.send(f"{self.tag} lost".encode(), to=self.user("bob"))
        alice._transmit()  # on its way, and its answer will not be read
        alice._disconnect()
        events = self.send_all(alice, [], self.user("bob"))
        events += self.run_until(alice, lambda events: any(e["event"] == "accepted" for e in events))
        self.send_all(alice, [f"{self.tag} end"], self.user("bob"))
        ended = lambda events: f"{self.tag} end" in self.texts(events)
        self.assertEqual(self.texts(self.run_until(bob, ended)), [f"{self.tag} lost", f"{self.tag} end"])
        alice.close()
        bob.close()

    def test_a_garbage_token_is_refused(self):
        state = iris.State(os.path.join(self.folder.name, "nobody"))
        client = iris.Client(os.environ["IRIS_SERVER"], lambda: "garbage", state, ca=os.environ.get("IRIS_CA"),
                             plaintext="IRIS_CA" not in os.environ, backoff=0.1)
        events = self.run_until(client, lambda _: client.stopped)
        self.assertIn(101, [e.get("code") for e in events])


if __name__ == "__main__":
    unittest.main()
