// Builds the demo page into gateway/assets/demo, from where the gateway takes it into its binary.
// `--check` writes nothing and fails if what lies there is not what it would write.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL("..", import.meta.url));
const target = fileURLToPath(new URL("../../../gateway/assets/demo/", import.meta.url));
process.chdir(here);

const bundle = await build({
  entryPoints: ["demo/app.ts"],
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  write: false,
  banner: { js: "// Made from client/typescript/demo by tools/demo.mjs." },
});
const [script] = bundle.outputFiles;
if (script === undefined) throw new Error("nothing was built");
const assets = new Map([["app.js", script.text]]);
for (const name of ["index.html", "style.css", "icon.svg"]) assets.set(name, readFileSync(`demo/${name}`, "utf8"));

mkdirSync(target, { recursive: true });
for (const [name, text] of assets) {
  if (!process.argv.includes("--check")) {
    writeFileSync(target + name, text);
  } else if (readFileSync(target + name, "utf8") !== text) {
    console.error(`gateway/assets/demo/${name} is not what the sources give: npm run demo`);
    process.exitCode = 1;
  }
}
