/** Turns, their requests, subagents and tools as a tree. */
import type { AggregateRow, SessionReport } from "../protocol";
import { amount, count, tokens } from "../shared/format";
import { t } from "../shared/l10n";
import { type Break } from "./context";
import { button, h, hidden, on, type Child } from "./dom";
import { amt, manner, unitName } from "./figures";
import { icon } from "./icons";
import { virtualRows, type Rows } from "./rows";
import { markOf } from "./store";
import { linesOf, type Line } from "./lines";
import { name, openTurns, requestNumbers, setOpen, type Turn } from "./turns";

const ROW = 22;
const TURN_ROW = 25;

export interface Actions {
  why(figure: string): void;
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
