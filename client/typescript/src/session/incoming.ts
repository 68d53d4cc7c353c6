// The receiving half: what to apply, what to drop, what to acknowledge.
//
// Invariants
// - A sequence is applied at most once, in ascending order, and never past a hole that nobody explained.
// - Only what the caller has stored is acknowledged, and only what this connection has brought.
// - The state as of `storedThrough` can be had at any time: each unstored entry keeps its undo.

import type { Applied } from "../state.js";
import { ServerFault } from "./event.js";

/** The place of a message. */
export interface Place {
  readonly offset: number;
  readonly sequence: number;
  readonly previous: number;
  /** The own copy of a message that this device sent, in its acceptance. */
  readonly isOwn: boolean;
}

/** What an entry is to its acknowledgement; "silent": a duplicate, for which the caller has nothing to store. */
type Kind = "news" | "own" | "silent";

/** How long the acknowledgements of deliveries may wait, and those of own copies alone. */
export interface AckWaits {
  readonly deliveryMs: number;
  readonly ownCopyMs: number;
}

/** How to take back what an unstored entry did. */
type Undo =
  | { readonly what: "nothing" }
  | { readonly what: "one"; readonly conversation: string; readonly before: Applied | undefined }
  | { readonly what: "all"; readonly before: ReadonlyMap<string, Applied> };

const NOTHING: Undo = { what: "nothing" };

/** An entry that was received and is not reported as stored. */
interface Unstored {
  readonly offset: number;
  undo: Undo;
  readonly kind: Kind;
  /** From before the history changed. */
  rewound: boolean;
}

export class Incoming {
  readonly last: Map<string, Applied>;
  private unstored: Unstored[] = [];
  /** Highest offset of this history, over all connections. */
  private seen: number;
  /** Highest offset of this connection. */
  private highest = 0;
  /** Highest offset acknowledged in this connection. */
  private acked = 0;
  private unackedCount = 0;
  private unackedOwnCount = 0;
  private deadline: number | undefined;

  constructor(
    last: ReadonlyMap<string, Applied>,
    private through: number | undefined,
  ) {
    this.last = new Map(last);
    this.seen = through ?? 0;
  }

  get storedThrough(): number | undefined {
    return this.through;
  }

  get received(): number {
    return this.highest;
  }

  get ackDeadline(): number | undefined {
    return this.deadline;
  }

  /** True unless own copies are all that is stored and not acknowledged. */
  get isPressing(): boolean {
    return this.unackedOwnCount < Math.max(this.unackedCount, 1);
  }

  /** True when nothing waits for the caller to store it. */
  get allStored(): boolean {
    return this.unstored.length === 0;
  }

  /** Starts a connection: nothing at or below `resumedAt` will come. */
  resume(named: number | undefined, resumedAt: number): void {
    if (this.through === undefined) {
      this.through = resumedAt;
      this.seen = resumedAt;
    }
    this.highest = resumedAt;
    this.acked = named === undefined ? resumedAt : Math.min(named, resumedAt);
    this.unackedCount = 0;
    this.unackedOwnCount = 0;
    this.deadline = undefined;
  }

  /** The server's history is another one: every conversation starts anew. */
  rewind(resumedAt: number): void {
    this.last.clear();
    this.through = resumedAt;
    this.seen = resumedAt;
    for (const entry of this.unstored) {
      entry.undo = NOTHING;
      entry.rewound = true;
    }
  }

  /** Takes a message and says whether it is to be applied. Throws a ServerFault. */
  message(conversation: string, place: Place): "apply" | "duplicate" {
    const before = this.last.get(conversation);
    if (before !== undefined && place.sequence <= before.sequence) {
      this.take(place.offset, NOTHING, "silent");
      return "duplicate";
    }
    if (before !== undefined && !before.rebase && place.previous > before.sequence) {
      const { previous, sequence } = place;
      throw new ServerFault({ fault: "sequence skipped", conversation, last: before.sequence, previous, sequence });
    }
    if (place.offset <= this.highest) {
      throw new ServerFault({ fault: "offset not increasing", offset: place.offset, received: this.highest });
    }
    this.last.set(conversation, { sequence: place.sequence, rebase: false });
    this.take(place.offset, { what: "one", conversation, before }, place.isOwn ? "own" : "news");
    return "apply";
  }

  /** Takes a gap: of one conversation, or (undefined) of all. False if it was taken before. */
  gap(offset: number, conversation: string | undefined, through: number): boolean {
    const again = conversation === undefined ? this.rebasedAt(offset) : offset <= this.seen;
    if (again) {
      this.take(offset, NOTHING, "silent");
      return false;
    }
    this.take(offset, conversation === undefined ? this.rebaseAll() : this.skip(conversation, through), "news");
    return true;
  }

  private skip(conversation: string, through: number): Undo {
    const before = this.last.get(conversation);
    this.last.set(conversation, { sequence: Math.max(before?.sequence ?? 0, through), rebase: false });
    return { what: "one", conversation, before };
  }

  private rebaseAll(): Undo {
    const before = new Map(this.last);
    for (const [conversation, { sequence }] of before) this.last.set(conversation, { sequence, rebase: true });
    return { what: "all", before };
  }

  /** True if an unstored gap of all conversations stands at this offset. */
  private rebasedAt(offset: number): boolean {
    return this.unstored.some((entry) => entry.offset === offset && entry.undo.what === "all");
  }

  private take(offset: number, undo: Undo, kind: Kind): void {
    const silent = kind === "silent";
    this.highest = Math.max(this.highest, offset);
    this.seen = Math.max(this.seen, offset);
    if (silent && this.unstored.length === 0) {
      this.through = Math.max(this.through ?? 0, offset);
      this.countUnacked(kind);
      return;
    }
    const back = this.unstored.at(-1);
    if (silent && back !== undefined && !back.rewound && offset <= back.offset) {
      this.countUnacked(kind);
      return;
    }
    this.unstored.push({ offset, undo, kind, rewound: false });
  }

  private countUnacked(kind: Kind): void {
    this.unackedCount += 1;
    if (kind === "own") this.unackedOwnCount += 1;
  }

  /** The caller has stored everything up to `through`. True if that moved the resume offset. */
  stored(through: number): boolean {
    const oldHistory = (entry: Unstored) => entry.rewound && entry.offset <= through;
    const first = this.unstored[0];
    if (first !== undefined && oldHistory(first)) {
      this.dropWhile(oldHistory);
      return false;
    }
    this.dropWhile((entry) => entry.rewound);
    const before = this.through;
    for (const entry of this.dropWhile((one) => one.offset <= through || one.kind === "silent")) {
      this.through = Math.max(this.through ?? 0, entry.offset);
      this.countUnacked(entry.kind);
    }
    return this.through !== before;
  }

  private dropWhile(done: (entry: Unstored) => boolean): Unstored[] {
    const end = this.unstored.findIndex((entry) => !done(entry));
    return this.unstored.splice(0, end === -1 ? this.unstored.length : end);
  }

  /** What may be acknowledged now and was not yet. */
  private ackable(): number | undefined {
    if (this.through === undefined) return undefined;
    const through = Math.min(this.through, this.highest);
    return through > this.acked ? through : undefined;
  }

  /** True when an Ack should go out without waiting; otherwise its deadline is set. */
  ackIsDue(now: number, every: number, waits: AckWaits): boolean {
    if (this.ackable() === undefined) return false;
    const latest = now + (this.isPressing ? waits.deliveryMs : waits.ownCopyMs);
    this.deadline = Math.min(this.deadline ?? latest, latest);
    return this.unackedCount >= every || this.deadline <= now;
  }

  /** The offset for an Ack that goes out now; undefined: nothing new to acknowledge. */
  takeAck(): number | undefined {
    this.unackedCount = 0;
    this.unackedOwnCount = 0;
    this.deadline = undefined;
    const through = this.ackable();
    if (through !== undefined) this.acked = through;
    return through;
  }

  /** The last sequences as of `storedThrough`. */
  lastAsStored(): Map<string, Applied> {
    let last = new Map(this.last);
    for (const { undo } of [...this.unstored].reverse()) {
      if (undo.what === "all") last = new Map(undo.before);
      else if (undo.what === "one" && undo.before !== undefined) last.set(undo.conversation, undo.before);
      else if (undo.what === "one") last.delete(undo.conversation);
    }
    return last;
  }
}
