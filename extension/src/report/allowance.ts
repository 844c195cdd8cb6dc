/** How much of the plan's allowance is used, beside how much of the month is gone. */
import type { Status } from "../protocol";
import { amount, percent, planName, round, when } from "../shared/format";
import { t } from "../shared/l10n";
import { h, s } from "./dom";
import { amt, manner } from "./figures";

/** Two digits and no more: a forecast is not a figure. */
function forecast(nano: number): string {
  const power = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(nano, 1))) - 1);
  return amount(
    { nanoAiu: Math.round(nano / power) * power, basis: "estimated" },
    manner(),
  ).replace(/[.,]0+(?= cr$|$)/, "");
}

/** Share of the billing month that is gone. */
function gone({ month }: Status): number {
  const [start, end] = [Date.parse(month.startsAt), Date.parse(month.resetsAt)];
  return Math.min(1, Math.max(0, (Date.now() - start) / (end - start)));
}

export function allowanceBar(share: number, monthGone: number): SVGSVGElement {
  const { locale } = manner();
  const tick = `${(100 * monthGone).toFixed(2)}%`;
  return s(
    "svg",
    {
      class: "allow",
      role: "img",
      "aria-label": t(
        "{0} of the allowance used; {1} of the month gone",
        percent(share, locale),
        percent(monthGone, locale),
      ),
    },
    s("rect", { class: "track", y: 4, width: "100%", height: 6 }),
    s("rect", {
      class: share >= 0.9 ? "used over" : "used",
      y: 4,
      width: `${(100 * Math.min(1, share)).toFixed(2)}%`,
      height: 6,
    }),
    s("line", { class: "tick", x1: tick, x2: tick, y1: 0, y2: 14 }),
  );
}

/** The allowance as a block of the page's head; null without a plan. */
export function allowanceBlock(status: Status): HTMLElement | null {
  const { allowance, month } = status;
  if (!allowance) return null;
  const { locale } = manner();
  const monthGone = gone(status);
  const name = allowance.plan
    ? t("{0} allowance", planName(allowance.plan))
    : t("Copilot allowance");
  const notes = [
    t("{0} of month gone", percent(monthGone, locale)),
    ...(monthGone > 0.05 ? [t("pace {0}", forecast(allowance.usedNanoAiu / monthGone))] : []),
    t("resets {0} UTC", when(month.resetsAt, "day", { locale, zone: "UTC" })),
    ...(allowance.pooled ? [t("shared by your organisation, others' use not included")] : []),
  ];
  return h(
    "div",
    { class: "grow" },
    h(
      "dl",
      {},
      h("dt", {}, name),
      h(
        "dd",
        { class: "mid" },
        amt({ nanoAiu: allowance.usedNanoAiu, basis: allowance.basis }, { mark: false }),
        h(
          "span",
          { class: "unit" },
          ` ${t("of {0}", round(allowance.nanoAiu, manner()))} · ${percent(allowance.share, locale)}`,
        ),
      ),
    ),
    allowanceBar(allowance.share, monthGone),
    h("p", { class: "small muted" }, notes.join(" · ")),
  );
}

/** The same in two lines, for the side bar. */
export function allowanceLines(status: Status): HTMLElement | null {
  const { allowance, month } = status;
  if (!allowance) return null;
  const { locale } = manner();
  return h(
    "div",
    { class: "grp" },
    h("h2", {}, when(month.startsAt, "month", { locale, zone: "UTC" })),
    h(
      "div",
      { class: "ln" },
      allowance.plan ? planName(allowance.plan) : t("Copilot allowance"),
      h(
        "span",
        { class: "end" },
        percent(allowance.share, locale),
        h("span", { class: "muted" }, ` ${t("of {0}", round(allowance.nanoAiu, manner()))}`),
      ),
    ),
    allowanceBar(allowance.share, gone(status)),
  );
}
