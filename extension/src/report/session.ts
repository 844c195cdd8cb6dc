/** One session: what it cost, how its context grew, turn by turn, and why. */
import { requests, type SessionReport } from "../protocol";
import type { Ref } from "../shared/bridge";
import { basisWord } from "../shared/basis";
import {
  agentName,
  amount,
  count,
  duration,
  folderName,
  percent,
  tokens,
  when,
  zoneName,
} from "../shared/format";
import { t } from "../shared/l10n";
import { short } from "../shared/tooltip";
import { breakdown } from "./breakdown";
import { breaks, contextChart, mainRequests } from "./context";
import { button, h, type Child } from "./dom";
import { amt, basisLegend, glyph, kindLegend, headFigure, manner } from "./figures";
import { agentIcon, icon } from "./icons";
import { errorPage, loadingPage, statePage } from "./pages";
import { reconciliation } from "./reconciliation";
import { routing } from "./routing";
import { link, notices } from "./shell";
import { go, isLive, load, markOf, refOf, send, view, world } from "./store";
import { timeline } from "./timeline";
import { allTurns, setOpen, turnsOf } from "./turns";

const TITLE = 160;
const MESSAGES = 2_000;

/** The report of a session in full. */
export function reportOf(ref: Ref): { data?: SessionReport; error?: string } {
  return load(requests.analyzeSession, { session: ref.id, agent: ref.agent, detail: "full" });
}

/** First line of the message that began each turn; asked for only where the person allows it. */
export function titlesOf(ref: Ref): Map<string, string> {
  const titles = new Map<string, string>();
  if (!world?.showTurnTitles) return titles;
  const { data } = load(requests.readSession, {
    session: ref.id,
    agent: ref.agent,
    roles: ["user"],
    maxCharacters: TITLE,
    limit: MESSAGES,
  });
  for (const message of data?.messages ?? []) {
    const line = message.text.trim().split("\n", 1)[0];
    if (message.turn !== null && line && !titles.has(message.turn)) titles.set(message.turn, line);
  }
  return titles;
}

/** Opens the drawer, or another figure in it. */
export function explain(ref: Ref, figure: string): void {
  go({ page: "session", ref, why: figure });
}

function facts(report: SessionReport): HTMLElement {
  const style = manner();
  const fact = (
    kind: Parameters<typeof icon>[0],
    text: string,
    className = "",
    title = text,
  ): Child => h("span", { class: className, title }, icon(kind), h("span", { class: "ell" }, text));
  const id = report.id ?? "";
  return h(
    "div",
    { class: "facts" },
    fact(agentIcon(report.agent), agentName(report.agent)),
    report.workspace ? fact("folder", folderName(report.workspace), "", report.workspace) : null,
    report.branch ? fact("branch", report.branch, "w1") : null,
    fact(
      "clock",
      `${when(report.startedAt, "moment", style)} – ${when(report.endedAt, "minute", style)}`,
      "",
      `${zoneName(style)}, ${duration(report.durationMs)}`,
    ),
    h(
      "span",
      { class: "w2" },
      h("code", { title: id }, id.slice(0, 8)),
      button(
        "icb",
        "copy id",
        () => send({ kind: "copy", text: id }),
        { "aria-label": t("Copy the session id"), title: t("Copy the session id") },
        icon("copy"),
      ),
    ),
  );
}

function headline(
  ref: Ref,
  report: SessionReport,
  turns: number,
  context: [number, number] | null,
): Child {
  const style = manner();
  const { totals } = report;
  const other = { ...style, unit: style.unit === "usd" ? ("credits" as const) : ("usd" as const) };
  const mark = markOf(totals);
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
        link("why", t("Why this number?"), () => explain(ref, "total"), "whyb"),
      ),
      h("dd", { class: "big" }, amt(totals, { mark: false, unit: true })),
      h(
        "dd",
        { class: "with-glyph" },
        glyph(mark),
        `${basisWord(mark)} · ${amount(totals, other)}`,
        totals.unknownRequests ? ` · ${t("{0} unknown", totals.unknownRequests)}` : "",
      ),
    ),
    headFigure(
      t("Turns"),
      count(turns, style.locale),
      totals.requests === 1
        ? t("1 request")
        : t("{0} requests", count(totals.requests, style.locale)),
    ),
    headFigure(
      t("Read from cache"),
      percent(totals.cacheHitRate, style.locale),
      t("of {0} input", tokens(totals.inputTokens, style.locale)),
    ),
    context
      ? headFigure(
          t("Context now"),
          tokens(context[0], style.locale),
          t("peak {0}", tokens(context[1], style.locale)),
        )
      : null,
    report.activeMs === null
      ? null
      : headFigure(
          t("Models at work"),
          duration(report.activeMs),
          t("of {0}", duration(report.durationMs)),
        ),
  );
}

/** There is no session to show. */
function noSession(): HTMLElement {
  return statePage(
    t("No session in this window yet"),
    t("Begin a chat, and its cost appears here with the first answer."),
    button("btn sec", "to sessions", () => go({ page: "sessions" }), {}, t("All sessions")),
  );
}

/** Title for the editor's tab. */
export function tabTitle(): string {
  const ref = refOf(view.route);
  const report = ref && view.route.page === "session" ? reportOf(ref).data : undefined;
  return report?.title ? short(report.title, 40) : t("Cost Report");
}

export function session(width: number): Child {
  const ref = refOf(view.route);
  if (!ref) return world?.status ? noSession() : loadingPage();
  const { data: report, error } = reportOf(ref);
  if (!report) return error === undefined ? loadingPage() : errorPage(error);
  const turns = turnsOf(report, titlesOf(ref));
  const tools =
    load(requests.aggregate, {
      by: ["turn", "tool"],
      agent: ref.agent,
      filters: { session: [ref.id] },
    }).data?.rows ?? [];
  const main = mainRequests(report.requests ?? []);
  const broken = breaks(main);
  const numbers = new Map(turns.map((turn) => [turn.key, turn.number]));
  const sizes = main.map((one) => one.inputTokens ?? 0);
  const last = sizes.at(-1);
  const title = report.title ?? report.id ?? t("Session");
  const numbered = turns.filter((turn) => turn.number !== null).length;
  return [
    notices(),
    h(
      "div",
      { class: "title" },
      h("h1", { title }, title),
      isLive(report.endedAt) ? h("span", { class: "tag" }, t("live")) : null,
    ),
    facts(report),
    headline(ref, report, numbered, last === undefined ? null : [last, Math.max(...sizes)]),
    main.length
      ? h(
          "section",
          {},
          h(
            "div",
            { class: "sec-h" },
            h("h2", {}, t("Context")),
            h(
              "span",
              { class: "muted small w2" },
              t("input tokens of each request, main agent, by turn"),
            ),
            h("span", { class: "end" }, kindLegend()),
          ),
          contextChart(main, broken, width, {
            numberOf: (one) => numbers.get(one.turn) ?? null,
          }),
        )
      : null,
    h(
      "section",
      {},
      h(
        "div",
        { class: "sec-h" },
        h("h2", {}, t("Timeline")),
        h(
          "span",
          { class: "end" },
          link("transcript", t("Open transcript"), () => send({ kind: "transcript", ref, title })),
          link("expand", t("Expand all"), () => setOpen(ref.id, allTurns(turns))),
          link("collapse", t("Collapse all"), () => setOpen(ref.id, [])),
        ),
      ),
      timeline(ref.id, report, turns, tools, broken, { why: (figure) => explain(ref, figure) }),
    ),
    h("div", { class: "split even" }, breakdown(report), reconciliation(report)),
    report.routing ? routing(report.routing) : null,
    basisLegend(),
  ];
}
