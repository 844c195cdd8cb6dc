/** A session's cost as Markdown, to paste into a pull request or a note. */
import type { SessionReport } from "../protocol";
import { basisWords } from "./basis";
import { agentName, amount, count, percent, tokens, when, type Manner } from "./format";
import { t } from "./l10n";

function cell(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[\\|`*_<>[\]]/g, "\\$&");
}

export function summary(report: SessionReport, manner: Manner): string {
  const { totals } = report;
  const both = (figure: typeof totals): string =>
    manner.unit === "credits"
      ? `${amount(figure, manner)} (${amount(figure, { ...manner, unit: "usd" })})`
      : `${amount(figure, manner)} (${amount(figure, { ...manner, unit: "credits" })})`;
  const lines = [
    `**${cell(report.title ?? report.id ?? t("Session"))}**`,
    "",
    `${agentName(report.agent)}, ${when(report.startedAt, "moment", manner)}: **${both(totals)}**, ${basisWords(
      totals.nanoAiu === null ? "unknown" : totals.basis,
    )}`,
    "",
    `| ${t("Model")} | ${t("Requests")} | ${t("Input")} | ${t("From cache")} | ${t("Output")} | ${t("Cost")} |`,
    "| :-- | --: | --: | --: | --: | --: |",
  ];
  for (const row of [...(report.models ?? []), { ...totals, model: t("Total") }]) {
    lines.push(
      `| ${cell(row.model ?? t("unknown"))} | ${count(row.requests, manner.locale)} | ${tokens(
        row.inputTokens,
        manner.locale,
      )} | ${percent(row.cacheHitRate, manner.locale)} | ${tokens(
        row.outputTokens,
        manner.locale,
      )} | ${amount(row, manner)} |`,
    );
  }
  if (totals.unknownRequests > 0) {
    lines.push("", t("≥: the cost of {0} requests is not known.", totals.unknownRequests));
  }
  return `${lines.join("\n")}\n`;
}
