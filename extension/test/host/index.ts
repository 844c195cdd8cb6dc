/** Tests that run inside the extension host, beside the extension itself. */
import * as assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";
import type { Api } from "../../src/api";
import { findPython } from "../../src/python";
import type { Status } from "../../src/protocol";
import { Server } from "../../src/server";
import type { ServerState } from "../../src/shared/item";
import { Fake } from "./fake";

const ID = "session-usage.copilot-usage";

function extension(): vscode.Extension<Api> {
  const found = vscode.extensions.getExtension<Api>(ID);
  assert.ok(found, ID);
  return found;
}

/** Resolves with the first event that `fits`. */
function next<T>(event: vscode.Event<T>, fits: (value: T) => boolean): Promise<T> {
  return new Promise((resolve) => {
    const listener = event((value) => {
      if (!fits(value)) return;
      listener.dispose();
      resolve(value);
    });
  });
}

const tests: Record<string, (fake: Fake) => Promise<void>> = {
  "a Python that was set is the only one that is tried": async (fake) => {
    fake.python("python3", "3.12.1");
    const old = fake.python("old", "3.9.2");
    assert.deepEqual(await findPython(old), [`${old} (3.9.2)`]);
    assert.deepEqual(await findPython("/nowhere/python"), ["/nowhere/python"]);
  },

  "the first one on PATH that is new enough is taken": async (fake) => {
    fake.python("python3", "3.9.18");
    fake.python("python3.11", "3.11.7");
    fake.python("python3.12", "3.12.1");
    assert.deepEqual(await findPython(""), { command: "python3.12", args: [], version: "3.12.1" });
  },

  "without any, it is told what was tried": async (fake) => {
    fake.python("python3", "3.9.18");
    const tried = await findPython("");
    assert.ok(Array.isArray(tried));
    assert.equal(tried[0], "python3 (3.9.18)");
    assert.ok(tried.includes("python3.10"));
  },

  "the server is told the folders, the storage and the user data of this window": async (fake) => {
    fake.python("python3", "3.12.1");
    await restarted(1);
    const options = fake.told().initializationOptions as {
      folders: string[];
      storage: string;
      userDataDirs: string[];
      settings: object;
    };
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
    assert.deepEqual(options.folders, [folder]);
    assert.equal(path.basename(options.storage), ID);
    const [data] = options.userDataDirs;
    assert.ok(data && options.storage.startsWith(path.join(data, "User", "workspaceStorage")));
    assert.ok(fs.existsSync(path.join(data, "User")));
    assert.deepEqual(options.settings, { plan: "pro+" }, "only what differs from the defaults");
  },

  "a server that is killed is started again, and the status is asked for anew": async (fake) => {
    fake.python("python3", "3.12.1");
    await restarted(1);
    const again = next(extension().exports.onDidChangeStatus, has(2));
    process.kill(fake.starts()[0] ?? 0, "SIGKILL");
    await again;
    assert.equal(fake.starts().length, 2);
    assert.equal(extension().exports.getStatus()?.generation, 2);
  },

  "starts that fail are repeated until one holds": async (fake) => {
    fake.python("python3", "3.12.1", 2);
    await restarted(3);
    assert.equal(fake.starts().length, 3);
  },

  "after the last wait it is given up and says so; a person's restart begins anew": async (
    fake,
  ) => {
    fake.python("python3", "3.12.1", 4);
    const states: string[] = [];
    const server = newServer([0, 1, 2]);
    server.onDidChangeState(({ kind }) => states.push(kind));
    const stopped = next<ServerState>(server.onDidChangeState, ({ kind }) => kind === "stopped");
    void server.start();
    const last = await stopped;
    assert.equal(fake.starts().length, 4);
    assert.deepEqual(states, ["restarting", "restarting", "restarting", "stopped"]);
    assert.ok("message" in last && last.message.includes("3"), JSON.stringify(last));
    await assert.rejects(server.ask("copilotUsage/getStatus", {}));
    await server.restart();
    assert.equal(server.state.kind, "running");
    await server.stop();
    server.dispose();
  },

  "questions wait for a server that is starting": async (fake) => {
    fake.python("python3", "3.12.1");
    const server = newServer([]);
    const answer = server.ask("copilotUsage/subscribe", {});
    await server.start();
    assert.equal(((await answer) as { subscription: string }).subscription, "of 1");
    await server.stop();
    server.dispose();
  },
};

function has(generation: number): (status: Status) => boolean {
  return (status) => status.generation === generation;
}

/** Restarts the extension's own server; resolves with the status of its start `number`. */
async function restarted(number: number): Promise<void> {
  const first = next(extension().exports.onDidChangeStatus, has(number));
  await vscode.commands.executeCommand("copilotUsage.restartServer");
  await first;
}

/** A server of the test's own, beside the extension's. */
function newServer(waits: readonly number[]): Server {
  const { extensionPath, extensionUri } = extension();
  const context = { extensionPath, globalStorageUri: extensionUri };
  const log = vscode.window.createOutputChannel("Test", { log: true });
  return new Server(context as vscode.ExtensionContext, log, waits);
}

/** Called by VS Code; what came of each test goes to the file that RESULTS names. */
export async function run(): Promise<void> {
  const results: { name: string; error?: string }[] = [];
  await extension().activate();
  for (const [name, test] of Object.entries(tests)) {
    const fake = new Fake();
    try {
      await test(fake);
      results.push({ name });
    } catch (error) {
      results.push({ name, error: error instanceof Error ? (error.stack ?? "") : String(error) });
    } finally {
      fake.remove();
    }
  }
  fs.writeFileSync(process.env["RESULTS"] ?? "", JSON.stringify(results));
}
