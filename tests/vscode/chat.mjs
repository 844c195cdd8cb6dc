/** What a person does in the panel of the real Copilot Chat. */
import fs from "node:fs";
import path from "node:path";
import { Host } from "./host.mjs";

/** What VS Code and Copilot Chat ask for when AI features are on; in vain, as no name is known. */
const STRANGERS = [
  "vscode-cdn.net",
  "applicationinsights.azure.com",
  "www.githubstatus.com",
];

const MODEL = "Model Server";

/** A host whose Copilot Chat talks to `models` and writes debug logs. */
export async function start(models, settings) {
  return Host.start({
    asks: STRANGERS,
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

export async function send(page, text) {
  await page.locator(".interactive-input-part .monaco-editor").first().click();
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
}

/** Sends a message and waits until the answer is complete. */
export async function ask(page, text) {
  const answers = page.locator(".interactive-response");
  const before = await answers.count();
  await send(page, text);
  await answers
    .nth(before)
    .filter({ hasText: /Answer \d+/ })
    .waitFor({ timeout: 60_000 });
}

/** Waits until `happened()`. */
export async function until(page, what, happened) {
  for (let tries = 0; tries < 300; tries++) {
    if (happened()) return;
    await page.waitForTimeout(100);
  }
  throw new Error(`never: ${what}`);
}

/** Has the conversation so far replaced by a summary, which a model writes. */
export async function compact(page) {
  const input = page.locator(".interactive-input-part");
  await input.locator(".monaco-editor").first().click();
  await page.keyboard.type("/compact ");
  // Enter may mean the list of commands that opened while typing
  await input.locator('[aria-label^="Send"]').first().click();
  await page
    .locator(".interactive-response", { hasText: "Compacted conversation" })
    .waitFor({ timeout: 60_000 });
}

/** What VS Code itself says beside the chat: the text of "Session Cost". */
export async function sessionCost(page) {
  // by key: the hover of what the mouse is on may lie over it
  await page
    .getByRole("button", { name: /^Context window usage/ })
    .press("Enter");
  const value = page.locator(".chat-context-usage-details .session-cost-value");
  await value.filter({ hasText: /\d/ }).waitFor();
  const text = await value.innerText();
  await page.keyboard.press("Escape");
  return text;
}

/** What VS Code itself says in its debug panel of the only session: figures by their labels. */
export async function debugPanel(window) {
  await window.command("Developer: Open Agent Debug Logs");
  await window.page.locator(".chat-debug-home-session-item").click();
  const cards = window.page.locator(".chat-debug-overview-metric-card");
  await cards.filter({ hasText: "Copilot Usage" }).waitFor();
  const texts = await cards.allInnerTexts();
  return Object.fromEntries(texts.map((text) => text.split("\n")));
}

/** The chat of both runs: a plain answer, a tool, a subagent, an error and a cancel. */
export async function chat(window, models) {
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
