/** How the server is found and started: without Python, and in folders that are not trusted. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { writeSession } from "./corpus.mjs";
import { Host, repository } from "./host.mjs";

test("without a Python it says so, and what to do", async () => {
  const host = await Host.start({
    settings: { "copilotUsage.pythonPath": "/nowhere/python" },
  });
  try {
    const window = await host.open(host.folder("one"));
    assert.equal(await window.status(/Python/), "Cost: no Python");
    const text = await (await window.hover()).innerText();
    assert.ok(text.includes("/nowhere/python"), text);
    await window.shot("status-no-python");
    await window.leave();
    await window.command("Copilot Usage: Open Report");
    const report = await window.view("report");
    await report
      .getByRole("heading", { name: "No Python to run the server" })
      .waitFor();
    await window.shot("report-no-python");
  } finally {
    await host.stop();
  }
});

test("a plain agent log tells how its session was routed", async () => {
  const logs = path.join(repository, "tests/data/agent-log/replay");
  const host = await Host.start({
    settings: { "copilotUsage.agentLogDirs": [logs] },
  });
  try {
    const window = await host.open(host.folder("runs"));
    await window.status(/today/);
    await window.command("Copilot Usage: Analyze Session…");
    await window.pick("full");
    const report = await window.view("report");
    await report.getByRole("heading", { name: "Routing" }).waitFor();
    await report
      .getByRole("row", { name: /Kept on one server.*reused/ })
      .waitFor();
    await report.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await window.shot("report-routing");
  } finally {
    await host.stop();
  }
});

test("in Restricted Mode it works, and runs nothing that the folder asks for", async () => {
  const host = await Host.start({
    settings: {
      "security.workspace.trust.enabled": true,
      "security.workspace.trust.startupPrompt": "never",
    },
  });
  try {
    const folder = host.folder("untrusted");
    const marker = path.join(host.state, "it-ran");
    const trap = path.join(folder, "python");
    fs.writeFileSync(trap, `#!/bin/sh\ntouch ${marker}\n`, { mode: 0o755 });
    fs.mkdirSync(path.join(folder, ".vscode"));
    fs.writeFileSync(
      path.join(folder, ".vscode/settings.json"),
      JSON.stringify({
        "copilotUsage.pythonPath": trap,
        "copilotUsage.preferInstalledServer": true,
        "copilotUsage.userDataDirs": ["/"],
      }),
    );
    const { window, storage } = await host.openWithStorage(folder);
    await window.status(/today/);
    writeSession(storage, "0c0c0c0c-0000-4000-8000-000000000003", "Untrusted", [
      {
        at: Date.now(),
        text: "Begin",
        calls: [
          { model: "claude-sonnet-4.6", input: 100, cached: 0, output: 100 },
        ],
      },
    ]);
    assert.equal(await window.status(/^\s*≥?0\.180 cr/), "0.180 cr");
    await window.page.getByText("Restricted Mode").first().waitFor();
    assert.ok(!fs.existsSync(marker));
    await window.shot("status-restricted");
  } finally {
    await host.stop();
  }
});
