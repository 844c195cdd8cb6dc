import * as vscode from "vscode";
import { servePage } from "./page";
import { openReport } from "./reportPanel";
import type { Usage } from "./usage";

/** The view "this session" in the side bar. */
export function register(usage: Usage): vscode.Disposable {
  return vscode.window.registerWebviewViewProvider("copilotUsage.session", {
    resolveWebviewView: (view) => {
      const page = servePage(usage, view.webview, "side", {
        openReport: (route) => openReport(usage, route),
      });
      view.onDidDispose(() => page.dispose());
    },
  });
}
