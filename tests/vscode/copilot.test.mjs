/**
 * The whole way: a chat with the real Copilot Chat, and what the status bar says it cost.
 *
 * VS Code shows costs of its own in two places, for models of a custom endpoint too: "Session
 * Cost" in the details of the context (turns, with compactions, to a tenth) and "Copilot Usage"
 * in the debug panel (logged calls). Our report has both under these names, beside its own total.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { chat, compact, debugPanel, sessionCost, start } from "./chat.mjs";
import { Models } from "./models.mjs";

const sum = (calls) => calls.reduce((total, { nano }) => total + nano, 0);

/** A pattern for the amount of `calls` after `before` in the status bar. */
function amount(before, calls) {
  const text = (sum(calls) / 1e9).toFixed(2).replace(".", "\\.");
  return new RegExp(`${before}≥?${text} cr`);
}

/** Chats in a window of its own, then `check`s what is said about it. */
async function whole(settings, check) {
  const models = await Models.start("");
  const host = await start(models, settings);
  try {
    const folder = host.folder("work");
    models.readable = path.join(folder, "notes.txt");
    fs.writeFileSync(models.readable, "one\ntwo\n");
    const window = await host.open(folder, { width: 1400, height: 900 });
    await chat(window, models);
    await check({ window, models, folder });
  } finally {
    models.stop();
    await host.stop();
  }
}

/** What our report has under VS Code's names equals what VS Code displays. */
async function assertEditorsView(window, folder, ...rows) {
  const cost = await sessionCost(window.page);
  await window.shot("copilot-session-cost");
  const panel = await debugPanel(window);
  await window.shot("copilot-debug-panel");
  const name = await window.exportAs("JSON");
  const { sources } = JSON.parse(
    fs.readFileSync(path.join(folder, name), "utf8"),
  );
  const ours = (label) => sources.find(({ source }) => source === label);
  const format = (nano, digits) =>
    (nano / 1e9).toLocaleString("en", { maximumFractionDigits: digits });
  assert.equal(
    `${format(ours("vscode session cost").nanoAiu, 1)} credits`,
    cost,
  );
  const { nanoAiu, requests } = ours("vscode debug panel");
  assert.equal(format(nanoAiu, 2), panel["Copilot Usage (AIC)"]);
  assert.equal(String(requests), panel["Model Turns"]);
  await window.command("Copilot Usage: Analyze Current Session");
  const report = await window.view("report");
  for (const label of [
    "VS Code: Session Cost",
    "VS Code: Agent Debug Logs",
    ...rows,
  ])
    await report.getByRole("row", { name: label }).waitFor();
  await window.shot("copilot-report");
}

test("with debug logs alone: the calls that VS Code logs, to the unit", () =>
  whole({}, async ({ window, models, folder }) => {
    await compact(window.page);
    const told = JSON.parse(models.told);
    assert.equal(told.totals.basis, "billed");
    assert.ok(
      told.totals.nanoAiu > 4 * 4_521_000_000,
      "what the agent was told about itself",
    );
    // progress messages, which are asked for without tools, are in none of these logs; the chat
    // itself tells what the compaction cost
    const logged = models.billed.filter((call) => call.tools);
    assert.ok(logged.length >= 8, JSON.stringify(models.billed));
    await window.status(amount("^\\s*", logged), 60_000);
    await window.shot("copilot-debug-logs");
    const text = await (await window.hover()).innerText();
    assert.ok(
      text.includes("dbSpanExporter"),
      "the source that would tell of the rest is named",
    );
    await window.leave();
    await assertEditorsView(
      window,
      folder,
      "a turn whose calls were not logged",
    );
  }));

test("with the span store too: every call that was billed, background calls included", () =>
  whole(
    { "github.copilot.chat.otel.dbSpanExporter.enabled": true },
    async ({ window, models, folder }) => {
      const background = models.billed.filter((call) => !call.tools);
      assert.ok(background.length > 0, "there were calls beside the chat");
      await window.status(amount("mo ", models.billed), 60_000);
      await compact(window.page);
      const ofChat = models.billed.filter((call) => call.tools);
      await window.status(amount("^\\s*", ofChat), 60_000);
      await window.shot("copilot-span-store");
      await assertEditorsView(window, folder);
      await window.status(amount("mo ", models.billed), 60_000); // the compaction once
    },
  ));
