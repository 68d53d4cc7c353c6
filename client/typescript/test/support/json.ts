// Frames as the vectors write them: the JSON names of protobuf, bytes in hexadecimal, defaults left out.

import { fromHex, toHex } from "../../src/bytes.js";
import { SCHEMA, Durability, GapReason, type Messages } from "../../src/wire/schema.js";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

const ENUMS: Readonly<Record<string, number>> = { ...Durability, ...GapReason };

function isMessage(type: string): type is keyof Messages {
  return Object.hasOwn(SCHEMA, type);
}

function valueFrom(type: string, json: Json): unknown {
  if (isMessage(type)) return fromJson(type, json as JsonObject);
  if (type === "bytes") return fromHex(json as string);
  if (type === "exact64") return BigInt(json as string);
  return type === "enum" ? ENUMS[json as string] : json;
}

function zero(type: string): unknown {
  const zeros: Record<string, unknown> = { string: "", bytes: new Uint8Array(), bool: false, exact64: 0n };
  return isMessage(type) ? undefined : type in zeros ? zeros[type] : 0;
}

/** The message that this JSON stands for. */
export function fromJson<Name extends keyof Messages>(name: Name, json: JsonObject): Messages[Name] {
  const message: Record<string, unknown> = {};
  const left = new Set(Object.keys(json));
  for (const [, field, type, label] of SCHEMA[name]) {
    left.delete(field);
    const given = json[field];
    const oneof = label !== "" && label !== "repeated" && label !== "optional";
    if (oneof) message[label] ??= given === undefined ? undefined : { kind: field, value: valueFrom(type, given) };
    else if (label === "repeated") message[field] = ((given ?? []) as Json[]).map((one) => valueFrom(type, one));
    else if (given === undefined) message[field] = label === "optional" ? undefined : zero(type);
    else message[field] = valueFrom(type, given);
  }
  if (left.size > 0) throw new Error(`${name} has no ${[...left].join(", ")}`);
  return message as unknown as Messages[Name];
}

function valueTo(type: string, value: unknown): Json {
  if (isMessage(type)) return toJson(type, value as Messages[typeof type]);
  if (type === "bytes") return toHex(value as Uint8Array);
  if (type === "exact64") return String(value);
  if (type !== "enum") return value as Json;
  return Object.keys(ENUMS).find((name) => ENUMS[name] === value && name !== "GAP_REASON_UNSPECIFIED") ?? (value as number);
}

/** The JSON of a message; `{}` for one of defaults alone. */
export function toJson<Name extends keyof Messages>(name: Name, message: Messages[Name]): JsonObject {
  const json: JsonObject = {};
  const values = message as unknown as Record<string, unknown>;
  for (const [, field, type, label] of SCHEMA[name]) {
    if (label === "repeated") {
      const list = values[field] as unknown[];
      if (list.length > 0) json[field] = list.map((one) => valueTo(type, one));
    } else if (label !== "" && label !== "optional") {
      const chosen = values[label] as { kind: string; value: unknown } | undefined;
      if (chosen?.kind === field) json[field] = valueTo(type, chosen.value);
    } else {
      const value = values[field];
      const isDefault = label === "" && [0, 0n, "", false].includes(value as number);
      const isEmpty = label === "" && value instanceof Uint8Array && value.length === 0;
      if (value !== undefined && !isDefault && !isEmpty) json[field] = valueTo(type, value);
    }
  }
  return json;
}
