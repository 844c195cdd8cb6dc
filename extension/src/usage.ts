import type * as vscode from "vscode";
import type { Feed } from "./feed";
import type { Server } from "./server";

/** What every feature needs. */
export interface Usage {
  context: vscode.ExtensionContext;
  log: vscode.LogOutputChannel;
  server: Server;
  feed: Feed;
}
