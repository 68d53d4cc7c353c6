// Claims about where a state is kept.

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { test } from "node:test";
import { IndexedDbStore } from "../src/indexeddb.js";
import { emptyState, type DeviceState, type OutboxEntry } from "../src/state.js";
import { MemoryStore, StoreTaken, type Store } from "../src/store.js";

function entry(number: number): OutboxEntry {
  const messageId = `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;
  return { messageId, target: { to: "bob" }, payload: new Uint8Array([number]), tag: `tag ${number}` };
}

function state(...outbox: number[]): DeviceState {
  return {
    incarnation: "01".repeat(16),
    storedThrough: 2 ** 52,
    last: new Map([["g:team", { sequence: 9, rebase: true }]]),
    outbox: outbox.map(entry),
    unknown: [entry(99)],
    drafts: [{ target: { conversation: "g:team" }, payload: new Uint8Array(), tag: "draft" }],
  };
}

let databases = 0;
const stores: [string, () => Store][] = [
  ["memory", () => new MemoryStore()],
  ["IndexedDB", () => new IndexedDbStore(`test ${(databases += 1)}`)],
];

for (const [name, make] of stores) {
  // Seen to fail when: any field is left out of what is put; when the outbox is read without its order.
  test(`${name}: a saved state is loaded as it was, its messages in their order`, async () => {
    const store = make();
    assert.deepEqual((await store.open("alice", "phone")).state, emptyState());
    for (const outbox of [[], [3, 1, 2], [1, 2, 4], [2, 4, 5, 6, 7, 8, 9, 10, 11, 12], [11, 12, 1]]) {
      const opened = await store.open("alice", "phone");
      await opened.save(state(...outbox));
      opened.close();
      assert.deepEqual((await store.open("alice", "phone")).state, state(...outbox));
    }
  });

  // Seen to fail when: `epoch` (or the owner) is not compared.
  test(`${name}: who was opened before can save no more`, async () => {
    const store = make();
    const first = await store.open("alice", "phone");
    await first.save(state(1));
    const second = await store.open("alice", "phone");
    await assert.rejects(first.save(state(2)), StoreTaken);
    assert.deepEqual((await store.open("alice", "phone")).state, state(1));
    await assert.rejects(second.save(state(3)), StoreTaken);
  });

  // Seen to fail when: the device is left out of the key.
  test(`${name}: each device has its own state`, async () => {
    const store = make();
    const phone = await store.open("alice", "phone");
    const tablet = await store.open("alice", "tablet");
    await phone.save(state(1, 2));
    await tablet.save(state(3));
    assert.deepEqual((await store.open("alice", "phone")).state, state(1, 2));
    assert.deepEqual((await store.open("alice", "tablet")).state, state(3));
    assert.deepEqual((await store.open("bob", "phone")).state, emptyState());
  });
}
