// The scripted sessions of client/vectors/session.json, which the Rust client passes too (client/tests/vectors.rs).
//
// `IRIS_VECTORS_WRITE=1 npm test` writes what this client does into the file: read the difference, then let the
// Rust client judge it.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fromHex, toHex } from "../src/bytes.js";
import { SendError, Session } from "../src/session/session.js";
import type { SessionConfig } from "../src/session/config.js";
import type { Event, Output } from "../src/session/event.js";
import { emptyState, type Applied, type DeviceState, type OutboxEntry } from "../src/state.js";
import { GapReason, type Device } from "../src/wire/schema.js";
import { fromJson, toJson, type Json, type JsonObject } from "./support/json.js";

interface Step extends JsonObject {
  then: Json[];
  deadline: number | null;
}
interface Vector {
  name: string;
  break: string;
  config: JsonObject;
  steps: Step[];
  end: JsonObject;
}

const FILE = new URL("../../../vectors/session.json", import.meta.url);
const file = JSON.parse(readFileSync(FILE, "utf8")) as { about: string[]; vectors: Vector[] };

function config(json: JsonObject): Partial<SessionConfig> {
  const seed = json["jitterSeed"];
  return { ...json, ...(seed === undefined ? {} : { jitterSeed: BigInt(seed as string) }) };
}

function eventJson(event: Event): JsonObject {
  const json: JsonObject = {};
  for (const [name, value] of Object.entries(event as unknown as Record<string, unknown>)) {
    if (value === undefined || name === "tag" || name === "limits") continue;
    if (value instanceof Uint8Array) json[name] = toHex(value);
    else if (name === "retryAfterMs") json[name] = Math.ceil(value as number);
    else if (name === "devices") json[name] = (value as Device[]).map((one) => toJson("Device", one));
    else json[name] = value as Json;
  }
  if (event.type === "gap") {
    json["reason"] = Object.entries(GapReason).find(([, number]) => number === event.reason)?.[0] ?? event.reason;
  }
  return json;
}

function outputJson(output: Output): JsonObject {
  switch (output.kind) {
    case "frame":
      return { frame: toJson("ClientFrame", { frame: output.frame }) };
    case "event":
      return { event: eventJson(output.event) };
    case "connect":
      return { connect: true };
    case "disconnect":
      return { disconnect: output.reason };
  }
}

function entryJson(entry: OutboxEntry): JsonObject {
  return { ...entry.target, messageId: entry.messageId, payload: toHex(entry.payload) };
}

function stateJson(state: DeviceState): JsonObject {
  const applied = ([conversation, { sequence, rebase }]: [string, Applied]): [string, Json] => [
    conversation,
    rebase ? { sequence, rebase } : { sequence },
  ];
  return {
    incarnation: state.incarnation ?? null,
    storedThrough: state.storedThrough ?? null,
    last: Object.fromEntries([...state.last].sort(([a], [b]) => (a < b ? -1 : 1)).map(applied)),
    outbox: state.outbox.map(entryJson),
    unknown: state.unknown.map(entryJson),
  };
}

/** A caller that saves whenever it must, and stores messages when the script says so. */
class Player {
  private now = 0;
  private saved: DeviceState = emptyState();
  private session: Session;
  private readonly config: Partial<SessionConfig>;

  constructor(vector: Vector) {
    this.config = config(vector.config);
    this.session = this.anew();
  }

  private anew(): Session {
    return new Session("alice", this.saved, this.config);
  }

  play(step: JsonObject): { then: Json[]; deadline: number | null } {
    const then: Json[] = [];
    const refused = this.act(step);
    if (refused !== undefined) then.push({ error: refused });
    for (let output = this.session.poll(); output !== undefined; output = this.session.poll()) then.push(outputJson(output));
    if (this.session.unsaved) {
      this.saved = this.session.state();
      this.session.saved();
    }
    const deadline = this.session.nextDeadline;
    return { then, deadline: deadline === undefined ? null : Math.ceil(deadline) };
  }

  end(): JsonObject {
    const { isOnline, next, unansweredCount } = this.session;
    return { online: isOnline, next, unanswered: unansweredCount, state: stateJson(this.session.state()) };
  }

  private act(step: JsonObject): string | undefined {
    const { session, now } = this;
    const what = Object.keys(step).find((key) => key !== "then" && key !== "deadline") ?? "";
    const value = step[what];
    switch (what) {
      case "connected":
        return session.connected(now, value as string) as undefined;
      case "disconnected":
        return session.disconnected(now) as undefined;
      case "receive":
        return session.handle(now, fromJson("ServerFrame", value as JsonObject)) as undefined;
      case "send":
        return this.send(value as JsonObject);
      case "stored":
        return session.stored(now, value as number) as undefined;
      case "flush":
        return session.flushAcks(now) as undefined;
      case "pass":
        this.now += value as number;
        return session.tick(this.now) as undefined;
      case "close":
        return session.close(now) as undefined;
      case "restart":
        return session.restart(now) as undefined;
      case "refresh":
        return session.refresh(now, value as string) === undefined ? "not logged in" : undefined;
      case "devices":
        return session.devices(now) === undefined ? "not logged in" : undefined;
      case "unlink":
        return session.unlink(now, value as string) === undefined ? "not logged in" : undefined;
      case "forgetUnknown":
        return session.forgetUnknown(value as string) === undefined ? "not there" : undefined;
      case "anew":
        this.saved = emptyState();
        this.session = this.anew();
        return undefined;
      case "crash":
        this.session = this.anew();
        return undefined;
      default:
        throw new Error(`no step ${what}`);
    }
  }

  private send(json: JsonObject): string | undefined {
    const { messageId, payload, ...target } = json;
    const bytes = typeof payload === "string" ? fromHex(payload) : new Uint8Array((payload as { bytes: number }).bytes);
    const entry = { messageId, target, payload: bytes } as unknown as OutboxEntry;
    try {
      this.session.send(this.now, entry);
      return undefined;
    } catch (error) {
      if (error instanceof SendError) return error.why;
      throw error;
    }
  }
}

function write(): void {
  for (const vector of file.vectors) {
    const player = new Player(vector);
    vector.steps = vector.steps.map((step) => Object.assign({ ...step }, player.play(step)));
    vector.end = player.end();
  }
  const block = (vector: Vector) => {
    const { steps, ...rest } = vector;
    const head = Object.entries(rest).map(([name, value]) => `      ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
    const lines = steps.map((step) => `        ${JSON.stringify(step)}`);
    return `    {\n${head.join(",\n")},\n      "steps": [\n${lines.join(",\n")}\n      ]\n    }`;
  };
  const about = file.about.map((line) => `    ${JSON.stringify(line)}`);
  const text = `{\n  "about": [\n${about.join(",\n")}\n  ],\n  "vectors": [\n${file.vectors.map(block).join(",\n")}\n  ]\n}\n`;
  writeFileSync(FILE, text);
}

if (process.env["IRIS_VECTORS_WRITE"] !== undefined) write();

for (const vector of file.vectors) {
  test(`vector: ${vector.name}`, () => {
    const player = new Player(vector);
    for (const [index, step] of vector.steps.entries()) {
      const { then, deadline, ...doing } = step;
      assert.deepEqual(player.play(step), { then, deadline }, `step ${index}: ${JSON.stringify(doing)}`);
    }
    assert.deepEqual(player.end(), vector.end, "the end");
  });
}

test("there are many vectors, each with its own name and a break that it notices", () => {
  assert.ok(file.vectors.length >= 50);
  assert.equal(new Set(file.vectors.map((vector) => vector.name)).size, file.vectors.length);
  for (const vector of file.vectors) assert.ok(vector.break.length > 10, vector.name);
});
