import * as vscode from "vscode";
import { t } from "../shared/l10n";
import type { Usage } from "../usage";

/** Registers `copilotUsage.<name>`; what goes wrong in it is said in one line. */
export function command(
  usage: Usage,
  name: string,
  run: (argument: unknown) => Promise<void>,
): vscode.Disposable {
  return vscode.commands.registerCommand(`copilotUsage.${name}`, async (argument: unknown) => {
    try {
      await run(argument);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      usage.log.error(`${name}: ${message}`);
      const showLog = t("Show log");
      const answer = await vscode.window.showErrorMessage(
        t("Copilot Usage: {0}", message),
        showLog,
      );
      if (answer === showLog) usage.log.show();
    }
  });
}

/**
 * For the lists that a command shows: a page behind may still be getting its focus back from the
 * palette, which would close them.
 */
export const KEPT_OPEN = { ignoreFocusOut: true } as const;

/** Does something slow with a sign of it in the status bar. */
export function busy<T>(title: string, run: () => Promise<T>): Thenable<T> {
  return vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title }, run);
}
