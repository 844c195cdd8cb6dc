/** A status to change in tests. */
import type { Status, Totals } from "../src/protocol";

export const TOTALS: Totals = {
  sessions: 1,
  requests: 22,
  failedRequests: 0,
  unknownRequests: 0,
  inputTokens: 1_018_000,
  cacheReadTokens: 746_000,
  cacheWriteTokens: null,
  outputTokens: 15_300,
  reasoningTokens: null,
  cacheHitRate: 0.73,
  nanoAiu: 140_142_000_000,
  copilotNanoAiu: 140_142_000_000,
  unattributedNanoAiu: 0,
  basis: "billed",
  usd: 1.40142,
};

export const STATUS: Status = {
  session: {
    agent: "copilot-vscode",
    id: "7c1f0a52-5b7e-4f57-9d52-8d8f3a2f7b11",
    title: "Migrate payment webhooks",
    workspace: "/home/me/ledger-api",
    project: "/home/me/ledger-api",
    branch: "main",
    createdAt: "2026-11-24T13:00:00.000Z",
    updatedAt: "2026-11-24T14:20:00.000Z",
    lastRequestAt: "2026-11-24T14:20:00.000Z",
    totals: TOTALS,
    models: [{ ...TOTALS, model: "claude-sonnet-4.6" }],
    subagents: [{ ...TOTALS, subagent: "main" }],
    lastRequest: null,
    problems: 0,
  },
  today: { day: "2026-11-24", zone: "UTC", totals: TOTALS },
  month: {
    month: "2026-11",
    startsAt: "2026-11-01T00:00:00.000Z",
    resetsAt: "2026-12-01T00:00:00.000Z",
    totals: { ...TOTALS, nanoAiu: 3_941_330_000_000 },
  },
  allowance: null,
  cache: null,
  knownSince: "2026-11-01T09:00:00.000Z",
  changedAt: "2026-11-24T14:20:01.000Z",
  health: "ok",
  problems: 0,
  off: [],
  generation: 1,
};

export function allowance(share: number): NonNullable<Status["allowance"]> {
  const nanoAiu = 7_000e9;
  return {
    plan: "pro+",
    nanoAiu,
    usedNanoAiu: Math.round(nanoAiu * share),
    remainingNanoAiu: Math.round(nanoAiu * (1 - share)),
    share,
    pooled: false,
    basis: "billed",
    resetsAt: "2026-12-01T00:00:00.000Z",
  };
}
