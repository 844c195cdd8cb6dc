import * as vscode from "vscode";
import { openReport } from "../reportPanel";
import type { Route } from "../shared/bridge";
import { t } from "../shared/l10n";
import type { Usage } from "../usage";
import { command } from "./command";
import { currentOrPicked, pickSession } from "./pick";

export function register(usage: Usage): vscode.Disposable {
  return vscode.Disposable.from(
    command(usage, "analyzeCurrent", async () => {
      const ref = await currentOrPicked(usage, t("Analyze which session?"));
      if (ref) openReport(usage, { page: "session", ref });
    }),
    command(usage, "analyzeSession", async () => {
      const ref = await pickSession(usage, t("Analyze which session?"));
      if (ref) openReport(usage, { page: "session", ref });
    }),
    command(usage, "openReport", async (route) => {
      openReport(usage, isRoute(route) ? route : { page: "overview" });
      return Promise.resolve();
    }),
  );
}

function isRoute(value: unknown): value is Route {
  return (
    typeof value === "object" &&
    value !== null &&
    "page" in value &&
    ["overview", "sessions", "session", "compare"].includes(String(value.page))
  );
}
