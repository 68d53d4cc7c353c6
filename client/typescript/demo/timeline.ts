// The messages in their order, and what became of each of ours.
//
// Invariants
// - A message stands once, whether it is known by its tag, its id or its place.

import type { Content } from "./payload.js";
import { read } from "./payload.js";
import type { Kept } from "./history.js";

export type Fate = "saving" | "waiting" | "sent" | "stored" | "delivered" | "refused" | "unknown";

export interface Item {
  readonly key: string;
  readonly mine: boolean;
  readonly text: string;
  tag?: string | undefined;
  messageId?: string | undefined;
  sequence?: number | undefined;
  device?: string | undefined;
  time?: number | undefined;
  fate: Fate;
  detail: string;
  gap?: boolean;
}

export class Timeline {
  private items: Item[] = [];
  private made = 0;
  /** How far each device of the other has the messages. */
  private readonly arrived = new Map<string, number>();
  /** The highest sequence that the other wrote. */
  theirs = 0;

  constructor(
    private readonly me: string,
    private readonly peer: string,
  ) {}

  /** Those with a place by it, then the others as they were written. */
  inOrder(): readonly Item[] {
    return this.items.sort((a, b) => (a.sequence ?? Infinity) - (b.sequence ?? Infinity) || Number(a.key) - Number(b.key));
  }

  /** One of ours that is not stored in this browser yet. */
  write(text: string, tag: string): void {
    this.add({ mine: true, text, tag, fate: "saving", detail: "" });
  }

  /** One of ours waits, and survives the end of the page. */
  waits(text: string, tag: string, messageId?: string): void {
    const item = this.byTag(tag);
    if (item === undefined) this.add({ mine: true, text, tag, messageId, fate: "waiting", detail: "" });
    else if (item.fate === "saving") item.fate = "waiting";
  }

  update(tag: string | undefined, messageId: string | undefined, change: Partial<Item>): void {
    const item = this.byTag(tag) ?? this.byId(messageId);
    if (item !== undefined) Object.assign(item, change);
    this.settle();
  }

  /** A message of the conversation, or what the other says about ours. */
  keep(kept: Kept): void {
    const content: Content = read(kept.payload);
    const mine = kept.sender === this.me;
    if ("text" in content) this.place(kept, content.text, mine);
    else if (kept.sender === this.peer || !mine) this.arrives(kept.device, content.deliveredThrough);
    this.settle();
  }

  gap(sequence: number, text: string): void {
    this.add({ mine: false, text, sequence, gap: true, fate: "stored", detail: "" });
  }

  private place(kept: Kept, text: string, mine: boolean): void {
    if (!mine) this.theirs = Math.max(this.theirs, kept.sequence);
    const { sequence, messageId, device, serverTime: time } = kept;
    const known = this.byId(messageId);
    if (known !== undefined) Object.assign(known, { sequence, device, time, fate: "stored" });
    else this.add({ mine, text, sequence, messageId, device, time, fate: "stored", detail: "" });
  }

  private arrives(device: string, through: number): void {
    this.arrived.set(device, Math.max(this.arrived.get(device) ?? 0, through));
  }

  /** Ours that arrived are delivered, and say where. */
  private settle(): void {
    for (const item of this.items) {
      const { sequence } = item;
      if (!item.mine || sequence === undefined || (item.fate !== "stored" && item.fate !== "delivered")) continue;
      const devices = [...this.arrived].filter(([, through]) => through >= sequence).map(([device]) => device);
      if (devices.length === 0) continue;
      item.fate = "delivered";
      item.detail = devices.sort().join(", ");
    }
  }

  private add(item: Omit<Item, "key">): void {
    this.made += 1;
    this.items.push({ ...item, key: String(this.made) });
  }

  private byTag(tag: string | undefined): Item | undefined {
    return tag === undefined ? undefined : this.items.find((item) => item.tag === tag);
  }

  private byId(messageId: string | undefined): Item | undefined {
    return messageId === undefined ? undefined : this.items.find((item) => item.messageId === messageId);
  }
}
