import type * as vscode from "vscode";
import { openReport } from "../reportPanel";
import { t } from "../shared/l10n";
import type { Usage } from "../usage";
import { command } from "./command";
import { pickSession } from "./pick";

export function register(usage: Usage): vscode.Disposable {
  return command(usage, "compare", async () => {
    const first = await pickSession(usage, t("Compare which session? (1 of 2)"));
    if (!first) return;
    const second = await pickSession(usage, t("With which other one? (2 of 2)"), first);
    if (second) openReport(usage, { page: "compare", refs: [first, second] });
  });
}
