// Bundles the modules and the style sheets into dist/: `npm run build`. The bundle is committed, so
// that who installs or runs the page needs no Node; a test says when it is no longer fresh.

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = new URL(".", import.meta.url);

/** @returns {Promise<Map<string, string>>} the files of the bundle: text by path. */
export async function bundle() {
  const { outputFiles } = await build({
    absWorkingDir: fileURLToPath(here),
    entryPoints: { bundle: "index.js", style: "style.css" },
    outdir: "dist",
    bundle: true,
    minify: true,
    format: "iife",
    globalName: "CbamViz",
    target: ["chrome120", "firefox121", "safari17.2"],
    charset: "utf8",
    write: false,
  });
  return new Map(outputFiles.map(({ path, text }) => [path, text]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of await bundle()) await writeFile(path, text);
}
