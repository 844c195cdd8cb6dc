/** The drawer "Why this number?": from an amount to requests, log lines, rates and rules. */
import { requests, type Explanation, type Part } from "../protocol";
import type { Ref } from "../shared/bridge";
import { basisWords } from "../shared/basis";
import { count, exactCredits, exactUsd } from "../shared/format";
import { t } from "../shared/l10n";
import { button, h, on, type Child } from "./dom";
import { amt, manner, unitName } from "./figures";
import { icon } from "./icons";
import { errorPage, loadingPage } from "./pages";
import { modelName } from "./series";
import { link } from "./shell";
import { load, markOf } from "./store";
import { onePart, openAt, pathLine, rateLine, step } from "./proof";

const LARGEST = 5;

export interface Drawer {
  /** Numbers of the session's requests by key. */
  numbers: ReadonlyMap<string, number>;
  close(): void;
  explain(figure: string): void;
}

function manyParts(explanation: Explanation, drawer: Drawer, all: boolean): HTMLElement[] {
  const { locale } = manner();
  const { parts } = explanation;
  const calls = parts.filter((part) => !part.unattributed).length;
  const largest = [...parts].sort((a, b) => (b.nanoAiu ?? -1) - (a.nanoAiu ?? -1));
  const shown = all ? largest : largest.slice(0, LARGEST);
  const rest = largest.slice(shown.length);
  const restNano = rest.reduce((sum, part) => sum + (part.nanoAiu ?? 0), 0);
  const name = (part: Part): Child =>
    part.unattributed
      ? h("span", { title: part.reason }, part.reason ?? t("not accounted for by any request"))
      : link(`part ${part.key}`, t("Request {0}", drawer.numbers.get(part.key) ?? ""), () =>
          drawer.explain(`request=${part.key}`),
        );
  const files = new Map<string, Part[]>();
  for (const part of parts) files.set(part.path, [...(files.get(part.path) ?? []), part]);
  const rates = new Map(
    parts.flatMap((part) => (part.rate ? [[JSON.stringify(part.rate), part.rate]] : [])),
  );
  const rules = [...new Set(parts.map((part) => part.rule))];
  const assumptions = [...new Set(parts.flatMap((part) => part.assumptions))];
  return [
    step(
      calls === 1 ? t("1 request") : t("{0} requests", count(calls, locale)),
      h(
        "table",
        {},
        h(
          "colgroup",
          {},
          h("col"),
          h("col", { class: "c-model w1" }),
          h("col", { class: "c-cost" }),
        ),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, t("Largest first")),
            h("th", { scope: "col", class: "w1" }, t("Model")),
            h("th", { scope: "col", class: "num cr" }, unitName()),
          ),
        ),
        h(
          "tbody",
          {},
          shown.map((part) =>
            h(
              "tr",
              {},
              h("td", {}, name(part)),
              h("td", { class: "w1 muted" }, modelName(part.model)),
              h("td", { class: "num" }, amt(part, { mark: markOf(part) })),
            ),
          ),
          rest.length
            ? h(
                "tr",
                {},
                h(
                  "td",
                  {},
                  link("all parts", t("{0} more", count(rest.length, locale)), () => {
                    allParts = true;
                    drawer.explain(explanation.figure);
                  }),
                ),
                h("td", { class: "w1" }),
                h(
                  "td",
                  { class: "num" },
                  amt(
                    {
                      nanoAiu: rest.some((part) => part.nanoAiu !== null) ? restNano : null,
                      basis: explanation.basis,
                    },
                    { mark: explanation.basis },
                  ),
                ),
              )
            : null,
        ),
        h(
          "tfoot",
          {},
          h(
            "tr",
            {},
            h("td", {}, t("Sum")),
            h("td", { class: "w1" }),
            h(
              "td",
              { class: "num" },
              amt(explanation, { strong: true, mark: markOf(explanation) }),
            ),
          ),
        ),
      ),
    ),
    step(
      t("Read from"),
      h(
        "dl",
        { class: "kv" },
        [...files].map(([path, list]) => [
          h("dt", {}, list.length === 1 ? t("1 figure") : t("{0} figures", list.length)),
          h("dd", {}, pathLine(path), list[0] ? openAt(list[0]) : null),
        ]),
      ),
    ),
    ...(rates.size
      ? [
          step(
            explanation.basis === "billed" ? t("Price rows, for the check only") : t("Price rows"),
            h("dl", { class: "kv" }, [...rates.values()].map(rateLine)),
            h(
              "p",
              { class: "small muted" },
              t("fresh · cache read · cache write · output, credits per 1M tokens"),
            ),
          ),
        ]
      : []),
    step(
      rules.length === 1 ? t("Rule") : t("Rules"),
      rules.map((rule) => h("p", {}, rule)),
      assumptions.map((text) => h("p", { class: "muted" }, t("Assumed: {0}", text))),
    ),
    ...(explanation.sources.length
      ? [
          step(
            t("Each source alone"),
            h(
              "dl",
              { class: "kv" },
              explanation.sources.map((one) => [
                h("dt", {}, one.source),
                h("dd", {}, `${exactCredits(one.nanoAiu, locale)} ${t("credits")}`),
              ]),
            ),
          ),
        ]
      : []),
  ];
}

/** All parts of the figure in the drawer are listed, not only the largest. */
let allParts = false;
let explained = "";

/** The drawer over a session's page. */
export function whyDrawer(ref: Ref, title: string, figure: string, drawer: Drawer): HTMLElement {
  if (explained !== `${ref.id} ${figure}`) allParts = allParts && figure === "total";
  explained = `${ref.id} ${figure}`;
  const { data, error } = load(requests.explain, { session: ref.id, agent: ref.agent, figure });
  const [only] = data?.parts.length === 1 ? data.parts : [];
  const body = data
    ? [
        h(
          "div",
          { class: "crumb small" },
          figure === "total"
            ? h("span", { class: "ell", title }, title)
            : [
                link("crumb", title, () => drawer.explain("total"), "ell"),
                h("span", { class: "nowrap" }, `› ${figureName(figure, data, drawer)}`),
              ],
        ),
        h("div", { class: "big" }, amt(data, { mark: false, unit: true })),
        h(
          "div",
          { class: "muted" },
          `${basisWords(markOf(data))} · ${exactUsd(data.nanoAiu, manner().locale)}`,
        ),
        h(
          "ol",
          { class: "chain" },
          only && figure !== "total" ? onePart(only) : manyParts(data, drawer, allParts),
        ),
      ]
    : error === undefined
      ? loadingPage()
      : errorPage(error);
  const aside = h(
    "div",
    { class: "drawer", role: "dialog", "aria-modal": "true", "aria-label": t("Why this number?") },
    h(
      "header",
      {},
      h("h2", {}, t("Why this number?")),
      button(
        "icb",
        "close drawer",
        () => drawer.close(),
        { "aria-label": t("Close") },
        icon("close"),
      ),
    ),
    h("div", { class: "body", "data-scroll": `why ${figure}`, tabindex: -1 }, body),
  );
  return on(aside, {
    keydown: (event) => {
      if (event.key === "Escape") {
        drawer.close();
        event.preventDefault();
      }
      if (event.key !== "Tab") return;
      const stops = [...aside.querySelectorAll<HTMLElement>("button, a, [tabindex='0']")];
      const at = stops.indexOf(document.activeElement as HTMLElement);
      const wraps = event.shiftKey ? at <= 0 : at === stops.length - 1;
      if (!wraps) return;
      stops.at(event.shiftKey ? -1 : 0)?.focus();
      event.preventDefault();
    },
  });
}

function figureName(figure: string, explanation: Explanation, drawer: Drawer): string {
  const [kind = "", ...value] = figure.split("=");
  if (kind === "request") {
    return t("Request {0}", drawer.numbers.get(explanation.parts[0]?.key ?? "") ?? "");
  }
  if (kind === "turn") return t("turn");
  return value.join("=");
}
