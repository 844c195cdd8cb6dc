import * as vscode from "vscode";
import { requests } from "../protocol";
import { manner } from "../settings";
import { t } from "../shared/l10n";
import { summary } from "../shared/summary";
import type { Usage } from "../usage";
import { command } from "./command";
import { currentOrPicked } from "./pick";

export function register(usage: Usage): vscode.Disposable {
  return command(usage, "copySummary", async () => {
    const ref = await currentOrPicked(usage, t("Copy the summary of which session?"));
    if (!ref) return;
    const report = await usage.server.request(requests.analyzeSession, {
      session: ref.id,
      agent: ref.agent,
    });
    await vscode.env.clipboard.writeText(summary(report, manner()));
    void vscode.window.setStatusBarMessage(`$(check) ${t("Session summary copied")}`, 3_000);
  });
}
