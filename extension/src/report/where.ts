/** Where it went: the period by each dimension. */
import type { Aggregate, AggregateRow, Dimension } from "../protocol";
import { agentName, count, folderName, percent, tokens } from "../shared/format";
import { t } from "../shared/l10n";
import { h, hidden, type Child } from "./dom";
import { amt, bar, cacheCell, kindLegend, manner, swatch, unitName } from "./figures";
import { agentIcon, icon } from "./icons";
import { errorPage, loadingPage } from "./pages";
import { fillOf, modelName } from "./series";
import { nameCell, tabs } from "./shell";
import { changed, markOf, view } from "./store";
import { aggregate, markOfSplit } from "./period";

const WHERE: readonly (readonly [Dimension, () => string])[] = [
  ["model", () => t("Model")],
  ["agent", () => t("Agent")],
  ["workspace", () => t("Workspace")],
  ["branch", () => t("Branch")],
  ["subagent", () => t("Subagent")],
  ["skill", () => t("Skill")],
  ["tool", () => t("Tool")],
];

/** Name of a value of a dimension. */
export function valueName(dimension: Dimension, value: string | null): string {
  switch (dimension) {
    case "agent":
      return value === null ? t("unknown") : agentName(value);
    case "workspace":
      return value === null ? t("no folder known") : folderName(value);
    case "branch":
      return value ?? t("no branch known");
    case "subagent":
      return value === "main" ? t("main agent") : (value ?? t("unknown"));
    case "skill":
      return value ?? t("no skill");
    case "tool":
      return value ?? t("requests");
    default:
      return modelName(value);
  }
}

function valueIcon(dimension: Dimension, value: string | null): Child {
  switch (dimension) {
    case "model":
      return swatch(fillOf(value));
    case "agent":
      return icon(agentIcon(value ?? ""));
    case "workspace":
      return icon("folder");
    case "branch":
      return icon("branch");
    case "tool":
      return icon("tool");
    default:
      return value === null || value === "main" ? null : icon("subagent");
  }
}

const MOST_ROWS = 30;

export function whereTable(
  all: Aggregate,
  split: readonly AggregateRow[] | undefined,
): HTMLElement {
  const known = WHERE.find(([one]) => one === view.where) ?? WHERE[0];
  const [dimension, title] = known ?? ["model", () => t("Model")];
  const header = h(
    "div",
    { class: "sec-h" },
    h("h2", {}, t("Where it went")),
    tabs(
      t("Group by"),
      WHERE.map(([value, name]) => [value, name()] as const),
      dimension,
      (value) => {
        view.where = value;
        changed();
      },
    ),
    h("span", { class: "end w2" }, kindLegend()),
  );
  const { data, error } = aggregate([dimension]);
  if (!data) return h("section", {}, header, error ? errorPage(error) : loadingPage());
  return h(
    "section",
    {},
    header,
    dimension === "tool"
      ? toolTable(data.rows)
      : costTable(dimension, title(), data.rows, all, split),
  );
}

function costTable(
  dimension: Dimension,
  title: string,
  rows: readonly AggregateRow[],
  all: Aggregate,
  split: readonly AggregateRow[] | undefined,
): HTMLElement {
  const { locale } = manner();
  const most = Math.max(0, ...rows.map((row) => row.nanoAiu ?? 0));
  const total = all.totals.nanoAiu;
  const shown = rows.slice(0, MOST_ROWS);
  const value = (row: AggregateRow): string | null => row.key[dimension] ?? null;
  return h(
    "table",
    {},
    h(
      "colgroup",
      {},
      h("col"),
      h("col", { class: "c-cost" }),
      h("col", { class: "c-bar w1" }),
      h("col", { class: "c-share w1" }),
      h("col", { class: "c-count w3" }),
      h("col", { class: "c-count w2" }),
      h("col", { class: "c-bar w2" }),
      h("col", { class: "c-count w3" }),
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, title),
        h("th", { scope: "col", class: "num cr" }, unitName()),
        h("th", { scope: "col", class: "w1" }, hidden(t("Share as bar"))),
        h("th", { scope: "col", class: "num w1" }, t("Share")),
        h("th", { scope: "col", class: "num w3" }, t("Requests")),
        h("th", { scope: "col", class: "num w2" }, t("Input")),
        h("th", { scope: "col", class: "w2" }, t("Read from cache")),
        h("th", { scope: "col", class: "num w3" }, t("Output")),
      ),
    ),
    h(
      "tbody",
      {},
      shown.map((row) =>
        h(
          "tr",
          {},
          h(
            "td",
            {},
            nameCell(
              valueName(dimension, value(row)),
              valueIcon(dimension, value(row)),
              value(row) ?? valueName(dimension, null),
            ),
          ),
          h("td", { class: "num" }, amt(row, { mark: markOf(row) })),
          h(
            "td",
            { class: "w1" },
            bar(
              row.nanoAiu === null
                ? []
                : [[row.nanoAiu, dimension === "model" ? fillOf(value(row)) : "var(--s5)"]],
              most,
            ),
          ),
          h(
            "td",
            { class: "num w1" },
            percent(row.nanoAiu !== null && total ? row.nanoAiu / total : null, locale),
          ),
          h("td", { class: "num w3" }, count(row.requests, locale)),
          h("td", { class: "num w2" }, tokens(row.inputTokens, locale)),
          h("td", { class: "w2" }, cacheCell(row)),
          h("td", { class: "num w3" }, tokens(row.outputTokens, locale)),
        ),
      ),
      rows.length > shown.length
        ? h(
            "tr",
            {},
            h("td", { class: "muted", colspan: 8 }, t("{0} more", rows.length - shown.length)),
          )
        : null,
    ),
    h(
      "tfoot",
      {},
      h(
        "tr",
        {},
        h("td", {}, t("All")),
        h(
          "td",
          { class: "num" },
          amt(all.totals, { strong: true, mark: markOfSplit(split, markOf(all.totals)) }),
        ),
        h("td", { class: "w1" }),
        h("td", { class: "num w1" }),
        h("td", { class: "num w3" }, count(all.totals.requests, locale)),
        h("td", { class: "num w2" }, tokens(all.totals.inputTokens, locale)),
        h("td", { class: "w2" }, cacheCell(all.totals)),
        h("td", { class: "num w3" }, tokens(all.totals.outputTokens, locale)),
      ),
    ),
  );
}

/** Tools have calls and no money: that stays with the requests. */
function toolTable(rows: readonly AggregateRow[]): HTMLElement {
  const { locale } = manner();
  const tools = rows
    .filter((row) => row.key["tool"] != null)
    .sort((a, b) => (b.toolCalls ?? 0) - (a.toolCalls ?? 0));
  const most = Math.max(0, ...tools.map((row) => row.toolCalls ?? 0));
  if (!tools.length) return h("p", { class: "muted" }, t("No tool calls in this period."));
  return h(
    "table",
    {},
    h("colgroup", {}, h("col"), h("col", { class: "c-count" }), h("col", { class: "c-half w1" })),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, t("Tool")),
        h("th", { scope: "col", class: "num" }, t("Calls")),
        h("th", { scope: "col", class: "w1" }, hidden(t("Share as bar"))),
      ),
    ),
    h(
      "tbody",
      {},
      tools
        .slice(0, MOST_ROWS)
        .map((row) =>
          h(
            "tr",
            {},
            h("td", {}, nameCell(row.key["tool"] ?? "", icon("tool"))),
            h("td", { class: "num" }, count(row.toolCalls ?? 0, locale)),
            h("td", { class: "w1" }, bar([[row.toolCalls ?? 0, "var(--s5)"]], most)),
          ),
        ),
    ),
  );
}
