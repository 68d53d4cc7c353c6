// Ids of users, devices, conversations and messages, checked as the server checks them.
//
// Invariants
// - A message id is the text of a UUID of version 7, in lower case; on the wire it is its 16 bytes.
// - A direct conversation is named by its two users, the smaller first, compared as bytes.

import { fromHex, toHex } from "./bytes.js";

/** True for 1 to 64 characters of `A-Z a-z 0-9 _ . -`: a user, a device, or the name of a group. */
export function isId(text: string): boolean {
  return /^[A-Za-z0-9_.-]{1,64}$/.test(text);
}

/** The direct conversation of two users; both the same is a note to self. */
export function directConversation(a: string, b: string): string {
  return a <= b ? `d:${a}:${b}` : `d:${b}:${a}`;
}

/** The two users of a direct conversation, smaller first; undefined for anything else. */
export function directUsers(conversation: string): [string, string] | undefined {
  const [kind, low, high, ...rest] = conversation.split(":");
  if (kind !== "d" || low === undefined || high === undefined || rest.length > 0) return undefined;
  return [low, high];
}

/** True for `d:a:b` with a <= b, and for `g:id`. */
export function isConversation(text: string): boolean {
  if (text.startsWith("g:")) return isId(text.slice(2));
  const users = directUsers(text);
  return users !== undefined && isId(users[0]) && isId(users[1]) && users[0] <= users[1];
}

/** The bytes of a message id; undefined if the text is no UUID of version 7. */
export function messageIdBytes(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(text)) return undefined;
  return fromHex(text.replaceAll("-", ""));
}

/** The text of a message id; undefined if the bytes are no UUID of version 7. */
export function messageIdText(bytes: Uint8Array): string | undefined {
  const hex = toHex(bytes);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  const text = parts.join("-");
  return messageIdBytes(text) === undefined ? undefined : text;
}

/** A new message id: 48 bits of milliseconds, the rest random (RFC 9562, section 5.7). */
export function newMessageId(nowMs: number, random: (bytes: Uint8Array<ArrayBuffer>) => unknown): string {
  const bytes = new Uint8Array(16);
  random(bytes);
  let ms = Math.floor(nowMs);
  for (let index = 5; index >= 0; index -= 1) {
    bytes[index] = ms % 256;
    ms = Math.floor(ms / 256);
  }
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const text = messageIdText(bytes);
  if (text === undefined) throw new Error("a new id is a UUID of version 7");
  return text;
}
