// Writes src/wire/schema.ts from the .proto: the type of each message, and the table that the codec reads.
// `--check` writes nothing and fails if the file is not what it would write.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const proto = fileURLToPath(new URL("../../../protocol/proto/iris/v1/iris.proto", import.meta.url));
const target = fileURLToPath(new URL("../src/wire/schema.ts", import.meta.url));

// Everything else that is 64 bits wide fits a JavaScript number: offsets are below 2^53, times and sequences far below.
const EXACT = new Set(["nonce"]);
const PLAIN = { uint32: "number", uint64: "number", exact64: "bigint", string: "string", bytes: "Uint8Array", bool: "boolean" };

const root = new protobuf.Root();
protobuf.parse(readFileSync(proto, "utf8"), root, { keepCase: false });
root.resolveAll();
const types = root.lookup("iris.v1").nestedArray;

const isOneof = (field) => field.partOf !== null && !field.options?.proto3_optional;
const isOptional = (field) => field.options?.proto3_optional === true;

function wireType(field) {
  if (field.resolvedType instanceof protobuf.Enum) return "enum";
  if (field.resolvedType !== null) return field.resolvedType.name;
  if (field.type === "uint64" && EXACT.has(field.name)) return "exact64";
  if (!(field.type in PLAIN)) throw new Error(`${field.fullName}: no rule for ${field.type}`);
  return field.type;
}

function typeOf(field) {
  const type = wireType(field);
  return type === "enum" ? "number" : PLAIN[type] ?? type;
}

function property(field) {
  if (field.repeated) return `${field.name}: ${typeOf(field)}[];`;
  if (isOptional(field) || field.resolvedType instanceof protobuf.Type) return `${field.name}: ${typeOf(field)} | undefined;`;
  return `${field.name}: ${typeOf(field)};`;
}

function interfaceOf(type) {
  const lines = type.fieldsArray.filter((field) => !isOneof(field)).map((field) => `  ${property(field)}`);
  for (const oneof of type.oneofsArray.filter((one) => one.fieldsArray.every(isOneof))) {
    const cases = oneof.fieldsArray.map((field) => `    | { kind: "${field.name}"; value: ${typeOf(field)} }`);
    lines.push(`  ${oneof.name}:`, ...cases, "    | undefined;");
  }
  return [`export interface ${type.name} {`, ...lines, "}"].join("\n");
}

function row(field) {
  const label = field.repeated ? "repeated" : isOptional(field) ? "optional" : isOneof(field) ? field.partOf.name : "";
  return `    [${field.id}, "${field.name}", "${wireType(field)}", "${label}"],`;
}

function enumOf(type) {
  const lines = Object.entries(type.values).map(([name, number]) => `  ${name}: ${number},`);
  return [`export const ${type.name} = {`, ...lines, "} as const;"].join("\n");
}

const messages = types.filter((type) => type instanceof protobuf.Type);
const enums = types.filter((type) => type instanceof protobuf.Enum);
const text = [
  "// Made by tools/generate.mjs from protocol/proto/iris/v1/iris.proto. Change that, then `npm run generate`.",
  "",
  ...enums.map((type) => `${enumOf(type)}\n`),
  ...messages.map((type) => `${interfaceOf(type)}\n`),
  "/** The messages by name. */",
  "export interface Messages {",
  ...messages.map((type) => `  ${type.name}: ${type.name};`),
  "}",
  "",
  '/** Number, name, type, and "repeated", "optional", the name of its oneof, or nothing. */',
  "export type FieldRow = readonly [number: number, name: string, type: string, label: string];",
  "",
  "export const SCHEMA: Record<keyof Messages, readonly FieldRow[]> = {",
  ...messages.map((type) => [`  ${type.name}: [`, ...type.fieldsArray.map(row), "  ],"].join("\n")),
  "};",
  "",
].join("\n");

if (!process.argv.includes("--check")) {
  writeFileSync(target, text);
} else if (readFileSync(target, "utf8") !== text) {
  console.error("src/wire/schema.ts is not what the .proto says: npm run generate");
  process.exit(1);
}
