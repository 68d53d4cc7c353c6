// Protobuf, as much of it as the frames need: proto3 messages of scalars, enums, messages and oneofs.
//
// Invariants
// - What is not a message is refused with a WireError before anything of it is used; no length is trusted.
// - Unknown fields are skipped, whatever their kind.
// - A number above 2^53 is refused, unless the schema gives it as a bigint.

import { SCHEMA, type FieldRow, type Messages } from "./schema.js";

/** The bytes are no message of the schema. */
export class WireError extends Error {
  override name = "WireError";
}

type Values = Record<string, unknown>;
interface OneofValue {
  kind: string;
  value: unknown;
}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const GROUP_START = 3;
const GROUP_END = 4;
const FIXED32 = 5;
const DEPTH_MAX = 16;

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes of a message. */
export function encode<Name extends keyof Messages>(name: Name, message: Messages[Name]): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  writeMessage(writer, name, message as unknown as Values);
  return writer.finish();
}

/** The message of these bytes, absent fields with their defaults. Throws a WireError. */
export function decode<Name extends keyof Messages>(name: Name, bytes: Uint8Array): Messages[Name] {
  const message = defaults(name);
  readMessage(new Reader(bytes, 0, bytes.length), name, message, 0);
  return message as unknown as Messages[Name];
}

/** Each message knows its rows by field number. */
const rows = new Map<string, Map<number, FieldRow>>();
for (const [name, fields] of Object.entries(SCHEMA)) {
  rows.set(name, new Map(fields.map((row) => [row[0], row])));
}

function isMessage(type: string): type is keyof Messages {
  return Object.hasOwn(SCHEMA, type);
}

function isOneof(label: string): boolean {
  return label !== "" && label !== "repeated" && label !== "optional";
}

function zero(type: string): unknown {
  switch (type) {
    case "string":
      return "";
    case "bytes":
      return new Uint8Array();
    case "bool":
      return false;
    case "exact64":
      return 0n;
    default:
      return isMessage(type) ? undefined : 0;
  }
}

function defaults(name: keyof Messages): Values {
  const message: Values = {};
  for (const [, field, type, label] of SCHEMA[name]) {
    if (label === "repeated") message[field] = [];
    else if (isOneof(label)) message[label] = undefined;
    else message[field] = label === "optional" ? undefined : zero(type);
  }
  return message;
}

// --- writing ---

function writeMessage(writer: Writer, name: keyof Messages, message: Values): void {
  for (const [number, field, type, label] of SCHEMA[name]) {
    if (label === "repeated") {
      writeRepeated(writer, number, type, message[field] as unknown[]);
    } else if (isOneof(label)) {
      const chosen = message[label] as OneofValue | undefined;
      if (chosen?.kind === field) writeField(writer, number, type, chosen.value);
    } else {
      const value = message[field];
      const absent = value === undefined || (label === "" && isZero(value));
      if (!absent) writeField(writer, number, type, value);
    }
  }
}

function isZero(value: unknown): boolean {
  return value === 0 || value === 0n || value === "" || value === false || (value instanceof Uint8Array && value.length === 0);
}

/** Numbers are packed, as proto3 says. */
function writeRepeated(writer: Writer, number: number, type: string, values: unknown[]): void {
  if (type === "string" || isMessage(type)) {
    for (const value of values) writeField(writer, number, type, value);
  } else if (values.length > 0) {
    const packed = new Writer();
    for (const value of values) packed.varint(BigInt(value as number));
    writer.tagged(number, packed.finish());
  }
}

function writeField(writer: Writer, number: number, type: string, value: unknown): void {
  if (type === "string") {
    writer.tagged(number, utf8.encode(value as string));
  } else if (type === "bytes") {
    writer.tagged(number, value as Uint8Array);
  } else if (isMessage(type)) {
    const inner = new Writer();
    writeMessage(inner, type, value as Values);
    writer.tagged(number, inner.finish());
  } else {
    writer.varint(BigInt(number * 8 + VARINT));
    writer.varint(BigInt(value as number | bigint | boolean));
  }
}

class Writer {
  private bytes = new Uint8Array(64);
  private length = 0;

  varint(value: bigint): void {
    this.reserve(10);
    let rest = value;
    while (rest > 0x7fn) {
      this.bytes[this.length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.bytes[this.length++] = Number(rest);
  }

  tagged(number: number, value: Uint8Array): void {
    this.varint(BigInt(number * 8 + BYTES));
    this.varint(BigInt(value.length));
    this.reserve(value.length);
    this.bytes.set(value, this.length);
    this.length += value.length;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length);
  }

  private reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more));
    larger.set(this.bytes);
    this.bytes = larger;
  }
}

// --- reading ---

function readMessage(reader: Reader, name: keyof Messages, message: Values, depth: number): void {
  if (depth > DEPTH_MAX) throw new WireError("nested too deeply");
  const known = rows.get(name);
  while (!reader.ended) {
    const [number, kind] = reader.tag();
    const row = known?.get(number);
    if (row === undefined) reader.skip(number, kind, depth);
    else readField(reader, kind, row, message, depth);
  }
}

function readField(reader: Reader, kind: number, row: FieldRow, message: Values, depth: number): void {
  const [, field, type, label] = row;
  if (label === "repeated") {
    readRepeated(reader, kind, type, message[field] as unknown[], depth);
  } else if (isOneof(label)) {
    const before = message[label] as OneofValue | undefined;
    const same = before?.kind === field ? before.value : undefined;
    message[label] = { kind: field, value: readValue(reader, kind, type, same, depth) };
  } else {
    message[field] = readValue(reader, kind, type, message[field], depth);
  }
}

function readRepeated(reader: Reader, kind: number, type: string, values: unknown[], depth: number): void {
  const packed = kind === BYTES && type !== "string" && !isMessage(type);
  if (!packed) {
    values.push(readValue(reader, kind, type, undefined, depth));
    return;
  }
  const inner = reader.part();
  while (!inner.ended) values.push(readValue(inner, VARINT, type, undefined, depth));
}

/** A message that comes twice is merged into `before`. */
function readValue(reader: Reader, kind: number, type: string, before: unknown, depth: number): unknown {
  const wanted = type === "string" || type === "bytes" || isMessage(type) ? BYTES : VARINT;
  if (kind !== wanted) throw new WireError(`a ${type} of wire type ${kind}`);
  if (isMessage(type)) {
    const message = (before as Values | undefined) ?? defaults(type);
    readMessage(reader.part(), type, message, depth + 1);
    return message;
  }
  switch (type) {
    case "string":
      return text(reader.bytes());
    case "bytes":
      return reader.bytes();
    case "bool":
      return reader.varint() !== 0n;
    case "exact64":
      return reader.varint();
    case "uint64":
      return safe(reader.varint());
    case "uint32":
      return Number(BigInt.asUintN(32, reader.varint()));
    default:
      return Number(BigInt.asIntN(32, reader.varint()));
  }
}

function text(bytes: Uint8Array): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new WireError("text that is not UTF-8");
  }
}

function safe(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new WireError("a number above 2^53");
  return Number(value);
}

class Reader {
  constructor(
    private readonly source: Uint8Array,
    private at: number,
    private readonly end: number,
  ) {}

  get ended(): boolean {
    return this.at >= this.end;
  }

  tag(): [number: number, kind: number] {
    const tag = this.varint();
    const number = Number(tag >> 3n);
    if (tag > 0xffff_ffffn || number === 0) throw new WireError("a field number that is none");
    return [number, Number(tag & 7n)];
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.source[this.at];
      if (byte === undefined || this.at >= this.end) throw new WireError("cut short");
      this.at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff_ffff_ffffn) throw new WireError("a number above 2^64");
        return value;
      }
    }
    throw new WireError("a number above 2^64");
  }

  /** A copy: the caller may keep it without keeping the frame. */
  bytes(): Uint8Array {
    const [from, through] = this.span();
    return this.source.slice(from, through);
  }

  part(): Reader {
    const [from, through] = this.span();
    return new Reader(this.source, from, through);
  }

  skip(number: number, kind: number, depth: number): void {
    if (kind === VARINT) this.varint();
    else if (kind === FIXED64) this.advance(8);
    else if (kind === BYTES) this.span();
    else if (kind === FIXED32) this.advance(4);
    else if (kind === GROUP_START) this.skipGroup(number, depth + 1);
    else throw new WireError(`wire type ${kind}`);
  }

  private skipGroup(group: number, depth: number): void {
    if (depth > DEPTH_MAX) throw new WireError("nested too deeply");
    for (;;) {
      const [number, kind] = this.tag();
      if (kind === GROUP_END) {
        if (number !== group) throw new WireError("a group that ends as another");
        return;
      }
      this.skip(number, kind, depth);
    }
  }

  private span(): [from: number, through: number] {
    const length = this.varint();
    const from = this.at;
    if (length > BigInt(this.end - from)) throw new WireError("cut short");
    this.advance(Number(length));
    return [from, this.at];
  }

  private advance(count: number): void {
    if (count > this.end - this.at) throw new WireError("cut short");
    this.at += count;
  }
}
