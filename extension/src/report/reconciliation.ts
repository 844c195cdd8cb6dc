/** What each source of a session says, and how the total comes of it. */
import type { SessionReport } from "../protocol";
import { count } from "../shared/format";
import { t } from "../shared/l10n";
import { h, type Child } from "./dom";
import { amt, manner, unitName } from "./figures";
import { icon } from "./icons";
import { markOf } from "./store";

/** A source as a person knows it; files keep their short names. */
function sourceName(source: string): string {
  if (source === "vscode session cost") return t("VS Code: Session Cost");
  return source === "vscode debug panel" ? t("VS Code: Agent Debug Logs") : source;
}

export function reconciliation(report: SessionReport): HTMLElement {
  const { locale } = manner();
  const { totals } = report;
  const remainders = report.unattributed ?? [];
  const sources = report.sources ?? [];
  const outside = remainders.reduce((sum, row) => sum + (row.nanoAiu ?? 0), 0);
  const counted = (report.requests ?? []).reduce((sum, row) => sum + (row.nanoAiu ?? 0), 0);
  const unexplained = (totals.nanoAiu ?? 0) - counted - outside;
  const complete = unexplained === 0 && !remainders.length && totals.unknownRequests === 0;
  const row = (first: Child, requests: number | null, amount: Child, className = ""): HTMLElement =>
    h(
      "tr",
      { class: className },
      h("td", {}, first),
      h("td", { class: "num w1" }, requests === null ? "—" : count(requests, locale)),
      h("td", { class: "num" }, amount),
    );
  const verdict = complete
    ? [icon("check", "ok"), t("fully explained")]
    : unexplained !== 0
      ? [icon("warn", "warn"), t("not explained")]
      : [icon("info"), totals.unknownRequests ? t("incomplete, and named") : t("explained")];
  return h(
    "section",
    {},
    h(
      "div",
      { class: "sec-h" },
      h("h2", {}, t("Reconciliation")),
      h("span", { class: "end verdict" }, verdict),
    ),
    h(
      "table",
      {},
      h("colgroup", {}, h("col"), h("col", { class: "c-count w1" }), h("col", { class: "c-cost" })),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, t("Each source alone")),
          h("th", { scope: "col", class: "num w1" }, t("Requests")),
          h("th", { scope: "col", class: "num cr" }, unitName()),
        ),
      ),
      h(
        "tbody",
        {},
        sources.map((one) =>
          row(
            h(
              "span",
              { class: "name" },
              icon("file"),
              h("span", { class: "ell" }, sourceName(one.source)),
            ),
            one.requests,
            amt({ nanoAiu: one.nanoAiu, basis: "billed" }, { mark: false, className: "unmarked" }),
          ),
        ),
        row(
          h(
            "span",
            { class: "name" },
            h("span", { class: "ell" }, t("Requests, each counted once")),
          ),
          totals.requests,
          amt(
            {
              nanoAiu: totals.nanoAiu === null ? null : counted,
              basis: totals.basis,
              unknownRequests: totals.unknownRequests,
            },
            { mark: markOf(totals) },
          ),
          "rule",
        ),
        remainders.map((one) =>
          row(
            h(
              "span",
              { class: "name indent", title: one.reason },
              h("span", { class: "ell" }, one.reason),
              h("span", { class: "tag w1" }, one.source),
            ),
            one.requests,
            amt(one, { sign: "+", mark: markOf(one) }),
          ),
        ),
        row(
          h("span", { class: "name indent" }, t("unexplained")),
          0,
          amt({ nanoAiu: unexplained, basis: "billed" }, { mark: false, className: "unmarked" }),
        ),
      ),
      h(
        "tfoot",
        {},
        row(t("Session"), totals.requests, amt(totals, { strong: true, mark: markOf(totals) })),
      ),
    ),
    (report.problems ?? []).map((one) =>
      h(
        "p",
        { class: "small muted problem", title: one.path },
        icon("warn", "warn"),
        ` ${one.message}`,
      ),
    ),
  );
}
