/** What the status bar item says in each state. Pure, so that every state can be tested. */
import type { Status, Totals } from "../protocol";
import { amount, percent, round, spent, type Manner } from "./format";
import { t } from "./l10n";

export type Shown = "session" | "today" | "month" | "remaining";

/** What the extension knows of its server. */
export type ServerState =
  | { kind: "starting" }
  | { kind: "running" }
  /** It ended and is started again by itself. */
  | { kind: "restarting" }
  /** It is down until the person does something. */
  | { kind: "stopped"; message: string }
  /** There is nothing to run it with. */
  | { kind: "no-python"; message: string };

/** A status bar item in words. */
export interface Item {
  text: string;
  /** For screen readers, without icons and signs. */
  label: string;
  background: "warning" | "error" | undefined;
  command: "analyzeCurrent" | "enableLogging" | "restartServer" | "openReport" | "pickPython";
}

/** Share of the allowance from which the item warns. */
export const WARN_AT = 0.9;

/** The 5 % step of the allowance in which `share` lies. */
export function step(share: number): number {
  return Math.floor(share * 20 + 1e-9);
}

function figure(totals: Totals, manner: Manner): string {
  return amount(totals, manner);
}

function spoken(totals: Totals, manner: Manner): string {
  if (totals.nanoAiu === null) return t("unknown");
  const text = amount({ nanoAiu: totals.nanoAiu, basis: "billed" }, manner).replace(
    / cr$/,
    ` ${t("credits")}`,
  );
  const least = totals.unknownRequests > 0 ? t("at least {0}", text) : text;
  return totals.basis === "estimated" ? t("{0}, estimated", least) : least;
}

function part(shown: Shown, status: Status, manner: Manner, alone: boolean): [string, string] {
  switch (shown) {
    case "session": {
      if (!status.session) return part("today", status, manner, false);
      const { totals } = status.session;
      return [figure(totals, manner), t("this session {0}", spoken(totals, manner))];
    }
    case "today":
      return [
        t("today {0}", figure(spent(status.today.totals), manner)),
        t("today {0}", spoken(spent(status.today.totals), manner)),
      ];
    case "month": {
      const text = figure(spent(status.month.totals), manner);
      return [
        alone ? t("month {0}", text) : t("mo {0}", text),
        t("this billing month {0}", spoken(spent(status.month.totals), manner)),
      ];
    }
    case "remaining": {
      if (!status.allowance) return ["", ""];
      const left = amount(
        {
          nanoAiu: status.allowance.remainingNanoAiu,
          basis: status.allowance.basis === "estimated" ? "estimated" : "billed",
        },
        manner,
      );
      return [t("{0} left", left), t("{0} left of the allowance", left.replace(/ cr$/, ""))];
    }
  }
}

/** True where the log of the session's own agent is off and its figure is not exact. */
export function loggingHidesCost(status: Status): boolean {
  if (status.health !== "logging-off") return false;
  return status.session === null || status.session.totals.nanoAiu === null;
}

/**
 * The item for what is known now.
 *
 * `seen` is the last 5 % step of the allowance whose warning the person has seen.
 */
export function item(
  server: ServerState,
  status: Status | null,
  shown: readonly Shown[],
  manner: Manner,
  seen: number,
): Item {
  if (server.kind === "stopped" || server.kind === "no-python") {
    const python = server.kind === "no-python";
    return {
      text: python ? `$(error) ${t("Cost: no Python")}` : `$(error) ${t("Cost: stopped")}`,
      label: t("Copilot Usage: {0}", server.message),
      background: "error",
      command: python ? "pickPython" : "restartServer",
    };
  }
  if (!status) {
    return {
      text: `$(loading~spin) ${t("Cost")}`,
      label: t("Copilot Usage: reading logs"),
      background: undefined,
      command: "openReport",
    };
  }
  if (loggingHidesCost(status)) {
    return {
      text: `$(warning) ${t("Cost: logging off")}`,
      label: t("Copilot Usage: Copilot Chat logging is off; a click enables it"),
      background: undefined,
      command: "enableLogging",
    };
  }
  const pieces = (shown.length ? shown : (["session"] as const))
    .map((one) => part(one, status, manner, shown.length === 1))
    .filter(([text]) => text !== "");
  if (!pieces.length) pieces.push(part("session", status, manner, true));
  const allowance = status.allowance;
  const over = allowance !== null && allowance.share >= WARN_AT;
  if (over) {
    const share = percent(allowance.share, manner.locale);
    pieces.push([
      t("{0} of {1}", share, round(allowance.nanoAiu, manner)),
      t("{0} of the allowance used", share),
    ]);
  }
  const busy = server.kind !== "running" || status.health === "indexing";
  const trouble = status.health === "problems" || status.health === "drift";
  const icon = busy ? "$(sync~spin)" : trouble ? "$(warning)" : "$(graph)";
  const notes = [
    ...(server.kind === "restarting" ? [t("the server is being restarted")] : []),
    ...(status.health === "indexing" ? [t("history is still being read")] : []),
    ...(trouble ? [t("some sources could not be read in full")] : []),
  ];
  return {
    text: `${icon} ${pieces.map(([text]) => text).join(" · ")}`,
    label: t("Copilot Usage: {0}", [...pieces.map(([, words]) => words), ...notes].join(", ")),
    background: over && step(allowance.share) > seen ? "warning" : undefined,
    command: status.session ? "analyzeCurrent" : "openReport",
  };
}
