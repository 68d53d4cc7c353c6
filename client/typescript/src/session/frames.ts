// What each frame of the server does. A ServerFault is thrown before anything of a bad frame was applied.

import { equalBytes, toHex } from "../bytes.js";
import { ACK_TOO_HIGH, closeClass, rejectClass, TOKEN_EXPIRED } from "../codes.js";
import { directUsers, isConversation, isId, messageIdText } from "../ids.js";
import * as wire from "../wire/schema.js";
import { HEARTBEAT_DEFAULT_MS } from "./config.js";
import { invalid, ServerFault, type Durability, type Event, type MessageEvent, type Next } from "./event.js";
import type { Place } from "./incoming.js";
import type { Machine } from "./machine.js";
import type { Unanswered } from "./outgoing.js";

type Frame = NonNullable<wire.ServerFrame["frame"]>;

/** The version of the protocol that this client speaks. */
export const PROTOCOL_VERSION = 1;

/** Takes a frame of the current connection; `kind` of undefined is one of a later version. */
export function handle(machine: Machine, now: number, frame: wire.ServerFrame): void {
  const { phase } = machine.link;
  if (phase.at === "offline") return;
  machine.link.lastReceived = now;
  if (frame.frame === undefined) return;
  const stored = machine.incoming.storedThrough;
  try {
    if (phase.at === "online") handleOnline(machine, now, frame.frame);
    else handleLogin(machine, now, frame.frame);
  } catch (error) {
    if (!(error instanceof ServerFault)) throw error;
    machine.unsaved ||= stored !== machine.incoming.storedThrough;
    machine.tell({ type: "server fault", fault: error.fault });
    machine.leave(now, "server fault");
    return;
  }
  machine.unsaved ||= stored !== machine.incoming.storedThrough;
  tellIfCaughtUp(machine);
  machine.settle(now);
}

function handleLogin(machine: Machine, now: number, frame: Frame): void {
  switch (frame.kind) {
    case "welcome":
      return onWelcome(machine, now, frame.value);
    case "close":
      return onClose(machine, now, frame.value);
    case "goAway":
      return onGoAway(machine, now, frame.value);
    case "ping":
      return machine.emit(now, { kind: "pong", value: frame.value });
    case "pong":
      return undefined;
    default:
      throw new ServerFault({ fault: "unexpected", frame: frame.kind });
  }
}

function handleOnline(machine: Machine, now: number, frame: Frame): void {
  switch (frame.kind) {
    case "deliver":
      return onDeliver(machine, frame.value);
    case "accepted":
      return onAccepted(machine, frame.value);
    case "rejected":
      return onRejected(machine, now, frame.value);
    case "gap":
      return onGap(machine, frame.value);
    case "ping":
      return machine.emit(now, { kind: "pong", value: frame.value });
    case "pong":
      return undefined; // any frame counts as life
    case "goAway":
      return onGoAway(machine, now, frame.value);
    case "close":
      return onClose(machine, now, frame.value);
    case "refreshed":
      return onAnswer(machine, frame.value.requestId, { type: "refreshed", ...frame.value });
    case "deviceList":
      return onAnswer(machine, frame.value.requestId, { type: "devices", ...frame.value });
    case "unlinked":
      return onAnswer(machine, frame.value.requestId, { type: "unlinked", ...frame.value });
    case "welcome":
      throw new ServerFault({ fault: "unexpected", frame: frame.kind });
  }
}

function onAnswer(machine: Machine, requestId: number, event: Event): void {
  if (!machine.link.requests.delete(requestId)) throw new ServerFault({ fault: "answer", requestId });
  machine.tell(event);
}

function onWelcome(machine: Machine, now: number, welcome: wire.Welcome): void {
  if (welcome.version !== PROTOCOL_VERSION) throw invalid("welcome", "version");
  if (welcome.incarnation.length !== 16) throw invalid("welcome", "incarnation");
  const incarnation = toHex(welcome.incarnation);
  const { resumedAt, endOffset } = welcome;
  const rewound = machine.incarnation !== undefined && machine.incarnation !== incarnation;
  if (rewound) machine.incoming.rewind(resumedAt);
  machine.unsaved ||= machine.incarnation !== incarnation;
  machine.incarnation = incarnation;
  const { link } = machine;
  machine.incoming.resume(link.named, resumedAt);
  link.phase = { at: "online", since: now };
  link.resumeRefused = false;
  link.endOffset = endOffset;
  link.window = welcome.window;
  link.sendWindow = Math.max(Math.min(machine.config.sendWindow, welcome.sendWindow), 1);
  link.heartbeatMs = welcome.heartbeatS * 1000 || machine.config.heartbeatMs || HEARTBEAT_DEFAULT_MS;
  machine.tell({
    type: "welcome",
    incarnation,
    resumedAt,
    linkedNow: welcome.linkedNow,
    endOffset,
    window: welcome.window,
    sendWindow: welcome.sendWindow,
    heartbeatMs: link.heartbeatMs,
    durability: durability(welcome.durability),
    serverTime: welcome.serverTime,
    limits: welcome.limits,
  });
  if (rewound) {
    const reason = wire.GapReason.GAP_REASON_HISTORY_REWOUND;
    machine.tell({ type: "gap", offset: undefined, conversation: undefined, from: 0, through: 0, reason });
  }
  machine.outgoing.releaseRetries(now);
}

function durability(value: number): Durability {
  if (value === wire.Durability.DURABILITY_FSYNC) return "fsync";
  return value === wire.Durability.DURABILITY_OS ? "os" : undefined;
}

function onDeliver(machine: Machine, deliver: wire.Deliver): void {
  const { offset, conversation, sequence, sender, device, serverTime, payload } = deliver;
  if (!isConversation(conversation)) throw invalid("deliver", "conversation");
  if (!isId(sender)) throw invalid("deliver", "sender");
  if (!isId(device)) throw invalid("deliver", "device");
  const messageId = messageIdText(deliver.messageId);
  if (messageId === undefined) throw invalid("deliver", "messageId");
  if (deliver.previousSequence >= sequence) throw invalid("deliver", "previousSequence");
  if (isForeign(conversation, machine.user)) throw invalid("deliver", "conversation");
  const place = { offset, sequence, previous: deliver.previousSequence, isOwn: false };
  apply(machine, place, { type: "message", offset, conversation, sequence, sender, device, messageId, serverTime, payload });
}

/** True for a direct conversation of other users. */
function isForeign(conversation: string, user: string): boolean {
  const users = directUsers(conversation);
  return users !== undefined && !users.includes(user);
}

function apply(machine: Machine, place: Place, message: MessageEvent): void {
  if (machine.incoming.message(message.conversation, place) === "apply") {
    machine.tell(message);
  } else {
    const { offset, conversation, sequence, messageId } = message;
    machine.tell({ type: "duplicate", offset, conversation, sequence, messageId });
  }
}

function tellIfCaughtUp(machine: Machine): void {
  const { link } = machine;
  if (!link.isOnline || link.endOffset === undefined || link.endOffset > machine.incoming.received) return;
  machine.tell({ type: "caught up", endOffset: link.endOffset });
  link.endOffset = undefined;
}

function onGap(machine: Machine, gap: wire.Gap): void {
  const conversation = gap.conversation === "" ? undefined : gap.conversation;
  if (conversation !== undefined && !isConversation(conversation)) throw invalid("gap", "conversation");
  if (!machine.incoming.gap(gap.offset, conversation, gap.throughSequence)) return;
  const { offset, fromSequence: from, throughSequence: through, reason } = gap;
  machine.tell({ type: "gap", offset, conversation, from, through, reason });
}

function onGoAway(machine: Machine, now: number, goAway: wire.GoAway): void {
  const { reason, reconnectAfterMs, closeAfterMs } = goAway;
  // A token that ends is no reason to go: a Refresh keeps the session, and a reconnect gains nothing.
  if (reason !== TOKEN_EXPIRED) {
    machine.link.leave = { reconnectAt: now + reconnectAfterMs, closeAt: now + closeAfterMs };
  }
  machine.tell({ type: "go away", reason, reconnectAfterMs, closeAfterMs });
}

function onClose(machine: Machine, now: number, close: wire.Close): void {
  const { link } = machine;
  const what = closeClass(close.code);
  link.next = what === "fresh token" || what === "stop" ? (what satisfies Next) : "reconnect";
  link.hint = close.retryAfterMs === undefined ? undefined : now + close.retryAfterMs;
  if (close.code === ACK_TOO_HIGH && link.phase.at === "logging in" && link.named !== undefined) {
    link.resumeRefused = true;
  } else if (what === "client fault") {
    link.hint = now + machine.config.backoffCapMs;
  }
  machine.tell({ type: "closed", code: close.code, message: close.message, next: link.next });
  machine.leave(now, "closed by server");
}

// --- the answers to our messages ---

function onAccepted(machine: Machine, accepted: wire.Accepted): void {
  const { requestId, sequence, serverTime, offset, previousSequence } = accepted;
  const message = machine.outgoing.open(requestId);
  const fits =
    message !== undefined &&
    equalBytes(message.idBytes, accepted.messageId) &&
    message.conversation === accepted.conversation;
  if (!fits) throw new ServerFault({ fault: "answer", requestId });
  if (sequence === 0 || (offset !== undefined && previousSequence >= sequence)) throw invalid("accepted", "sequence");
  machine.outgoing.answered(requestId);
  const { conversation, transmissions, entry } = message;
  const { messageId, tag, payload } = entry;
  machine.tell({
    type: "accepted",
    messageId,
    tag,
    conversation,
    sequence,
    serverTime,
    durability: durability(accepted.durability),
    transmissions,
    offset,
  });
  if (offset === undefined) return;
  // The acceptance counts as the delivery of this device's own copy.
  const place = { offset, sequence, previous: previousSequence, isOwn: true };
  const own = { conversation, sender: machine.user, device: undefined, messageId, serverTime, payload };
  apply(machine, place, { type: "message", offset, sequence, ...own });
}

function onRejected(machine: Machine, now: number, rejected: wire.Rejected): void {
  const { requestId, code } = rejected;
  const message = machine.outgoing.open(requestId);
  if (message === undefined) {
    const known = machine.link.requests.delete(requestId) || requestId === 0;
    if (!known) throw new ServerFault({ fault: "answer", requestId });
    machine.tell({ type: "request rejected", requestId, code });
    return;
  }
  if (rejected.messageId !== undefined && !equalBytes(rejected.messageId, message.idBytes)) {
    throw new ServerFault({ fault: "answer", requestId });
  }
  machine.outgoing.answered(requestId);
  const what = rejectClass(code);
  if (what === "retry") retryLater(machine, now, rejected, message);
  else if (what === "refused") tellRejected(machine, rejected, message, undefined);
  else outcomeUnknown(machine, code, message);
}

/** The server's hint plus up to a quarter, or the backoff of this message. */
function retryLater(machine: Machine, now: number, rejected: wire.Rejected, message: Unanswered): void {
  const hint = rejected.retryAfterMs;
  const retryAfterMs =
    hint === undefined ? machine.jitter.backoff(machine.config, message.rejections) : hint + machine.jitter.below(hint / 4);
  tellRejected(machine, rejected, message, retryAfterMs);
  machine.outgoing.retryAt(now + retryAfterMs, message);
}

function tellRejected(
  machine: Machine,
  rejected: wire.Rejected,
  { entry, conversation }: Unanswered,
  retryAfterMs: number | undefined,
): void {
  const { code, serverTime } = rejected;
  const { messageId, tag } = entry;
  machine.tell({ type: "rejected", messageId, tag, conversation, code, class: rejectClass(code), retryAfterMs, serverTime });
}

function outcomeUnknown(machine: Machine, code: number, { entry, conversation }: Unanswered): void {
  const { messageId, tag } = entry;
  machine.tell({ type: "unknown", messageId, tag, conversation, code });
  machine.unknown.push(entry);
  machine.unsaved = true;
}
