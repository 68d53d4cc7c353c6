// The demo: one tab is one device of one person, talking to another.

import { Client, directConversation, isId, type ClientEvent, type MessageEvent } from "../src/index.js";
import { History, type Kept } from "./history.js";
import { read, write } from "./payload.js";
import { Timeline } from "./timeline.js";
import { element, MessageList, notice, setText } from "./view.js";

interface Who {
  readonly me: string;
  readonly device: string;
  readonly to: string;
}

/** Word of deliveries is gathered for so long. */
const RECEIPT_DELAY_MS = 250;
/** A few tabs beside their server: nobody needs the long waits that spare a server its whole crowd. */
const BACKOFF_CAP_MS = 4_000;

function whoInAddress(): Who | undefined {
  const fields = new URLSearchParams(location.hash.slice(1));
  const [me, device, to] = ["me", "device", "to"].map((name) => fields.get(name) ?? "");
  if (me === undefined || device === undefined || to === undefined) return undefined;
  return isId(me) && isId(device) && isId(to) ? { me, device, to } : undefined;
}

async function ask<Answer>(path: string, body: object): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return (await response.json()) as Answer;
}

class Chat {
  private readonly list = new MessageList();
  private readonly timeline: Timeline;
  private readonly conversation: string;
  private client: Client | undefined;
  private receiptTimer: number | undefined;
  private saidThrough = 0;

  private constructor(
    private readonly who: Who,
    private readonly history: History,
  ) {
    this.conversation = directConversation(who.me, who.to);
    this.timeline = new Timeline(who.me, who.to);
  }

  static async open(who: Who): Promise<void> {
    const conversation = directConversation(who.me, who.to);
    const chat = new Chat(who, await History.open(who.me, who.device, conversation));
    await chat.start();
  }

  private async start(): Promise<void> {
    this.saidThrough = await this.history.saidThrough();
    for (const kept of await this.history.all()) {
      if ("gap" in kept) this.timeline.gap(kept.sequence, kept.gap);
      else this.timeline.keep(kept);
    }
    const { me: user, device } = this.who;
    const url = await serverUrl();
    this.client = await Client.open({
      url,
      user,
      device,
      token: async () => (await ask<{ token: string }>("token", { user, device })).token,
      onEvent: (event) => this.on(event),
      session: { backoffCapMs: BACKOFF_CAP_MS },
    });
    for (const { tag, payload, messageId } of this.client.pending) {
      const content = read(payload);
      if (tag !== undefined && "text" in content) this.timeline.waits(content.text, tag, messageId);
    }
    this.wire(this.client);
    this.show();
  }

  private wire(client: Client): void {
    const text = element("text", HTMLTextAreaElement);
    const form = element("composer", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const words = text.value.trim();
      if (words === "") return;
      text.value = "";
      text.focus();
      void this.send(client, words);
    });
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    element("link", HTMLButtonElement).addEventListener("click", () => {
      if (client.state === "closed") void client.connect();
      else client.close();
    });
    element("notice-button", HTMLButtonElement).addEventListener("click", () => void client.connect());
  }

  private async send(client: Client, words: string): Promise<void> {
    const tag = crypto.randomUUID();
    this.timeline.write(words, tag);
    this.show();
    try {
      await client.send({ to: this.who.to }, write({ text: words }), tag);
      this.timeline.waits(words, tag);
      this.show();
    } catch (error) {
      this.timeline.update(tag, undefined, { fate: "refused", detail: error instanceof Error ? error.message : "" });
      this.show();
    }
  }

  private async on(event: ClientEvent): Promise<void> {
    switch (event.type) {
      case "message":
        await this.onMessage(event);
        break;
      case "sending":
        this.timeline.update(event.tag, undefined, { fate: "sent", messageId: event.messageId });
        break;
      case "accepted": {
        const { tag, messageId, sequence, serverTime: time, durability } = event;
        const detail = durability === "fsync" ? "on disk" : "";
        this.timeline.update(tag, messageId, { fate: "stored", messageId, sequence, time, detail });
        break;
      }
      case "rejected": {
        const refused = event.class === "refused";
        const change = { fate: refused ? "refused" : "waiting", detail: `code ${event.code}` } as const;
        this.timeline.update(event.tag, event.messageId, change);
        break;
      }
      case "unknown":
        this.timeline.update(event.tag, event.messageId, { fate: "unknown", detail: `code ${event.code}` });
        break;
      case "gap":
        await this.onGap(event.conversation, event.from, event.through);
        break;
      case "caught up":
        this.planReceipt();
        break;
      case "state":
        this.onState(event.state, event.why);
        break;
      default:
        break;
    }
    this.show();
  }

  private async onMessage(event: MessageEvent): Promise<void> {
    if (event.conversation !== this.conversation) return;
    const { sequence, messageId, sender, serverTime, payload } = event;
    const kept: Kept = { sequence, messageId, sender, serverTime, payload, device: event.device ?? this.who.device };
    await this.history.put(kept);
    this.timeline.keep(kept);
    if (sender !== this.who.me) this.planReceipt();
  }

  private async onGap(conversation: string | undefined, from: number, through: number): Promise<void> {
    if (conversation !== undefined && conversation !== this.conversation) return;
    if (conversation === undefined) return notice("Messages may be missing: the server's history changed, or this device was away too long.", false);
    const gap = from === through ? "A message is missing here." : `${through - from + 1} messages are missing here.`;
    await this.history.put({ sequence: through, gap });
    this.timeline.gap(through, gap);
  }

  /** Tells the other, once for all that came together, how far their messages have arrived. */
  private planReceipt(): void {
    if (this.receiptTimer !== undefined || this.timeline.theirs <= this.saidThrough) return;
    this.receiptTimer = window.setTimeout(() => {
      this.receiptTimer = undefined;
      void this.sendReceipt();
    }, RECEIPT_DELAY_MS);
  }

  private async sendReceipt(): Promise<void> {
    const deliveredThrough = this.timeline.theirs;
    if (this.client === undefined || this.client.state === "closed" || deliveredThrough <= this.saidThrough) return;
    await this.client.send({ to: this.who.to }, write({ deliveredThrough }));
    this.saidThrough = deliveredThrough;
    await this.history.setSaidThrough(deliveredThrough);
  }

  private onState(state: string, why: string | undefined): void {
    const words: Record<string, string> = {
      connected: "Connected",
      connecting: "Connecting…",
      disconnected: "Not connected",
      closed: "Offline",
    };
    const pill = element("state", HTMLParagraphElement);
    pill.dataset["state"] = state;
    setText(pill, words[state] ?? state);
    setText(element("link", HTMLButtonElement), state === "closed" ? "Go online" : "Go offline");
    if (why === "conflict") notice("This device was opened in another tab or window.", true);
    else if (why !== undefined && why !== "by caller") notice(`The connection has ended (${why}).`, true);
    else if (state !== "closed") notice("", false);
  }

  private show(): void {
    this.list.show(this.timeline.inOrder());
  }
}

async function serverUrl(): Promise<string> {
  const response = await fetch("server");
  return ((await response.json()) as { url: string }).url;
}

function open(who: Who): void {
  element("start", HTMLElement).hidden = true;
  element("chat", HTMLDivElement).hidden = false;
  document.title = `${who.me} and ${who.to} - Iris demo`;
  setText(element("title", HTMLHeadingElement), who.to);
  setText(element("self", HTMLParagraphElement), `You are ${who.me} on ${who.device}`);
  element("messages", HTMLOListElement).setAttribute("aria-label", `Messages with ${who.to}`);
  element("text", HTMLTextAreaElement).focus();
  Chat.open(who).catch((error: unknown) => notice(`This page cannot start: ${String(error)}`, false));
}

function begin(): void {
  const who = whoInAddress();
  if (who !== undefined) return open(who);
  element("start", HTMLElement).hidden = false;
  element("who", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    const field = (id: string) => element(id, HTMLInputElement).value;
    location.hash = new URLSearchParams({ me: field("me"), device: field("device"), to: field("to") }).toString();
  });
  // A page is one device: another name in the address is another start.
  addEventListener("hashchange", () => location.reload());
}

begin();
