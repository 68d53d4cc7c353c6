// What a session tells its caller.
//
// Invariants
// - A "message" comes exactly once for each sequence of a conversation, in order.

import type { RejectClass } from "../codes.js";
import type { Device, Limits } from "../wire/schema.js";
import type { ClientFrame } from "../wire/schema.js";

/** One thing for the caller to do, in this order. */
export type Output =
  /** Write this frame. If the session is `unsaved`, save its state first. */
  | { readonly kind: "frame"; readonly frame: NonNullable<ClientFrame["frame"]> }
  | { readonly kind: "event"; readonly event: Event }
  /** It is time to connect: `connected` when the transport is up, `disconnected` when it failed. */
  | { readonly kind: "connect" }
  /** Close the transport now. The session has already planned what comes next. */
  | { readonly kind: "disconnect"; readonly reason: DisconnectReason };

export type DisconnectReason =
  | "server fault"
  | "answer timeout"
  | "login timeout"
  | "heartbeat timeout"
  | "closed by server"
  | "go away"
  | "by caller";

/** What a session does after its connection ended: connect by itself, or wait for `restart`. */
export type Next = "reconnect" | "fresh token" | "stop";

/** What an acceptance promises; undefined: a level that this client does not know, to be taken as the weaker. */
export type Durability = "fsync" | "os" | undefined;

export interface WelcomeEvent {
  readonly type: "welcome";
  readonly incarnation: string;
  readonly resumedAt: number;
  readonly linkedNow: boolean;
  readonly endOffset: number;
  readonly window: number;
  readonly sendWindow: number;
  readonly heartbeatMs: number;
  readonly durability: Durability;
  readonly serverTime: number;
  readonly limits: Limits | undefined;
}

/** A message to apply. Report it with `stored` once it is safe. */
export interface MessageEvent {
  readonly type: "message";
  /** Its place in this user's inbox. */
  readonly offset: number;
  readonly conversation: string;
  /** Its place in the conversation. */
  readonly sequence: number;
  readonly sender: string;
  /** From which device; undefined: from this one, as its acceptance said. */
  readonly device: string | undefined;
  readonly messageId: string;
  /** When it was accepted, in milliseconds since 1970. */
  readonly serverTime: number;
  readonly payload: Uint8Array;
}

/** A message of ours is durable and will reach every device. */
export interface AcceptedEvent {
  readonly type: "accepted";
  readonly messageId: string;
  readonly tag: string | undefined;
  readonly conversation: string;
  readonly sequence: number;
  readonly serverTime: number;
  readonly durability: Durability;
  /** How often it was transmitted since this session was made: above 1 it was a retry. */
  readonly transmissions: number;
  /** The place of this device's own copy, if it counts as delivered: its "message" follows. */
  readonly offset: number | undefined;
}

/** A message of ours was refused: for now (class "retry", it is sent again), or for good. */
export interface RejectedEvent {
  readonly type: "rejected";
  readonly messageId: string;
  readonly tag: string | undefined;
  readonly conversation: string;
  readonly code: number;
  readonly class: RejectClass;
  /** When the session sends it again, counted from now; undefined: never. */
  readonly retryAfterMs: number | undefined;
  readonly serverTime: number;
}

/** Messages are missing that will not come. Report it with `stored`, if it has an offset. */
export interface GapEvent {
  readonly type: "gap";
  /** Undefined: found by the client itself. */
  readonly offset: number | undefined;
  /** Undefined: every conversation. */
  readonly conversation: string | undefined;
  readonly from: number;
  readonly through: number;
  /** A GapReason. */
  readonly reason: number;
}

/** The server closed the connection. */
export interface ClosedEvent {
  readonly type: "closed";
  readonly code: number;
  readonly message: string;
  readonly next: Next;
}

/** How a server broke the protocol. */
export type Fault =
  | { readonly fault: "unexpected"; readonly frame: string }
  | { readonly fault: "invalid"; readonly frame: string; readonly field: string }
  | {
      readonly fault: "sequence skipped";
      readonly conversation: string;
      readonly last: number;
      readonly previous: number;
      readonly sequence: number;
    }
  | { readonly fault: "offset not increasing"; readonly offset: number; readonly received: number }
  | { readonly fault: "answer"; readonly requestId: number };

export type Event =
  | WelcomeEvent
  | MessageEvent
  | AcceptedEvent
  | RejectedEvent
  | GapEvent
  | ClosedEvent
  /** Everything that waited when the session started has come. */
  | { readonly type: "caught up"; readonly endOffset: number }
  /** A message that was applied before came again; nothing to do. */
  | {
      readonly type: "duplicate";
      readonly offset: number;
      readonly conversation: string;
      readonly sequence: number;
      readonly messageId: string;
    }
  /** Whether this message was accepted cannot be known. It is kept, and never sent again by itself. */
  | {
      readonly type: "unknown";
      readonly messageId: string;
      readonly tag: string | undefined;
      readonly conversation: string;
      readonly code: number;
    }
  /** The server will close soon. */
  | { readonly type: "go away"; readonly reason: number; readonly reconnectAfterMs: number; readonly closeAfterMs: number }
  /** The server broke a rule: nothing of that frame was applied or acknowledged. */
  | { readonly type: "server fault"; readonly fault: Fault }
  | { readonly type: "refreshed"; readonly requestId: number; readonly expiresAt: number }
  | { readonly type: "devices"; readonly requestId: number; readonly devices: readonly Device[] }
  | { readonly type: "unlinked"; readonly requestId: number; readonly device: string }
  /** A request other than a Send was refused, or a frame was not known (request 0). */
  | { readonly type: "request rejected"; readonly requestId: number; readonly code: number };

/** Ends the handling of a frame; only the session throws and catches it. */
export class ServerFault extends Error {
  override name = "ServerFault";

  constructor(readonly fault: Fault) {
    super(JSON.stringify(fault));
  }
}

export function invalid(frame: string, field: string): ServerFault {
  return new ServerFault({ fault: "invalid", frame, field });
}
