import * as path from "node:path";
import * as vscode from "vscode";
import type { InitializationOptions } from "./protocol";
import { serverSettings } from "./settings";

/** What tells this window's session from others': its folders and its storage. */
export function place(context: vscode.ExtensionContext): {
  folders?: string[];
  storage?: string;
} {
  const folders = (vscode.workspace.workspaceFolders ?? [])
    .filter((folder) => folder.uri.scheme === "file")
    .map((folder) => folder.uri.fsPath);
  return {
    ...(folders.length ? { folders } : {}),
    ...(context.storageUri ? { storage: context.storageUri.fsPath } : {}),
  };
}

/** What the server is told of this window in `initialize`. */
export function initializationOptions(context: vscode.ExtensionContext): InitializationOptions {
  const data = userData(context.globalStorageUri.fsPath);
  return {
    ...place(context),
    ...(data ? { userDataDirs: [data] } : {}),
    settings: serverSettings(),
  };
}

/** `<user data>` of `<user data>/User[/profiles/<id>]/globalStorage/<extension>`. */
function userData(globalStorage: string): string | undefined {
  let folder = globalStorage;
  while (path.basename(folder) !== "User") {
    const parent = path.dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
  return path.dirname(folder);
}
