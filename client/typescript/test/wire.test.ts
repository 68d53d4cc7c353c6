// Claims about the bytes of frames.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import { fromHex, toHex } from "../src/bytes.js";
import { CLOSES, closeClass, REJECTS, rejectClass } from "../src/codes.js";
import { newMessageId } from "../src/ids.js";
import { decode, encode, WireError } from "../src/wire/codec.js";
import { SCHEMA, type Messages } from "../src/wire/schema.js";

const ROOT = new URL("../../../../", import.meta.url);
const HERE = new URL("../../", import.meta.url);
const GOLDEN = new URL("protocol/golden/", ROOT);

function golden(): [name: string, message: keyof Messages, body: Uint8Array][] {
  return readdirSync(GOLDEN).map((file) => {
    const lines = readFileSync(new URL(file, GOLDEN), "utf8").split("\n");
    const bytes = fromHex(lines.filter((line) => !line.startsWith("#")).join("").replaceAll(/\s/g, ""));
    assert.ok(bytes, file);
    return [file, file.startsWith("client_") ? "ClientFrame" : "ServerFrame", bytes.subarray(4)];
  });
}

// Seen to fail when: `writeRepeated` does not pack numbers; when a bigint is read as a number.
test("every golden frame is read and written byte for byte", () => {
  const frames = golden();
  assert.ok(frames.length > 20);
  for (const [file, name, body] of frames) {
    const frame = decode(name, body);
    assert.ok("frame" in frame && frame.frame !== undefined, file);
    assert.equal(toHex(encode(name, frame)), toHex(body), file);
  }
});

function otherImplementation(): protobuf.Root {
  const root = new protobuf.Root();
  return protobuf.parse(readFileSync(new URL("protocol/proto/iris/v1/iris.proto", ROOT), "utf8"), root).root;
}

// Seen to fail when: an absent optional field becomes 0.
test("every golden frame means what another implementation reads in it", () => {
  const root = otherImplementation();
  for (const [file, name, body] of golden()) {
    const type = root.lookupType(`iris.v1.${name}`);
    const theirs = type.toObject(type.decode(body), { longs: Number, defaults: true }) as Record<string, object>;
    const ours = decode(name, body) as { frame: { kind: string; value: object } };
    assert.deepEqual(plain(ours.frame.value), plain(theirs[ours.frame.kind] ?? {}), file);
  }
});

// Seen to fail when: `zero` gives 1 for a number.
test("what is absent has the default of another implementation", () => {
  const root = otherImplementation();
  for (const name of Object.keys(SCHEMA) as (keyof Messages)[]) {
    const type = root.lookupType(`iris.v1.${name}`);
    const theirs = type.toObject(type.decode(new Uint8Array()), { longs: Number, defaults: true });
    assert.deepEqual(plain(decode(name, new Uint8Array())), plain(theirs), name);
  }
});

/** Numbers for bigints, plain arrays for bytes, and oneofs as their fields. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const { target, ...rest } = value as { target?: { kind: string; value: unknown } };
  const fields = target === undefined ? rest : { ...rest, [target.kind]: target.value };
  const kept = Object.entries(fields).filter(([, field]) => field !== undefined && field !== null);
  return Object.fromEntries(kept.map(([key, field]) => [key, plain(field)]));
}

// Seen to fail when: `skip` of a group is left out.
test("fields and frames of a later version are skipped", () => {
  const later = "f80101" + "f2010161" + "f50101020304" + "f1010102030405060708" + "fb01" + "0801" + "fc01";
  const ping = toHex(encode("Ping", { nonce: 7n }));
  assert.deepEqual(decode("Ping", fromHex(ping + later) ?? new Uint8Array()), { nonce: 7n });
  assert.deepEqual(decode("ServerFrame", fromHex("fa0100") ?? new Uint8Array()), { frame: undefined });
});

// Seen to fail when: `span` does not compare the length with what is left; when text is decoded without `fatal`.
test("bytes that are no frame are refused with a WireError and nothing else", () => {
  const bad = ["0a", "0a05", "08", "0bff", "0c", "00", "ffffffffffffffffffff01", "42ffffffff0f00", "4a0212021aff", "4a041202c328", "22033a0501"];
  for (const hex of bad) {
    assert.throws(() => decode("ServerFrame", fromHex(hex) ?? new Uint8Array()), WireError, hex);
  }
  let seed = 1;
  for (const [, name, body] of golden()) {
    for (let round = 0; round < 400; round += 1) {
      seed = (seed * 48_271) % 0x7fff_ffff;
      const cut = body.slice(0, 1 + (seed % body.length));
      cut[seed % cut.length] = (seed >> 8) % 256;
      try {
        decode(name, cut);
      } catch (error) {
        assert.ok(error instanceof WireError, `${toHex(cut)}: ${String(error)}`);
      }
    }
  }
});

// Seen to fail when: `safe` lets every number pass.
test("a nonce keeps all of its 64 bits, and an offset that a number cannot hold is refused", () => {
  const nonce = 0xffff_ffff_ffff_fffdn;
  assert.equal(decode("Pong", encode("Pong", { nonce })).nonce, nonce);
  assert.equal(decode("Ack", encode("Ack", { throughOffset: 2 ** 53 - 1 })).throughOffset, 2 ** 53 - 1);
  assert.throws(() => decode("Ack", encode("Ping", { nonce: 2n ** 53n })), WireError);
});

// Seen to fail when: a code is taken out of `REJECTS`, or gets another class.
test("the codes are those of the protocol's page", () => {
  const page = readFileSync(new URL("docs/PROTOCOL.md", ROOT), "utf8");
  const rows = [...page.matchAll(/^\| (\d{1,3}) \| ([A-Z_]+) \| ([a-z ]+) \|/gm)];
  const numbers = rows.map(([, number]) => Number(number));
  assert.deepEqual(numbers, [...Object.keys(REJECTS), ...Object.keys(CLOSES)].map(Number));
  for (const [, number, name, what] of rows) {
    const code = Number(number);
    const ours = code < 100 ? [REJECTS[code], rejectClass(code)] : [CLOSES[code]?.[0], closeClass(code)];
    assert.deepEqual(ours, [name, what]);
  }
});

// Seen to fail when: the time is not written into the id, or the version's bits are left as they are.
test("a new message id is a UUID of version 7 that begins with its time", () => {
  const id = newMessageId(0x0192_f0c1_2345, (bytes) => bytes.fill(0xff));
  assert.equal(id, "0192f0c1-2345-7fff-bfff-ffffffffffff");
  assert.equal(newMessageId(0.9, (bytes) => bytes.fill(0)), "00000000-0000-7000-8000-000000000000");
});

// Seen to fail when: a field of schema.ts gets another number.
test("the schema is what the .proto says", () => {
  execFileSync(process.execPath, [fileURLToPath(new URL("tools/generate.mjs", HERE)), "--check"]);
});

// Seen to fail when: package.json names a dependency; when the lock file holds a `resolved`.
test("the package needs nothing at run time, and its lock file names no address", () => {
  const read = (name: string) => JSON.parse(readFileSync(new URL(name, HERE), "utf8")) as Record<string, unknown>;
  assert.equal(read("package.json")["dependencies"], undefined);
  for (const [path, entry] of Object.entries(read("package-lock.json")["packages"] as Record<string, object>)) {
    assert.ok(!("resolved" in entry), path);
  }
});
