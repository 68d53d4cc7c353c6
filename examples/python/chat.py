"""Iris at a terminal: chat with one user, send, or listen. `chat.py --help` says how; README.md shows it."""

import argparse
import json
import queue
import sys
import threading
import time

import iris


def arguments():
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--server", required=True, help="HOST:PORT")
    common.add_argument("--token-file", required=True, help="read anew at every login")
    common.add_argument("--state", required=True, help="file that remembers this device; made if missing")
    common.add_argument("--ca", help="PEM file with the certificate to trust (default: the system's)")
    common.add_argument("--insecure-plaintext", action="store_true", help="no TLS; loopback addresses only")
    common.add_argument("--json", action="store_true", help="one JSON object a line, payloads in base64 too")
    common.add_argument("--timeout", type=float, help="end with status 3 after this many seconds")
    commands = parser.add_subparsers(dest="command", required=True)
    chat = commands.add_parser("chat", parents=[common], help="send each line typed, show what comes")
    chat.add_argument("--to", required=True, metavar="USER")
    send = commands.add_parser("send", parents=[common], help="send one message, end when it is accepted")
    send.add_argument("--to", required=True, metavar="USER")
    send.add_argument("text", nargs="?", help="the message (default: standard input as a whole)")
    listen = commands.add_parser("listen", parents=[common], help="show what comes")
    listen.add_argument("--count", type=int, help="end after this many messages of others")
    return parser.parse_args()


def show(event, as_json):
    """Prints an event; it is acknowledged only after this returned."""
    payload = event.get("payload")
    if as_json:
        if payload is not None:
            text = {"text": payload.decode(errors="replace"), "payload": iris.base64.b64encode(payload).decode()}
            event = {**event, **text}
        print(json.dumps(event), flush=True)
    elif event["event"] == "message" and "own" in event:
        pass  # it was typed here
    elif event["event"] == "message":
        clock = time.strftime("%H:%M:%S", time.localtime(event["time"] / 1000))
        print(f"{clock} {event['sender']}: {payload.decode(errors='replace')}", flush=True)
    elif event["event"] == "accepted":
        print(f"         accepted ({event['durability']}), number {event['sequence']}", flush=True)
    elif event["event"] != "caught up":
        facts = ", ".join(f"{key} {value}" for key, value in event.items() if key != "event" and value not in ("", 0))
        print(f"         {event['event']}: {facts}", flush=True)


def typed_lines():
    """Lines of standard input as they come, then None."""
    lines = queue.Queue()

    def read():
        for line in sys.stdin:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def run(options, client):
    """Runs the command; gives the exit status: 0 done, 1 refused, 2 stopped by the server, 3 timeout."""
    ends_at = time.monotonic() + options.timeout if options.timeout else None
    lines = typed_lines() if options.command == "chat" else None
    if options.command == "send":
        text = options.text.encode() if options.text is not None else sys.stdin.buffer.read()
        client.send(text, to=options.to)
    typing, messages = True, 0
    while not client.stopped:
        if ends_at and time.monotonic() > ends_at:
            return 3
        while lines and typing and not lines.empty():
            line = lines.get()
            typing = line is not None
            if line:
                client.send(line.encode(), to=options.to)
        refused = False
        for event in client.step(0.2 if lines else 1.0):
            show(event, options.json)
            messages += event["event"] == "message" and "own" not in event
            refused |= event["event"] == "rejected" and event["class"] != "retry"
        open_messages = len(client.state.outbox) - len(client.answered)
        if options.command != "listen" and refused and open_messages == 0:
            return 1
        if options.command == "send" and open_messages == 0:
            return 0
        if options.command == "chat" and not typing and open_messages == 0:
            return 0
        if options.command == "listen" and options.count and messages >= options.count:
            return 0
    return 2


def main():
    """The command."""
    options = arguments()

    def token():
        with open(options.token_file, encoding="ascii") as file:
            return file.read()

    state = iris.State(options.state)
    client = iris.Client(options.server, token, state, ca=options.ca, plaintext=options.insecure_plaintext)
    try:
        status = run(options, client)
    except KeyboardInterrupt:
        status = 130
    client.close()
    sys.exit(status)


if __name__ == "__main__":
    main()
