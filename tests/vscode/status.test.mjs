/** The status bar item of the packed extension, in a real VS Code. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { callLine, debugLogs, writeSession } from "./corpus.mjs";
import { Host, samples } from "./host.mjs";

const SAMPLE = "fbb0fa65-6999-4619-9647-8d05ca4c7266";
const SAMPLE_LOGS = path.join(
  samples,
  "vscode/User/workspaceStorage/-47a6e81/GitHub.copilot-chat/debug-logs",
  SAMPLE,
);
const CALL = { model: "claude-sonnet-4.6", input: 100, cached: 0, output: 10 };

let host;
let first;

before(async () => {
  host = await Host.start({ settings: { "copilotUsage.plan": "pro+" } });
});

after(() => host.stop());

test("without a session it shows what today cost, and never an unknown as 0", async () => {
  first = await host.openWithStorage(host.folder("one"));
  assert.equal(await first.window.status(/today/), "today 0.00 cr");
  await first.window.shot("status-no-session");
});

test("a session's exact figure appears by itself", async () => {
  fs.cpSync(SAMPLE_LOGS, path.join(debugLogs(first.storage), SAMPLE), {
    recursive: true,
  });
  // 20 calls of 129.42 credits and a cancelled one of unknown cost
  assert.equal(await first.window.status(/^\s*≥?129/), "≥129.42 cr");
});

test("a line appended to the log changes it within 2 seconds", async () => {
  const log = path.join(debugLogs(first.storage), SAMPLE, "main.jsonl");
  fs.appendFileSync(
    log,
    callLine(SAMPLE, Date.now(), { ...CALL, nano: 1_230_000_000 }),
  );
  assert.equal(await first.window.status(/≥130\.65 cr/, 2_000), "≥130.65 cr");
});

test("the hover tells the models, the month and the allowance", async () => {
  const hover = await first.window.hover();
  const text = await hover.innerText();
  for (const part of [
    "claude-mock-1",
    "gpt-mock-1",
    "This session",
    "≥130.65",
    "Copilot Pro+",
    "of 7,000",
    "Open report",
    "Why this number?",
  ]) {
    assert.ok(text.includes(part), `${part} in ${text}`);
  }
  await first.window.shot("status-hover");
  await first.window.leave();
});

test("screen readers hear words, no icons and no signs", async () => {
  const label = await first.window.item.locator("a").getAttribute("aria-label");
  assert.equal(label, "Copilot Usage: this session at least 130.65 credits");
});

test("a new session takes over", async () => {
  writeSession(
    first.storage,
    "0a0a0a0a-0000-4000-8000-000000000001",
    "The next one",
    [
      {
        at: Date.now(),
        text: "Begin",
        calls: [{ ...CALL, nano: 420_000_000 }],
      },
    ],
  );
  assert.equal(await first.window.status(/^\s*≥?0\.420 cr/), "0.420 cr");
});

test("a server that is killed is back within 5 seconds with the right figure", async () => {
  const before = host.servers();
  assert.ok(before.length > 0);
  for (const pid of before) process.kill(pid, "SIGKILL");
  const log = path.join(
    debugLogs(first.storage),
    "0a0a0a0a-0000-4000-8000-000000000001/main.jsonl",
  );
  fs.appendFileSync(
    log,
    callLine("0a0a0a0a-0000-4000-8000-000000000001", Date.now(), {
      ...CALL,
      nano: 580_000_000,
    }),
  );
  assert.equal(await first.window.status(/^\s*≥?1\.00 cr/, 5_000), "1.00 cr");
  assert.ok(host.servers().every((pid) => !before.includes(pid)));
});

test("two windows on two folders show two sessions", async () => {
  const second = await host.openWithStorage(host.folder("two"));
  await second.window.status(/today/);
  writeSession(
    second.storage,
    "0b0b0b0b-0000-4000-8000-000000000002",
    "In the other window",
    [{ at: Date.now(), text: "Begin", calls: [{ ...CALL, output: 100 }] }],
  );
  assert.equal(await second.window.status(/^\s*≥?0\.180 cr/), "0.180 cr");
  assert.equal(await first.window.status(/^\s*\d/), "1.00 cr");
  await second.window.page.close();
});
