/** Pages for when there is nothing to show. */
import { requests } from "../protocol";
import { agentName } from "../shared/format";
import { t } from "../shared/l10n";
import { button, h, type Child } from "./dom";
import { agentIcon, icon } from "./icons";
import { load, refresh, send, world } from "./store";

function primary(key: string, text: string, act: () => void): HTMLElement {
  return button("btn", key, act, {}, text);
}

function secondary(key: string, text: string, act: () => void): HTMLElement {
  return button("btn sec", key, act, {}, text);
}

/** A page that says what is the matter and what to do. */
export function statePage(
  title: Child,
  text: string,
  actions: Child,
  evidence?: Child,
): HTMLElement {
  return h(
    "div",
    { class: "state" },
    h("h1", {}, title),
    h("p", {}, text),
    h("div", { class: "act" }, actions),
    evidence,
  );
}

/** The server is down and there is nothing from before. */
export function stoppedPage(): HTMLElement {
  const server = world?.server;
  const python = server?.kind === "no-python";
  return statePage(
    [
      icon("error", "error"),
      python ? t("No Python to run the server") : t("The cost server stopped"),
    ],
    t("Logs are untouched; nothing was lost."),
    [
      primary("restart", t("Restart"), () =>
        send({ kind: "run", command: "copilotUsage.restartServer" }),
      ),
      secondary("log", t("Show log"), () => send({ kind: "run", command: "copilotUsage.showLog" })),
    ],
    server && "message" in server ? h("pre", { tabindex: 0 }, server.message) : null,
  );
}

/** No agent has been used on this machine, or none that leaves a log. */
export function emptyPage(): HTMLElement {
  const agents = load(requests.listAgents, {}).data?.agents ?? [];
  return statePage(
    t("No agent sessions yet"),
    t(
      "Costs are read from the logs that agents keep on this machine. Run one, and its cost appears here within seconds. Nothing leaves this machine.",
    ),
    [
      primary("enable", t("Enable Copilot Chat logging"), () =>
        send({ kind: "run", command: "copilotUsage.enableLogging" }),
      ),
      secondary("doctor", t("Doctor"), () => send({ kind: "run", command: "copilotUsage.doctor" })),
    ],
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", {}, t("Agent")), h("th", {}, t("Found")))),
      h(
        "tbody",
        {},
        agents.map((one) => {
          const files = Object.values(one.sources).reduce((sum, number) => sum + number, 0);
          return h(
            "tr",
            {},
            h(
              "td",
              {},
              h("span", { class: "name" }, icon(agentIcon(one.agent)), agentName(one.agent)),
            ),
            h(
              "td",
              { class: "muted" },
              files
                ? t("{0} files, {1} sessions", files, one.sessions)
                : one.off.length
                  ? t("logging is off")
                  : t("nothing"),
            ),
          );
        }),
      ),
    ),
  );
}

/** A request of the page failed. */
export function errorPage(message: string): HTMLElement {
  return statePage(
    [icon("warn", "warn"), t("This could not be read")],
    message,
    secondary("again", t("Try again"), refresh),
  );
}

/** Lines in place of what is being read. */
export function loadingPage(): HTMLElement {
  return h("p", { class: "muted loading", role: "status" }, t("Reading…"));
}
