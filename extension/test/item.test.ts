import assert from "node:assert/strict";
import { test } from "node:test";
import type { Status } from "../src/protocol";
import type { Manner } from "../src/shared/format";
import { item, type ServerState, type Shown } from "../src/shared/item";
import { tooltip } from "../src/shared/tooltip";
import { allowance, STATUS, TOTALS } from "./status";

const MANNER: Manner = {
  unit: "credits",
  currency: "EUR",
  currencyPerUsd: 1,
  locale: "en",
  zone: "UTC",
};
const RUNNING: ServerState = { kind: "running" };

function text(status: Status | null, shown: Shown[] = ["session"], server = RUNNING): string {
  return item(server, status, shown, MANNER, -1).text;
}

function session(change: Partial<typeof TOTALS>): Status {
  assert.ok(STATUS.session);
  return { ...STATUS, session: { ...STATUS.session, totals: { ...TOTALS, ...change } } };
}

test("each state of the item", () => {
  assert.equal(text(STATUS), "$(graph) 140.14 cr");
  assert.equal(text(session({ basis: "estimated" })), "$(graph) ~140.14 cr");
  assert.equal(text(session({ unknownRequests: 1 })), "$(graph) ≥140.14 cr");
  assert.equal(text(session({ nanoAiu: null, basis: "unknown" })), "$(graph) — cr");
  assert.equal(text({ ...STATUS, session: null }), "$(graph) today 140.14 cr");
  assert.equal(text(null), "$(loading~spin) Cost");
  assert.equal(text({ ...STATUS, health: "indexing" }), "$(sync~spin) 140.14 cr");
  assert.equal(text({ ...STATUS, health: "problems" }), "$(warning) 140.14 cr");
  assert.equal(text(STATUS, ["session"], { kind: "restarting" }), "$(sync~spin) 140.14 cr");
});

test("several figures, in the order of the setting", () => {
  const status = { ...STATUS, allowance: allowance(0.563) };
  assert.equal(
    text(status, ["session", "today", "month", "remaining"]),
    "$(graph) 140.14 cr · today 140.14 cr · mo 3,941.33 cr · 3,059.00 cr left",
  );
  assert.equal(text(STATUS, ["remaining"]), "$(graph) 140.14 cr", "without a plan: the session");
});

test("logging that is off is said where it hides the cost, and a click enables it", () => {
  const off: Status = { ...STATUS, health: "logging-off", session: null };
  const now = item(RUNNING, off, ["session"], MANNER, -1);
  assert.equal(now.text, "$(warning) Cost: logging off");
  assert.equal(now.command, "enableLogging");
  assert.equal(text({ ...STATUS, health: "logging-off" }), "$(graph) 140.14 cr");
});

test("a server that is down is an error with a way out", () => {
  const stopped = item({ kind: "stopped", message: "It ended" }, STATUS, ["session"], MANNER, -1);
  assert.deepEqual(stopped, {
    text: "$(error) Cost: stopped",
    label: "Copilot Usage: It ended",
    background: "error",
    command: "restartServer",
  });
  const python = item({ kind: "no-python", message: "None" }, null, ["session"], MANNER, -1);
  assert.equal(python.command, "pickPython");
});

test("above 90 % it warns once per step of 5 %", () => {
  const at = (share: number, seen: number) =>
    item(RUNNING, { ...STATUS, allowance: allowance(share) }, ["session"], MANNER, seen);
  assert.equal(at(0.89, -1).background, undefined);
  assert.equal(at(0.93, -1).text, "$(graph) 140.14 cr · 93 % of 7,000");
  assert.equal(at(0.93, -1).background, "warning");
  assert.equal(at(0.93, 18).background, undefined, "seen at 90 %");
  assert.equal(at(0.95, 18).background, "warning");
});

test("screen readers hear words", () => {
  const now = item(
    RUNNING,
    session({ basis: "estimated", unknownRequests: 1 }),
    ["session"],
    MANNER,
    -1,
  );
  assert.equal(now.label, "Copilot Usage: this session at least 140.14 credits, estimated");
});

test("the hover has at most 12 lines of text and escapes what it did not write", () => {
  assert.ok(STATUS.session);
  const nasty = {
    ...STATUS,
    allowance: allowance(0.56),
    session: { ...STATUS.session, title: "[x](command:evil) $(bug) <img src=x> | `a` **b**" },
  };
  const hover = tooltip(RUNNING, nasty, MANNER);
  assert.ok(!hover.includes("](command:evil)"));
  assert.ok(!hover.includes("<img"));
  assert.ok(!hover.includes(" $(bug)"));
  const lines = hover.split("\n").filter((line) => line && !/^\|[:-]/.test(line));
  assert.ok(lines.length <= 12, hover);
  assert.ok(
    hover.includes("Copilot Pro\\+ · 3,920.00 cr of 7,000 · 56 % · resets 1 Dec UTC"),
    hover,
  );
});

test("the hover tells what the next turn costs, before and after the cache expires", () => {
  const cache = {
    model: "claude-sonnet-4.6",
    expiresAt: "2026-11-24T14:25:00.000Z",
    tokens: 40_000,
    warmCost: 120_000_000,
    coldCost: 900_000_000,
    basis: "priced" as const,
    assumptions: [],
  };
  const at = (time: string) =>
    tooltip(RUNNING, { ...STATUS, cache }, MANNER, Date.parse(`2026-11-24T${time}Z`));
  assert.ok(
    at("14:21:00").includes("Cache warm until 14:25: next turn ≥0.120 cr, afterwards ≥0.900 cr"),
    at("14:21:00"),
  );
  assert.ok(at("14:25:00").includes("Cache cold: next turn ≥0.900 cr"));
  cache.basis = "estimated" as never;
  assert.ok(at("14:25:00").includes("next turn ≥~0.900 cr"));
});

test("the hover tells what a running agent knows, and nothing that it does not", () => {
  const live = {
    state: "connected" as const,
    problem: null,
    session: "1",
    contextTokens: 32_000,
    contextLimit: 128_000,
    systemTokens: null,
    conversationTokens: null,
    toolTokens: null,
    quotas: [
      {
        kind: "premium_interactions",
        unlimited: false,
        entitlement: 1_500,
        used: 100,
        remainingPercent: 93.3,
        overage: 0,
        resetsAt: "2026-12-01T00:00:00.000Z",
      },
      {
        kind: "chat",
        unlimited: true,
        entitlement: null,
        used: null,
        remainingPercent: null,
        overage: null,
        resetsAt: null,
      },
    ],
  };
  const hover = tooltip(RUNNING, { ...STATUS, live }, MANNER);
  assert.ok(hover.includes("Context 32.0k of 128k tokens · 25 %"), hover);
  assert.ok(hover.includes("Premium requests 93 % of 1,500 left · resets 1 Dec UTC"), hover);
  assert.doesNotMatch(hover, /^Chat /m);
  const waiting = { ...live, contextTokens: null, quotas: [], problem: "nobody listens" };
  const lines = tooltip(RUNNING, { ...STATUS, live: waiting }, MANNER);
  assert.ok(lines.includes("$(info) Copilot CLI: nobody listens"), lines);
  assert.ok(!lines.includes("Context"), lines);
});

test("the hover of a server that is down says why, in one line", () => {
  const hover = tooltip({ kind: "stopped", message: "exit code 1" }, STATUS, MANNER);
  assert.ok(hover.includes("exit code 1"));
  assert.ok(hover.includes("command:copilotUsage.restartServer"));
});
