/** The lines of a timeline: turns, their requests, subagents and tools. */
import type { AggregateRow, RequestRow } from "../protocol";
import { tokens, when } from "../shared/format";
import { t } from "../shared/l10n";
import { breakWord, breakWords, type Break } from "./context";
import { h, hidden, type Child } from "./dom";
import { amt, bar, inputSegments, manner } from "./figures";
import { icon, type Icon } from "./icons";
import { modelName } from "./series";
import { markOf } from "./store";
import { name, type Turn } from "./turns";

export interface Line {
  level: 1 | 2 | 3;
  key: string;
  expanded?: boolean;
  turn?: Turn;
  label: Child;
  model?: string;
  context?: Child;
  output?: string;
  time?: string;
  cost?: HTMLElement;
  why?: { figure: string; label: string };
}

function contextCell(one: RequestRow, most: number): Child {
  const { locale } = manner();
  return h(
    "span",
    { class: "ctx" },
    bar(one.inputTokens === null ? [] : inputSegments(one), most, 8),
    h("span", { class: "num" }, tokens(one.inputTokens, locale)),
  );
}

function turnLine(
  turn: Turn,
  open: boolean,
  most: number,
  broken: ReadonlyMap<string, Break>,
): Line {
  const { locale } = manner();
  const main = turn.requests.filter((one) => !one.subagent.length);
  const last = main.at(-1);
  const subagents = new Set(
    turn.requests.filter((one) => one.subagent.length).map((one) => one.subagent[0]),
  );
  const gap = turn.requests.map((one) => broken.get(one.key)).find((one) => one !== undefined);
  const failed = turn.row.failedRequests;
  const title =
    turn.title ?? (turn.number === null ? t("Outside of turns") : t("Turn {0}", turn.number));
  const models = [...new Set((main.length ? main : turn.requests).map((one) => one.model))];
  return {
    level: 1,
    key: `turn ${name(turn)}`,
    turn,
    ...(turn.requests.length ? { expanded: open } : {}),
    label: [
      h("span", { class: "n" }, turn.number ?? ""),
      h("span", { class: "ell", title }, title),
      gap
        ? h(
            "span",
            { class: "tag w", title: breakWords(gap) },
            icon("warn"),
            h("span", { class: "w1" }, breakWord(gap)),
            hidden(breakWords(gap)),
          )
        : null,
      failed ? h("span", { class: "tag w1" }, t("{0} failed", failed)) : null,
      subagents.size
        ? h(
            "span",
            { class: "tag w1" },
            subagents.size === 1 ? t("1 subagent") : t("{0} subagents", subagents.size),
          )
        : null,
    ],
    model:
      models.length > 1
        ? `${modelName(models[0] ?? null)} +${models.length - 1}`
        : modelName(models[0] ?? null),
    context: last ? contextCell(last, most) : null,
    output: tokens(turn.row.outputTokens, locale),
    time: when(turn.row.startedAt ?? turn.requests[0]?.startedAt ?? null, "minute", manner()),
    cost: amt(turn.row, { strong: true, mark: markOf(turn.row) }),
    ...(turn.key === null
      ? {}
      : { why: { figure: `turn=${turn.key}`, label: t("Why this number? {0}", title) } }),
  };
}

function statusIcon(one: RequestRow, gap: Break | undefined): Icon {
  if (one.status !== "ok") return "error";
  if (gap) return "warn";
  return one.surface === "compaction" ? "compact" : "request";
}

function requestLine(
  one: RequestRow,
  number: number,
  level: 2 | 3,
  most: number,
  gap: Break | undefined,
): Line {
  const { locale } = manner();
  const notes = [
    one.status === "error" ? t("failed") : one.status === "cancelled" ? t("cancelled") : null,
    one.surface === "chat" ? null : one.surface === "compaction" ? t("compaction") : one.surface,
    one.skill === null ? null : t("skill {0}", one.skill),
    gap ? breakWords(gap) : null,
  ].filter((text) => text !== null);
  const sign = statusIcon(one, gap);
  return {
    level,
    key: `request ${one.key}`,
    label: [
      icon(sign, sign === "warn" || sign === "error" ? sign : ""),
      h("span", { class: "ell" }, t("Request {0}", number)),
      notes.length ? h("span", { class: "ell w1" }, notes.join(", ")) : null,
    ],
    model: modelName(one.model),
    context: contextCell(one, most),
    output: tokens(one.outputTokens, locale),
    time: when(one.startedAt, "second", manner()),
    cost: amt(one, { mark: markOf(one) }),
    why: { figure: `request=${one.key}`, label: t("Why this number? Request {0}", number) },
  };
}

function subagentLine(path: string, list: readonly RequestRow[]): Line {
  const known = list.filter((one) => one.nanoAiu !== null);
  const basis = (["estimated", "priced", "billed"] as const).find((kind) =>
    known.some((one) => one.basis === kind),
  );
  const nanoAiu = known.length ? known.reduce((sum, one) => sum + (one.nanoAiu ?? 0), 0) : null;
  return {
    level: 2,
    key: `subagent ${path} ${list[0]?.key ?? ""}`,
    label: [icon("subagent"), h("span", { class: "ell", title: path }, t("Subagent: {0}", path))],
    model: list.length === 1 ? t("1 request") : t("{0} requests", list.length),
    cost: amt(
      { nanoAiu, basis: basis ?? "unknown", unknownRequests: list.length - known.length },
      { mark: basis ?? "unknown" },
    ),
  };
}

function toolsLine(turn: Turn, tools: readonly AggregateRow[]): Line | null {
  const mine = tools
    .filter(
      (row) => (row.key["turn"] ?? null) === turn.key && row.key["tool"] != null && row.toolCalls,
    )
    .sort((a, b) => (b.toolCalls ?? 0) - (a.toolCalls ?? 0));
  if (!mine.length) return null;
  const text = mine
    .map(
      (row) =>
        `${row.key["tool"] ?? ""}${(row.toolCalls ?? 1) > 1 ? ` ×${row.toolCalls ?? 1}` : ""}`,
    )
    .join(", ");
  return {
    level: 2,
    key: `tools ${name(turn)}`,
    label: [
      icon("tool"),
      h("span", { class: "ell" }, t("Tools")),
      h("span", { class: "ell", title: text }, text),
    ],
  };
}

/** The lines in sight: those of open turns and the turns themselves. */
export function linesOf(
  turns: readonly Turn[],
  open: ReadonlySet<string>,
  tools: readonly AggregateRow[],
  broken: ReadonlyMap<string, Break>,
  numbers: ReadonlyMap<string, number>,
): Line[] {
  const most = Math.max(
    1,
    ...turns.flatMap((turn) => turn.requests.map((one) => one.inputTokens ?? 0)),
  );
  const lines: Line[] = [];
  const numberOf = (one: RequestRow): number => numbers.get(one.key) ?? 0;
  for (const turn of turns) {
    const isOpen = open.has(name(turn));
    lines.push(turnLine(turn, isOpen, most, broken));
    if (!isOpen) continue;
    for (let index = 0; index < turn.requests.length; index++) {
      const one = turn.requests[index] as RequestRow;
      if (!one.subagent.length) {
        lines.push(requestLine(one, numberOf(one), 2, most, broken.get(one.key)));
        continue;
      }
      const path = one.subagent.join(" › ");
      let end = index;
      while (turn.requests[end + 1]?.subagent.join(" › ") === path) end++;
      const group = turn.requests.slice(index, end + 1);
      lines.push(subagentLine(path, group));
      for (const each of group) {
        lines.push(requestLine(each, numberOf(each), 3, most, broken.get(each.key)));
      }
      index = end;
    }
    const called = toolsLine(turn, tools);
    if (called) lines.push(called);
  }
  return lines;
}
