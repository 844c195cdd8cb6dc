/** What all sessions of a period cost, over time and by what. */
import {
  requests,
  type Aggregate,
  type AggregateRow,
  type Dimension,
  type Status,
} from "../protocol";
import { basisWord } from "../shared/basis";
import { amount, count, percent, spent, tokens, when, zoneName } from "../shared/format";
import { t } from "../shared/l10n";
import { short } from "../shared/tooltip";
import { allowanceBlock } from "./allowance";
import { columnChart, columns } from "./columns";
import { h, type Child } from "./dom";
import { amt, basisLegend, headFigure, manner } from "./figures";
import { emptyPage, errorPage, loadingPage } from "./pages";
import { modelName, places } from "./series";
import { notices, segmented, link } from "./shell";
import { changed, go, isLive, load, view, world, type Period } from "./store";
import { byWorkspace, dearest } from "./dearest";
import { aggregate, windowOf } from "./period";
import { whereTable } from "./where";

/** Heading and dates of the period. */
function heading(status: Status, knownSince: string | null): [string, string] {
  const style = manner();
  const utc = { locale: style.locale, zone: "UTC" };
  const today = status.today.day;
  const day = (iso: string): string => when(`${iso}T12:00:00Z`, "day", utc);
  const zone = zoneName(style);
  switch (view.period) {
    case "today":
      return [t("Today"), `${when(`${today}T12:00:00Z`, "weekday", utc)}, ${zone}`];
    case "7d": {
      const first = new Date(Date.parse(today) - 6 * 86_400_000).toISOString().slice(0, 10);
      return [t("Last 7 days"), `${t("{0} to {1}", day(first), day(today))}, ${zone}`];
    }
    case "billing-month":
      return [
        when(status.month.startsAt, "month", utc),
        `${t("{0} to {1}", when(status.month.startsAt, "day", utc), day(new Date().toISOString().slice(0, 10)))}, UTC`,
      ];
    case "all":
      return [
        t("All time"),
        knownSince ? `${t("since {0}", when(knownSince, "day", style))}, ${zone}` : zone,
      ];
  }
}

function head(
  status: Status,
  all: Aggregate,
  split: readonly AggregateRow[] | undefined,
): HTMLElement {
  const style = manner();
  const { totals } = all;
  const kinds = (split ?? [])
    .filter((row) => row.nanoAiu !== null)
    .map((row) => `${basisWord(row.basis)} ${amount({ ...row, unknownRequests: 0 }, style)}`);
  if (totals.unknownRequests > 0) {
    kinds.push(
      totals.unknownRequests === 1
        ? t("1 request unknown, not in the sum")
        : t("{0} requests unknown, not in the sum", count(totals.unknownRequests, style.locale)),
    );
  }
  return h(
    "div",
    { class: "head gap" },
    h(
      "dl",
      {},
      h(
        "dt",
        {},
        t("Cost"),
        link(
          "why",
          t("Why this number?"),
          () => {
            view.sort = { key: "cost", descending: true };
            go({ page: "sessions" });
          },
          "whyb",
        ),
      ),
      h("dd", { class: "big" }, amt(spent(totals), { mark: false, unit: true })),
      h("dd", {}, kinds.join(" · ")),
    ),
    headFigure(
      t("Sessions"),
      count(totals.sessions, style.locale),
      totals.failedRequests ? t("{0} failed", count(totals.failedRequests, style.locale)) : "",
    ),
    headFigure(
      t("Requests"),
      count(totals.requests, style.locale),
      t("{0} output", tokens(totals.outputTokens, style.locale)),
    ),
    headFigure(
      t("Read from cache"),
      percent(totals.cacheHitRate, style.locale),
      t("of {0} input", tokens(totals.inputTokens, style.locale)),
    ),
    view.period === "billing-month" ? allowanceBlock(status) : null,
  );
}

function live(status: Status): HTMLElement | null {
  const { session } = status;
  if (!session || !isLive(session.updatedAt)) return null;
  const title = session.title ?? session.id;
  return h(
    "div",
    { class: "live" },
    h(
      "span",
      { class: "who" },
      h("span", { class: "dot", role: "img", "aria-label": t("live") }),
      h("span", { class: "muted" }, t("Live")),
      link("live", short(title, 120), () => go({ page: "session" }), "ell"),
    ),
    h(
      "dl",
      {},
      h(
        "div",
        {},
        h("dt", {}, t("So far")),
        h("dd", {}, amt(session.totals, { mark: false, unit: true })),
      ),
      session.lastRequest
        ? h(
            "div",
            {},
            h("dt", {}, t("Last request")),
            h("dd", {}, amt(session.lastRequest, { mark: false })),
          )
        : null,
    ),
  );
}

function overTime(status: Status, width: number): Child {
  const unit: Dimension = view.period === "today" ? "hour" : "day";
  const { data } = aggregate([unit, "model"]);
  if (!data) return loadingPage();
  const placeOf = places();
  const clock = { zone: manner().zone, today: status.today.day };
  const list = columns(data.rows, view.period, clock, placeOf);
  const models = new Map<number, Set<string>>();
  for (const row of data.rows) {
    const place = placeOf(row.key["model"] ?? null);
    models.set(place, (models.get(place) ?? new Set()).add(modelName(row.key["model"] ?? null)));
  }
  const caption = view.period === "today" ? t("Cost by hour") : t("Cost by day");
  const nameOf = (place: number): string => {
    const [first, ...others] = [...(models.get(place) ?? [])];
    return first === undefined ? t("Other") : others.length ? `${first} +${others.length}` : first;
  };
  const { chart, legend } = columnChart(list, width, caption, { nameOf });
  return h(
    "section",
    { class: "first" },
    h("div", { class: "sec-h" }, h("h2", {}, caption), legend),
    chart,
  );
}

/** The whole page. */
export function overview(width: number): Child {
  const status = world?.status;
  if (!status) return loadingPage();
  const { data: all, error } = aggregate([]);
  if (!all) return error ? errorPage(error) : loadingPage();
  if (status.health !== "indexing" && status.knownSince === null && all.totals.requests === 0) {
    return emptyPage();
  }
  const split = aggregate(["basis"]).data?.rows;
  const sessions = load(requests.listSessions, { ...windowOf(view.period), limit: 1000 }).data;
  const byId = new Map((sessions?.sessions ?? []).map((row) => [`${row.agent} ${row.id}`, row]));
  const [title, dates] = heading(status, all.knownSince);
  return [
    notices(),
    h(
      "div",
      { class: "sec-h" },
      h("h1", {}, title),
      h("span", { class: "muted" }, dates),
      h(
        "div",
        { class: "end" },
        segmented<Period>(
          t("Period"),
          [
            ["today", t("Today")],
            ["7d", t("7 days")],
            ["billing-month", t("Month")],
            ["all", t("All")],
          ],
          view.period,
          (value) => {
            view.period = value;
            changed();
          },
        ),
      ),
    ),
    head(status, all, split),
    live(status),
    all.totals.requests === 0
      ? h("p", { class: "muted first" }, t("Nothing was used in this period."))
      : [
          overTime(status, width),
          whereTable(all, split),
          h(
            "div",
            { class: "split" },
            dearest(byId, sessions?.total ?? all.totals.sessions),
            byWorkspace(),
          ),
        ],
    basisLegend(),
  ];
}
