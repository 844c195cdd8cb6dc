/** The view in the side bar: the current session, nothing else. */
import { basisWord } from "../shared/basis";
import { spent, tokens } from "../shared/format";
import { t } from "../shared/l10n";
import { nextTurn } from "../shared/tooltip";
import { allowanceLines } from "./allowance";
import { breaks, breakWords, contextChart, mainRequests } from "./context";
import { h, on, type Child } from "./dom";
import { amt, bar, manner } from "./figures";
import { icon } from "./icons";
import { errorPage, loadingPage, stoppedPage } from "./pages";
import { reportOf, titlesOf } from "./session";
import { link, notices, rowKeys } from "./shell";
import { isLive, markOf, send, world } from "./store";
import { turnsOf } from "./turns";

const TURNS = 8;

export function side(width: number): Child {
  const status = world?.status;
  if (!status) {
    const kind = world?.server.kind;
    return kind === "stopped" || kind === "no-python" ? stoppedPage() : loadingPage();
  }
  const current = status.session;
  if (!current) {
    return [
      h("h1", { class: "sr" }, t("Cost of this session")),
      notices(),
      h("p", { class: "muted first" }, t("No session in this window yet")),
      h(
        "div",
        { class: "grp" },
        h(
          "div",
          { class: "ln" },
          t("Today"),
          amt(spent(status.today.totals), { className: "slot" }),
        ),
      ),
      allowanceLines(status),
    ];
  }
  const ref = { agent: current.agent, id: current.id };
  const open = (why?: string): void =>
    send({
      kind: "openReport",
      route: { page: "session", ref, ...(why === undefined ? {} : { why }) },
    });
  const { data: report, error } = reportOf(ref);
  const { locale } = manner();
  const title = current.title ?? current.id;
  const top = [
    h("h1", { class: "sr" }, t("Cost of this session")),
    status.health === "ok" ? null : notices(),
    h(
      "div",
      { class: "ln" },
      isLive(current.updatedAt)
        ? h("span", { class: "dot", role: "img", "aria-label": t("live") })
        : null,
      h("span", { class: "ell", title }, title),
    ),
    h("div", { class: "big" }, amt(current.totals, { mark: false, unit: true })),
  ];
  if (!report) return [top, error === undefined ? loadingPage() : errorPage(error)];
  const turns = turnsOf(report, titlesOf(ref));
  const main = mainRequests(report.requests ?? []);
  const broken = breaks(main);
  const numbers = new Map(turns.map((turn) => [turn.key, turn.number]));
  const newest = [...turns].reverse();
  const shown = newest.slice(0, TURNS);
  const most = Math.max(0, ...turns.map((turn) => turn.row.nanoAiu ?? 0));
  const numbered = turns.filter((turn) => turn.number !== null).length;
  return [
    top,
    h(
      "div",
      { class: "small muted" },
      `${basisWord(markOf(current.totals))} · ${numbered === 1 ? t("1 turn") : t("{0} turns", numbered)} · `,
      link("why", t("Why?"), () => open("total")),
    ),
    status.cache
      ? h("div", { class: "small muted" }, nextTurn(status.cache, manner(), Date.now()))
      : null,
    main.length
      ? h(
          "div",
          { class: "grp" },
          h(
            "h2",
            {},
            t("Context"),
            h(
              "span",
              { class: "muted light" },
              ` ${tokens(main.at(-1)?.inputTokens ?? null, locale)}`,
            ),
          ),
          contextChart(main, broken, width, { numberOf: (one) => numbers.get(one.turn) ?? null }),
        )
      : null,
    h(
      "div",
      { class: "grp" },
      h("h2", {}, t("Turns"), h("span", { class: "muted light" }, ` ${t("newest first")}`)),
      shown.map((turn) => {
        const name =
          turn.title ?? (turn.number === null ? t("Outside of turns") : t("Turn {0}", turn.number));
        const gap = turn.requests
          .map((one) => broken.get(one.key))
          .find((one) => one !== undefined);
        return on(
          h(
            "div",
            { class: "ln row", tabindex: 0, role: "button", "data-key": `turn ${turn.key ?? ""}` },
            h("span", { class: "n muted" }, turn.number ?? ""),
            h("span", { class: "ell grow", title: name }, name),
            gap ? h("span", { title: breakWords(gap) }, icon("warn", "warn")) : null,
            h("span", { class: "mini" }, bar([[turn.row.nanoAiu ?? 0, "var(--s5)"]], most, 8)),
            amt(turn.row, { mark: false, className: "slot" }),
          ),
          {
            click: () => open(turn.key === null ? undefined : `turn=${turn.key}`),
            keydown: rowKeys,
          },
        );
      }),
      newest.length > shown.length
        ? h(
            "div",
            { class: "ln" },
            link("earlier", t("{0} earlier turns", newest.length - shown.length), () => open()),
          )
        : null,
    ),
    allowanceLines(status),
  ];
}
