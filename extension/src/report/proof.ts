/** The proof of one amount: its line in a log, its tokens, the prices and the rule. */
import type { Part, Rate } from "../protocol";
import { basisWord } from "../shared/basis";
import { count, when, type Manner } from "../shared/format";
import { t } from "../shared/l10n";
import { h, type Child } from "./dom";
import { amt, manner, unitName } from "./figures";
import { link } from "./shell";
import { markOf, send } from "./store";

const NANO_PER_CREDIT = 1e9;
const MILLION = 1e6;

export function step(title: Child, ...content: Child[]): HTMLElement {
  return h("li", {}, h("h3", {}, title), content);
}

export function pathLine(path: string): HTMLElement {
  return h("span", { class: "path mono", title: path }, h("bdi", {}, path));
}

export function openAt(part: Part): HTMLElement {
  const place =
    part.line === null
      ? t("byte {0}", count(part.offset, manner().locale))
      : t(
          "line {0}, byte {1}",
          count(part.line, manner().locale),
          count(part.offset, manner().locale),
        );
  return h(
    "span",
    {},
    `${place}\u2002`,
    link(`open ${part.key}`, t("Open log here"), () =>
      send({ kind: "openLog", path: part.path, offset: part.offset, line: part.line }),
    ),
  );
}

/** Rates as credits per million tokens. */
function perMillion(nano: number | null, { locale }: Manner): string {
  if (nano === null) return "—";
  return new Intl.NumberFormat(locale, { maximumFractionDigits: 4 }).format(nano / NANO_PER_CREDIT);
}

export function rateLine(rate: Rate): Child[] {
  const style = manner();
  const name = `${rate.model}${rate.tier ? ` (${rate.tier})` : ""}`;
  const days = rate.firstSeen
    ? rate.lastSeen
      ? t("{0} to {1}", rate.firstSeen, rate.lastSeen)
      : t("since {0}", rate.firstSeen)
    : t("undated");
  const values = [
    rate.inputNanoAiuPerMillion,
    rate.cacheReadNanoAiuPerMillion,
    rate.cacheWriteNanoAiuPerMillion,
    rate.outputNanoAiuPerMillion,
  ].map((value) => perMillion(value, style));
  return [
    h("dt", {}, name),
    h("dd", {}, `${days}: ${values.join(" · ")}`),
    h("dt", { class: "sr" }, t("Source")),
    h("dd", { class: "small muted" }, rate.source),
  ];
}

/** Tokens of one request; where there is a rate, times that. */
function tokenTable(part: Part): HTMLElement {
  const style = manner();
  const { rate } = part;
  const read = part.cacheReadTokens;
  const write = part.cacheWriteTokens;
  const fresh =
    part.inputTokens === null || read === null
      ? null
      : Math.max(0, part.inputTokens - read - (write ?? 0));
  const kinds: readonly (readonly [string, number | null, number | null])[] = [
    [
      write === null && read !== null ? t("Fresh input and cache write") : t("Fresh input"),
      fresh,
      rate?.inputNanoAiuPerMillion ?? null,
    ],
    [t("Cache read"), read, rate?.cacheReadNanoAiuPerMillion ?? null],
    [t("Cache write"), write, rate?.cacheWriteNanoAiuPerMillion ?? null],
    [t("Output"), part.outputTokens, rate?.outputNanoAiuPerMillion ?? null],
  ];
  const cost = (tokens: number | null, price: number | null): HTMLElement =>
    amt(
      {
        nanoAiu: tokens === null || price === null ? null : Math.round((tokens * price) / MILLION),
        basis: "priced",
      },
      { mark: false },
    );
  return h(
    "table",
    {},
    h(
      "colgroup",
      {},
      h("col"),
      h("col", { class: "c-few" }),
      rate ? [h("col", { class: "c-few w1" }), h("col", { class: "c-cost" })] : null,
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, t("Kind")),
        h("th", { scope: "col", class: "num" }, t("Tokens")),
        rate
          ? [
              h("th", { scope: "col", class: "num w1" }, t("× per 1M")),
              h("th", { scope: "col", class: "num cr" }, unitName()),
            ]
          : null,
      ),
    ),
    h(
      "tbody",
      {},
      kinds.map(([name, tokens, price]) =>
        h(
          "tr",
          {},
          h("td", {}, name),
          h("td", { class: "num" }, tokens === null ? "—" : count(tokens, style.locale)),
          rate
            ? [
                h("td", { class: "num w1 muted" }, perMillion(price, style)),
                h("td", { class: "num" }, cost(tokens, price)),
              ]
            : null,
        ),
      ),
    ),
    rate
      ? h(
          "tfoot",
          {},
          h(
            "tr",
            {},
            h("td", {}, basisWord(markOf(part))),
            h("td"),
            h("td", { class: "w1" }),
            h("td", { class: "num" }, amt(part, { strong: true, mark: false })),
          ),
        )
      : null,
  );
}

export function onePart(part: Part): HTMLElement[] {
  return [
    step(t("Tokens of this request"), tokenTable(part)),
    step(
      t("Read from"),
      h(
        "dl",
        { class: "kv" },
        h("dt", {}, t("File")),
        h("dd", {}, pathLine(part.path)),
        h("dt", {}, t("Place")),
        h("dd", {}, openAt(part)),
        h("dt", {}, t("Source")),
        h("dd", {}, part.source),
        h("dt", {}, t("Time")),
        h(
          "dd",
          {},
          `${when(part.startedAt, "day", manner())} ${when(part.startedAt, "second", manner())}`,
        ),
      ),
    ),
    ...(part.rate
      ? [
          step(
            part.basis === "billed" ? t("Price row, for the check only") : t("Price row"),
            h("dl", { class: "kv" }, rateLine(part.rate)),
            h(
              "p",
              { class: "small muted" },
              t("fresh · cache read · cache write · output, credits per 1M tokens"),
            ),
          ),
        ]
      : []),
    step(
      t("Rule"),
      h("p", {}, part.rule),
      part.assumptions.map((text) => h("p", { class: "muted" }, t("Assumed: {0}", text))),
    ),
  ];
}
