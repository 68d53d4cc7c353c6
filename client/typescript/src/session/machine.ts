// What the parts of a session share: its fields, its outputs, and the ways into and out of a connection.
//
// Invariants
// - Exactly one phase at a time. Offline with a plan and no stop is the only one that leads to a "connect".

import { conversationOf, type DeviceState, type OutboxEntry } from "../state.js";
import { messageIdBytes } from "../ids.js";
import type { ClientFrame } from "../wire/schema.js";
import { Jitter, PONG_TIMEOUT_MS, type SessionConfig } from "./config.js";
import type { DisconnectReason, Event, Next, Output } from "./event.js";
import { Incoming } from "./incoming.js";
import { Outgoing, earliest } from "./outgoing.js";

export type Frame = NonNullable<ClientFrame["frame"]>;

/** Where the connection stands. */
export type Phase =
  /** No transport. With a time: connect then. Without: the caller is connecting, or has to start. */
  | { readonly at: "offline"; readonly connectAt: number | undefined }
  /** Hello is out. */
  | { readonly at: "logging in"; readonly since: number }
  /** Welcome is in. */
  | { readonly at: "online"; readonly since: number };

/** The connection as the session sees it. */
export class Link {
  phase: Phase = { at: "offline", connectAt: undefined };
  /** Why no reconnect happens by itself; "reconnect": it does. */
  next: Next = "reconnect";
  /** Connections since the last stable one. */
  attempts = 0;
  /** Connections so far. */
  connections = 0;
  lastSent = 0;
  lastReceived = 0;
  lastPing = 0;
  pingNonce = 0n;
  heartbeatMs = 0;
  /** Deliveries that the server sends unacknowledged. */
  window = 0;
  sendWindow = 0;
  /** Reached: caught up. Undefined once it was told. */
  endOffset: number | undefined;
  /** What the server's GoAway asked for. */
  leave: { readonly reconnectAt: number; readonly closeAt: number } | undefined;
  /** The resume offset that Hello named. */
  named: number | undefined;
  /** The server refused the resume offset as too high: the next Hello names none. */
  resumeRefused = false;
  /** When to come back, as the server's last words said. */
  hint: number | undefined;
  nextRequestId = 1;
  /** Open requests other than Sends, and when they were sent. */
  readonly requests = new Map<number, number>();

  get isOnline(): boolean {
    return this.phase.at === "online";
  }

  /** A transport is up and Hello goes out now. */
  begin(now: number, named: number | undefined): void {
    this.phase = { at: "logging in", since: now };
    this.connections += 1;
    this.next = "reconnect";
    this.named = named;
    this.hint = undefined;
    this.leave = undefined;
    this.endOffset = undefined;
    this.lastSent = now;
    this.lastReceived = now;
    this.lastPing = now;
    this.requests.clear();
  }

  /** When to ask for life: either direction was silent for a heartbeat. */
  get pingAt(): number {
    return Math.max(Math.min(this.lastSent, this.lastReceived), this.lastPing) + this.heartbeatMs;
  }

  /** When silence means that the peer is gone. */
  get deadAt(): number {
    return this.lastReceived + this.heartbeatMs + PONG_TIMEOUT_MS;
  }
}

export class Machine {
  readonly link = new Link();
  readonly incoming: Incoming;
  readonly outgoing = new Outgoing();
  readonly jitter: Jitter;
  readonly unknown: OutboxEntry[];
  incarnation: string | undefined;
  outputs: Output[] = [];
  unsaved = false;

  constructor(
    readonly config: SessionConfig,
    readonly user: string,
    state: DeviceState,
  ) {
    this.jitter = new Jitter(config.jitterSeed);
    this.incarnation = state.incarnation;
    this.incoming = new Incoming(state.last, state.storedThrough);
    this.unknown = [...state.unknown];
    for (const entry of state.outbox) this.keep(entry);
  }

  keep(entry: OutboxEntry): void {
    const idBytes = messageIdBytes(entry.messageId);
    if (idBytes === undefined) throw new TypeError(`${entry.messageId} is not a UUID of version 7`);
    this.outgoing.push(entry, conversationOf(entry.target, this.user), idBytes);
  }

  emit(now: number, frame: Frame): void {
    this.link.lastSent = now;
    this.outputs.push({ kind: "frame", frame });
  }

  tell(event: Event): void {
    this.outputs.push({ kind: "event", event });
  }

  dropFrames(): void {
    this.outputs = this.outputs.filter((output) => output.kind !== "frame");
  }

  get mayTransmit(): boolean {
    return this.link.isOnline && this.link.leave === undefined && this.outgoing.onWireCount < this.link.sendWindow;
  }

  /** Puts waiting messages onto the wire, as many as the window allows. Acknowledgements ride along. */
  transmit(now: number): void {
    while (this.mayTransmit) {
      const requestId = this.link.nextRequestId;
      const message = this.outgoing.transmit(now, requestId);
      if (message === undefined) return;
      this.link.nextRequestId += 1;
      const { target, payload } = message.entry;
      const value = {
        requestId,
        target: "to" in target ? ({ kind: "to", value: target.to } as const) : ({ kind: "conversation", value: target.conversation } as const),
        messageId: message.idBytes,
        payload,
        ackThrough: this.incoming.takeAck(),
      };
      this.emit(now, { kind: "send", value });
    }
  }

  acknowledge(now: number): void {
    if (!this.link.isOnline) return;
    const throughOffset = this.incoming.takeAck();
    if (throughOffset !== undefined) this.emit(now, { kind: "ack", value: { throughOffset } });
  }

  /** After anything changed: sends what the window allows, then acknowledges if that is due. */
  settle(now: number): void {
    if (!this.link.isOnline) return;
    this.transmit(now);
    const half = Math.max(Math.floor(this.link.window / 2), 1);
    const every = Math.min(Math.max(this.config.ackEvery, 1), half);
    const { ackDelayMs, ownAckDelayMs } = this.config;
    const waits = { deliveryMs: ackDelayMs, ownCopyMs: ownAckDelayMs === 0 ? ackDelayMs : ownAckDelayMs };
    if (this.incoming.ackIsDue(now, every, waits)) this.acknowledge(now);
    const done = this.outgoing.onWireCount === 0 && this.link.requests.size === 0;
    if (this.link.leave !== undefined && done && this.incoming.allStored) {
      this.acknowledge(now);
      this.leave(now, "go away");
    }
  }

  /** Ends the connection from this side. */
  leave(now: number, reason: DisconnectReason): void {
    const hadTransport = this.link.phase.at !== "offline";
    this.goOffline(now);
    if (hadTransport) this.outputs.push({ kind: "disconnect", reason });
  }

  /** Into the offline phase. While a reconnect is planned already, nothing changes. */
  goOffline(now: number): void {
    const { phase } = this.link;
    if (phase.at === "offline" && phase.connectAt !== undefined && this.link.next === "reconnect") return;
    if (phase.at === "online" && now - phase.since >= this.config.stableAfterMs) this.link.attempts = 0;
    this.outgoing.requeue();
    this.link.requests.clear();
    if (this.link.next === "reconnect") this.planReconnect(now);
    else this.link.phase = { at: "offline", connectAt: undefined };
  }

  /** At the time that the server named, or after the backoff. */
  planReconnect(now: number): void {
    const delay = this.jitter.backoff(this.config, this.link.attempts);
    this.link.attempts += 1;
    const { leave, hint } = this.link;
    this.link.leave = undefined;
    let connectAt = now + delay;
    if (leave !== undefined) {
      connectAt = Math.max(leave.reconnectAt, now);
    } else if (hint !== undefined) {
      connectAt = Math.max(hint, now) + delay;
    }
    this.link.hint = undefined;
    this.link.phase = { at: "offline", connectAt };
  }

  get answerDeadline(): number | undefined {
    const sentAt = earliest([this.outgoing.oldestSentAt, this.link.requests.values().next().value]);
    return sentAt === undefined ? undefined : sentAt + this.config.answerTimeoutMs;
  }

  ping(now: number): void {
    this.link.pingNonce += 1n;
    this.link.lastPing = now;
    this.emit(now, { kind: "ping", value: { nonce: this.link.pingNonce } });
  }
}

