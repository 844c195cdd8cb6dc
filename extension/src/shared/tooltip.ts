/** The hover of the status bar item, as Markdown. Pure, so that every state can be tested. */
import type { CacheClock, LiveStatus, Quota, Status, StatusSession } from "../protocol";
import { basisWords } from "./basis";
import {
  agentName,
  amount,
  count,
  moment,
  percent,
  planName,
  round,
  spent,
  tokens,
  when,
  type Manner,
} from "./format";
import type { ServerState } from "./item";
import { t } from "./l10n";

const MODELS = 4;
const TITLE = 60;

/** `text` with everything taken away that Markdown or HTML could take for markup. */
export function plain(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/[\\`*_{}[\]()#+\-.!|~$:]/g, "\\$&")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;");
}

/** The first characters of a title, whole code points, with an ellipsis where it was cut. */
export function short(text: string, length: number): string {
  const characters = Array.from(text.replace(/\s+/g, " ").trim());
  return characters.length <= length
    ? characters.join("")
    : `${characters.slice(0, length - 1).join("")}…`;
}

function link(text: string, command: string, argument?: unknown): string {
  const query = argument === undefined ? "" : `?${encodeURIComponent(JSON.stringify([argument]))}`;
  return `[${text}](command:copilotUsage.${command}${query})`;
}

function requests(value: number, manner: Manner): string {
  return value === 1 ? t("1 request") : t("{0} requests", count(value, manner.locale));
}

function sessionLines(session: StatusSession, manner: Manner): string[] {
  const { totals } = session;
  const title = session.title ?? session.id;
  const lines = [
    `**${plain(short(title, TITLE))}**  `,
    `${agentName(session.agent)} · ${requests(totals.requests, manner)} · ${basisWords(
      totals.nanoAiu === null ? "unknown" : totals.basis,
    )}`,
    "",
  ];
  const unit = manner.unit === "credits" ? t("Credits") : t("Cost");
  lines.push(
    `| ${t("Model")} | ${t("Input")} | ${t("From cache")} | ${t("Output")} | ${unit} |`,
    "|:---|---:|---:|---:|---:|",
  );
  const row = (name: string, figures: typeof totals): string =>
    `| ${name} | ${tokens(figures.inputTokens, manner.locale)} | ${percent(
      figures.cacheHitRate,
      manner.locale,
    )} | ${tokens(figures.outputTokens, manner.locale)} | ${amount(figures, manner).replace(
      / cr$/,
      "",
    )} |`;
  for (const model of session.models.slice(0, MODELS)) {
    lines.push(row(plain(model.model ?? t("unknown model")), model));
  }
  if (session.models.length > MODELS) {
    lines.push(`| ${t("{0} more", session.models.length - MODELS)} | | | | |`);
  }
  lines.push(row(`**${t("This session")}**`, totals), "");
  const subagents = session.subagents.filter((one) => one.subagent !== "main");
  if (subagents.length) {
    const names = subagents
      .slice(0, 2)
      .map((one) => `${plain(one.subagent ?? t("unknown"))} ${amount(one, manner)}`);
    if (subagents.length > 2) names.push(t("{0} more", subagents.length - 2));
    lines.push(`${t("Subagents")}: ${names.join(", ")}`, "");
  }
  if (totals.unknownRequests > 0) {
    lines.push(
      `≥ ${
        totals.unknownRequests === 1
          ? t("the cost of 1 request is not known")
          : t("the cost of {0} requests is not known", totals.unknownRequests)
      }`,
      "",
    );
  }
  return lines;
}

/** What the next message costs at least, while the cache is warm and after that. */
export function nextTurn(cache: CacheClock, manner: Manner, now: number): string {
  const least = (nanoAiu: number): string =>
    amount({ nanoAiu, basis: cache.basis, unknownRequests: 1 }, manner);
  return Date.parse(cache.expiresAt) > now
    ? t(
        "Cache warm until {0}: next turn {1}, afterwards {2}",
        when(cache.expiresAt, "minute", manner),
        least(cache.warmCost),
        least(cache.coldCost),
      )
    : t("Cache cold: next turn {0}", least(cache.coldCost));
}

function quotaLine(quota: Quota, manner: Manner): string | null {
  if (quota.unlimited || quota.remainingPercent === null) return null;
  const names: Record<string, string> = {
    premium_interactions: t("Premium requests"),
    chat: t("Chat"),
    completions: t("Completions"),
  };
  const left = percent(quota.remainingPercent / 100, manner.locale);
  return [
    `${names[quota.kind] ?? plain(quota.kind)} ${
      quota.entitlement === null
        ? t("{0} left", left)
        : t("{0} of {1} left", left, count(quota.entitlement, manner.locale))
    }`,
    ...(quota.overage ? [t("{0} beyond it", count(quota.overage, manner.locale))] : []),
    ...(quota.resetsAt
      ? [t("resets {0} UTC", when(quota.resetsAt, "day", { ...manner, zone: "UTC" }))]
      : []),
  ].join(" · ");
}

/** What only a running agent tells: how full its context is, and the account's quota. */
function liveLines(live: LiveStatus, manner: Manner): string[] {
  const lines: string[] = [];
  if (live.contextTokens !== null && live.contextLimit) {
    lines.push(
      t(
        "Context {0} of {1} tokens",
        tokens(live.contextTokens, manner.locale),
        tokens(live.contextLimit, manner.locale),
      ) + ` · ${percent(live.contextTokens / live.contextLimit, manner.locale)}`,
      "",
    );
  }
  for (const quota of live.quotas) {
    const line = quotaLine(quota, manner);
    if (line) lines.push(line, "");
  }
  if (live.problem) lines.push(`$(info) Copilot CLI: ${plain(short(live.problem, 80))}`, "");
  return lines;
}

function troubleLines(status: Status): string[] {
  const lines: string[] = [];
  for (const one of status.off.slice(0, 2)) {
    lines.push(
      `${status.health === "logging-off" ? "$(warning)" : "$(info)"} ${t("{0} is off", `\`${one.setting.replace(/`/g, "")}\``)}: ${link(
        t("enable"),
        "enableLogging",
      )}`,
      "",
    );
  }
  if (status.health === "indexing") {
    lines.push(
      `$(sync~spin) ${t("History is still being read; totals grow until it is done")}`,
      "",
    );
  }
  if (status.problems > 0) {
    const words =
      status.problems === 1
        ? t("1 source could not be read in full")
        : t("{0} sources could not be read in full", status.problems);
    lines.push(`$(warning) ${words}: ${link(t("details"), "doctor")}`, "");
  }
  return lines;
}

/** The hover for what is known at `now`. */
export function tooltip(
  server: ServerState,
  status: Status | null,
  manner: Manner,
  now = Date.now(),
): string {
  if (server.kind === "stopped" || server.kind === "no-python") {
    const fix =
      server.kind === "stopped"
        ? link(t("Restart"), "restartServer")
        : link(t("Choose a Python"), "pickPython");
    return [
      `$(error) **${
        server.kind === "stopped" ? t("The cost server stopped") : t("No Python to run the server")
      }**`,
      "",
      plain(server.message),
      "",
      `${fix} · ${link(t("Show log"), "showLog")}`,
    ].join("\n");
  }
  if (!status) return t("Reading the logs of agents on this machine…");
  const lines: string[] = [];
  if (status.session) lines.push(...sessionLines(status.session, manner));
  else lines.push(`**${t("No session in this window yet")}**`, "");
  if (status.cache) lines.push(nextTurn(status.cache, manner, now), "");
  if (status.live) lines.push(...liveLines(status.live, manner));
  lines.push(...troubleLines(status));
  const today = `${t("Today")} ${amount(spent(status.today.totals), manner)}`;
  const month = `${when(status.month.startsAt, "month", { ...manner, zone: "UTC" })} ${amount(
    spent(status.month.totals),
    manner,
  )}`;
  lines.push(`${today} · ${month}`, "");
  const allowance = status.allowance;
  const reset = t("resets {0} UTC", when(status.month.resetsAt, "day", { ...manner, zone: "UTC" }));
  if (allowance) {
    const used = amount(
      { nanoAiu: allowance.usedNanoAiu, basis: allowance.basis, unknownRequests: 0 },
      manner,
    );
    const plan = allowance.plan ? plain(planName(allowance.plan)) : t("Allowance");
    lines.push(
      `${plan} · ${t("{0} of {1}", used, round(allowance.nanoAiu, manner))} · ${percent(
        allowance.share,
        manner.locale,
      )} · ${reset}`,
      "",
    );
    if (allowance.pooled)
      lines.push(t("Shared by your organisation: others' use is not known here"), "");
  } else {
    lines.push(`${link(t("Set your plan"), "setPlan")} · ${reset}`, "");
  }
  const links = [link(t("Open report"), "openReport")];
  if (status.session) links.push(link(t("Why this number?"), "explain"));
  const updated = status.changedAt
    ? ` · ${t("updated {0}", moment(status.changedAt, manner))}`
    : "";
  lines.push(links.join(" · ") + updated);
  return lines.join("\n");
}
