import * as os from "node:os";
import * as vscode from "vscode";
import { requests, type SessionReport } from "../protocol";
import { manner } from "../settings";
import { csv, html } from "../shared/export";
import type { Manner } from "../shared/format";
import { t } from "../shared/l10n";
import type { Usage } from "../usage";
import { busy, command, KEPT_OPEN } from "./command";
import { currentOrPicked } from "./pick";

type Writer = (report: SessionReport, style: Manner) => string;

const FORMATS: readonly {
  label: string;
  extension: string;
  detail: () => string;
  write: Writer;
}[] = [
  {
    label: "JSON",
    extension: "json",
    detail: () => t("Everything, as the server reports it"),
    write: (report) => `${JSON.stringify(report, null, 2)}\n`,
  },
  {
    label: "CSV",
    extension: "csv",
    detail: () => t("One line per request, amounts in nano-AIU"),
    write: csv,
  },
  {
    label: "HTML",
    extension: "html",
    detail: () => t("A page to read and to print"),
    write: html,
  },
];

export function register(usage: Usage): vscode.Disposable {
  return command(usage, "export", async () => {
    const ref = await currentOrPicked(usage, t("Export which session?"));
    if (!ref) return;
    const format = await vscode.window.showQuickPick(
      FORMATS.map((one) => ({ ...one, detail: one.detail() })),
      { title: t("Export as"), ...KEPT_OPEN },
    );
    if (!format) return;
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri ?? vscode.Uri.file(os.homedir());
    const target = await vscode.window.showSaveDialog({
      defaultUri: vscode.Uri.joinPath(folder, `session-${ref.id.slice(0, 8)}.${format.extension}`),
      filters: { [format.label]: [format.extension] },
    });
    if (!target) return;
    await busy(t("Exporting"), async () => {
      const report = await usage.server.request(requests.analyzeSession, {
        session: ref.id,
        agent: ref.agent,
        detail: "full",
      });
      const text = format.write(report, manner());
      await vscode.workspace.fs.writeFile(target, new TextEncoder().encode(text));
    });
    const open = t("Open");
    const answer = await vscode.window.showInformationMessage(
      t("Exported to {0}", vscode.workspace.asRelativePath(target)),
      open,
    );
    if (answer === open) await vscode.commands.executeCommand("vscode.open", target);
  });
}
