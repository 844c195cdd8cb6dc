/** The report and every command of the packed extension, in a real VS Code. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";
import { featured, storageOf, writeMonth, writeSession } from "./corpus.mjs";
import { Host } from "./host.mjs";

const TITLE =
  "Migrate payment webhooks to the idempotent handler and backfill failed events";
/** All sessions that there are: a month of them, two extreme ones and the current one. */
const SESSIONS = 43;
const ID = "fbb0fa65-0000-4000-8000-00000000aaaa";
const axe = fs.readFileSync(
  createRequire(import.meta.url).resolve("axe-core/axe.min.js"),
  "utf8",
);

let host;
let window;
let report;
let costs;

before(async () => {
  host = await Host.start({
    settings: {
      "copilotUsage.plan": "pro+",
      "workbench.activityBar.location": "default",
    },
    prepare: (it) => {
      const folders = ["web-store", "infra-live", "ml-notebooks", "docs-site"];
      costs = writeMonth(
        it.data,
        folders.map((name) => it.folder(name)),
        40,
        Date.now(),
      );
      costs += extremes(storageOf(it.data, "extreme", it.folder("extreme")));
    },
  });
  const opened = await host.openWithStorage(host.folder("ledger-api"), {
    width: 1400,
    height: 1000,
  });
  window = opened.window;
  const start = Date.now() - 78.5 * 60_000;
  costs += writeSession(opened.storage, ID, TITLE, featured(start));
  await window.status(/^\s*≥114\.53/);
});

after(() => host.stop());

/** A session of $0.00004 and one of $1,234.56, before this month. */
function extremes(storage) {
  const at = Date.now() - 40 * 24 * 3_600_000;
  const call = { model: "gpt-5.3-codex", input: 9, cached: 0, output: 1 };
  return [
    [4_000_000, "The smallest of them"],
    [
      123_456_000_000_000,
      `The largest, with a title ${"as long as can be ".repeat(10)}`,
    ],
  ].reduce(
    (sum, [nano, title], index) =>
      sum +
      writeSession(
        storage,
        `eeeeeee${index}-0000-4000-8000-00000000eeee`,
        title,
        [{ at, text: title, calls: [{ ...call, nano }] }],
      ),
    0,
  );
}

const credits = (nano) =>
  (nano / 1e9).toLocaleString("en", {
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
  });

/** Goes to a page by the bar at the top; resolves when it is drawn, if only as being read. */
async function go(name) {
  const link = report
    .getByRole("navigation")
    .getByRole("button", { name, exact: true });
  await link.click();
  await link.and(report.locator('[aria-current="page"]')).waitFor();
}

/** Everything that the page shows is drawn: nothing is being read. */
async function settled(frame = report) {
  await frame.waitForFunction(() => !document.querySelector(".loading"));
}

test("Analyze Current Session opens the session's page", async () => {
  await window.command("View: Toggle Primary Side Bar Visibility");
  await window.command("Copilot Usage: Analyze Current Session");
  report = await window.view("report");
  await report.getByRole("heading", { name: TITLE }).waitFor();
  await settled();
  assert.match(await report.locator(".head .big").innerText(), /≥\s*114\.53/);
  await window.shot("report-session");
});

test("the timeline opens by mouse and by keyboard down to requests", async () => {
  const turn = report.getByRole("row", { name: /Find every caller/ });
  await turn.click();
  await report.getByText("Subagent: explore").waitFor();
  const row = report.getByRole("row", { name: /Read the webhook handler/ });
  await row.focus();
  await window.page.keyboard.press("ArrowRight");
  await report
    .getByRole("row", { name: /Request 1\b/ })
    .first()
    .waitFor();
  await report
    .locator('tr[aria-expanded="true"]', {
      hasText: "Read the webhook handler",
    })
    .waitFor();
  await window.page.keyboard.press("ArrowDown");
  await window.page.keyboard.press("ArrowLeft");
  await window.page.keyboard.press("ArrowLeft");
  await report
    .locator('tr[aria-expanded="false"]', {
      hasText: "Read the webhook handler",
    })
    .waitFor();
  await report.getByRole("button", { name: "Expand all" }).click();
  await report
    .getByRole("row", { name: /20:00 pause/ })
    .last()
    .waitFor();
  await window.shot("report-timeline");
});

/** Under `heading`, the tab has a row with this text. */
async function brokenDown(heading, tab, text) {
  await report.getByRole("tab", { name: tab, exact: true }).click();
  await report
    .locator("section", { has: report.getByRole("heading", { name: heading }) })
    .getByText(text, { exact: true })
    .first()
    .waitFor();
}

test("breakdowns by model, agent and tool", async () => {
  for (const [tab, text] of [
    ["Model", "gpt-5.3-codex"],
    ["Agent", "explore"],
    ["Tool", "run_in_terminal"],
  ]) {
    await brokenDown("Breakdown", tab, text);
  }
});

test("why: from the amount to the line of the log, and back where the focus was", async () => {
  await report.locator("[data-key=why]").focus();
  await window.page.keyboard.press("Enter");
  const drawer = report.getByRole("dialog", { name: "Why this number?" });
  await drawer.getByText("22 requests").waitFor();
  await window.shot("report-why-session");
  await drawer.getByRole("button", { name: "Request 13" }).click();
  await drawer.getByText("Tokens of this request").waitFor();
  assert.ok((await drawer.innerText()).includes("61,174"));
  await window.shot("report-why-request");
  for (let press = 0; press < 12; press++)
    await window.page.keyboard.press("Tab");
  assert.ok(
    await drawer.evaluate((element) =>
      element.contains(document.activeElement),
    ),
  );
  await drawer.getByRole("button", { name: "Open log here" }).click();
  await window.page.locator(".tab", { hasText: "main.jsonl" }).waitFor();
  await window.page
    .locator(".part.statusbar", { hasText: /Ln \d\d/ })
    .waitFor();
  await window.shot("report-open-log");
  await window.command("View: Close Other Editors in Group").catch(() => {});
  await window.command("View: Close Editor");
  await window.command("Copilot Usage: Analyze Current Session");
  report = await window.view("report");
  await report.getByRole("heading", { name: TITLE }).waitFor();
  await report.locator("[data-key=why]").focus();
  await window.page.keyboard.press("Enter");
  await report.getByRole("dialog").waitFor();
  await window.page.keyboard.press("Escape");
  await report.getByRole("dialog").waitFor({ state: "detached" });
  await report.waitForFunction(
    () => document.activeElement.dataset.key === "why",
  );
});

test("a page that is redrawn while the focus is elsewhere gives it back", async () => {
  const redrawn = () => !document.querySelector("[data-key=why]").dataset.old;
  await report.locator("[data-key=why]").focus();
  await window.page.keyboard.press("F1");
  await report.waitForFunction(() => !document.hasFocus());
  await report.evaluate(() => {
    document.querySelector("[data-key=why]").dataset.old = "yes";
  });
  const { width, height } = window.page.viewportSize();
  await window.page.setViewportSize({ width: width - 40, height });
  await report.waitForFunction(redrawn);
  await window.page.setViewportSize({ width, height });
  await window.page.keyboard.press("Escape");
  await report.waitForFunction(
    () => document.activeElement.dataset.key === "why",
  );
});

test("a transcript is read from the log into a document that is nowhere on disk", async () => {
  await report.getByRole("button", { name: "Open transcript" }).click();
  const tab = window.page.locator(".tab", { hasText: "Transcript: Migrate" });
  await tab.waitFor();
  await window.page
    .locator(".view-line", { hasText: "Read the webhook handler" })
    .first()
    .waitFor();
  await window.shot("transcript");
  await window.command("View: Close Editor");
  report = await window.view("report");
  await report.getByRole("heading", { name: TITLE }).waitFor();
});

test("the overview adds up and is broken down by every dimension", async () => {
  await go("Overview");
  await report.getByRole("radio", { name: "All", exact: true }).click();
  await report.getByRole("heading", { name: "All time" }).waitFor();
  await settled();
  const text = await report.locator(".head .big").innerText();
  assert.equal(text.replace(/\s/g, ""), `≥${credits(costs)}credits`);
  for (const [tab, value] of [
    ["Agent", "Copilot Chat"],
    ["Workspace", "web-store"],
    ["Branch", "no branch known"],
    ["Subagent", "explore"],
    ["Skill", "no skill"],
    ["Tool", "read_file"],
    ["Model", "claude-haiku-4.5"],
  ]) {
    await brokenDown("Where it went", tab, value);
  }
  await report.getByRole("radio", { name: "dollars $" }).click();
  await report.locator(".head .big", { hasText: "$" }).waitFor();
  await report.getByRole("radio", { name: "credits cr" }).click();
  await report.locator(".head .big", { hasText: "credits" }).waitFor();
  await report.getByRole("radio", { name: "Month" }).click();
  await report.getByText("Copilot Pro+ allowance").waitFor();
  await settled();
  await window.shot("report-overview");
});

test("a notice that is dismissed stays away", async () => {
  const notice = report.getByText("dbSpanExporter");
  await notice.waitFor();
  await report.getByRole("button", { name: "Dismiss" }).click();
  await notice.waitFor({ state: "detached" });
  await go("Session");
  await settled();
  assert.equal(await notice.count(), 0);
});

test("pictures for the README", async () => {
  await window.page.setViewportSize({ width: 1120, height: 760 });
  await settled();
  await window.shot("readme-session");
  const { x, y } = await (await window.hover()).boundingBox();
  const corner = { x: x - 24, y: y - 24, width: 1144 - x, height: 784 - y };
  await window.shot("readme-status", corner);
  await window.leave();
  await go("Overview");
  await settled();
  await window.shot("readme-overview");
  await window.page.setViewportSize({ width: 1400, height: 1000 });
});

test("sessions are searched, filtered and sorted, by keyboard too", async () => {
  await go("Sessions");
  await report
    .getByRole("status")
    .filter({ hasText: `${SESSIONS} of ${SESSIONS} sessions` })
    .waitFor();
  await window.shot("report-sessions");
  await report.locator("body").press("/");
  await window.page.keyboard.type("payout");
  await report
    .getByRole("status")
    .filter({ hasText: `4 of ${SESSIONS} sessions` })
    .waitFor();
  await window.page.keyboard.press("ArrowDown");
  await report.waitForFunction(() =>
    document.activeElement.dataset.key?.startsWith("session "),
  );
  await report.getByRole("searchbox").fill("nothing like that");
  await report.getByRole("heading", { name: "No session matches" }).waitFor();
  await window.shot("report-no-match");
  await report
    .getByRole("button", { name: "Clear search and filters" })
    .click();
  await report
    .getByRole("combobox", { name: "Model" })
    .selectOption("claude-opus-4.8");
  await report.waitForFunction(
    (all) =>
      !document.querySelector(".found").textContent.includes(`${all} of`),
    SESSIONS,
  );
  await report.getByRole("combobox", { name: "Model" }).selectOption("");
  await report.getByRole("button", { name: "Credits" }).click();
  await report
    .locator('th[aria-sort="descending"]', { hasText: "Credits" })
    .waitFor();
  const amounts = await report
    .locator("tbody tr:not(.spacer) td:last-child .amt")
    .evaluateAll((cells) =>
      cells.map((cell) =>
        Number(
          cell.querySelector(".amt-i, .amt-0").textContent.replaceAll(",", "") +
            cell.querySelector(".amt-f").textContent,
        ),
      ),
    );
  assert.equal(amounts.length, SESSIONS);
  assert.deepEqual(
    amounts,
    [...amounts].sort((a, b) => b - a),
  );
  await window.shot("report-sessions-by-cost");
  const search = report.getByRole("searchbox");
  await search.fill("extreme"); // their folder
  await report.getByRole("radio", { name: "dollars $" }).click();
  await report.locator("tbody", { hasText: "1,234.56" }).waitFor();
  assert.match(await report.locator("tbody").innerText(), /<\s*\$?0\s*\.0001/);
  await window.shot("report-extremes");
  await report.getByRole("radio", { name: "credits cr" }).click();
  await search.fill("");
});

test("what a person chose is there again after hiding and after a reload", async () => {
  await report.getByRole("searchbox").fill("vite");
  await report
    .getByRole("status")
    .filter({ hasText: `4 of ${SESSIONS}` })
    .waitFor();
  await window.command("File: New Untitled Text File");
  await window.page.locator(".tab", { hasText: "Cost Report" }).click();
  report = await window.view("report");
  await report
    .getByRole("status")
    .filter({ hasText: `4 of ${SESSIONS}` })
    .waitFor();
  await Promise.all([
    window.page.waitForEvent("domcontentloaded"),
    window.command("Developer: Reload Window"),
  ]);
  await window.page.waitForSelector(".monaco-workbench .part.statusbar", {
    timeout: 60_000,
  });
  await window.page.locator(".tab", { hasText: "Cost Report" }).click();
  report = await window.view("report");
  await report
    .getByRole("status")
    .filter({ hasText: `4 of ${SESSIONS}` })
    .waitFor();
  assert.equal(await report.getByRole("searchbox").inputValue(), "vite");
  await report.getByRole("searchbox").fill("");
});

test("the side bar has the current session", async () => {
  await window.command("View: Show Copilot Usage");
  const side = await window.view("side");
  await side.getByText(TITLE).first().waitFor();
  await settled(side);
  assert.match(await side.locator(".big").innerText(), /114\.53/);
  await window.shot("side-bar");
  const found = await violations(side);
  assert.deepEqual(found, []);
  await window.command("View: Toggle Primary Side Bar Visibility");
});

async function violations(frame) {
  await frame.evaluate(axe);
  return frame.evaluate(async () => {
    const result = await globalThis.axe.run(document, {
      resultTypes: ["violations"],
    });
    return result.violations.map(
      ({ id, nodes }) =>
        `${id}: ${nodes
          .slice(0, 3)
          .map(
            (node) =>
              node.html.slice(0, 160) + " " + (node.any[0]?.message ?? ""),
          )
          .join(" | ")}`,
    );
  });
}

for (const theme of [
  "Light Modern",
  "Dark High Contrast",
  "Light High Contrast",
  "Dark Modern",
]) {
  test(`axe finds nothing in ${theme}`, async () => {
    await window.theme(theme);
    const name = theme.toLowerCase().replaceAll(" ", "-");
    const found = [];
    for (const page of ["Overview", "Sessions", "Session"]) {
      await go(page);
      await settled();
      if (page === "Session")
        await report.getByText("Reconciliation").waitFor();
      await window.shot(`report-${page.toLowerCase()}-${name}`);
      found.push(...(await violations(report)).map((one) => `${page}: ${one}`));
    }
    await report.locator("[data-key=why]").click();
    await report.getByRole("dialog").getByText("22 requests").waitFor();
    await window.shot(`report-why-${name}`);
    found.push(...(await violations(report)).map((one) => `Why: ${one}`));
    await window.page.keyboard.press("Escape");
    assert.deepEqual(found, []);
  });
}

test("a narrow pane scrolls down only", async () => {
  await go("Overview");
  await window.page.setViewportSize({ width: 480, height: 900 });
  for (const page of ["Overview", "Sessions", "Session"]) {
    await go(page);
    await settled();
    const [scroll, width] = await report.evaluate(() => [
      document.documentElement.scrollWidth,
      document.documentElement.clientWidth,
    ]);
    assert.ok(scroll <= width, `${page}: ${scroll} > ${width}`);
    await window.shot(`narrow-${page.toLowerCase()}`);
  }
  await window.page.setViewportSize({ width: 1400, height: 1000 });
});

test("the page may not fetch, and has neither inline styles nor handlers", async () => {
  const fetched = await report.evaluate(() =>
    fetch("http://127.0.0.1:9/").then(
      () => "yes",
      () => "no",
    ),
  );
  assert.equal(fetched, "no");
  const inline = await report.evaluate(
    () =>
      [...document.querySelectorAll("*")].filter((one) =>
        [...one.attributes].some(({ name }) => name.startsWith("on")),
      ).length,
  );
  assert.equal(inline, 0);
});

test("Analyze Session… and Explain This Cost", async () => {
  await window.command("Copilot Usage: Analyze Session…");
  await window.pick("Vite 8 (38)");
  await report
    .getByRole("heading", { name: "Upgrade the build to Vite 8 (38)" })
    .waitFor();
  await window.command("Copilot Usage: Explain This Cost");
  await report.getByRole("dialog").getByText("22 requests").waitFor();
  await report.getByRole("button", { name: "Close" }).click();
});

test("Compare Two Sessions", async () => {
  await window.command("Copilot Usage: Compare Two Sessions");
  await window.pick("Migrate payment");
  await window.page
    .locator(".quick-input-title", { hasText: "2 of 2" })
    .waitFor();
  await window.pick("Vite 8 (38)");
  await report
    .getByRole("heading", { name: "Two sessions compared" })
    .waitFor();
  await report.getByText("The second cost").waitFor();
  await window.shot("report-compare");
  assert.deepEqual(await violations(report), []);
});

test("Copy Session Summary", async () => {
  await window.command("Copilot Usage: Copy Session Summary");
  await window.page
    .locator(".part.statusbar", { hasText: "Session summary copied" })
    .waitFor();
});

test("Export… as JSON, CSV and HTML, read back", async () => {
  const folder = host.folder("ledger-api");
  for (const format of ["JSON", "CSV", "HTML"])
    assert.equal(
      await window.exportAs(format),
      `session-fbb0fa65.${format.toLowerCase()}`,
    );
  const read = (name) =>
    fs.readFileSync(path.join(folder, `session-fbb0fa65.${name}`), "utf8");
  const json = JSON.parse(read("json"));
  assert.equal(
    json.totals.nanoAiu,
    json.requests.reduce((sum, one) => sum + one.nanoAiu, 0),
  );
  const lines = read("csv").trim().split("\r\n");
  assert.equal(lines.length, 1 + json.requests.length);
  const column = lines[0].split(",").indexOf("nanoAiu");
  assert.equal(
    lines
      .slice(1)
      .reduce((sum, line) => sum + Number(line.split(",")[column]), 0),
    json.totals.nanoAiu,
  );
  const html = read("html");
  assert.ok(
    html.includes("≥114.53 cr") &&
      html.includes(TITLE) &&
      !html.includes("<script"),
  );
});

test("Set Plan… changes the allowance", async () => {
  await window.command("Copilot Usage: Set Plan…");
  await window.pick("Copilot Max");
  await go("Overview");
  await report.getByText("Copilot Max allowance").waitFor();
});

test("Enable Copilot Logging… says what each setting gives, and changes nothing by itself", async () => {
  await window.command("Copilot Usage: Enable Copilot Logging…");
  await window.page
    .locator(".quick-input-list", { hasText: "dbSpanExporter" })
    .waitFor();
  await window.shot("enable-logging");
  await window.page.keyboard.press("Escape");
});

test("Doctor, Restart Server and Show Log", async () => {
  await window.command("Copilot Usage: Doctor");
  const preview = window.page.locator(".tab", { hasText: "Doctor" });
  await preview.waitFor();
  await window.shot("doctor");
  const before = host.servers();
  await window.command("Copilot Usage: Restart Server");
  const restarted = () => {
    const now = host.servers();
    return now.length > 0 && now.every((pid) => !before.includes(pid));
  };
  for (let tries = 0; tries < 100 && !restarted(); tries++)
    await window.page.waitForTimeout(100);
  assert.ok(restarted(), `${before} -> ${host.servers()}`);
  await window.status(/^\s*≥114\.53/);
  await window.command("Copilot Usage: Show Log");
  await window.page
    .locator(".panel .composite.title", { hasText: /output/i })
    .waitFor();
});
