// What a device must remember to resume without loss and without doubles.
//
// Invariants
// - `storedThrough` and `last` belong together: `last` is what was applied up to that offset.
// - An entry of the outbox keeps its id and its bytes until the server has answered it.

import { directConversation } from "./ids.js";

/** Where a message goes: to a user, or into a conversation that exists. */
export type Target = { readonly to: string } | { readonly conversation: string };

/** The conversation that a target names, for this sender. */
export function conversationOf(target: Target, sender: string): string {
  return "to" in target ? directConversation(sender, target.to) : target.conversation;
}

/** A message that waits for its answer: every transmission carries the same id and the same bytes. */
export interface OutboxEntry {
  readonly messageId: string;
  readonly target: Target;
  readonly payload: Uint8Array;
  /** A mark of the caller's, by which it knows the message again. Never sent. */
  readonly tag?: string | undefined;
}

/** A message that has no id yet, because it was never transmitted. */
export interface Draft {
  readonly target: Target;
  readonly payload: Uint8Array;
  readonly tag: string;
}

/** The last sequence applied in a conversation. */
export interface Applied {
  readonly sequence: number;
  /** The next message above it is the new base, whatever lies between. */
  readonly rebase: boolean;
}

/** The persistent state of one device. */
export interface DeviceState {
  /** The history that offsets and sequences belong to, as 32 hexadecimal digits. */
  readonly incarnation: string | undefined;
  /** Every entry up to here was stored by the application; undefined before the first login. */
  readonly storedThrough: number | undefined;
  /** By conversation, as of `storedThrough`. */
  readonly last: ReadonlyMap<string, Applied>;
  /** Unanswered messages, oldest first. */
  readonly outbox: readonly OutboxEntry[];
  /** Messages of unknown outcome, kept until the user decides. Never sent again. */
  readonly unknown: readonly OutboxEntry[];
  /** Messages without an id, oldest first. */
  readonly drafts: readonly Draft[];
}

/** The state of a device that never logged in. */
export function emptyState(): DeviceState {
  return { incarnation: undefined, storedThrough: undefined, last: new Map(), outbox: [], unknown: [], drafts: [] };
}
