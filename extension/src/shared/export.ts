/** A session as a file: CSV for tables, HTML for people. JSON is the report itself. */
import type { RemainderRow, RequestRow, SessionReport, Totals } from "../protocol";
import { basisWords } from "./basis";
import { agentName, amount, count, percent, tokens, when, zoneName, type Manner } from "./format";
import { t } from "./l10n";

const COLUMNS = [
  "key",
  "startedAt",
  "turn",
  "subagent",
  "surface",
  "status",
  "model",
  "inputTokens",
  "cacheReadTokens",
  "cacheWriteTokens",
  "outputTokens",
  "reasoningTokens",
  "nanoAiu",
  "basis",
  "billing",
  "durationMs",
  "source",
  "path",
  "offset",
  "reason",
] as const;

/** One line per request, then one per remainder; amounts in nano-AIU, unknown is empty. */
export function csv(report: SessionReport): string {
  const field = (value: string | number | readonly string[] | null | undefined): string => {
    const text = typeof value === "object" ? (value?.join("/") ?? "") : String(value ?? "");
    // a leading =, +, - or @ would be a formula to spreadsheets
    const safe = /^[=+\-@\t]/.test(text) && typeof value !== "number" ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  const rows: Partial<RequestRow & RemainderRow>[] = [
    ...(report.requests ?? []),
    ...(report.unattributed ?? []),
  ];
  return [
    COLUMNS.join(","),
    ...rows.map((row) => COLUMNS.map((name) => field(row[name])).join(",")),
  ]
    .map((line) => `${line}\r\n`)
    .join("");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign);
}

const STYLE = `
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font-variant-numeric: tabular-nums }
h1 { font-size: 1.3rem } h2 { font-size: 1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid #8884 }
th:not(:first-child), td:not(:first-child) { text-align: right; white-space: nowrap }
.cost { font-size: 2rem; margin: .5rem 0 0 }
`;

/** A page that needs nothing else: no script, no remote file. */
export function html(report: SessionReport, manner: Manner): string {
  const row = (tag: "td" | "th", cells: readonly string[]): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("")}</tr>`;
  const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
    `<table><thead>${row("th", head)}</thead><tbody>${rows
      .map((cells) => row("td", cells))
      .join("")}</tbody></table>`;
  const figures = (name: string, totals: Totals): string[] => [
    name,
    count(totals.requests, manner.locale),
    tokens(totals.inputTokens, manner.locale),
    percent(totals.cacheHitRate, manner.locale),
    tokens(totals.outputTokens, manner.locale),
    amount(totals, manner),
  ];
  const head = (first: string): string[] => [
    first,
    t("Requests"),
    t("Input"),
    t("From cache"),
    t("Output"),
    t("Cost"),
  ];
  const { totals } = report;
  const title = report.title ?? report.id ?? t("Session");
  const requests = (report.requests ?? []).map((one) => [
    when(one.startedAt, "moment", manner),
    one.model ?? t("unknown"),
    one.subagent.join(" › ") || t("main"),
    tokens(one.inputTokens, manner.locale),
    tokens(one.cacheReadTokens, manner.locale),
    tokens(one.outputTokens, manner.locale),
    amount(one, manner),
  ]);
  return `<!doctype html>
<html lang="${escape(manner.locale)}">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(title)}</title>
<style>${STYLE}</style>
<h1>${escape(title)}</h1>
<p>${escape(agentName(report.agent))} · ${escape(when(report.startedAt, "moment", manner))} ${escape(zoneName(manner))}</p>
<p class="cost">${escape(amount(totals, manner))}</p>
<p>${escape(basisWords(totals.nanoAiu === null ? "unknown" : totals.basis))}</p>
<h2>${escape(t("Models"))}</h2>
${table(
  head(t("Model")),
  (report.models ?? []).map((one) => figures(one.model ?? t("unknown"), one)),
)}
<h2>${escape(t("Agents"))}</h2>
${table(
  head(t("Agent")),
  (report.subagents ?? []).map((one) => figures(one.subagent ?? t("unknown"), one)),
)}
<h2>${escape(t("Requests"))}</h2>
${table(
  [t("Time"), t("Model"), t("Agent"), t("Input"), t("From cache"), t("Output"), t("Cost")],
  requests,
)}
</html>
`;
}
