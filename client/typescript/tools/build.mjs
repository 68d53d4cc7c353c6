// Builds dist/: the ES module, the bundle for a <script> (global `Iris`), and the types.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL("..", import.meta.url));
process.chdir(here);
rmSync("dist", { recursive: true, force: true });
const common = { entryPoints: ["src/index.ts"], bundle: true, target: "es2022", sourcemap: true };
await build({ ...common, format: "esm", outfile: "dist/iris.mjs" });
await build({ ...common, format: "iife", globalName: "Iris", minify: true, outfile: "dist/iris.iife.js" });
execFileSync("node_modules/.bin/tsc", ["-p", "tools/tsconfig.types.json"], { stdio: "inherit" });
