/** All sessions: search, filters, order; fast with many thousands. */
import { type Basis, type SessionRow } from "../protocol";
import { basisWord } from "../shared/basis";
import { agentName, amount, count, folderName, tokens, when } from "../shared/format";
import { t } from "../shared/l10n";
import { button, h, hidden, on, type Child } from "./dom";
import { amt, basisLegend, cacheCell, manner, unitName } from "./figures";
import { icon } from "./icons";
import { emptyPage, errorPage, loadingPage, statePage } from "./pages";
import { virtualRows, type Rows } from "./rows";
import { agentCell, notices } from "./shell";
import { changed, go, isLive, markOf, remember, view, world, type SortKey } from "./store";
import { everything, fits, sorted, sum, values } from "./listing";

const ROW = 24;
const NARROW_ROW = 40;
const NARROW = 640;

type Filter = keyof typeof view.filters;

function pick(
  name: Filter,
  label: string,
  options: readonly string[],
  text: (value: string) => string,
): HTMLElement {
  const current = view.filters[name];
  const select = on(
    h(
      "select",
      { "aria-label": label, "data-key": `filter ${name}` },
      h("option", { value: "" }, `${label}: ${t("any")}`),
      [...new Set([...options, ...(current ? [current] : [])])].map((value) =>
        h("option", { value, selected: value === current }, text(value)),
      ),
    ),
    {
      change: () => {
        view.filters = { ...view.filters, [name]: select.value };
        changed();
      },
    },
  );
  return h(
    "span",
    {
      class: `pick ${name === "workspace" || name === "basis" ? "w2" : ""}`,
      "data-on": current !== "",
    },
    select,
    icon("down"),
  );
}

/** The field lives as long as the page, so that typing is never interrupted by new figures. */
const field = on(
  h("input", { type: "search", "data-key": "search", spellcheck: "false", autocomplete: "off" }),
  {
    input: () => {
      view.search = field.value;
      changed();
    },
    compositionstart: () => (composing = true),
    compositionend: () => {
      composing = false;
      changed();
    },
    keydown: (event) => {
      if (event.key === "Escape" && field.value) {
        field.value = view.search = "";
        changed();
        event.preventDefault();
      } else if (event.key === "ArrowDown") {
        shown?.focus(0);
        event.preventDefault();
      }
    },
  },
);
let shown: Rows | undefined;

/** True while a character is being composed: the field must stay where it is. */
export let composing = false;

/** Puts the focus into the search. */
export function focusSearch(): void {
  field.focus();
}

/** Draws rows that came into sight. */
export function scrolled(): void {
  shown?.update();
}

function clear(): void {
  view.search = "";
  view.filters = { agent: "", model: "", workspace: "", basis: "" };
  field.value = "";
  changed();
}

function column(key: SortKey, text: string, className = ""): HTMLElement {
  const active = view.sort.key === key;
  const { descending } = view.sort;
  return h(
    "th",
    {
      scope: "col",
      class: className,
      "aria-sort": active ? (descending ? "descending" : "ascending") : undefined,
    },
    button(
      "",
      `sort ${key}`,
      () => {
        const words = key === "title" || key === "agent" || key === "workspace";
        view.sort = { key, descending: active ? !descending : !words };
        changed();
      },
      {},
      text,
      active ? icon(descending ? "down" : "up") : null,
    ),
  );
}

function rowOf(row: SessionRow, index: number): HTMLTableRowElement {
  const { locale } = manner();
  const title = row.title ?? row.id;
  const mark = markOf(row.totals);
  const tag = mark === "unknown" ? t("no amount") : mark === "estimated" ? t("estimated") : null;
  const element = h(
    "tr",
    { tabindex: index === 0 ? 0 : -1, "data-key": `session ${row.agent} ${row.id}` },
    h(
      "td",
      {},
      h(
        "span",
        { class: "name", title },
        isLive(row.updatedAt)
          ? h("span", { class: "dot", role: "img", "aria-label": t("live") })
          : null,
        h("span", { class: "ell" }, title),
        tag ? h("span", { class: "tag w1" }, tag) : null,
      ),
      h(
        "span",
        { class: "sub2 ell" },
        [
          when(row.updatedAt, "moment", manner()),
          folderName(row.workspace),
          agentName(row.agent),
        ].join(" · "),
      ),
    ),
    h("td", { class: "w2" }, agentCell(row.agent)),
    h("td", { class: "w3", title: row.workspace }, folderName(row.workspace)),
    h(
      "td",
      { class: "w4 muted", title: row.models.join(", ") },
      row.models.length > 1
        ? `${row.models[0] ?? ""} +${row.models.length - 1}`
        : (row.models[0] ?? "—"),
    ),
    h("td", { class: "w2 muted" }, when(row.updatedAt, "moment", manner())),
    h("td", { class: "num w3" }, count(row.totals.requests, locale)),
    h("td", { class: "num w3" }, tokens(row.totals.inputTokens, locale)),
    h("td", { class: "w4" }, cacheCell(row.totals)),
    h("td", { class: "num" }, amt(row.totals, { mark })),
  );
  return on(element, {
    click: () => go({ page: "session", ref: { agent: row.agent, id: row.id } }),
    keydown: (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
      if (step !== undefined) {
        if (index + step < 0 && event.key === "ArrowUp") focusSearch();
        else shown?.focus(index + step);
        event.preventDefault();
      } else if (event.key === "Enter") {
        element.click();
      }
    },
  });
}

const COLUMNS = [
  ["", ""],
  ["c-agent", "w2"],
  ["c-place", "w3"],
  ["c-models", "w4"],
  ["c-when", "w2"],
  ["c-few", "w3"],
  ["c-few", "w3"],
  ["c-cache", "w4"],
  ["c-cost", ""],
] as const;

function table(rows: readonly SessionRow[], width: number): HTMLElement {
  const { locale } = manner();
  const height = width <= NARROW ? NARROW_ROW : ROW;
  shown = virtualRows(
    rows.length,
    COLUMNS.length,
    (index) => rowOf(rows[index] as SessionRow, index),
    () => height,
  );
  const total = sum(rows);
  const all = (of: (row: SessionRow) => number): number => rows.reduce((n, row) => n + of(row), 0);
  return h(
    "table",
    { class: "sticky sess", "aria-rowcount": rows.length + 1 },
    h("caption", { class: "sr" }, t("Sessions")),
    h(
      "colgroup",
      {},
      COLUMNS.map(([size, hide]) => h("col", { class: `${size} ${hide}` })),
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        { "aria-rowindex": 1 },
        column("title", t("Session")),
        column("agent", t("Agent"), "w2"),
        column("workspace", t("Workspace"), "w3"),
        h("th", { scope: "col", class: "w4" }, t("Models")),
        column("when", t("Last used"), "w2"),
        column("requests", t("Requests"), "num w3"),
        column("input", t("Input"), "num w3"),
        column("cache", t("From cache"), "w4"),
        column("cost", unitName(), "num cr"),
      ),
    ),
    shown.body,
    h(
      "tfoot",
      {},
      h(
        "tr",
        {},
        h("td", {}, t("{0} sessions", count(rows.length, locale))),
        h("td", { class: "w2" }),
        h("td", { class: "w3" }),
        h("td", { class: "w4" }),
        h("td", { class: "w2" }),
        h(
          "td",
          { class: "num w3" },
          count(
            all((row) => row.totals.requests),
            locale,
          ),
        ),
        h(
          "td",
          { class: "num w3" },
          tokens(
            all((row) => row.totals.inputTokens ?? 0),
            locale,
          ),
        ),
        h("td", { class: "w4" }),
        h(
          "td",
          { class: "num" },
          amt(total, { strong: true, mark: total.mixed ? "mixed" : total.basis }),
        ),
      ),
    ),
  );
}

export function sessions(width: number): Child {
  if (!world?.status) return loadingPage();
  const { rows: known, total, done, error } = everything();
  if (error !== undefined) return errorPage(error);
  if (!known.length) return done ? emptyPage() : loadingPage();
  const { locale } = manner();
  const words = view.search.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = sorted(known.filter((row) => fits(row, words)));
  field.placeholder = t("Title, model, workspace, id");
  field.setAttribute("aria-label", t("Search sessions"));
  if (document.activeElement !== field && field.value !== view.search) field.value = view.search;
  const cost = amount(sum(rows), manner());
  remember();
  return [
    notices(),
    h("h1", { class: "sr" }, t("Sessions")),
    h(
      "div",
      { class: "filters" },
      h("label", { class: "field" }, icon("search"), field, h("kbd", { class: "w2" }, "/")),
      pick(
        "agent",
        t("Agent"),
        values(known, (row) => [row.agent]),
        agentName,
      ),
      pick(
        "model",
        t("Model"),
        values(known, (row) => row.models),
        (value) => value,
      ),
      pick(
        "workspace",
        t("Workspace"),
        values(known, (row) => [folderName(row.workspace)]),
        (value) => value,
      ),
      pick(
        "basis",
        t("Basis"),
        values(known, (row) => [markOf(row.totals)]),
        (value) => basisWord(value as Basis),
      ),
      h(
        "span",
        { class: "muted found", role: "status" },
        done ? null : hidden(t("Reading…")),
        `${t("{0} of {1} sessions", count(rows.length, locale), count(total, locale))} · ${cost}`,
      ),
    ),
    rows.length
      ? table(rows, width)
      : statePage(
          t("No session matches"),
          t("Search looks at titles, models, workspaces and ids."),
          button("btn sec", "clear", clear, {}, t("Clear search and filters")),
        ),
    basisLegend(),
  ];
}
