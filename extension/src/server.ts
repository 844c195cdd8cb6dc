import * as path from "node:path";
import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  type DynamicFeature,
  type Executable,
  type StaticFeature,
} from "vscode-languageclient/node";
import { findPython } from "./python";
import type { Notification, Request } from "./protocol";
import { preferInstalledServer, pythonPath } from "./settings";
import type { ServerState } from "./shared/item";
import { t } from "./shared/l10n";
import { initializationOptions } from "./window";

const WAITS_MS = [0, 500, 1_000, 2_000, 5_000, 10_000] as const;
/** A server that lived this long may fail again from the first wait on. */
const SOUND_AFTER_MS = 60_000;

/** A client that leaves the names of commands to us: the server's are those of our own ones. */
class Client extends LanguageClient {
  override registerFeature(feature: StaticFeature | DynamicFeature<unknown>): void {
    const method = "registrationType" in feature ? feature.registrationType.method : "";
    if (method !== "workspace/executeCommand") super.registerFeature(feature);
  }
}

/** The server process: found, started, started again when it ends, and asked. */
export class Server implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<ServerState>();
  private readonly notified = new vscode.EventEmitter<{ method: string; params: unknown }>();
  private client: LanguageClient | undefined;
  private current: ServerState = { kind: "starting" };
  private failures = 0;
  /** Grows with every start and stop; what an older one still reports is stale. */
  private life = 0;
  private timer: NodeJS.Timeout | undefined;

  readonly onDidChangeState = this.changed.event;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
    /** Waits between an end and the next start; after the last one a person decides. */
    private readonly waits: readonly number[] = WAITS_MS,
  ) {}

  get state(): ServerState {
    return this.current;
  }

  /** Starts the server; resolves when it runs or when it is clear that it does not. */
  async start(): Promise<void> {
    const life = ++this.life;
    let executable: Executable | undefined;
    try {
      executable = await this.executable();
    } catch (error) {
      this.log.error(String(error));
    }
    if (life !== this.life || !executable) return;
    const client = this.newClient(executable, life);
    this.client = client;
    try {
      await client.start();
    } catch (error) {
      this.ended(life, String(error));
      return;
    }
    if (life !== this.life) return;
    const started = this.life;
    this.timer = setTimeout(() => {
      if (started === this.life) this.failures = 0;
    }, SOUND_AFTER_MS);
    this.become({ kind: "running" });
  }

  /** A new process, whatever became of the old one. */
  async restart(): Promise<void> {
    this.failures = 0;
    await this.stop();
    this.become({ kind: "restarting" });
    await this.start();
  }

  async stop(): Promise<void> {
    this.life++;
    clearTimeout(this.timer);
    const client = this.client;
    this.client = undefined;
    try {
      await client?.dispose(2_000);
    } catch {
      // it has ended already
    }
  }

  /** Asks the server; waits for one that is just starting. */
  async request<P, R>(
    request: Request<P, R>,
    params: P,
    token?: vscode.CancellationToken,
  ): Promise<R> {
    const client = await this.running();
    // a token that is undefined would count as a second param
    return token
      ? client.sendRequest<R>(request.method, params, token)
      : client.sendRequest<R>(request.method, params);
  }

  /** Asks by name; for pages, which name what they ask for. */
  async ask(method: string, params: unknown): Promise<unknown> {
    const client = await this.running();
    return client.sendRequest(method, params);
  }

  /** Calls `listener` with what the server tells of its own accord. */
  on<P>(notification: Notification<P>, listener: (params: P) => void): vscode.Disposable {
    return this.notified.event(({ method, params }) => {
      if (method === notification.method) listener(params as P);
    });
  }

  dispose(): void {
    void this.stop();
    this.changed.dispose();
    this.notified.dispose();
  }

  private async running(): Promise<LanguageClient> {
    if (this.current.kind === "starting" || this.current.kind === "restarting") {
      await new Promise<void>((resolve) => {
        const listener = this.onDidChangeState(() => {
          listener.dispose();
          resolve();
        });
      });
    }
    if (this.current.kind === "running" && this.client) return this.client;
    const message =
      "message" in this.current ? this.current.message : t("The server is not running");
    throw new Error(message);
  }

  private become(state: ServerState): void {
    this.current = state;
    this.log.info(`server: ${state.kind}${"message" in state ? `: ${state.message}` : ""}`);
    this.changed.fire(state);
  }

  /** What to run, or undefined after saying why there is nothing. */
  private async executable(): Promise<Executable | undefined> {
    const env = { ...process.env, PYTHONUTF8: "1", PYTHONDONTWRITEBYTECODE: "1" };
    if (preferInstalledServer()) {
      return { command: "session-usage", args: ["serve"], options: { env } };
    }
    const libs = path.join(this.context.extensionPath, "bundled", "libs");
    const found = await findPython(pythonPath());
    if (Array.isArray(found)) {
      this.become({
        kind: "no-python",
        message: t("Python 3.10 or newer is needed. Tried: {0}", found.join(", ")),
      });
      return undefined;
    }
    this.log.info(`Python ${found.version}: ${[found.command, ...found.args].join(" ")}`);
    return {
      command: found.command,
      args: [...found.args, "-s", "-m", "session_usage.cli", "serve"],
      options: { cwd: libs, env: { ...env, PYTHONPATH: libs } },
    };
  }

  private newClient(executable: Executable, life: number): LanguageClient {
    const client = new Client(
      "copilotUsage",
      "Copilot Usage",
      { run: executable, debug: executable },
      {
        documentSelector: [],
        outputChannel: this.log,
        initializationOptions: initializationOptions(this.context),
        initializationFailedHandler: () => false,
        errorHandler: {
          error: () => ({ action: ErrorAction.Continue, handled: true }),
          closed: () => {
            this.ended(life, t("It ended by itself"));
            return { action: CloseAction.DoNotRestart, handled: true };
          },
        },
      },
    );
    for (const method of ["statusChanged", "sessionEvent", "problem"]) {
      const name = `copilotUsage/${method}`;
      client.onNotification(name, (params: unknown) =>
        this.notified.fire({ method: name, params }),
      );
    }
    return client;
  }

  /** The process of `life` is gone: start anew after a while, or give up. */
  private ended(life: number, message: string): void {
    if (life !== this.life) return;
    this.life++;
    clearTimeout(this.timer);
    this.client = undefined;
    const wait = this.waits[this.failures++];
    if (wait === undefined) {
      this.become({
        kind: "stopped",
        message: t("{0}, and did not stay up in {1} more starts", message, this.waits.length),
      });
      return;
    }
    this.log.warn(`server ended: ${message}; next start in ${wait} ms`);
    this.become({ kind: "restarting" });
    const next = this.life;
    this.timer = setTimeout(() => {
      if (next === this.life) void this.start();
    }, wait);
  }
}
