// The page: what is shown, and what is typed.

import type { Item } from "./timeline.js";

export function element<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
  return found;
}

const FATES: Readonly<Record<Item["fate"], string>> = {
  saving: "saving",
  waiting: "waiting for the connection",
  sent: "sent",
  stored: "stored",
  delivered: "delivered",
  refused: "refused",
  unknown: "outcome unknown",
};

/** The list of messages, kept equal to a timeline. */
export class MessageList {
  private readonly list = element("messages", HTMLOListElement);
  private readonly nodes = new Map<string, HTMLLIElement>();

  show(items: readonly Item[]): void {
    const { list } = this;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    let before = list.firstElementChild;
    for (const item of items) {
      const node = this.nodes.get(item.key) ?? this.make(item);
      this.refresh(node, item);
      if (node === before) before = node.nextElementSibling;
      else list.insertBefore(node, before);
    }
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  private make(item: Item): HTMLLIElement {
    const node = document.createElement("li");
    node.className = item.gap === true ? "message gap" : item.mine ? "message mine" : "message";
    for (const part of ["words", "facts"]) {
      const line = document.createElement("p");
      line.className = part;
      node.append(line);
    }
    setText(node.querySelector(".words"), item.text);
    const facts = node.querySelector(".facts");
    for (const part of ["who", "time", "fate"]) {
      const fact = document.createElement("span");
      fact.className = part;
      facts?.append(fact);
    }
    this.nodes.set(item.key, node);
    return node;
  }

  private refresh(node: HTMLLIElement, item: Item): void {
    if (item.gap === true) return;
    const when = item.time === undefined ? "" : new Date(item.time).toLocaleTimeString([], { timeStyle: "short" });
    setText(node.querySelector(".who"), item.device === undefined || item.device === "" ? "" : `${item.device} · `);
    setText(node.querySelector(".time"), when);
    if (!item.mine) return;
    const fate = node.querySelector<HTMLElement>(".fate");
    const detail = item.detail === "" ? "" : item.fate === "delivered" ? ` to ${item.detail}` : ` (${item.detail})`;
    setText(fate, `${when === "" ? "" : " · "}${FATES[item.fate]}${detail}`);
    if (fate !== null && fate.dataset["fate"] !== item.fate) fate.dataset["fate"] = item.fate;
    node.dataset["fate"] = item.fate;
  }
}

/** Writes only what has changed, so that a screen reader hears it once. */
export function setText(node: Element | null, text: string): void {
  if (node !== null && node.textContent !== text) node.textContent = text;
}

export function notice(text: string, button: boolean): void {
  const box = element("notice", HTMLDivElement);
  setText(element("notice-text", HTMLParagraphElement), text);
  element("notice-button", HTMLButtonElement).hidden = !button;
  box.hidden = text === "";
}
