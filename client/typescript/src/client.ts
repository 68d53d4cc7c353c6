// One device, driven: a session on a WebSocket, a clock and a store.
//
// Invariants
// - The state is saved before a frame that rests on it is sent: a message before its Send, the stored offset before
//   its Ack.
// - Events are handed out one at a time, in order; a message counts as stored once its handler has returned.
// - A message id is minted right before the first transmission, by nobody else.

import { codeName } from "./codes.js";
import { browser, type Environment } from "./environment.js";
import { isId, newMessageId } from "./ids.js";
import { IndexedDbStore } from "./indexeddb.js";
import type { SessionConfig } from "./session/config.js";
import type { Event } from "./session/event.js";
import type { Frame } from "./session/machine.js";
import { SendError, Session } from "./session/session.js";
import type { Draft, OutboxEntry, Target } from "./state.js";
import { StoreTaken, type OpenStore, type Store } from "./store.js";
import { TokenKeeper, type TokenSource, TokenUnavailable } from "./tokens.js";
import { webSocket, type Dial, type Transport } from "./transport.js";
import { decode, encode, WireError } from "./wire/codec.js";
import type { Device } from "./wire/schema.js";

export type ClientState = "disconnected" | "connecting" | "connected" | "closed";

/** Why a client is closed. "conflict": this device was opened elsewhere. */
export type ClosedWhy = "by caller" | "by server" | "conflict" | "token" | "store" | "handler";

/** What a client tells beside the events of its session. */
export type ClientEvent =
  | Event
  | { readonly type: "state"; readonly state: ClientState; readonly why?: ClosedWhy; readonly detail?: string }
  /** A message got its id and goes out for the first time. */
  | { readonly type: "sending"; readonly tag: string; readonly messageId: string; readonly target: Target }
  /** A connection could not be made, or broke. The client tries again. */
  | { readonly type: "lost"; readonly detail: string };

export interface ClientOptions {
  /** Such as `wss://chat.example:7444/v1/connect`. */
  readonly url: string;
  readonly user: string;
  readonly device: string;
  /** Gives a token of this user and device; asked again when it is refused, and before it expires. */
  readonly token: TokenSource;
  /**
   * Takes every event, one at a time: the next comes once this has returned, or its promise has resolved. Store a
   * "message" here; it is acknowledged afterwards and never comes again. If this throws, the client closes, and what
   * was not stored comes again after `connect`.
   */
  readonly onEvent: (event: ClientEvent) => void | Promise<void>;
  /** Where the state is kept. The default is the browser's database. */
  readonly store?: Store;
  readonly session?: Partial<SessionConfig>;
  /** Another way to connect than a WebSocket to `url`. */
  readonly dial?: Dial;
  readonly environment?: Environment;
}

/** A message without an answer: it waits for the connection, or for its acceptance. */
export interface Pending {
  readonly tag: string | undefined;
  readonly target: Target;
  readonly payload: Uint8Array;
  /** Undefined: it was never transmitted. */
  readonly messageId: string | undefined;
}

/** The answer to a request did not come, or was a refusal. */
export class RequestFailed extends Error {
  override name = "RequestFailed";

  constructor(readonly code: number | undefined) {
    super(code === undefined ? "the connection ended" : (codeName(code) ?? `code ${code}`));
  }
}

type Action =
  | { readonly what: "send"; readonly conn: Transport | undefined; readonly frame: Frame }
  | { readonly what: "close"; readonly conn: Transport | undefined }
  | { readonly what: "dial" };

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** How long a WebSocket may take to open. */
const CONNECT_TIMEOUT_MS = 10_000;
const FRAME_BYTES_MAX = 131_072;
/** After the browser says that it is online again, clients come back within this time. */
const ONLINE_SPREAD_MS = 1_000;

export class Client {
  readonly #options: ClientOptions;
  readonly #dial: Dial;
  readonly #environment: Environment;
  readonly #tokens: TokenKeeper;
  #session: Session | undefined;
  #store: OpenStore | undefined;
  #conn: Transport | undefined;
  #dialing = false;
  #drafts: Draft[] = [];
  #draftsUnsaved: Waiter<void>[] = [];
  readonly #requests = new Map<number, Waiter<Event>>();
  #refreshing: number | undefined;
  #events: ClientEvent[] = [];
  #delivering = false;
  #pumping = false;
  #again = false;
  #opening = false;
  #told: ClientState = "closed";
  #closed: { why: ClosedWhy; detail: string | undefined } | undefined;
  #stopTimer: () => void = () => undefined;
  #stopDial: () => void = () => undefined;
  #stopOnline: () => void = () => undefined;

  private constructor(options: ClientOptions) {
    this.#options = options;
    this.#environment = options.environment ?? browser();
    this.#dial = options.dial ?? webSocket(options.url);
    this.#tokens = new TokenKeeper(options, this.#environment);
  }

  /** Loads the state of this device and begins to connect. */
  static async open(options: ClientOptions): Promise<Client> {
    if (!isId(options.user) || !isId(options.device)) throw new TypeError("a user and a device have 1-64 of A-Za-z0-9_.-");
    const client = new Client(options);
    await client.connect();
    return client;
  }

  /** Begins anew after the state "closed", from what is stored. Without effect in any other state. */
  async connect(): Promise<void> {
    if (this.#opening || (this.#session !== undefined && this.#closed === undefined)) return;
    this.#opening = true;
    const { user, device, session } = this.#options;
    const opening = (this.#options.store ?? new IndexedDbStore()).open(user, device);
    const store = await opening.finally(() => (this.#opening = false));
    this.#closed = undefined;
    this.#store?.close();
    this.#store = store;
    this.#events = [];
    this.#drafts = [...store.state.drafts];
    const drawn = new DataView(this.#environment.random(new Uint8Array(12)).buffer);
    // 0 would mean that there is none.
    const [jitterSeed, instance] = [drawn.getBigUint64(0), drawn.getUint32(8) | 1];
    this.#session = new Session(user, store.state, { jitterSeed, instance: instance >>> 0, ...session });
    this.#stopOnline = this.#environment.onOnline(() => this.#online());
    void this.#connectNow();
    this.#kick();
  }

  get state(): ClientState {
    if (this.#closed !== undefined || this.#session === undefined) return "closed";
    if (this.#session.isOnline) return "connected";
    return this.#dialing || this.#session.isConnected ? "connecting" : "disconnected";
  }

  /** Messages without an answer, oldest first. They survive a reload. */
  get pending(): readonly Pending[] {
    const sent = this.#session?.state().outbox ?? [];
    const drafts = this.#drafts.map((draft) => ({ ...draft, messageId: undefined }));
    return [...sent.map(({ tag, ...entry }) => ({ tag, ...entry })), ...drafts];
  }

  /** Messages of unknown outcome: never sent again; show them, and let the user decide. */
  get unknown(): readonly OutboxEntry[] {
    return this.#session?.state().unknown ?? [];
  }

  /** The user has decided what becomes of a message of unknown outcome. */
  forgetUnknown(messageId: string): OutboxEntry | undefined {
    const entry = this.#closed === undefined ? this.#session?.forgetUnknown(messageId) : undefined;
    this.#kick();
    return entry;
  }

  /**
   * Takes a message. Resolves once it is stored here: from then on it survives a reload, and is sent until the server
   * has answered. Its events carry `tag`, a random one by default, which this gives back. Throws a SendError.
   */
  async send(target: Target, payload: Uint8Array, tag = this.#newTag()): Promise<string> {
    SendError.check(payload);
    if (this.state === "closed") throw new SendError("closed", "the client is closed");
    this.#drafts.push({ target, payload, tag });
    const saved = new Promise<void>((resolve, reject) => this.#draftsUnsaved.push({ resolve, reject }));
    this.#kick();
    await saved;
    return tag;
  }

  /** The user's devices. Rejects with RequestFailed. */
  async devices(): Promise<readonly Device[]> {
    const event = await this.#request(this.#session?.devices(this.#environment.now()));
    return event.type === "devices" ? event.devices : [];
  }

  /** Takes a device away from its user. Rejects with RequestFailed. */
  async unlink(device: string): Promise<void> {
    await this.#request(this.#session?.unlink(this.#environment.now(), device));
  }

  /** Acknowledges what is stored, and leaves until `connect`. */
  close(): void {
    if (this.state !== "closed") this.#end("by caller", undefined);
  }

  #newTag(): string {
    return newMessageId(this.#environment.wall(), (bytes) => this.#environment.random(bytes));
  }

  #request(requestId: number | undefined): Promise<Event> {
    if (requestId === undefined) return Promise.reject(new RequestFailed(undefined));
    const answer = new Promise<Event>((resolve, reject) => this.#requests.set(requestId, { resolve, reject }));
    this.#kick();
    return answer;
  }

  // --- the turn: what is due, then save, then send ---

  #kick(): void {
    this.#again = true;
    if (!this.#pumping) void this.#pump();
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    while (this.#again && this.#session !== undefined) {
      this.#again = false;
      const actions = this.#turn(this.#session);
      if (await this.#saveIfNeeded(this.#session, actions)) for (const action of actions) this.#act(action);
      this.#tellState();
      void this.#deliver();
    }
    this.#pumping = false;
    this.#setTimer();
  }

  #turn(session: Session): Action[] {
    const now = this.#environment.now();
    session.tick(now);
    this.#mintDrafts(session, now);
    if (this.#events.length === 0 && !this.#delivering) session.flushAcks(now);
    if (session.isOnline && this.#tokens.isRefreshDue()) void this.#refresh();
    const actions: Action[] = [];
    for (let output = session.poll(); output !== undefined; output = session.poll()) {
      if (output.kind === "frame") actions.push({ what: "send", conn: this.#conn, frame: output.frame });
      else if (output.kind === "connect") actions.push({ what: "dial" });
      else if (output.kind === "event") this.#take(output.event);
      else actions.push({ what: "close", conn: this.#conn });
    }
    return actions;
  }

  /** Gives waiting messages their ids while the wire takes them. */
  #mintDrafts(session: Session, now: number): void {
    while (session.canTransmit) {
      const draft = this.#drafts[0];
      if (draft === undefined) return;
      const messageId = this.#newTag();
      const { target, tag } = draft;
      session.send(now, { ...draft, messageId });
      this.#drafts.shift();
      this.#events.push({ type: "sending", tag, messageId, target });
    }
  }

  /** Many messages that are being handled are saved together. False: the store failed. */
  async #saveIfNeeded(session: Session, actions: readonly Action[]): Promise<boolean> {
    const waits = actions.length === 0 && this.#events.length > 0 && this.#draftsUnsaved.length === 0;
    if (waits || !(session.unsaved || this.#draftsUnsaved.length > 0)) return true;
    const waiters = this.#draftsUnsaved;
    this.#draftsUnsaved = [];
    const state = { ...session.state(), drafts: [...this.#drafts] };
    session.saved();
    try {
      await this.#store?.save(state);
    } catch (error) {
      for (const waiter of waiters) waiter.reject(error as Error);
      this.#fail(error instanceof StoreTaken ? "conflict" : "store", error);
      return false;
    }
    for (const waiter of waiters) waiter.resolve();
    return true;
  }

  #act(action: Action): void {
    if (action.what === "dial") {
      void this.#connectNow();
    } else if (action.conn !== undefined && action.conn === this.#conn) {
      if (action.what === "send") {
        action.conn.send(encode("ClientFrame", { frame: action.frame }));
      } else {
        this.#conn = undefined;
        action.conn.close();
      }
    }
  }

  #setTimer(): void {
    this.#stopTimer();
    if (this.#session === undefined || this.#closed !== undefined) return;
    const refresh = this.#session.isOnline ? this.#tokens.refreshInMs() : Infinity;
    const deadline = this.#session.nextDeadline ?? Infinity;
    const waitMs = Math.min(deadline - this.#environment.now(), refresh, 3_600_000);
    this.#stopTimer = this.#environment.timer(Math.max(0, Math.ceil(waitMs)), () => this.#kick());
  }

  // --- events ---

  #take(event: Event): void {
    if (event.type === "welcome") this.#tokens.serverTime(event.serverTime);
    if (event.type === "closed") this.#onClosed(event.code, event.next);
    const requestId = "requestId" in event ? event.requestId : undefined;
    if (requestId !== undefined && requestId === this.#refreshing) {
      this.#refreshing = undefined;
      this.#tokens.refreshed(event.type === "refreshed");
      return;
    }
    const request = requestId === undefined ? undefined : this.#requests.get(requestId);
    if (requestId === undefined || request === undefined) {
      this.#events.push(event);
      return;
    }
    this.#requests.delete(requestId);
    if (event.type === "request rejected") request.reject(new RequestFailed(event.code));
    else request.resolve(event);
  }

  #onClosed(code: number, next: string): void {
    if (next === "stop") this.#stop(codeName(code) === "CONFLICT" ? "conflict" : "by server", codeName(code));
    else if (next === "fresh token") void this.#freshToken();
  }

  async #deliver(): Promise<void> {
    if (this.#delivering || this.#events.length === 0) return;
    this.#delivering = true;
    for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
      const session = this.#session;
      const offset = event.type === "message" || event.type === "gap" ? event.offset : undefined;
      if (offset !== undefined && this.#closed !== undefined) continue; // it comes again
      try {
        await this.#options.onEvent(event);
      } catch (error) {
        this.#fail("handler", error);
        continue;
      }
      if (offset !== undefined && session === this.#session && this.#closed === undefined) {
        session?.stored(this.#environment.now(), offset);
        this.#kick();
      }
    }
    this.#delivering = false;
    this.#kick();
  }

  #tellState(): void {
    const { state } = this;
    if (!(this.#session?.isConnected ?? false)) this.#dropRequests();
    if (state === this.#told) return;
    this.#told = state;
    if (this.#closed === undefined) this.#events.push({ type: "state", state });
    else {
      const { why, detail } = this.#closed;
      this.#events.push({ type: "state", state, why, ...(detail === undefined ? {} : { detail }) });
    }
  }

  #dropRequests(): void {
    for (const request of this.#requests.values()) request.reject(new RequestFailed(undefined));
    this.#requests.clear();
    this.#refreshing = undefined;
  }

  // --- connecting ---

  async #connectNow(): Promise<void> {
    const session = this.#session;
    const may = session?.next === "reconnect" && !session.isConnected && !this.#dialing && this.#closed === undefined;
    if (session === undefined || !may) return;
    this.#dialing = true;
    this.#tellState();
    void this.#deliver();
    let token: string;
    try {
      token = await this.#tokens.current();
    } catch (error) {
      this.#dialing = false;
      if (error instanceof TokenUnavailable) this.#fail("token", error);
      else if (session === this.#session) this.#lost(`no token: ${String(error)}`);
      return;
    }
    if (session !== this.#session || this.#closed !== undefined) {
      this.#dialing = false;
      return;
    }
    this.#open(session, token);
  }

  #open(session: Session, token: string): void {
    let ended = false;
    const end = (why: string): void => {
      if (ended) return;
      ended = true;
      this.#stopDial();
      if (session === this.#session && (this.#dialing || this.#conn === conn)) this.#lost(why);
    };
    const conn = this.#dial({
      opened: () => {
        this.#stopDial();
        if (ended || session !== this.#session || this.#closed !== undefined) return conn.close();
        this.#dialing = false;
        this.#conn = conn;
        session.connected(this.#environment.now(), token);
        this.#kick();
      },
      received: (body) => {
        if (this.#conn === conn && session === this.#session) this.#receive(session, body);
      },
      closed: end,
    });
    this.#stopDial = this.#environment.timer(CONNECT_TIMEOUT_MS, () => {
      end("the server does not answer");
      conn.close();
    });
  }

  #receive(session: Session, body: Uint8Array | undefined): void {
    const now = this.#environment.now();
    try {
      if (body === undefined || body.length === 0 || body.length > FRAME_BYTES_MAX) throw new WireError("no frame");
      session.handle(now, decode("ServerFrame", body));
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      session.fault(now, { fault: "invalid", frame: "serverFrame", field: "body" });
    }
    this.#kick();
  }

  #lost(detail: string): void {
    this.#conn = undefined;
    this.#dialing = false;
    if (this.#closed !== undefined) return;
    this.#session?.disconnected(this.#environment.now());
    this.#events.push({ type: "lost", detail });
    this.#kick();
  }

  /** The browser has a network again: not all of the wait is needed, but not everybody at once either. */
  #online(): void {
    const [byte = 0] = this.#environment.random(new Uint8Array(1));
    this.#environment.timer((byte / 256) * ONLINE_SPREAD_MS, () => void this.#connectNow());
  }

  // --- tokens ---

  async #freshToken(): Promise<void> {
    const session = this.#session;
    try {
      await this.#tokens.refused();
    } catch (error) {
      if (error instanceof TokenUnavailable) return this.#fail("token", error);
    }
    if (session === this.#session) session?.restart(this.#environment.now());
    this.#kick();
  }

  async #refresh(): Promise<void> {
    const token = await this.#tokens.next();
    if (token !== undefined) this.#refreshing = this.#session?.refresh(this.#environment.now(), token);
    this.#kick();
  }

  // --- endings ---

  #fail(why: ClosedWhy, error: unknown): void {
    this.#end(why, error instanceof Error ? error.message : String(error));
  }

  /** From this side. What was stored is acknowledged, unless the store can no longer tell what was. */
  #end(why: ClosedWhy, detail: string | undefined): void {
    if (this.#closed !== undefined) return;
    this.#stop(why, detail);
    if (why === "store" || why === "conflict") {
      this.#conn?.close();
      this.#conn = undefined;
    }
    this.#session?.close(this.#environment.now());
    this.#kick();
  }

  #stop(why: ClosedWhy, detail: string | undefined): void {
    this.#closed ??= { why, detail };
    this.#dialing = false;
    this.#stopTimer();
    this.#stopDial();
    this.#stopOnline();
  }
}
