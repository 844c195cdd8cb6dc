import * as vscode from "vscode";
import type { Usage } from "../usage";
import { command } from "./command";

export function register(usage: Usage): vscode.Disposable {
  return vscode.Disposable.from(
    command(usage, "restartServer", () => usage.server.restart()),
    command(usage, "refresh", async () => {
      await usage.feed.refresh();
    }),
    command(usage, "showLog", () => {
      usage.log.show();
      return Promise.resolve();
    }),
  );
}
