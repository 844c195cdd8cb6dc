/** One page of the report in one web view: what it may ask, open and run, and what it is told. */
import { createReadStream } from "node:fs";
import { randomBytes } from "node:crypto";
import * as vscode from "vscode";
import { manner, set, showTurnTitles } from "./settings";
import {
  ASKABLE,
  RUNNABLE,
  type FromPage,
  type Route,
  type ToPage,
  type World,
} from "./shared/bridge";
import { t } from "./shared/l10n";
import { openTranscript } from "./transcript";
import type { Usage } from "./usage";

export interface PageHost {
  /** Shows a route in the report's own tab. */
  openReport(route: Route): void;
  setTitle?(title: string): void;
}

export interface Page {
  go(route: Route): void;
  dispose(): void;
}

/** Fills `webview` and answers it until the result is disposed. */
export function servePage(
  usage: Usage,
  webview: vscode.Webview,
  kind: "report" | "side",
  host: PageHost,
): Page {
  const { context, server, feed } = usage;
  const root = context.extensionUri;
  webview.options = {
    enableScripts: true,
    localResourceRoots: [vscode.Uri.joinPath(root, "dist"), vscode.Uri.joinPath(root, "media")],
  };
  let ready = false;
  let waiting: Route | undefined;
  const send = (message: ToPage): void => void webview.postMessage(message);
  const tell = (): void => {
    if (ready) send({ kind: "world", world: world(usage) });
  };
  const listener = webview.onDidReceiveMessage(async (message: FromPage) => {
    switch (message.kind) {
      case "ready":
        ready = true;
        tell();
        if (waiting) send({ kind: "go", route: waiting });
        waiting = undefined;
        break;
      case "ask":
        send(await answer(usage, message.id, message.method, message.params));
        break;
      case "run":
        if (RUNNABLE.includes(message.command)) {
          await vscode.commands.executeCommand(message.command);
        }
        break;
      case "openLog":
        await openLog(message.path, message.offset, message.line);
        break;
      case "openReport":
        host.openReport(message.route);
        break;
      case "transcript":
        await openTranscript(message.ref, message.title).catch(warn);
        break;
      case "copy":
        await vscode.env.clipboard.writeText(message.text);
        break;
      case "unit":
        await set("unit", message.unit);
        break;
      case "title":
        host.setTitle?.(message.title);
        break;
    }
  });
  webview.html = html(webview, root, kind);
  const disposable = vscode.Disposable.from(
    listener,
    server.onDidChangeState(tell),
    feed.onDidChange(tell),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("copilotUsage")) tell();
    }),
  );
  return {
    dispose: () => {
      disposable.dispose();
    },
    go: (route) => {
      if (ready) send({ kind: "go", route });
      else waiting = route;
    },
  };
}

function world({ server, feed }: Usage): World {
  return {
    server: server.state,
    status: feed.status,
    manner: manner(),
    showTurnTitles: showTurnTitles(),
    bundle: vscode.l10n.bundle ?? {},
  };
}

async function answer(
  { server }: Usage,
  id: number,
  method: string,
  params: unknown,
): Promise<ToPage> {
  if (!(ASKABLE as readonly string[]).includes(method)) {
    return { kind: "answer", id, error: `not for pages: ${method}` };
  }
  try {
    return { kind: "answer", id, result: await server.ask(method, params) };
  } catch (error) {
    return { kind: "answer", id, error: error instanceof Error ? error.message : String(error) };
  }
}

/** Shows the line of a log that starts at byte `offset`; for databases says which row it is. */
async function openLog(path: string, offset: number, line: number | null): Promise<void> {
  const uri = vscode.Uri.file(path);
  if (/\.(db|sqlite3?|vscdb)$/i.test(path)) {
    const copy = t("Copy path");
    const answer = await vscode.window.showInformationMessage(
      t("Row {0} of the database {1}", offset, path),
      copy,
    );
    if (answer === copy) await vscode.env.clipboard.writeText(path);
    return;
  }
  try {
    const at = new vscode.Position((line ?? (await lineAt(path, offset))) - 1, 0);
    await vscode.window.showTextDocument(uri, {
      selection: new vscode.Range(at, at),
      viewColumn: vscode.ViewColumn.Beside,
      preview: true,
    });
  } catch (error) {
    warn(error);
  }
}

function warn(error: unknown): void {
  void vscode.window.showWarningMessage(
    t("The log cannot be opened: {0}", error instanceof Error ? error.message : String(error)),
  );
}

async function lineAt(path: string, offset: number): Promise<number> {
  let line = 1;
  if (offset <= 0) return line;
  for await (const chunk of createReadStream(path, { end: offset - 1 })) {
    for (const byte of chunk as Buffer) if (byte === 10) line++;
  }
  return line;
}

function html(webview: vscode.Webview, root: vscode.Uri, kind: "report" | "side"): string {
  const nonce = randomBytes(18).toString("base64url");
  const file = (...path: string[]): string =>
    webview.asWebviewUri(vscode.Uri.joinPath(root, ...path)).toString();
  return `<!doctype html>
<html lang="${vscode.env.language.replace(/[^\w-]/g, "")}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'">
<title>Copilot Usage</title>
<link rel="stylesheet" nonce="${nonce}" href="${file("media", "report.css")}">
</head>
<body data-page="${kind}">
<div id="root"></div>
<script nonce="${nonce}" src="${file("dist", "report.js")}"></script>
</body>
</html>`;
}
