// The codes of docs/PROTOCOL.md, section 11, and what a client does with each of them.
//
// Invariants
// - A code that is not known here is treated by its range (rejects), or as one to reconnect after (closes).

/** What becomes of a rejected message. */
export type RejectClass = "retry" | "refused" | "unknown";
/** What follows a close. */
export type CloseClass = "reconnect" | "fresh token" | "client fault" | "stop";

/** Why a request was refused. */
export const REJECTS: Readonly<Record<number, string>> = {
  1: "RATE_LIMITED",
  2: "INBOX_FULL",
  3: "STORAGE_FULL",
  4: "BUSY",
  5: "NOT_OWNER",
  20: "UNKNOWN_FRAME",
  21: "INVALID_ID",
  22: "INVALID_MESSAGE_ID",
  23: "PAYLOAD_TOO_LARGE",
  24: "IDEMPOTENCY_CONFLICT",
  25: "CLOCK_SKEW",
  26: "FORBIDDEN",
  27: "UNKNOWN_DEVICE",
  28: "TOKEN_REFUSED",
  60: "MESSAGE_ID_TOO_OLD",
};

/** Why a connection was closed. */
export const CLOSES: Readonly<Record<number, readonly [name: string, what: CloseClass]>> = {
  101: ["AUTH_FAILED", "fresh token"],
  102: ["TOKEN_EXPIRED", "fresh token"],
  103: ["VERSION_UNSUPPORTED", "stop"],
  104: ["FRAME_TOO_LARGE", "client fault"],
  105: ["MALFORMED_FRAME", "client fault"],
  106: ["HELLO_EXPECTED", "client fault"],
  107: ["UNEXPECTED_HELLO", "client fault"],
  108: ["ACK_TOO_HIGH", "client fault"],
  109: ["CONFLICT", "stop"],
  110: ["SLOW_CONSUMER", "reconnect"],
  111: ["HEARTBEAT_TIMEOUT", "reconnect"],
  112: ["LOGIN_TIMEOUT", "reconnect"],
  113: ["GOING_AWAY", "reconnect"],
  114: ["INVALID_WINDOW", "client fault"],
  115: ["DEVICE_UNLINKED", "stop"],
  116: ["TOO_MANY_DEVICES", "stop"],
  117: ["OVERLOADED", "reconnect"],
  118: ["STORAGE_FAULT", "reconnect"],
  119: ["KICKED", "reconnect"],
};

export const TOKEN_EXPIRED = 102;
export const ACK_TOO_HIGH = 108;

/** The name of a reject or a close; undefined for a code of a later version. */
export function codeName(code: number): string | undefined {
  return REJECTS[code] ?? CLOSES[code]?.[0];
}

export function rejectClass(code: number): RejectClass {
  if (code >= 1 && code <= 19) return "retry";
  return code >= 20 && code <= 59 ? "refused" : "unknown";
}

export function closeClass(code: number): CloseClass {
  return CLOSES[code]?.[1] ?? "reconnect";
}
