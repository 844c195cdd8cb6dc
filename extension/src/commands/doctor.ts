import * as vscode from "vscode";
import { requests } from "../protocol";
import { diagnosis } from "../shared/diagnosis";
import { t } from "../shared/l10n";
import type { Usage } from "../usage";
import { busy, command } from "./command";

const SCHEME = "copilot-usage-doctor";
const PAGE = vscode.Uri.parse(`${SCHEME}:/Doctor.md`);

/** Which logs exist, what is switched off, what cannot be read: as a page to read and to copy. */
export function register(usage: Usage): vscode.Disposable {
  const changed = new vscode.EventEmitter<vscode.Uri>();
  let text = "";
  return vscode.Disposable.from(
    changed,
    vscode.workspace.registerTextDocumentContentProvider(SCHEME, {
      onDidChange: changed.event,
      provideTextDocumentContent: () => text,
    }),
    command(usage, "doctor", async () => {
      const report = await busy(t("Looking at the logs"), () =>
        usage.server.request(requests.doctor, {}),
      );
      text = diagnosis(report);
      changed.fire(PAGE);
      await vscode.commands.executeCommand("markdown.showPreview", PAGE);
    }),
  );
}
