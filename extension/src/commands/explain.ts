import type * as vscode from "vscode";
import { openReport } from "../reportPanel";
import { t } from "../shared/l10n";
import type { Usage } from "../usage";
import { command } from "./command";
import { currentOrPicked } from "./pick";

/** From the session's amount to the requests, log lines, rates and rules behind it. */
export function register(usage: Usage): vscode.Disposable {
  return command(usage, "explain", async () => {
    const ref = await currentOrPicked(usage, t("Explain the cost of which session?"));
    if (ref) openReport(usage, { page: "session", ref, why: "total" });
  });
}
