/** What a session's cost is made of, by kind of token, model, agent, skill and tool. */
import type { SessionReport, Totals } from "../protocol";
import { count, percent, tokens } from "../shared/format";
import { t } from "../shared/l10n";
import { h, hidden, type Child } from "./dom";
import { amt, bar, KIND, manner, swatch, unitName } from "./figures";
import { icon } from "./icons";
import { fillOf, modelName } from "./series";
import { nameCell, tabs } from "./shell";
import { changed, markOf, view, type Breakdown } from "./store";

interface Row {
  name: string;
  before: Child;
  fill: string;
  totals: Totals;
}

function costTable(title: string, rows: readonly Row[], whole: Totals): HTMLElement {
  const { locale } = manner();
  const most = Math.max(0, ...rows.map((row) => row.totals.nanoAiu ?? 0));
  const both = (totals: Totals): number | null =>
    totals.inputTokens === null ? null : totals.inputTokens + (totals.outputTokens ?? 0);
  return h(
    "table",
    {},
    head(title, t("Tokens"), unitName()),
    h(
      "tbody",
      {},
      rows.map((row) =>
        h(
          "tr",
          {},
          h("td", {}, nameCell(row.name, row.before)),
          h("td", { class: "w1" }, bar([[row.totals.nanoAiu ?? 0, row.fill]], most)),
          h("td", { class: "num w1" }, tokens(both(row.totals), locale)),
          h("td", { class: "num" }, amt(row.totals, { mark: markOf(row.totals) })),
        ),
      ),
    ),
    h(
      "tfoot",
      {},
      h(
        "tr",
        {},
        h("td", {}, t("Session")),
        h("td", { class: "w1" }),
        h("td", { class: "num w1" }, tokens(both(whole), locale)),
        h("td", { class: "num" }, amt(whole, { strong: true, mark: markOf(whole) })),
      ),
    ),
  );
}

function head(first: string, third: string, last: string, className = "num cr"): HTMLElement[] {
  return [
    h(
      "colgroup",
      {},
      h("col"),
      h("col", { class: "c-third w1" }),
      h("col", { class: "c-count w1" }),
      h("col", { class: "c-cost" }),
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, first),
        h("th", { scope: "col", class: "w1" }, hidden(t("Share as bar"))),
        h("th", { scope: "col", class: "num w1" }, third),
        h("th", { scope: "col", class: className }, last),
      ),
    ),
  ];
}

/** Kinds of token: their count and share; a bill has no amount for each, so none is shown. */
function kindTable({ totals }: SessionReport): HTMLElement {
  const { locale } = manner();
  const { inputTokens, cacheReadTokens, cacheWriteTokens, outputTokens } = totals;
  const fresh =
    inputTokens === null || cacheReadTokens === null
      ? null
      : Math.max(0, inputTokens - cacheReadTokens - (cacheWriteTokens ?? 0));
  const rows: readonly (readonly [string, number | null, string])[] = [
    [t("Cache read"), cacheReadTokens, KIND.read],
    [t("Cache write"), cacheWriteTokens, KIND.write],
    [
      cacheWriteTokens === null ? t("Fresh input and cache write") : t("Fresh input"),
      fresh,
      KIND.fresh,
    ],
    [t("Output"), outputTokens, "var(--s5)"],
  ];
  const whole = (inputTokens ?? 0) + (outputTokens ?? 0);
  const most = Math.max(0, ...rows.map(([, value]) => value ?? 0));
  return h(
    "table",
    {},
    head(t("Kind of token"), t("Share"), t("Tokens"), "num"),
    h(
      "tbody",
      {},
      rows.map(([name, value, fill]) =>
        h(
          "tr",
          {},
          h("td", {}, nameCell(name, swatch(fill))),
          h("td", { class: "w1" }, bar([[value ?? 0, fill]], most)),
          h(
            "td",
            { class: "num w1" },
            percent(value === null || !whole ? null : value / whole, locale),
          ),
          h("td", { class: "num" }, value === null ? "—" : count(value, locale)),
        ),
      ),
    ),
  );
}

function toolTable(report: SessionReport): HTMLElement {
  const { locale } = manner();
  const calls = new Map<string, number>();
  for (const row of report.tools ?? []) calls.set(row.tool, (calls.get(row.tool) ?? 0) + row.calls);
  const rows = [...calls].sort(([, a], [, b]) => b - a);
  if (!rows.length) return h("p", { class: "muted" }, t("No tool was called."));
  const most = Math.max(...rows.map(([, number]) => number));
  const whole = rows.reduce((sum, [, number]) => sum + number, 0);
  return h(
    "table",
    {},
    head(t("Tool"), t("Share"), t("Calls"), "num"),
    h(
      "tbody",
      {},
      rows.map(([name, number]) =>
        h(
          "tr",
          {},
          h("td", {}, nameCell(name, icon("tool"))),
          h("td", { class: "w1" }, bar([[number, "var(--s5)"]], most)),
          h("td", { class: "num w1" }, percent(number / whole, locale)),
          h("td", { class: "num" }, count(number, locale)),
        ),
      ),
    ),
  );
}

export function breakdown(report: SessionReport): HTMLElement {
  const options: (readonly [Breakdown, string])[] = [
    ["kind", t("Token kind")],
    ["model", t("Model")],
    ["subagent", t("Agent")],
    ["skill", t("Skill")],
    ["tool", t("Tool")],
  ];
  const other = "var(--s5)";
  const table = (): HTMLElement => {
    switch (view.breakdown) {
      case "kind":
        return kindTable(report);
      case "model":
        return costTable(
          t("Model"),
          (report.models ?? []).map((row) => ({
            name: modelName(row.model),
            before: swatch(fillOf(row.model)),
            fill: fillOf(row.model),
            totals: row,
          })),
          report.totals,
        );
      case "subagent":
        return costTable(
          t("Agent"),
          (report.subagents ?? []).map((row) => ({
            name: row.subagent === "main" ? t("Main agent") : (row.subagent ?? t("unknown")),
            before: row.subagent === "main" ? null : icon("subagent"),
            fill: other,
            totals: row,
          })),
          report.totals,
        );
      case "skill":
        return costTable(
          t("Skill"),
          (report.skills ?? []).map((row) => ({
            name: row.skill ?? t("no skill"),
            before: null,
            fill: other,
            totals: row,
          })),
          report.totals,
        );
      case "tool":
        return toolTable(report);
    }
  };
  return h(
    "section",
    {},
    h(
      "div",
      { class: "sec-h" },
      h("h2", {}, t("Breakdown")),
      tabs(t("Breakdown"), options, view.breakdown, (value) => {
        view.breakdown = value;
        changed();
      }),
    ),
    table(),
  );
}
