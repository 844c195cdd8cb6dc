import * as vscode from "vscode";
import { requests } from "../protocol";
import { set } from "../settings";
import { count, planName } from "../shared/format";
import { t } from "../shared/l10n";
import type { Usage } from "../usage";
import { command, KEPT_OPEN } from "./command";

interface Choice extends vscode.QuickPickItem {
  plan: string;
}

export function register(usage: Usage): vscode.Disposable {
  return command(usage, "setPlan", async () => {
    const { plans } = await usage.server.request(requests.getPrices, {});
    const locale = vscode.env.language;
    const today = new Date().toISOString().slice(0, 10);
    const choices: Choice[] = plans
      .filter((plan) => plan.since <= today && (plan.until === null || plan.until > today))
      .map((plan) => ({
        plan: plan.name,
        label: planName(plan.name),
        description: t("{0} credits a month", count(plan.credits, locale)),
        ...(plan.pooled ? { detail: t("Shared by all seats of the organisation") } : {}),
      }));
    choices.push({ plan: "", label: t("None"), description: t("Show no allowance") });
    const picked = await vscode.window.showQuickPick(choices, {
      title: t("Your Copilot plan"),
      ...KEPT_OPEN,
    });
    if (picked) await set("plan", picked.plan);
  });
}
