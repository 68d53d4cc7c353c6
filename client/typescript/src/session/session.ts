// The client's side of a session, as a state machine: frames and time in, frames and events out.
//
// The caller owns the socket, the clock, the token, the ids of messages and the store. It calls `connected` when a
// transport is up, hands in every frame, and after each call takes outputs from `poll` until there are none.
// `nextDeadline` says when `tick` is due. The first connection is the caller's to make; later ones are asked for by
// the output "connect". Times are milliseconds of any clock that never goes back.
//
// Invariants
// - No clock, I/O, timer or randomness: the same calls give the same outputs.
// - A message is applied once and in order; what breaks that is a server fault, never a silent skip.
// - Nothing is acknowledged, and nothing is named as the place to resume from, that the caller has not stored.
// - An unanswered message is sent again under the same id with the same bytes, until it is answered.

import { emptyState, type DeviceState, type OutboxEntry } from "../state.js";
import type { ServerFrame } from "../wire/schema.js";
import { PAYLOAD_BYTES_MAX, sessionConfig, type SessionConfig } from "./config.js";
import type { Fault, Next, Output } from "./event.js";
import { handle, PROTOCOL_VERSION } from "./frames.js";
import { Machine, type Frame } from "./machine.js";
import { earliest } from "./outgoing.js";

/** A message was not taken: nothing is stored and nothing is sent. */
export class SendError extends Error {
  override name = "SendError";

  constructor(
    readonly why: "payload too large" | "outbox full" | "closed",
    message: string,
  ) {
    super(message);
  }

  /** Judges a payload before it is taken. */
  static check(payload: Uint8Array): void {
    if (payload.length <= PAYLOAD_BYTES_MAX) return;
    throw new SendError("payload too large", `payload of ${payload.length} bytes, allowed are ${PAYLOAD_BYTES_MAX}`);
  }
}

/** One device's session. Outlives its connections. */
export class Session {
  readonly #machine: Machine;

  /** A session that continues from `state`. Drafts in the state stay the caller's. */
  constructor(user: string, state: DeviceState = emptyState(), config: Partial<SessionConfig> = {}) {
    this.#machine = new Machine(sessionConfig(config), user, state);
  }

  /** A transport is up: says Hello. Frames of an earlier connection that were not taken are dropped. */
  connected(now: number, token: string): void {
    const { config, link, incoming, outgoing } = this.#machine;
    this.#machine.dropFrames();
    outgoing.requeue();
    const resumeOffset = link.resumeRefused ? undefined : incoming.storedThrough;
    const attempt = config.instance === 0 ? 0 : link.connections;
    link.begin(now, resumeOffset);
    const value = {
      versions: [PROTOCOL_VERSION],
      capabilities: [...config.capabilities],
      token,
      resumeOffset,
      window: config.window,
      heartbeatS: Math.floor(config.heartbeatMs / 1000),
      instance: config.instance,
      attempt,
    };
    this.#machine.emit(now, { kind: "hello", value });
  }

  /** The transport is gone, or could not be made: plans the next one. Without effect while one is planned. */
  disconnected(now: number): void {
    this.#machine.dropFrames();
    this.#machine.goOffline(now);
  }

  /** Leaves for good: flushes acknowledgements, asks to close, and does not reconnect before `restart`. */
  close(now: number): void {
    this.#machine.acknowledge(now);
    this.#machine.link.next = "stop";
    this.#machine.leave(now, "by caller");
  }

  /** Ends a stop (see `next`): plans a reconnect after the backoff. */
  restart(now: number): void {
    if (this.#machine.link.next === "reconnect") return;
    this.#machine.link.next = "reconnect";
    this.#machine.planReconnect(now);
  }

  /** Takes a frame of the current connection. Without one it is ignored: a late frame of an old connection. */
  handle(now: number, frame: ServerFrame): void {
    handle(this.#machine, now, frame);
  }

  /** The bytes that came are no frame: reports it and reconnects. */
  fault(now: number, fault: Fault): void {
    this.#machine.tell({ type: "server fault", fault });
    this.#machine.leave(now, "server fault");
  }

  /**
   * Takes a message: sends it as soon as the connection and the window allow, and again until it is answered.
   * Mint its id right before the first transmission; `canTransmit` says when that is now. Throws a SendError.
   */
  send(now: number, entry: OutboxEntry): void {
    SendError.check(entry.payload);
    const { config, outgoing, unknown } = this.#machine;
    const waiting = outgoing.count + unknown.length;
    if (waiting >= config.outboxMax) throw new SendError("outbox full", `${waiting} messages wait for an answer already`);
    this.#machine.keep(entry);
    this.#machine.unsaved = true;
    this.#machine.transmit(now);
  }

  /** The caller has stored every message and gap up to this offset: it may be acknowledged. */
  stored(now: number, through: number): void {
    this.#machine.unsaved = this.#machine.incoming.stored(through) || this.#machine.unsaved;
    this.#machine.settle(now);
  }

  /**
   * Sends an Ack for everything stored: to be called at the end of a batch of frames. Own copies alone wait: for a Send
   * or another Ack to ride on, or for `ownAckDelayMs`.
   */
  flushAcks(now: number): void {
    const { incoming, config } = this.#machine;
    if (incoming.isPressing || config.ownAckDelayMs === 0) this.#machine.acknowledge(now);
  }

  /** Gives the server a fresh token; the event "refreshed" carries the request id. Undefined: not logged in. */
  refresh(now: number, token: string): number | undefined {
    return this.#request(now, (requestId) => ({ kind: "refresh", value: { requestId, token } }));
  }

  /** Asks for the user's devices; the event "devices" carries the request id. Undefined: not logged in. */
  devices(now: number): number | undefined {
    return this.#request(now, (requestId) => ({ kind: "devices", value: { requestId } }));
  }

  /** Unlinks a device of this user; the event "unlinked" carries the request id. Undefined: not logged in. */
  unlink(now: number, device: string): number | undefined {
    return this.#request(now, (requestId) => ({ kind: "unlink", value: { requestId, device } }));
  }

  #request(now: number, frame: (requestId: number) => Frame): number | undefined {
    const { link } = this.#machine;
    if (!link.isOnline) return undefined;
    const requestId = link.nextRequestId;
    link.nextRequestId += 1;
    link.requests.set(requestId, now);
    this.#machine.emit(now, frame(requestId));
    return requestId;
  }

  /** The next output, in order; undefined: nothing to do until the next call or deadline. */
  poll(): Output | undefined {
    return this.#machine.outputs.shift();
  }

  /** When `tick` is due next; undefined: nothing depends on time. */
  get nextDeadline(): number | undefined {
    const { link, outgoing, incoming, config, answerDeadline } = this.#machine;
    switch (link.phase.at) {
      case "offline":
        return link.phase.connectAt;
      case "logging in":
        return link.phase.since + config.answerTimeoutMs;
      case "online":
        return earliest([
          link.pingAt,
          link.deadAt,
          answerDeadline,
          outgoing.retryDeadline,
          incoming.ackDeadline,
          link.leave?.closeAt,
        ]);
    }
  }

  /** Does what is due: connects, pings, sends again, acknowledges, gives up on a silent server. */
  tick(now: number): void {
    const { link, config, outputs } = this.#machine;
    const { phase } = link;
    if (phase.at === "online") {
      this.#tickOnline(now);
    } else if (phase.at === "logging in") {
      if (phase.since + config.answerTimeoutMs <= now) this.#machine.leave(now, "login timeout");
    } else if (phase.connectAt !== undefined && phase.connectAt <= now) {
      link.phase = { at: "offline", connectAt: undefined };
      outputs.push({ kind: "connect" });
    }
  }

  #tickOnline(now: number): void {
    const { link, answerDeadline, outgoing } = this.#machine;
    if (link.deadAt <= now) return this.#machine.leave(now, "heartbeat timeout");
    if (answerDeadline !== undefined && answerDeadline <= now) return this.#machine.leave(now, "answer timeout");
    if (link.leave !== undefined && link.leave.closeAt <= now) {
      this.#machine.acknowledge(now);
      return this.#machine.leave(now, "go away");
    }
    if (link.pingAt <= now) this.#machine.ping(now);
    outgoing.releaseRetries(now);
    this.#machine.settle(now);
  }

  /** True once Welcome has come, until the connection ends. */
  get isOnline(): boolean {
    return this.#machine.link.isOnline;
  }

  /** True from `connected` until the connection ends. */
  get isConnected(): boolean {
    return this.#machine.link.phase.at !== "offline";
  }

  /** What happens after the current or last connection. */
  get next(): Next {
    return this.#machine.link.next;
  }

  /** True if a message taken now would go onto the wire now. */
  get canTransmit(): boolean {
    return this.#machine.mayTransmit && this.#machine.outgoing.waitingCount === 0;
  }

  /** Messages without an answer. */
  get unansweredCount(): number {
    return this.#machine.outgoing.count;
  }

  /** The user has decided what becomes of a message of unknown outcome. Gives it back. */
  forgetUnknown(messageId: string): OutboxEntry | undefined {
    const { unknown } = this.#machine;
    const index = unknown.findIndex((entry) => entry.messageId === messageId);
    if (index === -1) return undefined;
    this.#machine.unsaved = true;
    return unknown.splice(index, 1)[0];
  }

  /** The state as it must be saved now: everything up to the stored offset, and every unanswered message. */
  state(): DeviceState {
    const { incarnation, incoming, outgoing, unknown } = this.#machine;
    return {
      incarnation,
      storedThrough: incoming.storedThrough,
      last: incoming.lastAsStored(),
      outbox: outgoing.entries(),
      unknown: [...unknown],
      drafts: [],
    };
  }

  /** True if the state must be saved before the next frame is written. */
  get unsaved(): boolean {
    return this.#machine.unsaved;
  }

  /** The state was saved. */
  saved(): void {
    this.#machine.unsaved = false;
  }
}
