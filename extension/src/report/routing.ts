/** Where a session of a plain agent log was sent, and why, as its log says. */
import type { RouteOverride, SessionRouting } from "../protocol";
import { count } from "../shared/format";
import { t } from "../shared/l10n";
import { h, type Child } from "./dom";
import { manner } from "./figures";

export function routing(route: SessionRouting): HTMLElement {
  const { locale } = manner();
  const number = (value: number | null): string => (value === null ? "—" : count(value, locale));
  const { sticky, utilization: load } = route;
  const rows: [string, Child][] = [
    [t("Provider"), route.provider],
    [t("Endpoint"), route.endpoint],
    [t("Server"), route.serverInstance],
    [t("Route"), route.route],
    [t("Tried, in order"), route.attemptedProviders.join(", ")],
    [t("Failovers"), number(route.failovers)],
    [
      t("Kept on one server"),
      sticky &&
        (sticky.keyPresent
          ? [sticky.assignment, sticky.serverInstance, sticky.reason].filter(Boolean).join(" · ")
          : t("no, there was no key")),
    ],
    [
      t("Load of the server"),
      load &&
        t(
          "{0} of {1} at work, {2} waiting",
          number(load.activeRequests),
          number(load.maxConcurrency),
          number(load.queuedRequests),
        ),
    ],
    ...route.overrides.map((one): [string, Child] => [t("Overruled"), overruled(one)]),
  ];
  return h(
    "section",
    {},
    h("div", { class: "sec-h" }, h("h2", {}, t("Routing"))),
    h(
      "table",
      { class: "facts-table" },
      h("colgroup", {}, h("col", { class: "c-third" }), h("col")),
      h(
        "tbody",
        {},
        rows.map(([name, value]) =>
          value === null || value === ""
            ? null
            : h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "ell" }, value)),
        ),
      ),
    ),
  );
}

/** What a person chose in place of the automatic choice, and how it ended. */
function overruled(one: RouteOverride): string {
  return [
    one.axes.join(", "),
    one.outcome,
    ...(one.rejected ? [t("could not be met")] : []),
    ...(one.agreed.length ? [t("same as chosen: {0}", one.agreed.join(", "))] : []),
  ].join(" · ");
}
