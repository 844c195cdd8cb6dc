import * as vscode from "vscode";
import type { Settings } from "./protocol";
import type { Manner, Unit } from "./shared/format";
import type { Shown } from "./shared/item";

const SECTION = "copilotUsage";

/** Settings that the server is told, by their names in both places. */
const OF_SERVER = [
  "plan",
  "allowanceCredits",
  "zone",
  "agents",
  "userDataDirs",
  "agentLogDirs",
  "pricesFile",
  "excludeProjects",
  "retentionDays",
  "live.connect",
] as const satisfies readonly (keyof Settings)[];

/** Settings that decide which program is the server. */
const OF_START = ["pythonPath", "preferInstalledServer"] as const;

function get<T>(name: string, fallback: T): T {
  return vscode.workspace.getConfiguration(SECTION).get<T>(name, fallback);
}

/** What the server is told; only what differs from its own defaults. */
export function serverSettings(): Settings {
  const configuration = vscode.workspace.getConfiguration(SECTION);
  const set = OF_SERVER.map((name) => [name, configuration.get(name)] as const).filter(
    ([name, value]) =>
      JSON.stringify(value) !== JSON.stringify(configuration.inspect(name)?.defaultValue),
  );
  return Object.fromEntries(set);
}

/** True when a change needs another server, or the same one told anew. */
export function concernsServer(change: vscode.ConfigurationChangeEvent): boolean {
  return [...OF_SERVER, ...OF_START].some((name) =>
    change.affectsConfiguration(`${SECTION}.${name}`),
  );
}

/** True when a change concerns this extension at all. */
export function concernsUs(change: vscode.ConfigurationChangeEvent): boolean {
  return change.affectsConfiguration(SECTION);
}

export function pythonPath(): string {
  return get("pythonPath", "").trim();
}

export function preferInstalledServer(): boolean {
  return get("preferInstalledServer", false);
}

export function shown(): readonly Shown[] {
  return get<Shown[]>("statusBar.show", ["session"]);
}

export function showTurnTitles(): boolean {
  return get("showTurnTitles", true);
}

/** How amounts and times are written in this window. */
export function manner(): Manner {
  return {
    unit: get<Unit>("unit", "credits"),
    currency: get("currency", "EUR"),
    currencyPerUsd: get("currencyPerUsd", 1),
    locale: vscode.env.language,
    zone: zone(),
  };
}

function zone(): string | undefined {
  const name = get<string>("zone", "");
  if (name === "") return undefined;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/** Sets one of our settings for this user. */
export async function set(name: string, value: unknown): Promise<void> {
  await vscode.workspace
    .getConfiguration(SECTION)
    .update(name, value, vscode.ConfigurationTarget.Global);
}
