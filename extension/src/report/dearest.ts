/** The dearest sessions and workspaces of the period. */
import type { SessionRow } from "../protocol";
import { count, folderName, when } from "../shared/format";
import { t } from "../shared/l10n";
import { h, hidden, on } from "./dom";
import { amt, bar, manner, unitName } from "./figures";
import { agentIcon, icon } from "./icons";
import { nameCell, rowKeys, link } from "./shell";
import { go, isLive, markOf } from "./store";
import { aggregate } from "./period";
import { valueName } from "./where";

const TOP = 7;

export function dearest(byId: ReadonlyMap<string, SessionRow>, total: number): HTMLElement {
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

export function byWorkspace(): HTMLElement {
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
