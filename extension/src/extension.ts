import * as vscode from "vscode";
import { api, type Api } from "./api";
import * as commands from "./commands";
import { Feed } from "./feed";
import { Server } from "./server";
import { concernsServer } from "./settings";
import { setBundle } from "./shared/l10n";
import * as statusBar from "./statusBar";
import * as tool from "./tool";
import * as reportPanel from "./reportPanel";
import * as sideView from "./sideView";
import * as transcript from "./transcript";
import type { Usage } from "./usage";

let server: Server | undefined;

export function activate(context: vscode.ExtensionContext): Api {
  setBundle(vscode.l10n.bundle);
  const log = vscode.window.createOutputChannel("Copilot Usage", { log: true });
  server = new Server(context, log);
  const feed = new Feed(context, server, log);
  const usage: Usage = { context, log, server, feed };
  context.subscriptions.push(
    log,
    server,
    feed,
    ...[statusBar, commands, reportPanel, sideView, tool, transcript].map((feature) =>
      feature.register(usage),
    ),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (concernsServer(change)) void server?.restart();
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => {
      // the Python extension may be asked now
      if (server?.state.kind === "no-python") void server.restart();
    }),
  );
  void server.start();
  return api(feed);
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
