// Made by tools/generate.mjs from protocol/proto/iris/v1/iris.proto. Change that, then `npm run generate`.

export const Durability = {
  DURABILITY_UNSPECIFIED: 0,
  DURABILITY_FSYNC: 1,
  DURABILITY_OS: 2,
} as const;

export const GapReason = {
  GAP_REASON_UNSPECIFIED: 0,
  GAP_REASON_ALREADY_ACKED: 1,
  GAP_REASON_EXPIRED: 2,
  GAP_REASON_DEVICE_DETACHED: 3,
  GAP_REASON_INBOX_FULL: 4,
  GAP_REASON_HISTORY_REWOUND: 5,
} as const;

export interface ClientFrame {
  frame:
    | { kind: "hello"; value: Hello }
    | { kind: "send"; value: Send }
    | { kind: "ack"; value: Ack }
    | { kind: "refresh"; value: Refresh }
    | { kind: "devices"; value: Devices }
    | { kind: "unlink"; value: Unlink }
    | { kind: "ping"; value: Ping }
    | { kind: "pong"; value: Pong }
    | undefined;
}

export interface ServerFrame {
  frame:
    | { kind: "welcome"; value: Welcome }
    | { kind: "accepted"; value: Accepted }
    | { kind: "rejected"; value: Rejected }
    | { kind: "deliver"; value: Deliver }
    | { kind: "gap"; value: Gap }
    | { kind: "refreshed"; value: Refreshed }
    | { kind: "pong"; value: Pong }
    | { kind: "goAway"; value: GoAway }
    | { kind: "close"; value: Close }
    | { kind: "deviceList"; value: DeviceList }
    | { kind: "unlinked"; value: Unlinked }
    | { kind: "ping"; value: Ping }
    | undefined;
}

export interface Hello {
  versions: number[];
  capabilities: string[];
  token: string;
  resumeOffset: number | undefined;
  window: number;
  heartbeatS: number;
  instance: number;
  attempt: number;
}

export interface Send {
  requestId: number;
  messageId: Uint8Array;
  payload: Uint8Array;
  ackThrough: number | undefined;
  target:
    | { kind: "conversation"; value: string }
    | { kind: "to"; value: string }
    | undefined;
}

export interface Ack {
  throughOffset: number;
}

export interface Refresh {
  requestId: number;
  token: string;
}

export interface Devices {
  requestId: number;
}

export interface Unlink {
  requestId: number;
  device: string;
}

export interface Ping {
  nonce: bigint;
}

export interface Limits {
  payloadBytesMax: number;
  frameBytesMax: number;
  devicesMax: number;
  sendsPerSecond: number;
  sendsBurst: number;
}

export interface Welcome {
  version: number;
  capabilities: string[];
  serverTime: number;
  incarnation: Uint8Array;
  resumedAt: number;
  linkedNow: boolean;
  endOffset: number;
  window: number;
  sendWindow: number;
  heartbeatS: number;
  limits: Limits | undefined;
  durability: number;
}

export interface Accepted {
  requestId: number;
  messageId: Uint8Array;
  conversation: string;
  sequence: number;
  serverTime: number;
  durability: number;
  offset: number | undefined;
  previousSequence: number;
}

export interface Rejected {
  requestId: number;
  messageId: Uint8Array | undefined;
  code: number;
  retryAfterMs: number | undefined;
  serverTime: number;
}

export interface Deliver {
  offset: number;
  conversation: string;
  sequence: number;
  previousSequence: number;
  sender: string;
  device: string;
  messageId: Uint8Array;
  serverTime: number;
  payload: Uint8Array;
}

export interface Gap {
  offset: number;
  conversation: string;
  fromSequence: number;
  throughSequence: number;
  reason: number;
}

export interface Refreshed {
  requestId: number;
  expiresAt: number;
}

export interface Pong {
  nonce: bigint;
}

export interface GoAway {
  reason: number;
  reconnectAfterMs: number;
  closeAfterMs: number;
}

export interface Close {
  code: number;
  message: string;
  retryAfterMs: number | undefined;
}

export interface Device {
  device: string;
  connected: boolean;
  linkedAt: number;
  lastSeenAt: number;
  ackedThrough: number;
}

export interface DeviceList {
  requestId: number;
  devices: Device[];
}

export interface Unlinked {
  requestId: number;
  device: string;
}

/** The messages by name. */
export interface Messages {
  ClientFrame: ClientFrame;
  ServerFrame: ServerFrame;
  Hello: Hello;
  Send: Send;
  Ack: Ack;
  Refresh: Refresh;
  Devices: Devices;
  Unlink: Unlink;
  Ping: Ping;
  Limits: Limits;
  Welcome: Welcome;
  Accepted: Accepted;
  Rejected: Rejected;
  Deliver: Deliver;
  Gap: Gap;
  Refreshed: Refreshed;
  Pong: Pong;
  GoAway: GoAway;
  Close: Close;
  Device: Device;
  DeviceList: DeviceList;
  Unlinked: Unlinked;
}

/** Number, name, type, and "repeated", "optional", the name of its oneof, or nothing. */
export type FieldRow = readonly [number: number, name: string, type: string, label: string];

export const SCHEMA: Record<keyof Messages, readonly FieldRow[]> = {
  ClientFrame: [
    [1, "hello", "Hello", "frame"],
    [2, "send", "Send", "frame"],
    [3, "ack", "Ack", "frame"],
    [4, "refresh", "Refresh", "frame"],
    [5, "devices", "Devices", "frame"],
    [6, "unlink", "Unlink", "frame"],
    [7, "ping", "Ping", "frame"],
    [8, "pong", "Pong", "frame"],
  ],
  ServerFrame: [
    [1, "welcome", "Welcome", "frame"],
    [2, "accepted", "Accepted", "frame"],
    [3, "rejected", "Rejected", "frame"],
    [4, "deliver", "Deliver", "frame"],
    [5, "gap", "Gap", "frame"],
    [6, "refreshed", "Refreshed", "frame"],
    [7, "pong", "Pong", "frame"],
    [8, "goAway", "GoAway", "frame"],
    [9, "close", "Close", "frame"],
    [10, "deviceList", "DeviceList", "frame"],
    [11, "unlinked", "Unlinked", "frame"],
    [12, "ping", "Ping", "frame"],
  ],
  Hello: [
    [1, "versions", "uint32", "repeated"],
    [2, "capabilities", "string", "repeated"],
    [3, "token", "string", ""],
    [4, "resumeOffset", "uint64", "optional"],
    [5, "window", "uint32", ""],
    [6, "heartbeatS", "uint32", ""],
    [7, "instance", "uint32", ""],
    [8, "attempt", "uint32", ""],
  ],
  Send: [
    [1, "requestId", "uint64", ""],
    [2, "conversation", "string", "target"],
    [3, "to", "string", "target"],
    [4, "messageId", "bytes", ""],
    [5, "payload", "bytes", ""],
    [6, "ackThrough", "uint64", "optional"],
  ],
  Ack: [
    [1, "throughOffset", "uint64", ""],
  ],
  Refresh: [
    [1, "requestId", "uint64", ""],
    [2, "token", "string", ""],
  ],
  Devices: [
    [1, "requestId", "uint64", ""],
  ],
  Unlink: [
    [1, "requestId", "uint64", ""],
    [2, "device", "string", ""],
  ],
  Ping: [
    [1, "nonce", "exact64", ""],
  ],
  Limits: [
    [1, "payloadBytesMax", "uint32", ""],
    [2, "frameBytesMax", "uint32", ""],
    [3, "devicesMax", "uint32", ""],
    [4, "sendsPerSecond", "uint32", ""],
    [5, "sendsBurst", "uint32", ""],
  ],
  Welcome: [
    [1, "version", "uint32", ""],
    [2, "capabilities", "string", "repeated"],
    [3, "serverTime", "uint64", ""],
    [4, "incarnation", "bytes", ""],
    [5, "resumedAt", "uint64", ""],
    [6, "linkedNow", "bool", ""],
    [7, "endOffset", "uint64", ""],
    [8, "window", "uint32", ""],
    [9, "sendWindow", "uint32", ""],
    [10, "heartbeatS", "uint32", ""],
    [11, "limits", "Limits", ""],
    [12, "durability", "enum", ""],
  ],
  Accepted: [
    [1, "requestId", "uint64", ""],
    [2, "messageId", "bytes", ""],
    [3, "conversation", "string", ""],
    [4, "sequence", "uint64", ""],
    [5, "serverTime", "uint64", ""],
    [6, "durability", "enum", ""],
    [7, "offset", "uint64", "optional"],
    [8, "previousSequence", "uint64", ""],
  ],
  Rejected: [
    [1, "requestId", "uint64", ""],
    [2, "messageId", "bytes", "optional"],
    [3, "code", "uint32", ""],
    [4, "retryAfterMs", "uint32", "optional"],
    [5, "serverTime", "uint64", ""],
  ],
  Deliver: [
    [1, "offset", "uint64", ""],
    [2, "conversation", "string", ""],
    [3, "sequence", "uint64", ""],
    [4, "previousSequence", "uint64", ""],
    [5, "sender", "string", ""],
    [6, "device", "string", ""],
    [7, "messageId", "bytes", ""],
    [8, "serverTime", "uint64", ""],
    [9, "payload", "bytes", ""],
  ],
  Gap: [
    [1, "offset", "uint64", ""],
    [2, "conversation", "string", ""],
    [3, "fromSequence", "uint64", ""],
    [4, "throughSequence", "uint64", ""],
    [5, "reason", "enum", ""],
  ],
  Refreshed: [
    [1, "requestId", "uint64", ""],
    [2, "expiresAt", "uint64", ""],
  ],
  Pong: [
    [1, "nonce", "exact64", ""],
  ],
  GoAway: [
    [1, "reason", "uint32", ""],
    [2, "reconnectAfterMs", "uint32", ""],
    [3, "closeAfterMs", "uint32", ""],
  ],
  Close: [
    [1, "code", "uint32", ""],
    [2, "message", "string", ""],
    [3, "retryAfterMs", "uint32", "optional"],
  ],
  Device: [
    [1, "device", "string", ""],
    [2, "connected", "bool", ""],
    [3, "linkedAt", "uint64", ""],
    [4, "lastSeenAt", "uint64", ""],
    [5, "ackedThrough", "uint64", ""],
  ],
  DeviceList: [
    [1, "requestId", "uint64", ""],
    [2, "devices", "Device", "repeated"],
  ],
  Unlinked: [
    [1, "requestId", "uint64", ""],
    [2, "device", "string", ""],
  ],
};
