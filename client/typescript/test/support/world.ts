// A clock that a test moves, and a server in memory that a client dials.

import type { Environment } from "../../src/environment.js";
import type { Dial, TransportEvents } from "../../src/transport.js";
import { decode, encode } from "../../src/wire/codec.js";
import type { ClientFrame, ServerFrame, Welcome } from "../../src/wire/schema.js";

export type Said = NonNullable<ClientFrame["frame"]>;
export type Answer = NonNullable<ServerFrame["frame"]>;

/** Lets everything go on that waits for promises alone. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class World implements Environment {
  private ms = 0;
  private timers: { at: number; call: () => void }[] = [];
  private seed = 1;
  private listeners = new Set<() => void>();

  now(): number {
    return this.ms;
  }

  wall(): number {
    return 1_800_000_000_000 + this.ms;
  }

  random(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    for (let index = 0; index < bytes.length; index += 1) {
      this.seed = (this.seed * 48_271) % 0x7fff_ffff;
      bytes[index] = this.seed % 256;
    }
    return bytes;
  }

  timer(ms: number, call: () => void): () => void {
    const timer = { at: this.ms + ms, call };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((other) => other !== timer));
  }

  onOnline(call: () => void): () => void {
    this.listeners.add(call);
    return () => this.listeners.delete(call);
  }

  networkIsBack(): void {
    for (const call of this.listeners) call();
  }

  /** Moves the clock, from timer to timer. */
  async pass(ms: number): Promise<void> {
    const end = this.ms + ms;
    await settle();
    for (;;) {
      const next = this.timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.ms = Math.max(this.ms, next.at);
      this.timers = this.timers.filter((timer) => timer !== next);
      next.call();
      await settle();
    }
    this.ms = end;
  }
}

/** One connection as its server sees it. */
export class Line {
  readonly said: Said[] = [];
  closed = false;

  constructor(private readonly events: TransportEvents) {}

  /** Frames of one kind. */
  all<Kind extends Said["kind"]>(kind: Kind): Extract<Said, { kind: Kind }>["value"][] {
    return this.said.filter((frame): frame is Extract<Said, { kind: Kind }> => frame.kind === kind).map(({ value }) => value as never);
  }

  open(): void {
    this.events.opened();
  }

  hear(body: Uint8Array): void {
    const { frame } = decode("ClientFrame", body);
    if (frame !== undefined) this.said.push(frame);
  }

  async answer(frame: Answer): Promise<void> {
    this.events.received(encode("ServerFrame", { frame }));
    await settle();
  }

  async garbage(body: Uint8Array | undefined): Promise<void> {
    this.events.received(body);
    await settle();
  }

  async breaks(): Promise<void> {
    this.events.closed("the network broke");
    await settle();
  }

  async welcome(wishes: Partial<Welcome> = {}): Promise<void> {
    const value: Welcome = {
      version: 1,
      capabilities: [],
      serverTime: 1_800_000_000_000,
      incarnation: new Uint8Array(16).fill(1),
      resumedAt: 0,
      linkedNow: false,
      endOffset: 0,
      window: 256,
      sendWindow: 100,
      heartbeatS: 60,
      limits: undefined,
      durability: 1,
      ...wishes,
    };
    await this.answer({ kind: "welcome", value });
  }
}

/** Takes every dialling, and opens it at once unless told otherwise. */
export class Lines {
  readonly all: Line[] = [];
  opens = true;

  get last(): Line {
    const line = this.all.at(-1);
    if (line === undefined) throw new Error("nobody dialled");
    return line;
  }

  readonly dial: Dial = (events) => {
    const line = new Line(events);
    this.all.push(line);
    if (this.opens) queueMicrotask(() => line.open());
    return { send: (body) => line.hear(body), close: () => (line.closed = true) };
  };
}
