/** What pages share: top bar, switches, tabs, notices, table heads. */
import { agentName, moment } from "../shared/format";
import { t } from "../shared/l10n";
import { button, h, hidden, on, type Child } from "./dom";
import { manner } from "./figures";
import { agentIcon, icon, type Icon } from "./icons";
import { changed, go, refresh, send, view, world } from "./store";
import type { Unit } from "../shared/format";

/** Moves the focus within a row of radio buttons or tabs, and chooses there. */
function arrows(event: KeyboardEvent): void {
  const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  const target = event.target;
  if (!step || !(target instanceof HTMLElement)) return;
  const all = [...(target.parentElement?.children ?? [])] as HTMLElement[];
  const next = all[(all.indexOf(target) + step + all.length) % all.length];
  event.preventDefault();
  next?.focus();
  next?.click();
}

/** A choice of one of a few, as a radio group. */
export function segmented<T extends string>(
  label: string,
  options: readonly (readonly [T, Child])[],
  current: T,
  choose: (value: T) => void,
): HTMLElement {
  return on(
    h(
      "div",
      { class: "seg", role: "radiogroup", "aria-label": label },
      options.map(([value, text]) =>
        button(
          "",
          `${label} ${value}`,
          () => choose(value),
          {
            role: "radio",
            "aria-checked": String(value === current),
            tabindex: value === current ? 0 : -1,
          },
          text,
        ),
      ),
    ),
    { keydown: arrows },
  );
}

/** Tabs over a part of a page. */
export function tabs<T extends string>(
  label: string,
  options: readonly (readonly [T, string])[],
  current: T,
  choose: (value: T) => void,
): HTMLElement {
  return on(
    h(
      "div",
      { class: "tabs", role: "tablist", "aria-label": label },
      options.map(([value, text]) =>
        button(
          "",
          `${label} ${value}`,
          () => choose(value),
          {
            role: "tab",
            "aria-selected": String(value === current),
            tabindex: value === current ? 0 : -1,
          },
          text,
        ),
      ),
    ),
    { keydown: arrows },
  );
}

/** A link that acts in place. */
export function link(key: string, text: Child, act: () => void, className = ""): HTMLElement {
  return button(`lnk ${className}`, key, act, {}, text);
}

export function topBar(): HTMLElement {
  const page = view.route.page;
  const { unit, currency } = manner();
  const units: (readonly [Unit, Child])[] = [
    ["credits", [hidden(`${t("credits")} `), "cr"]],
    ["usd", [hidden(`${t("dollars")} `), "$"]],
  ];
  if (unit === "other") units.push(["other", currency]);
  const item = (name: "overview" | "sessions" | "session", text: string): HTMLElement =>
    button(
      "",
      `page ${name}`,
      () => go(name === "session" ? { page: "session" } : { page: name }),
      { "aria-current": name === page ? "page" : undefined },
      text,
    );
  const changedAt = world?.status?.changedAt;
  return h(
    "header",
    { class: "top" },
    h(
      "nav",
      { class: "tabs", "aria-label": t("Report") },
      item("overview", t("Overview")),
      item("sessions", t("Sessions")),
      item("session", t("Session")),
    ),
    h(
      "div",
      { class: "end" },
      changedAt
        ? h("span", { class: "muted small w2" }, t("Updated {0}", moment(changedAt, manner())))
        : null,
      segmented(t("Money unit"), units, unit, (value) => send({ kind: "unit", unit: value })),
      button(
        "icb w1",
        "refresh",
        refresh,
        { title: t("Read again"), "aria-label": t("Read again") },
        icon("refresh"),
      ),
    ),
  );
}

/** A row in a list of notices: what is wrong and what to do about it. */
function notice(kind: Icon, text: Child, ...actions: Child[]): HTMLElement {
  return h(
    "div",
    { class: "notice" },
    icon(kind, kind),
    h("span", { class: "msg" }, text),
    h("span", { class: "act" }, actions),
  );
}

/** What the person should know before reading figures; nothing when all is well. */
export function notices(): HTMLElement | null {
  const list: HTMLElement[] = [];
  const status = world?.status;
  if (world && world.server.kind !== "running" && status) {
    const message = "message" in world.server ? world.server.message : t("It is being restarted.");
    list.push(
      notice(
        "error",
        t("The cost server is not running; figures are as last read. {0}", message),
        link("notice restart", t("Restart"), () =>
          send({ kind: "run", command: "copilotUsage.restartServer" }),
        ),
      ),
    );
  }
  if (status?.health === "indexing") {
    list.push(notice("info", t("History is still being read; totals grow until it is done.")));
  }
  const off = status?.off.filter((one) => !view.dismissed.includes(one.setting)) ?? [];
  const first = off[0];
  if (first) {
    list.push(
      notice(
        status?.health === "logging-off" ? "warn" : "info",
        [h("b", {}, first.setting), ` ${t("is off")}: ${first.gives}`],
        link("notice enable", t("Enable logging"), () =>
          send({ kind: "run", command: "copilotUsage.enableLogging" }),
        ),
        link("notice dismiss", t("Dismiss"), () => {
          view.dismissed = [...view.dismissed, first.setting];
          changed();
        }),
      ),
    );
  }
  if (status && status.problems > 0 && !view.dismissed.includes(`problems ${status.problems}`)) {
    list.push(
      notice(
        "warn",
        status.problems === 1
          ? t("1 source could not be read in full. Totals may be incomplete.")
          : t("{0} sources could not be read in full. Totals may be incomplete.", status.problems),
        link("notice doctor", t("Details"), () =>
          send({ kind: "run", command: "copilotUsage.doctor" }),
        ),
        link("notice dismiss problems", t("Dismiss"), () => {
          view.dismissed = [...view.dismissed, `problems ${status.problems}`];
          changed();
        }),
      ),
    );
  }
  return list.length ? h("div", { class: "notices" }, list) : null;
}

/** An agent's icon and name. */
export function agentCell(agent: string): HTMLElement {
  return h(
    "span",
    { class: "name" },
    icon(agentIcon(agent)),
    h("span", { class: "ell" }, agentName(agent)),
  );
}

/** A cell that names something and is cut when it is long. */
export function nameCell(text: string, before: Child, title = text): HTMLElement {
  return h("span", { class: "name", title }, before, h("span", { class: "ell" }, text));
}

/** Enter follows a row; arrows go to its neighbours. */
export function rowKeys(event: KeyboardEvent): void {
  const row = event.currentTarget;
  if (!(row instanceof HTMLElement) || event.target !== row) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const next = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
    if (next instanceof HTMLElement && next.dataset["key"] !== undefined) {
      next.focus();
      event.preventDefault();
    }
  } else if (event.key === "Enter") {
    row.click();
  }
}
