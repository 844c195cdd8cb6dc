/** Turns, their requests, subagents and tools as a tree. */
import type { AggregateRow, RequestRow, SessionReport, TurnRow } from "../protocol";
import { amount, count, tokens, when } from "../shared/format";
import { t } from "../shared/l10n";
import { breakWord, breakWords, type Break } from "./context";
import { button, h, hidden, on, type Child } from "./dom";
import { amt, bar, inputSegments, manner, unitName } from "./figures";
import { icon, type Icon } from "./icons";
import { modelName } from "./series";
import { virtualRows, type Rows } from "./rows";
import { changed, markOf, view } from "./store";

const ROW = 22;
const TURN_ROW = 25;

export interface Turn {
  key: string | null;
  /** From 1 in order of time; null: requests that belong to no turn. */
  number: number | null;
  row: TurnRow;
  requests: RequestRow[];
  title: string | null;
}

/** Turns in order of time with their requests; what belongs to none comes last. */
export function turnsOf(report: SessionReport, titles: ReadonlyMap<string, string>): Turn[] {
  const byTurn = new Map<string | null, RequestRow[]>();
  for (const one of report.requests ?? []) {
    const list = byTurn.get(one.turn);
    if (list) list.push(one);
    else byTurn.set(one.turn, [one]);
  }
  const time = (row: TurnRow): string =>
    row.startedAt ?? byTurn.get(row.turn)?.find((one) => one.startedAt)?.startedAt ?? "";
  const rows = [...(report.turns ?? [])].sort((a, b) =>
    (a.turn === null) !== (b.turn === null)
      ? Number(a.turn === null) - Number(b.turn === null)
      : time(a).localeCompare(time(b)),
  );
  return rows.map((row, index) => ({
    key: row.turn,
    number: row.turn === null ? null : index + 1,
    row,
    requests: (byTurn.get(row.turn) ?? []).sort((a, b) =>
      (a.startedAt ?? "").localeCompare(b.startedAt ?? ""),
    ),
    title: row.turn === null ? null : (titles.get(row.turn) ?? null),
  }));
}

/** Numbers of a session's requests in order of time, by key; the same in every view of them. */
export function requestNumbers(report: SessionReport | undefined): Map<string, number> {
  const sorted = [...(report?.requests ?? [])].sort((a, b) =>
    (a.startedAt ?? "").localeCompare(b.startedAt ?? ""),
  );
  return new Map(sorted.map((one, index) => [one.key, index + 1]));
}

/** Name of a turn in the set of open ones. */
function name(turn: Turn): string {
  return turn.key ?? "";
}

interface Line {
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

export interface Actions {
  why(figure: string): void;
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
function linesOf(
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

/** Which turns are open: as the person left them, at first the dearest. */
export function openTurns(session: string, turns: readonly Turn[]): Set<string> {
  const left = view.open[session];
  if (left) return new Set(left);
  const dearest = turns.reduce<Turn | undefined>(
    (best, turn) => ((turn.row.nanoAiu ?? 0) > (best?.row.nanoAiu ?? -1) ? turn : best),
    undefined,
  );
  return new Set(dearest ? [name(dearest)] : []);
}

export function setOpen(session: string, turns: Iterable<string>): void {
  view.open = { ...view.open, [session]: [...turns] };
  changed();
}

export function allTurns(turns: readonly Turn[]): string[] {
  return turns.map(name);
}

let shown: Rows | undefined;

/** Draws rows that came into sight. */
export function timelineScrolled(): void {
  shown?.update();
}

export function timeline(
  session: string,
  report: SessionReport,
  turns: readonly Turn[],
  tools: readonly AggregateRow[],
  broken: ReadonlyMap<string, Break>,
  actions: Actions,
): HTMLElement {
  const open = openTurns(session, turns);
  const lines = linesOf(turns, open, tools, broken, requestNumbers(report));
  const toggle = (turn: Turn): void => {
    const next = new Set(open);
    if (!next.delete(name(turn))) next.add(name(turn));
    setOpen(session, next);
  };
  const { locale } = manner();

  const row = (index: number): HTMLTableRowElement => {
    const line = lines[index] as Line;
    const cell = (className: string, ...content: Child[]): HTMLElement =>
      h("td", { class: className, role: "gridcell" }, content);
    const { turn, why } = line;
    const twisty =
      line.expanded !== undefined && turn
        ? button(
            "tw",
            `twisty ${line.key}`,
            () => toggle(turn),
            { tabindex: -1, "aria-label": line.expanded ? t("Collapse") : t("Expand") },
            icon("chevron"),
          )
        : h("span", { class: line.level === 1 ? "tw" : "tw narrow" });
    const element = h(
      "tr",
      {
        class: `l${line.level}`,
        role: "row",
        "aria-level": line.level,
        "aria-expanded": line.expanded === undefined ? undefined : String(line.expanded),
        tabindex: index === 0 ? 0 : -1,
        "data-key": line.key,
      },
      cell(
        "",
        h(
          "span",
          { class: "cell" },
          Array.from({ length: line.level - 1 }, () => h("span", { class: "g" })),
          twisty,
          h("span", { class: "lab" }, line.label),
        ),
      ),
      cell("w3 muted ell", line.model ?? ""),
      cell("w2", line.context),
      cell("num w3", line.output ?? ""),
      cell("num w1 muted", line.time ?? ""),
      cell("num", line.cost),
      cell(
        "w2 why-cell",
        why
          ? button(
              "icb why",
              `why ${line.key}`,
              () => actions.why(why.figure),
              { tabindex: -1, "aria-label": why.label, title: t("Why this number?") },
              icon("question"),
            )
          : null,
      ),
    );
    return on(element, {
      click: () => {
        if (turn && line.expanded !== undefined) toggle(turn);
      },
      keydown: (event) => {
        if (event.target !== element) return;
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        const opens = event.key === "ArrowRight" && line.expanded === false;
        const closes = event.key === "ArrowLeft" && line.expanded === true;
        if (step !== undefined) {
          shown?.focus(index + step);
        } else if (event.key === "ArrowLeft" && line.level > 1) {
          let up = index - 1;
          while (up > 0 && (lines[up]?.level ?? 1) >= line.level) up--;
          shown?.focus(up);
        } else if (turn && line.expanded !== undefined && (opens || closes || event.key === " ")) {
          toggle(turn);
        } else if (event.key === "Enter" && why) {
          actions.why(why.figure);
        } else {
          return;
        }
        event.preventDefault();
      },
    });
  };

  shown = virtualRows(lines.length, 7, row, (index) =>
    lines[index]?.level === 1 ? TURN_ROW : ROW,
  );
  const numbered = turns.filter((turn) => turn.number !== null).length;
  return h(
    "table",
    {
      class: "tree",
      role: "treegrid",
      "aria-label": t("Timeline"),
      "aria-rowcount": lines.length + 1,
    },
    h(
      "colgroup",
      {},
      ["", "c-model w3", "c-context w2", "c-few w3", "c-time w1", "c-cost", "c-why w2"].map(
        (name) => h("col", { class: name }),
      ),
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        { role: "row", "aria-rowindex": 1 },
        h("th", { scope: "col" }, t("Turn")),
        h("th", { scope: "col", class: "w3" }, t("Model")),
        h("th", { scope: "col", class: "w2 num" }, t("Context, tokens")),
        h("th", { scope: "col", class: "num w3" }, t("Output")),
        h("th", { scope: "col", class: "num w1" }, t("Time")),
        h("th", { scope: "col", class: "num cr" }, unitName()),
        h("th", { scope: "col", class: "w2" }, hidden(t("Why this number?"))),
      ),
    ),
    shown.body,
    h(
      "tfoot",
      {},
      h(
        "tr",
        {},
        h(
          "td",
          {},
          `${numbered === 1 ? t("1 turn") : t("{0} turns", count(numbered, locale))}, ${
            report.totals.requests === 1
              ? t("1 request")
              : t("{0} requests", count(report.totals.requests, locale))
          }`,
        ),
        h("td", { class: "w3" }),
        h("td", { class: "w2" }),
        h("td", { class: "num w3" }, tokens(report.totals.outputTokens, locale)),
        h("td", { class: "w1" }),
        h(
          "td",
          { class: "num" },
          amt(report.totals, { strong: true, mark: markOf(report.totals) }),
        ),
        h("td", { class: "w2" }),
      ),
    ),
    report.totals.unattributedNanoAiu
      ? h(
          "caption",
          { class: "sr" },
          t(
            "{0} of it belongs to no request",
            amount({ nanoAiu: report.totals.unattributedNanoAiu, basis: "billed" }, manner()),
          ),
        )
      : null,
  );
}
