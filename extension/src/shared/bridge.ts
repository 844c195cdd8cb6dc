/** What the pages of the report and the extension say to each other. */
import type { Status } from "../protocol";
import type { Manner, Unit } from "./format";
import type { ServerState } from "./item";
import type { Bundle } from "./l10n";

/** Names a session. */
export interface Ref {
  agent: string;
  id: string;
}

/** A page of the report. A session without `ref` is the current one of the window. */
export type Route =
  | { page: "overview" }
  | { page: "sessions" }
  | { page: "session"; ref?: Ref; why?: string }
  | { page: "compare"; refs: [Ref, Ref] };

/** Everything a page is told without asking. */
export interface World {
  server: ServerState;
  status: Status | null;
  manner: Manner;
  showTurnTitles: boolean;
  bundle: Bundle;
}

/** What pages may ask the server for by themselves: nothing that changes anything. */
export const ASKABLE = [
  "copilotUsage/aggregate",
  "copilotUsage/analyzeSession",
  "copilotUsage/doctor",
  "copilotUsage/explain",
  "copilotUsage/getStatus",
  "copilotUsage/listAgents",
  "copilotUsage/listSessions",
  "copilotUsage/readSession",
] as const;

/** Commands that pages may run. */
export const RUNNABLE = [
  "copilotUsage.doctor",
  "copilotUsage.enableLogging",
  "copilotUsage.export",
  "copilotUsage.restartServer",
  "copilotUsage.setPlan",
  "copilotUsage.showLog",
] as const;

export type FromPage =
  | { kind: "ready" }
  | { kind: "ask"; id: number; method: string; params: unknown }
  | { kind: "run"; command: (typeof RUNNABLE)[number] }
  | { kind: "openLog"; path: string; offset: number; line: number | null }
  | { kind: "openReport"; route: Route }
  | { kind: "transcript"; ref: Ref; title: string }
  | { kind: "copy"; text: string }
  | { kind: "unit"; unit: Unit }
  | { kind: "title"; title: string };

export type ToPage =
  | { kind: "answer"; id: number; result?: unknown; error?: string }
  | { kind: "world"; world: World }
  | { kind: "go"; route: Route };
