import * as vscode from "vscode";
import { concernsUs, manner, shown } from "./settings";
import { item, step, WARN_AT } from "./shared/item";
import { tooltip } from "./shared/tooltip";
import type { Usage } from "./usage";

/** Where it is remembered which warning about the allowance the person has seen. */
const SEEN = "allowanceWarning";

/** The item in the status bar. */
export function register({ context, server, feed }: Usage): vscode.Disposable {
  const bar = vscode.window.createStatusBarItem("cost", vscode.StatusBarAlignment.Right, 100);
  bar.name = "Copilot Usage";

  const seen = (): number => {
    const { month, step: last } = context.globalState.get(SEEN, { month: "", step: -1 });
    return month === feed.status?.month.month ? last : -1;
  };

  let expiry: NodeJS.Timeout | undefined;

  const draw = (): void => {
    clearTimeout(expiry);
    const left = Date.parse(feed.status?.cache?.expiresAt ?? "") - Date.now();
    if (left > 0) expiry = setTimeout(draw, left + 1);
    const now = item(server.state, feed.status, shown(), manner(), seen());
    bar.text = now.text;
    bar.accessibilityInformation = { label: now.label, role: "button" };
    bar.backgroundColor = now.background
      ? new vscode.ThemeColor(`statusBarItem.${now.background}Background`)
      : undefined;
    bar.command =
      now.command === "pickPython"
        ? {
            command: "workbench.action.openSettings",
            title: "",
            arguments: ["copilotUsage.pythonPath"],
          }
        : { command: "copilotUsage.statusBar", title: "", arguments: [now.command] };
    const hover = new vscode.MarkdownString(tooltip(server.state, feed.status, manner()), true);
    hover.isTrusted = {
      enabledCommands: [
        "openReport",
        "explain",
        "enableLogging",
        "setPlan",
        "doctor",
        "restartServer",
        "showLog",
        "pickPython",
      ].map((name) => `copilotUsage.${name}`),
    };
    bar.tooltip = hover;
  };

  draw();
  bar.show();
  return vscode.Disposable.from(
    bar,
    { dispose: () => clearTimeout(expiry) },
    server.onDidChangeState(draw),
    feed.onDidChange(draw),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (concernsUs(change)) draw();
    }),
    vscode.commands.registerCommand("copilotUsage.pickPython", () =>
      vscode.commands.executeCommand("workbench.action.openSettings", "copilotUsage.pythonPath"),
    ),
    vscode.commands.registerCommand("copilotUsage.statusBar", async (command: string) => {
      const status = feed.status;
      if (status?.allowance && status.allowance.share >= WARN_AT) {
        await context.globalState.update(SEEN, {
          month: status.month.month,
          step: step(status.allowance.share),
        });
        draw();
      }
      await vscode.commands.executeCommand(`copilotUsage.${command}`);
    }),
  );
}
