// Bundles the modules and the style sheets into dist/: `npm run build`. The bundle is committed, so
// that who installs or runs the page needs no Node; a test says when it is no longer fresh.

import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = new URL(".", import.meta.url);

/** @type {import("esbuild").BuildOptions & {write: false}} */
const COMMON = {
  absWorkingDir: fileURLToPath(here),
  outdir: "dist",
  bundle: true,
  minify: true,
  target: ["chrome120", "firefox121", "safari17.2"],
  charset: "utf8",
  write: false,
};

/** Modules of their own, each in a folder of its name: the page fetches them when they are opened. */
const LATER = ["course", "experiments"];

/** @returns {Promise<Map<string, string>>} the files of the bundle: text by path. */
export async function bundle() {
  const page = build({
    ...COMMON,
    entryPoints: { bundle: "index.js", style: "style.css" },
    format: "iife",
    globalName: "CbamViz",
  });
  const later = LATER.map((part) =>
    build({
      ...COMMON,
      entryPoints: [
        { in: `${part}/index.js`, out: `${part}/${part}` },
        { in: `${part}/${part}.css`, out: `${part}/${part}` },
      ],
      format: "esm",
    }),
  );
  const built = await Promise.all([page, ...later]);
  return new Map(
    built.flatMap(({ outputFiles }) => outputFiles.map(({ path, text }) => [path, text])),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of await bundle()) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
}
