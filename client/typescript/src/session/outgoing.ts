// The sending half: every message is waiting, on the wire, or waiting for its retry.
//
// Invariants
// - An entry leaves only by an answer. Its id and its bytes never change.
// - First transmissions, and re-transmissions after a reconnect, go out in the order of `send`.
// - Request ids rise, so the map of what is on the wire is in the order of time.

import type { OutboxEntry } from "../state.js";

/** A message without an answer. */
export interface Unanswered {
  /** Place in the order of `send`. */
  readonly order: number;
  readonly entry: OutboxEntry;
  readonly conversation: string;
  /** The id as a frame carries it. */
  readonly idBytes: Uint8Array;
  transmissions: number;
  rejections: number;
}

export class Outgoing {
  private waiting: Unanswered[] = [];
  private readonly onWire = new Map<number, { readonly sentAt: number; readonly message: Unanswered }>();
  private retries: { readonly due: number; readonly message: Unanswered }[] = [];
  private nextOrder = 0;

  push(entry: OutboxEntry, conversation: string, idBytes: Uint8Array): void {
    this.waiting.push({ order: this.nextOrder, entry, conversation, idBytes, transmissions: 0, rejections: 0 });
    this.nextOrder += 1;
  }

  get count(): number {
    return this.waiting.length + this.onWire.size + this.retries.length;
  }

  get waitingCount(): number {
    return this.waiting.length;
  }

  get onWireCount(): number {
    return this.onWire.size;
  }

  /** Takes the next message onto the wire as this request. */
  transmit(now: number, requestId: number): Unanswered | undefined {
    const message = this.waiting.shift();
    if (message !== undefined) {
      message.transmissions += 1;
      this.onWire.set(requestId, { sentAt: now, message });
    }
    return message;
  }

  /** The message of an open request. */
  open(requestId: number): Unanswered | undefined {
    return this.onWire.get(requestId)?.message;
  }

  /** Takes the message of an answered request off the wire. */
  answered(requestId: number): void {
    this.onWire.delete(requestId);
  }

  /** Keeps a rejected message for a retry. */
  retryAt(due: number, message: Unanswered): void {
    message.rejections += 1;
    this.retries.push({ due, message });
  }

  /** Lets due retries wait for the wire again, in their old order. */
  releaseRetries(now: number): void {
    const due = this.retries.filter((retry) => retry.due <= now);
    if (due.length === 0) return;
    this.retries = this.retries.filter((retry) => retry.due > now);
    this.waiting.push(...due.map((retry) => retry.message));
    this.waiting.sort(byOrder);
  }

  get retryDeadline(): number | undefined {
    return earliest(this.retries.map((retry) => retry.due));
  }

  /** When the oldest message on the wire was sent. */
  get oldestSentAt(): number | undefined {
    return this.onWire.values().next().value?.sentAt;
  }

  /** The connection is gone: what was on the wire waits again, before everything sent later. */
  requeue(): void {
    this.waiting.push(...[...this.onWire.values()].map(({ message }) => message));
    this.onWire.clear();
    this.waiting.sort(byOrder);
  }

  /** Every unanswered message, oldest first. */
  entries(): OutboxEntry[] {
    const onWire = [...this.onWire.values()].map(({ message }) => message);
    const all = [...this.waiting, ...onWire, ...this.retries.map((retry) => retry.message)];
    return all.sort(byOrder).map((message) => message.entry);
  }
}

function byOrder(a: Unanswered, b: Unanswered): number {
  return a.order - b.order;
}

/** The smallest time; undefined if there is none. */
export function earliest(times: readonly (number | undefined)[]): number | undefined {
  let first: number | undefined;
  for (const time of times) {
    if (time !== undefined && (first === undefined || time < first)) first = time;
  }
  return first;
}
