import { execFile } from "node:child_process";
import * as os from "node:os";
import * as vscode from "vscode";

/** A Python that can run the server. */
export interface Python {
  command: string;
  args: readonly string[];
  version: string;
}

const OLDEST = [3, 10] as const;
const PATIENCE_MS = 10_000;
const PROGRAM = "import sys; print('%d.%d.%d' % sys.version_info[:3])";

/**
 * The Python to run the server with, or what was tried in vain.
 *
 * In this order: the setting (if there is one, nothing else), the Python extension's choice
 * (never in a folder that is not trusted: that interpreter may lie inside it), then PATH.
 */
export async function findPython(setting: string): Promise<Python | string[]> {
  const tried: string[] = [];
  for await (const [command, args] of candidates(setting)) {
    const version = await versionOf(command, args);
    if (version && isNewEnough(version)) return { command, args, version };
    tried.push([command, ...args].join(" ") + (version ? ` (${version})` : ""));
  }
  return tried;
}

async function* candidates(setting: string): AsyncGenerator<readonly [string, readonly string[]]> {
  if (setting) {
    yield [setting.replace(/^~(?=[/\\]|$)/, os.homedir()), []];
    return;
  }
  const chosen = vscode.workspace.isTrusted ? await ofPythonExtension() : undefined;
  if (chosen) yield [chosen, []];
  if (process.platform === "win32") yield ["py", ["-3"]];
  for (const name of ["python3", "python", "python3.14", "python3.13", "python3.12"])
    yield [name, []];
  for (const name of ["python3.11", "python3.10"]) yield [name, []];
}

interface PythonExtension {
  environments?: { getActiveEnvironmentPath?: () => { path?: unknown } | undefined };
}

async function ofPythonExtension(): Promise<string | undefined> {
  const extension = vscode.extensions.getExtension<PythonExtension>("ms-python.python");
  if (!extension) return undefined;
  try {
    const path = (await extension.activate()).environments?.getActiveEnvironmentPath?.()?.path;
    return typeof path === "string" && path ? path : undefined;
  } catch {
    return undefined; // another extension's failure is not ours
  }
}

function versionOf(command: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(
      command,
      [...args, "-I", "-c", PROGRAM],
      { timeout: PATIENCE_MS, windowsHide: true, cwd: os.homedir() },
      (error, output) => resolve(error ? undefined : output.trim()),
    );
  });
}

function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}
