/** The look of models: the same model looks the same on every page. */
import { requests } from "../protocol";
import { t } from "../shared/l10n";
import { s } from "./dom";
import { KIND } from "./figures";
import { load } from "./store";

/** Fills in fixed order; the last one is everything else. */
export const FILLS = ["url(#s1)", "url(#s2)", "url(#s3)", "url(#s4)", "url(#s5)"] as const;
export const REST = 4;

const FAMILIES: readonly (readonly [RegExp, number])[] = [
  [/^claude-sonnet|sonnet/i, 0],
  [/^claude-opus|opus/i, 1],
  [/^gpt-|codex/i, 2],
  [/^claude-haiku|haiku/i, 3],
];

/**
 * The place of each model. One model of a family (the dearest of the month) has the family's
 * own look; places that no family takes go to the dearest of the others.
 */
export function places(): (model: string | null) => number {
  const rows =
    load(requests.aggregate, { by: ["model"], window: "billing-month" }).data?.rows ?? [];
  const names = rows.map((row) => row.key["model"]).filter((name) => typeof name === "string");
  const taken = new Map<string, number>();
  const free = new Set([0, 1, 2, 3]);
  for (const name of names) {
    const family = familyOf(name);
    if (family !== undefined && free.delete(family)) taken.set(name, family);
  }
  for (const name of names) {
    const [place] = free;
    if (taken.has(name) || familyOf(name) !== undefined || place === undefined) continue;
    free.delete(place);
    taken.set(name, place);
  }
  return (model) => (model === null ? REST : (taken.get(model) ?? familyOf(model, free) ?? REST));
}

function familyOf(model: string, among?: ReadonlySet<number>): number | undefined {
  const family = FAMILIES.find(([pattern]) => pattern.test(model))?.[1];
  return family !== undefined && (!among || among.has(family)) ? family : undefined;
}

/** The look of one model. */
export function fillOf(model: string | null): string {
  return FILLS[places()(model)] ?? FILLS[REST];
}

/** Name of a model for people; as logged, so that it can be looked up. */
export function modelName(model: string | null): string {
  return model ?? t("unknown model");
}

/** The patterns, once per document. */
export function patterns(): SVGSVGElement {
  const pattern = (id: string, size: number, color: string, d: string, width: number): SVGElement =>
    s(
      "pattern",
      { id, width: size, height: size, patternUnits: "userSpaceOnUse" },
      s("rect", { width: 10, height: 10, fill: color }),
      s("path", {
        d,
        stroke: "var(--hatch)",
        "stroke-width": width,
        "stroke-linecap": width > 3 ? "round" : "butt",
        fill: "none",
      }),
    );
  const looks = [
    ["", 1.7],
    ["M-1 5L5-1M-1 11L11-1M5 11L11 5", 1.7],
    ["M0 2h10M0 7h10", 1.7],
    ["M2.5 2.5h.01M7.5 7.5h.01", 3.4],
    ["M2.5 0v10M7.5 0v10", 1.7],
  ] as const;
  return s(
    "svg",
    { class: "patterns", width: 0, height: 0, "aria-hidden": "true" },
    s(
      "defs",
      {},
      looks.map(([d, width], index) =>
        pattern(`s${index + 1}`, 10, `var(--s${index + 1})`, d, width),
      ),
      pattern(KIND.write.slice(5, -1), 6, "var(--k-write)", "M-1 4L4-1M-1 7L7-1M2 7L7 2", 1.4),
    ),
  );
}
