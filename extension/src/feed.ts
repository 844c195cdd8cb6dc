import * as vscode from "vscode";
import { notifications, requests, type Status } from "./protocol";
import type { Server } from "./server";
import { place } from "./window";

/**
 * The server sees that a log is missing, not why. A setting that is on in this window is not off:
 * its log begins with the next chat.
 */
function corrected(status: Status): Status {
  const off = status.off.filter(
    ({ setting }) => vscode.workspace.getConfiguration().get(setting) !== true,
  );
  const wasOff = status.health === "logging-off" && off.length < status.off.length;
  const stillOff = off.some(({ kind }) => kind === "debug-log");
  return { ...status, off, health: wasOff && !stillOff ? "ok" : status.health };
}

/** The status of this window: asked for on every start of the server, then pushed by it. */
export class Feed implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Status>();
  private readonly disposables: { dispose(): unknown }[] = [this.changed];
  private subscription: string | undefined;
  private current: Status | null = null;

  readonly onDidChange = this.changed.event;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly server: Server,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.disposables.push(
      server.onDidChangeState((state) => {
        if (state.kind === "running") void this.subscribe();
      }),
      server.on(notifications.statusChanged, ({ subscription, status }) => {
        // the first push can overtake the answer that names the subscription
        if (this.subscription === undefined || subscription === this.subscription)
          this.take(status);
      }),
      vscode.workspace.onDidChangeWorkspaceFolders(() => void this.subscribe()),
    );
  }

  /** The last known status; null until the first one. */
  get status(): Status | null {
    return this.current;
  }

  /** Asks anew, for a person who does not want to wait. */
  async refresh(): Promise<Status> {
    const status = await this.server.request(requests.getStatus, place(this.context));
    this.take(status);
    return status;
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  private async subscribe(): Promise<void> {
    const former = this.subscription;
    this.subscription = undefined;
    try {
      const answer = await this.server.request(requests.subscribe, place(this.context));
      this.subscription = answer.subscription;
      this.take(answer.status);
      if (former !== undefined && former !== answer.subscription) {
        await this.server.request(requests.unsubscribe, { subscription: former });
      }
    } catch (error) {
      this.log.warn(`no status: ${String(error)}`);
    }
  }

  private take(status: Status): void {
    this.current = corrected(status);
    this.changed.fire(this.current);
  }
}
