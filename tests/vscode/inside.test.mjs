/** Tests that run inside the extension host: extension/test/host. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Host, repository } from "./host.mjs";

test("inside the extension host", { timeout: 180_000 }, async (t) => {
  execFileSync(process.execPath, ["esbuild.mjs", "--tests"], {
    cwd: path.join(repository, "extension"),
  });
  const results = path.join(
    fs.mkdtempSync("/tmp/session-usage-e2e-inside-"),
    "results.json",
  );
  const host = await Host.start({
    settings: { "copilotUsage.plan": "pro+" },
    env: { RESULTS: results },
    options: ["--vscode-option", "enable-smoke-test-driver"],
  });
  try {
    assert.equal(
      await host.runInside(host.folder("inside"), "dist/test/host"),
      0,
    );
    for (const { name, error } of JSON.parse(fs.readFileSync(results, "utf8")))
      await t.test(name, () => assert.equal(error, undefined));
  } finally {
    await host.stop();
    fs.rmSync(path.dirname(results), { recursive: true });
  }
});
