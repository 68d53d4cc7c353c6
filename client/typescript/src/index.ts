// Client of the Iris messaging gateway. `Client` drives one device; `Session` is the same without I/O.

export { Client, RequestFailed } from "./client.js";
export type { ClientEvent, ClientOptions, ClientState, ClosedWhy, Pending } from "./client.js";
export { codeName, closeClass, rejectClass } from "./codes.js";
export type { CloseClass, RejectClass } from "./codes.js";
export { browser } from "./environment.js";
export type { Environment } from "./environment.js";
export { directConversation, directUsers, isConversation, isId, newMessageId } from "./ids.js";
export { IndexedDbStore } from "./indexeddb.js";
export type { SessionConfig } from "./session/config.js";
export type * from "./session/event.js";
export { SendError, Session } from "./session/session.js";
export { emptyState } from "./state.js";
export type { Applied, DeviceState, Draft, OutboxEntry, Target } from "./state.js";
export { MemoryStore, StoreTaken } from "./store.js";
export type { OpenStore, Store } from "./store.js";
export { claimsOf } from "./token.js";
export type { Claims } from "./token.js";
export { TokenUnavailable } from "./tokens.js";
export type { TokenSource, TokenWhy } from "./tokens.js";
export { webSocket } from "./transport.js";
export type { Dial, Transport, TransportEvents } from "./transport.js";
export { decode, encode, WireError } from "./wire/codec.js";
export { Durability, GapReason } from "./wire/schema.js";
export type { ClientFrame, Device, Limits, ServerFrame } from "./wire/schema.js";
