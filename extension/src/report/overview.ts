/** What all sessions of a period cost, over time and by what. */
import {
  requests,
  type Aggregate,
  type AggregateRow,
  type Dimension,
  type SessionRow,
  type Status,
} from "../protocol";
import { basisWord, type Mark } from "../shared/basis";
import {
  agentName,
  amount,
  count,
  folderName,
  percent,
  spent,
  tokens,
  when,
  zoneName,
} from "../shared/format";
import { t } from "../shared/l10n";
import { short } from "../shared/tooltip";
import { allowanceBlock } from "./allowance";
import { columnChart, columns } from "./columns";
import { h, hidden, on, type Child } from "./dom";
import { amt, bar, basisLegend, cacheCell, kindLegend, manner, swatch, unitName } from "./figures";
import { agentIcon, icon } from "./icons";
import { emptyPage, errorPage, loadingPage } from "./pages";
import { fillOf, modelName, places } from "./series";
import { nameCell, notices, rowKeys, segmented, tabs, link } from "./shell";
import { changed, go, isLive, load, markOf, view, world, type Period } from "./store";

const TOP = 7;

function windowOf(period: Period): { window?: string } {
  return period === "all" ? {} : { window: period };
}

function aggregate(by: readonly Dimension[]): { data?: Aggregate; error?: string } {
  return load(requests.aggregate, { by: [...by], ...windowOf(view.period) });
}

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

/** Which kinds a sum is made of: the mark of several is half a disc. */
function markOfSplit(split: readonly AggregateRow[] | undefined, fallback: Mark): Mark {
  const kinds = (split ?? []).filter((row) => row.nanoAiu !== null && row.nanoAiu > 0);
  const [first] = kinds;
  if (!first) return fallback;
  return kinds.length > 1 ? "mixed" : first.basis;
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
  const figure = (name: string, value: string, note: Child): HTMLElement =>
    h(
      "dl",
      { class: "sub" },
      h("dt", {}, name),
      h("dd", { class: "mid" }, value),
      h("dd", {}, note),
    );
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
    figure(
      t("Sessions"),
      count(totals.sessions, style.locale),
      totals.failedRequests ? t("{0} failed", count(totals.failedRequests, style.locale)) : "",
    ),
    figure(
      t("Requests"),
      count(totals.requests, style.locale),
      t("{0} output", tokens(totals.outputTokens, style.locale)),
    ),
    figure(
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
function valueName(dimension: Dimension, value: string | null): string {
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

function whereTable(all: Aggregate, split: readonly AggregateRow[] | undefined): HTMLElement {
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

function dearest(byId: ReadonlyMap<string, SessionRow>, total: number): HTMLElement {
  const { data } = aggregate(["session", "agent"]);
  const rows = (data?.rows ?? []).slice(0, TOP);
  return h(
    "section",
    {},
    h(
      "div",
      { class: "sec-h" },
      h("h2", {}, t("Most expensive sessions")),
      link(
        "all sessions",
        t("All {0}", count(total, manner().locale)),
        () => go({ page: "sessions" }),
        "end",
      ),
    ),
    h(
      "table",
      {},
      h(
        "colgroup",
        {},
        h("col"),
        h("col", { class: "c-place w2" }),
        h("col", { class: "c-day w1" }),
        h("col", { class: "c-cost" }),
      ),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, t("Session")),
          h("th", { scope: "col", class: "w2" }, t("Workspace")),
          h("th", { scope: "col", class: "w1" }, t("Day")),
          h("th", { scope: "col", class: "num cr" }, unitName()),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) => {
          const id = row.key["session"] ?? null;
          const agent = row.key["agent"] ?? "";
          if (id === null) {
            return h(
              "tr",
              {},
              h("td", {}, nameCell(t("Background, no session"), icon(agentIcon(agent)))),
              h("td", { class: "w2 muted" }, "—"),
              h("td", { class: "w1 muted" }, "—"),
              h("td", { class: "num" }, amt(row, { mark: markOf(row) })),
            );
          }
          const session = byId.get(`${agent} ${id}`);
          return on(
            h(
              "tr",
              { tabindex: 0, "data-key": `top ${agent} ${id}` },
              h(
                "td",
                {},
                h(
                  "span",
                  { class: "name", title: session?.title ?? id },
                  icon(agentIcon(agent)),
                  h("span", { class: "ell" }, session?.title ?? id),
                  isLive(session?.updatedAt ?? null)
                    ? h("span", { class: "tag" }, t("live"))
                    : null,
                ),
              ),
              h(
                "td",
                { class: "w2 muted", title: session?.workspace },
                folderName(session?.workspace ?? null),
              ),
              h("td", { class: "w1 muted" }, when(session?.updatedAt ?? null, "day", manner())),
              h("td", { class: "num" }, amt(row, { mark: markOf(row) })),
            ),
            { click: () => go({ page: "session", ref: { agent, id } }), keydown: rowKeys },
          );
        }),
      ),
    ),
  );
}

function byWorkspace(): HTMLElement {
  const rows = aggregate(["workspace"]).data?.rows.slice(0, TOP) ?? [];
  const most = Math.max(0, ...rows.map((row) => row.nanoAiu ?? 0));
  return h(
    "section",
    {},
    h("div", { class: "sec-h" }, h("h2", {}, t("By workspace"))),
    h(
      "table",
      {},
      h("colgroup", {}, h("col"), h("col", { class: "c-third w1" }), h("col", { class: "c-cost" })),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, t("Workspace")),
          h("th", { scope: "col", class: "w1" }, hidden(t("Share as bar"))),
          h("th", { scope: "col", class: "num cr" }, unitName()),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) => {
          const folder = row.key["workspace"] ?? null;
          return h(
            "tr",
            {},
            h(
              "td",
              {},
              nameCell(
                valueName("workspace", folder),
                icon("folder"),
                folder ?? t("no folder known"),
              ),
            ),
            h("td", { class: "w1" }, bar([[row.nanoAiu ?? 0, "var(--s5)"]], most)),
            h("td", { class: "num" }, amt(row, { mark: markOf(row) })),
          );
        }),
      ),
    ),
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
