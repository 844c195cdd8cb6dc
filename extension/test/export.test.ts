import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestRow, SessionReport } from "../src/protocol";
import { csv, html } from "../src/shared/export";
import type { Manner } from "../src/shared/format";
import { summary } from "../src/shared/summary";
import { TOTALS } from "./status";

const MANNER: Manner = {
  unit: "credits",
  currency: "EUR",
  currencyPerUsd: 1,
  locale: "en",
  zone: "UTC",
};

const REQUEST: RequestRow = {
  key: "=cmd()",
  turn: 'a "turn", quoted',
  subagent: ["explore", "inner"],
  surface: "chat",
  status: "ok",
  skill: null,
  durationMs: 10,
  timeToFirstTokenMs: null,
  source: "debug-log",
  model: "claude-sonnet-4.6",
  startedAt: "2026-11-24T13:00:00.000Z",
  requests: 1,
  inputTokens: 100,
  cacheReadTokens: 50,
  cacheWriteTokens: null,
  outputTokens: 10,
  reasoningTokens: null,
  cacheHitRate: 0.5,
  nanoAiu: 1_230_000_000,
  basis: "billed",
  billing: "copilot",
  assumptions: [],
  path: "/logs/main.jsonl",
  offset: 12,
};

const REPORT: SessionReport = {
  agent: "copilot-vscode",
  id: "7c1f0a52",
  title: '<script>alert("x")</script> | `a`',
  workspace: null,
  project: null,
  branch: null,
  version: null,
  createdAt: null,
  startedAt: "2026-11-24T13:00:00.000Z",
  endedAt: "2026-11-24T14:00:00.000Z",
  durationMs: 3_600_000,
  activeMs: null,
  totals: TOTALS,
  models: [{ ...TOTALS, model: "claude-sonnet-4.6" }],
  subagents: [{ ...TOTALS, subagent: "main" }],
  requests: [REQUEST],
  unattributed: [],
};

test("CSV: quotes are doubled, unknown is empty, nothing is a formula", () => {
  const [head, row, end] = csv(REPORT).split("\r\n");
  assert.equal(end, "");
  assert.ok(head?.startsWith("key,startedAt,turn,subagent,"));
  assert.ok(
    row?.startsWith(`'=cmd(),2026-11-24T13:00:00.000Z,"a ""turn"", quoted",explore/inner,chat,ok,`),
    row,
  );
  assert.ok(row?.includes(",100,50,,10,,1230000000,billed,"));
});

test("HTML: everything from outside is escaped", () => {
  const page = html(REPORT, MANNER);
  assert.ok(!page.includes("<script"));
  assert.ok(page.includes("&lt;script&gt;alert(&quot;x&quot;)"));
  assert.ok(page.includes("140.14 cr"));
});

test("Markdown: titles cannot break the table", () => {
  const text = summary(REPORT, MANNER);
  assert.ok(text.startsWith('**\\<script\\>alert("x")\\</script\\> \\| \\`a\\`**'));
  assert.ok(text.includes("**140.14 cr ($1.40)**, billed by the server"));
  assert.ok(text.includes("| Total | 22 | 1.02M | 73 % | 15.3k | 140.14 cr |"));
});
