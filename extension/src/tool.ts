import * as vscode from "vscode";
import { requests, type SessionReport } from "./protocol";
import { t } from "./shared/l10n";
import type { Usage } from "./usage";

interface Input {
  session?: string;
}

/** The tool with which an agent can ask what it has cost. */
export function register({ server, feed }: Usage): vscode.Disposable {
  return vscode.lm.registerTool<Input>("copilotUsage_getSessionCost", {
    prepareInvocation: () => ({ invocationMessage: t("Reading what this session has cost") }),
    invoke: async ({ input }, token) => {
      let session = input.session;
      let agent: string | undefined;
      if (!session) {
        const current = (await feed.refresh()).session;
        if (!current) return text("No session is known in this window yet.");
        session = current.id;
        agent = current.agent;
      }
      const params = { session, ...(agent ? { agent } : {}) };
      const report = await server.request(requests.analyzeSession, params, token);
      return text(JSON.stringify(answer(report)));
    },
  });
}

/** The report without paths and titles: figures are all that the agent asked for. */
function answer(report: SessionReport): object {
  const { agent, id, startedAt, endedAt, totals, models, subagents, unattributed } = report;
  return {
    agent,
    id,
    startedAt,
    endedAt,
    credits: totals.nanoAiu === null ? null : totals.nanoAiu / 1e9,
    totals,
    models,
    subagents,
    unattributed: unattributed?.map(({ nanoAiu, reason }) => ({ nanoAiu, reason })),
  };
}

function text(value: string): vscode.LanguageModelToolResult {
  return new vscode.LanguageModelToolResult([new vscode.LanguageModelTextPart(value)]);
}
