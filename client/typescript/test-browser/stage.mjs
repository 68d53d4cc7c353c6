// A gateway in demo mode for the browser test: made in a folder of its own, killed and started again on the same ports.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const BINARY =
  process.env.IRIS_GATEWAY ?? fileURLToPath(new URL("../../../target/release/iris-gateway", import.meta.url));

/** A port that is free now. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export class Stage {
  #directory = mkdtempSync(join(tmpdir(), "iris-demo-"));
  #process;

  async prepare() {
    this.admin = await freePort();
    this.socket = await freePort();
    execFileSync(BINARY, ["token", "keygen", "--out", this.#directory], { stdio: "ignore" });
    const settings = [
      "[server]",
      `data_dir = "${this.#directory}/data"`,
      "shards = 1",
      "[listen]",
      'tls = ""',
      'websocket = ""',
      `websocket_plaintext = "127.0.0.1:${this.socket}"`,
      "[tokens]",
      `jwks = "${this.#directory}/jwks.json"`,
      "[admin]",
      `listen = "127.0.0.1:${this.admin}"`,
      "[storage]",
      'durability = "fsync"',
    ];
    writeFileSync(join(this.#directory, "iris.toml"), settings.join("\n"));
  }

  get url() {
    return `http://127.0.0.1:${this.admin}/demo/`;
  }

  /** Resolves when it serves. */
  async start(flags = ["--demo"]) {
    const config = join(this.#directory, "iris.toml");
    const child = spawn(BINARY, ["serve", ...flags, "--insecure-plaintext", "--config", config], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let log = "";
    child.stderr.on("data", (text) => (log += text));
    await new Promise((resolve, reject) => {
      child.stdout.once("data", resolve);
      child.once("exit", (status) => reject(new Error(`the gateway ended with ${status}:\n${log}`)));
    });
    this.#process = child;
  }

  /** Status and body of a request to the page's port, with headers that a browser would not let a page choose. */
  ask(method, path, headers = {}, body = "") {
    return new Promise((resolve, reject) => {
      const asked = request({ host: "127.0.0.1", port: this.admin, method, path, headers }, (answer) => {
        let text = "";
        answer.on("data", (part) => (text += part));
        answer.on("end", () => resolve({ status: answer.statusCode, text }));
      });
      asked.once("error", reject);
      asked.end(body);
    });
  }

  /** As SIGKILL does: nothing is flushed, nobody is told. */
  async kill() {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
    this.#process = undefined;
  }

  async end() {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
