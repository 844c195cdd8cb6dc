import { readdirSync } from "node:fs";
import { build, context } from "esbuild";

const watch = process.argv.includes("--watch");
const common = { bundle: true, logLevel: "warning", minify: !watch, sourcemap: watch };

/** The extension host's half and the web view's half; with --tests the tests. */
const bundles = process.argv.includes("--tests")
  ? [
      {
        ...common,
        minify: false,
        entryPoints: readdirSync("test")
          .filter((name) => name.endsWith(".test.ts"))
          .map((name) => `test/${name}`),
        outdir: "dist/test",
        outExtension: { ".js": ".mjs" },
        platform: "node",
        format: "esm",
        target: "node20",
      },
      {
        ...common,
        minify: false,
        entryPoints: { host: "test/host/index.ts" },
        outdir: "dist/test",
        platform: "node",
        format: "cjs",
        target: "node20",
        external: ["vscode"],
        loader: { ".cjs": "text" },
      },
    ]
  : [
      {
        ...common,
        entryPoints: ["src/extension.ts"],
        outfile: "dist/extension.js",
        platform: "node",
        format: "cjs",
        target: "node20",
        external: ["vscode"],
      },
      {
        ...common,
        entryPoints: ["src/report/main.ts"],
        outfile: "dist/report.js",
        format: "iife",
        target: "chrome122",
      },
    ];

if (watch) await Promise.all(bundles.map(async (bundle) => (await context(bundle)).watch()));
else await Promise.all(bundles.map((bundle) => build(bundle)));
