import type * as vscode from "vscode";
import type { Feed } from "./feed";
import type { Status } from "./protocol";

/** What other extensions get from `activate()`. */
export interface Api {
  /** Grows when something changes that a caller could trip over. */
  readonly version: 1;
  /** The status of this window as last known; null until the server has answered. */
  getStatus(): Status | null;
  /** Fires with every change of a figure. */
  readonly onDidChangeStatus: vscode.Event<Status>;
}

export function api(feed: Feed): Api {
  return {
    version: 1,
    getStatus: () => feed.status,
    onDidChangeStatus: feed.onDidChange,
  };
}
