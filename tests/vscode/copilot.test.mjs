/** The whole way: a chat with the real Copilot Chat, and what the status bar says it cost. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Host } from "./host.mjs";
import { Models } from "./models.mjs";

const MODEL = "Model Server";

async function start(models, settings) {
  return Host.start({
    settings: {
      "chat.disableAIFeatures": false,
      "workbench.secondarySideBar.defaultVisibility": "visible",
      "chat.byokUtilityModelDefault": "mainAgent",
      "github.copilot.chat.agentDebugLog.fileLogging.enabled": true,
      "github.copilot.chat.agentDebugLog.fileLogging.flushIntervalMs": 2000,
      "chat.tools.global.autoApprove": true,
      "copilotUsage.statusBar.show": ["session", "month"],
      ...settings,
    },
    prepare: (host) => {
      const model = {
        id: "gpt-5.4-mock",
        name: MODEL,
        url: models.url,
        toolCalling: true,
        vision: false,
        maxInputTokens: 128_000,
        maxOutputTokens: 16_000,
      };
      fs.writeFileSync(
        path.join(host.data, "User/chatLanguageModels.json"),
        JSON.stringify([
          { name: "Local", vendor: "customendpoint", apiType: "chat-completions", models: [model] },
        ]),
      );
    },
  });
}

/** Sends a message and waits until the answer is complete. */
async function ask(page, text, done) {
  const answers = page.locator(".interactive-response");
  const before = await answers.count();
  await page.locator(".interactive-input-part .monaco-editor").first().click();
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
  await answers.nth(before).filter({ hasText: done }).waitFor({ timeout: 60_000 });
}

/** The chat of both runs: a plain answer, a tool, a subagent, an error and a cancel. */
async function chat(window, models) {
  const { page } = window;
  await window.command("Extensions: Enable All Extensions");
  await page.locator(".interactive-input-part").getByText(MODEL).first().waitFor({ timeout: 60_000 });
  await ask(page, "Hello", /Answer \d+/);
  await ask(page, "TOOL read the file", /Answer \d+/);
  await ask(page, "DELEGATE this", /Answer \d+/);
  await ask(page, "FAIL now", /made to fail|Reason|error/i);
  await page.locator(".interactive-input-part .monaco-editor").first().click();
  await page.keyboard.type("ENDLESS");
  await page.keyboard.press("Enter");
  await page.locator(".interactive-response", { hasText: "on and on" }).last().waitFor();
  await page.keyboard.press("Escape");
  await page.locator('.interactive-input-part [aria-label^="Cancel"]').first().click({ timeout: 5_000 }).catch(() => {});
  for (let tries = 0; tries < 100 && !models.cancelled; tries++) await page.waitForTimeout(100);
  assert.ok(models.failed > 0 && models.cancelled > 0);
}

const credits = (calls) => (calls.reduce((sum, { nano }) => sum + nano, 0) / 1e9).toFixed(2);

test("with debug logs alone: the calls that VS Code logs, to the unit", async () => {
  const models = await Models.start("");
  const host = await start(models, {});
  try {
    const folder = host.folder("work");
    models.readable = path.join(folder, "notes.txt");
    fs.writeFileSync(models.readable, "one\ntwo\n");
    const window = await host.open(folder, { width: 1400, height: 900 });
    await chat(window, models);
    // calls without tools (titles) are not in these logs
    const logged = models.billed.filter((call) => call.tools);
    assert.ok(logged.length >= 6, JSON.stringify(models.billed));
    await window.status(new RegExp(`^\\s*≥?${credits(logged).replace(".", "\\.")} cr`), 60_000);
    await window.shot("copilot-debug-logs");
    const text = await (await window.hover()).innerText();
    assert.ok(text.includes("dbSpanExporter"), "the source that would tell of the rest is named");
  } finally {
    models.stop();
    await host.stop();
  }
});

test("with the span store too: every call that was billed, titles included", async () => {
  const models = await Models.start("");
  const host = await start(models, { "github.copilot.chat.otel.dbSpanExporter.enabled": true });
  try {
    const folder = host.folder("work");
    models.readable = path.join(folder, "notes.txt");
    fs.writeFileSync(models.readable, "one\ntwo\n");
    const window = await host.open(folder, { width: 1400, height: 900 });
    await chat(window, models);
    assert.ok(models.billed.some((call) => !call.tools), "there was a call for a title");
    await window.status(new RegExp(`mo ≥?${credits(models.billed).replace(".", "\\.")} cr`), 60_000);
    await window.shot("copilot-span-store");
  } finally {
    models.stop();
    await host.stop();
  }
});
