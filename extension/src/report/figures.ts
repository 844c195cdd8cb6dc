/** Amounts, basis marks and bars. */
import type { Totals } from "../protocol";
import { basisWords, type Mark } from "../shared/basis";
import { parts, percent, type Figure, type Manner } from "../shared/format";
import { t } from "../shared/l10n";
import { h, hidden, s, type Child } from "./dom";
import { world } from "./store";

const FALLBACK: Manner = {
  unit: "credits",
  currency: "EUR",
  currencyPerUsd: 1,
  locale: "en",
  zone: undefined,
};

/** How this person has amounts and times written. */
export function manner(): Manner {
  return world?.manner ?? FALLBACK;
}

/** A figure with its name above and a note below, for the head of a page. */
export function headFigure(name: string, value: Child, note: Child): HTMLElement {
  return h(
    "dl",
    { class: "sub" },
    h("dt", {}, name),
    h("dd", { class: "mid" }, value),
    h("dd", {}, note),
  );
}

/** The sign of a basis; an unknown one has none but keeps the place. */
export function glyph(mark: Mark): SVGSVGElement {
  const circle = (attributes: Record<string, string> = {}): SVGCircleElement =>
    s("circle", { cx: 4, cy: 4, r: 3, ...attributes });
  const signs: Record<Mark, () => SVGElement[]> = {
    billed: () => [circle({ class: "f" })],
    priced: () => [circle()],
    estimated: () => [circle({ "stroke-dasharray": "1.6 1.55" })],
    mixed: () => [circle(), s("path", { class: "f", stroke: "none", d: "M4 1a3 3 0 0 0 0 6z" })],
    unknown: () => [],
  };
  return s("svg", { class: "basis", viewBox: "0 0 8 8", "aria-hidden": "true" }, signs[mark]());
}

export interface Style {
  /** Mark in place of the figure's own basis; false: none. */
  mark?: Mark | false;
  strong?: boolean;
  /** Write the unit behind. */
  unit?: boolean;
  /** Written before a positive amount. */
  sign?: string;
  className?: string;
}

/** An amount whose decimal point lines up with those above and below. */
export function amt(figure: Figure, style: Style = {}): HTMLElement {
  const cut = parts(figure, manner());
  const mark = style.mark ?? figure.basis;
  const className = `amt ${style.strong ? "strong" : ""} ${style.className ?? ""}`;
  if (!cut) {
    return h(
      "span",
      { class: className },
      h("span", { class: "amt-0", "aria-hidden": "true" }, "—"),
      h("span", { class: "amt-f" }),
      hidden(t("unknown")),
      style.mark === false ? null : glyph("unknown"),
    );
  }
  const qualifier = (style.sign ?? "") + cut.qualifier;
  return h(
    "span",
    { class: className },
    qualifier && h("span", { class: "amt-q" }, qualifier),
    h("span", { class: cut.small ? "amt-0" : "amt-i" }, cut.integer),
    h("span", { class: "amt-f" }, cut.fraction, cut.suffix),
    style.unit && manner().unit === "credits"
      ? h("span", { class: "unit" }, ` ${t("credits")}`)
      : null,
    mark === false ? null : [glyph(mark), hidden(`, ${basisWords(mark)}`)],
  );
}

/** Head of a column of amounts. */
export function unitName(): string {
  const { unit, currency } = manner();
  return unit === "credits" ? t("Credits") : unit === "usd" ? t("Dollars") : currency;
}

/** A part of a bar: how much, and what it is filled with. */
export type Segment = readonly [value: number, fill: string];

/** A bar beside a number that says the same. */
export function bar(segments: readonly Segment[], whole: number, height = 10): SVGSVGElement {
  let x = 0;
  const drawn = segments.map(([value, fill]) => {
    const width = whole > 0 ? Math.max(0, (100 * value) / whole) : 0;
    const rect = s("rect", { x: `${x.toFixed(3)}%`, width: `${width.toFixed(3)}%`, height, fill });
    x += width;
    return rect;
  });
  return s(
    "svg",
    { class: "bar", height, "aria-hidden": "true" },
    s("rect", { class: "track", width: "100%", height }),
    drawn,
  );
}

/** Fills of the kinds of input. */
export const KIND = { read: "var(--k-read)", write: "url(#kw)", fresh: "var(--k-fresh)" } as const;

type Input = Pick<Totals, "inputTokens" | "cacheReadTokens" | "cacheWriteTokens">;

/** Input cut into read, write and fresh; what is not known counts as fresh in the picture alone. */
export function inputSegments(figures: Input): Segment[] {
  const read = figures.cacheReadTokens ?? 0;
  const write = figures.cacheWriteTokens ?? 0;
  return [
    [read, KIND.read],
    [write, KIND.write],
    [Math.max(0, (figures.inputTokens ?? 0) - read - write), KIND.fresh],
  ];
}

/** How much of the input came from the cache. */
export function cacheCell(figures: Input & Pick<Totals, "cacheHitRate">): Child {
  if (!figures.inputTokens || figures.cacheHitRate === null) {
    return h("span", { class: "muted" }, "—", hidden(t("unknown")));
  }
  return h(
    "span",
    { class: "cache" },
    bar(inputSegments(figures), figures.inputTokens, 8),
    h("span", { class: "num" }, percent(figures.cacheHitRate, manner().locale)),
  );
}

/** A square of a fill, for legends. */
export function swatch(fill: string): SVGSVGElement {
  return s(
    "svg",
    { class: "sw", viewBox: "0 0 10 10", "aria-hidden": "true" },
    s("rect", { width: 10, height: 10, fill }),
  );
}

/** The kinds of input and how they look. */
export function kindLegend(): HTMLElement {
  return h(
    "ul",
    { class: "legend" },
    h("li", {}, swatch(KIND.read), t("cache read")),
    h("li", {}, swatch(KIND.write), t("cache write")),
    h("li", {}, swatch(KIND.fresh), t("fresh input")),
  );
}

/** What the marks mean; at the foot of every page. */
export function basisLegend(): HTMLElement {
  const line = (mark: Mark): HTMLElement => h("span", {}, glyph(mark), basisWords(mark));
  return h(
    "footer",
    { class: "foot" },
    line("billed"),
    line("priced"),
    h("span", {}, glyph("estimated"), `~ ${t("estimated")}`),
    h("span", {}, `— ${t("unknown, never counted as 0")}`),
    h("span", {}, `≥ ${t("something is left out")}`),
    line("mixed"),
  );
}
