/** Two sessions side by side. */
import type { SessionReport } from "../protocol";
import type { Ref } from "../shared/bridge";
import { basisWords } from "../shared/basis";
import { agentName, amount, count, duration, percent, tokens, when } from "../shared/format";
import { t } from "../shared/l10n";
import { h, type Child } from "./dom";
import { amt, basisLegend, manner, swatch } from "./figures";
import { errorPage, loadingPage } from "./pages";
import { fillOf, modelName } from "./series";
import { link, nameCell } from "./shell";
import { go, markOf, view } from "./store";
import { reportOf } from "./session";

type Pair = readonly [SessionReport, SessionReport];

function line(name: Child, cells: readonly [Child, Child], className = ""): HTMLElement {
  return h(
    "tr",
    { class: className },
    h("th", { scope: "row" }, name),
    cells.map((cell) => h("td", { class: "num" }, cell)),
  );
}

function both(pair: Pair, of: (report: SessionReport) => Child): readonly [Child, Child] {
  return [of(pair[0]), of(pair[1])];
}

/** How much the second is above the first, as words. */
function difference([first, second]: Pair): string {
  const [a, b] = [first.totals.nanoAiu, second.totals.nanoAiu];
  if (a === null || b === null) return t("The cost of one of them is not known.");
  const gap = amount({ nanoAiu: Math.abs(b - a), basis: "billed" }, manner());
  if (a === b) return t("Both cost the same.");
  return b > a ? t("The second cost {0} more.", gap) : t("The second cost {0} less.", gap);
}

function models(pair: Pair): HTMLElement[] {
  const names = [...new Set(pair.flatMap((one) => (one.models ?? []).map((row) => row.model)))];
  return names.map((name) =>
    line(
      nameCell(modelName(name), swatch(fillOf(name))),
      both(pair, (report) => {
        const row = report.models?.find((one) => one.model === name);
        return row ? amt(row, { mark: markOf(row) }) : h("span", { class: "muted" }, t("not used"));
      }),
    ),
  );
}

function titleOf(report: SessionReport, ref: Ref): HTMLElement {
  return link(
    `open ${ref.agent} ${ref.id}`,
    report.title ?? ref.id,
    () => go({ page: "session", ref }),
    "ell",
  );
}

export function compare(): Child {
  if (view.route.page !== "compare") return null;
  const { refs } = view.route;
  const [first, second] = refs.map(reportOf);
  const error = first?.error ?? second?.error;
  if (error !== undefined) return errorPage(error);
  if (!first?.data || !second?.data) return loadingPage();
  const pair: Pair = [first.data, second.data];
  const { locale } = manner();
  return [
    h("h1", {}, t("Two sessions compared")),
    h("p", { class: "muted" }, difference(pair)),
    h(
      "table",
      { class: "compare" },
      h("colgroup", {}, h("col", { class: "c-third" }), h("col"), h("col")),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td", {}),
          h("th", { scope: "col", class: "num" }, titleOf(pair[0], refs[0])),
          h("th", { scope: "col", class: "num" }, titleOf(pair[1], refs[1])),
        ),
      ),
      h(
        "tbody",
        {},
        line(
          t("Cost"),
          both(pair, (one) => amt(one.totals, { strong: true, mark: markOf(one.totals) })),
        ),
        line(
          t("Basis"),
          both(pair, (one) => basisWords(markOf(one.totals))),
        ),
        models(pair),
        line(
          t("Requests"),
          both(pair, (one) => count(one.totals.requests, locale)),
          "rule",
        ),
        line(
          t("Input"),
          both(pair, (one) => tokens(one.totals.inputTokens, locale)),
        ),
        line(
          t("Read from cache"),
          both(pair, (one) => percent(one.totals.cacheHitRate, locale)),
        ),
        line(
          t("Output"),
          both(pair, (one) => tokens(one.totals.outputTokens, locale)),
        ),
        line(
          t("Agent"),
          both(pair, (one) => agentName(one.agent)),
          "rule",
        ),
        line(
          t("Started"),
          both(pair, (one) => when(one.startedAt, "moment", manner())),
        ),
        line(
          t("Duration"),
          both(pair, (one) => duration(one.durationMs)),
        ),
      ),
    ),
    basisLegend(),
  ];
}
