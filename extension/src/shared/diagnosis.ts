/** The doctor's report as Markdown. */
import type { DoctorReport } from "../protocol";
import { t } from "./l10n";
import { plain } from "./tooltip";

const PROBLEMS = 100;

export function diagnosis({ agents, problems, ledger }: DoctorReport): string {
  const lines = [`# ${t("Copilot Usage: Doctor")}`, ""];
  lines.push(`| ${t("Agent")} | ${t("Sessions")} | ${t("Sources")} |`, "| :-- | --: | :-- |");
  for (const agent of agents) {
    const sources = Object.entries(agent.sources).map(([kind, files]) => `${plain(kind)} ${files}`);
    lines.push(`| ${plain(agent.label)} | ${agent.sessions} | ${sources.join(", ") || "—"} |`);
  }
  const off = agents.flatMap((agent) => agent.off.map((one) => ({ agent: agent.label, ...one })));
  lines.push("", `## ${t("Switched off")}`, "");
  if (!off.length) lines.push(t("Nothing that we know of."));
  for (const one of off) {
    lines.push(`- \`${one.setting.replace(/`/g, "")}\` (${plain(one.agent)}): ${plain(one.gives)}`);
  }
  const drift = agents.flatMap((agent) => agent.drift);
  if (drift.length) {
    lines.push("", `## ${t("Never seen before")}`, "", ...drift.map((one) => `- ${plain(one)}`));
  }
  lines.push("", `## ${t("Problems")}`, "");
  if (!problems.length) lines.push(t("None."));
  for (const problem of problems.slice(0, PROBLEMS)) {
    const place = problem.offset === null ? problem.path : `${problem.path}:${problem.offset}`;
    lines.push(`- **${plain(problem.kind)}** ${plain(problem.message)}  `, `  ${plain(place)}`);
  }
  if (problems.length > PROBLEMS) lines.push(`- ${t("{0} more", problems.length - PROBLEMS)}`);
  lines.push(
    "",
    `## ${t("Ledger")}`,
    "",
    `${plain(ledger.path)}  `,
    t("{0} sessions of {1} sources, {2} bytes", ledger.sessions, ledger.sources, ledger.bytes),
  );
  return `${lines.join("\n")}\n`;
}
