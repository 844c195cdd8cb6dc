import * as vscode from "vscode";
import { servePage } from "./page";
import type { Route } from "./shared/bridge";
import { t } from "./shared/l10n";
import type { Usage } from "./usage";

const TYPE = "copilotUsage.report";

interface Open {
  panel: vscode.WebviewPanel;
  go(route: Route): void;
}

let open: Open | undefined;

/** Brings a report back after a reload of the window. */
export function register(usage: Usage): vscode.Disposable {
  return vscode.window.registerWebviewPanelSerializer(TYPE, {
    deserializeWebviewPanel: (panel) => {
      adopt(usage, panel);
      return Promise.resolve();
    },
  });
}

/** Shows `route` in the report's tab; there is one per window. */
export function openReport(usage: Usage, route: Route): void {
  if (open) {
    open.panel.reveal();
  } else {
    adopt(
      usage,
      vscode.window.createWebviewPanel(TYPE, t("Cost Report"), vscode.ViewColumn.Active, {
        enableFindWidget: true,
      }),
    );
  }
  open?.go(route);
}

function adopt(usage: Usage, panel: vscode.WebviewPanel): void {
  panel.iconPath = vscode.Uri.joinPath(usage.context.extensionUri, "media", "view.svg");
  const page = servePage(usage, panel.webview, "report", {
    openReport: (route) => openReport(usage, route),
    setTitle: (title) => (panel.title = title),
  });
  const mine: Open = { panel, go: (route) => page.go(route) };
  open = mine;
  panel.onDidDispose(() => {
    page.dispose();
    if (open === mine) open = undefined;
  });
}
