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
          {
            name: "Local",
            vendor: "customendpoint",
            apiType: "chat-completions",
            models: [model],
          },
        ]),
      );
    },
  });
}

async function send(page, text) {
  await page.locator(".interactive-input-part .monaco-editor").first().click();
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
}

/** Sends a message and waits until the answer is complete. */
async function ask(page, text) {
  const answers = page.locator(".interactive-response");
  const before = await answers.count();
  await send(page, text);
  await answers
    .nth(before)
    .filter({ hasText: /Answer \d+/ })
    .waitFor({ timeout: 60_000 });
}

/** Waits until `happened()`. */
async function until(page, what, happened) {
  for (let tries = 0; tries < 300; tries++) {
    if (happened()) return;
    await page.waitForTimeout(100);
  }
  throw new Error(`never: ${what}`);
}

/** The chat of both runs: a plain answer, a tool, a subagent, an error and a cancel. */
async function chat(window, models) {
  const { page } = window;
  await window.status(/cr/);
  const model = page
    .locator(".interactive-input-part")
    .getByText(MODEL)
    .first();
  for (let tries = 1; ; tries++) {
    // Copilot Chat is switched off in a new profile, and the list of extensions may not be ready
    await window.command("Extensions: Enable All Extensions");
    try {
      await model.waitFor({ timeout: 30_000 });
      break;
    } catch (error) {
      if (tries === 3) throw error;
    }
  }
  await ask(page, "Hello");
  await ask(page, "TOOL read the file");
  await ask(page, "DELEGATE this");
  await ask(page, "COST so far");
  await send(page, "FAIL now");
  await until(page, "a call failed", () => models.failed > 0);
  const cancel = page
    .locator('.interactive-input-part [aria-label^="Cancel"]')
    .first();
  await cancel.waitFor({ state: "hidden" });
  await send(page, "ENDLESS");
  await page
    .locator(".interactive-response", { hasText: "on and on" })
    .last()
    .waitFor();
  await cancel.click();
  await until(page, "the client went away", () => models.cancelled > 0);
}

const credits = (calls) =>
  (calls.reduce((sum, { nano }) => sum + nano, 0) / 1e9).toFixed(2);

test("with debug logs alone: the calls that VS Code logs, to the unit", async () => {
  const models = await Models.start("");
  const host = await start(models, {});
  try {
    const folder = host.folder("work");
    models.readable = path.join(folder, "notes.txt");
    fs.writeFileSync(models.readable, "one\ntwo\n");
    const window = await host.open(folder, { width: 1400, height: 900 });
    await chat(window, models);
    const told = JSON.parse(models.told);
    assert.equal(told.totals.basis, "billed");
    assert.ok(
      told.totals.nanoAiu > 4 * 4_521_000_000,
      "what the agent was told about itself",
    );
    // calls without tools (titles) are not in these logs
    const logged = models.billed.filter((call) => call.tools);
    assert.ok(logged.length >= 6, JSON.stringify(models.billed));
    await window.status(
      new RegExp(`^\\s*≥?${credits(logged).replace(".", "\\.")} cr`),
      60_000,
    );
    await window.shot("copilot-debug-logs");
    const text = await (await window.hover()).innerText();
    assert.ok(
      text.includes("dbSpanExporter"),
      "the source that would tell of the rest is named",
    );
  } finally {
    models.stop();
    await host.stop();
  }
});

test("with the span store too: every call that was billed, titles included", async () => {
  const models = await Models.start("");
  const host = await start(models, {
    "github.copilot.chat.otel.dbSpanExporter.enabled": true,
  });
  try {
    const folder = host.folder("work");
    models.readable = path.join(folder, "notes.txt");
    fs.writeFileSync(models.readable, "one\ntwo\n");
    const window = await host.open(folder, { width: 1400, height: 900 });
    await chat(window, models);
    assert.ok(
      models.billed.some((call) => !call.tools),
      "there was a call for a title",
    );
    await window.status(
      new RegExp(`mo ≥?${credits(models.billed).replace(".", "\\.")} cr`),
      60_000,
    );
    await window.shot("copilot-span-store");
  } finally {
    models.stop();
    await host.stop();
  }
});
