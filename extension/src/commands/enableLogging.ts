import * as vscode from "vscode";
import { requests, type Switch } from "../protocol";
import { agentName } from "../shared/format";
import { t } from "../shared/l10n";
import type { Usage } from "../usage";
import { command, KEPT_OPEN } from "./command";

interface Choice extends vscode.QuickPickItem {
  setting: string;
}

/** Offers the settings that make agents log what they cost; changes none without being told to. */
export function register(usage: Usage): vscode.Disposable {
  return command(usage, "enableLogging", async () => {
    const { agents } = await usage.server.request(requests.listAgents, {});
    const choices = agents
      .filter((agent) => agent.enabled)
      .flatMap((agent) => agent.off.map((one) => choice(agent.agent, one)));
    if (!choices.length) {
      void vscode.window.showInformationMessage(t("Every log that can be switched on is on."));
      return;
    }
    const picked = await vscode.window.showQuickPick(choices, {
      title: t("Enable logging"),
      placeHolder: t("Logs stay on this machine. They take effect after a reload of the window."),
      canPickMany: true,
      ...KEPT_OPEN,
    });
    if (!picked?.length) return;
    const ours = picked.filter((one) => isSettingHere(one.setting));
    for (const { setting } of ours) {
      await vscode.workspace
        .getConfiguration()
        .update(setting, true, vscode.ConfigurationTarget.Global);
    }
    const others = picked.filter((one) => !ours.includes(one)).map((one) => one.setting);
    if (others.length) {
      await vscode.env.clipboard.writeText(others.join("\n"));
      void vscode.window.showInformationMessage(
        t("Copied, to be set where that agent runs: {0}", others.join(", ")),
      );
    }
    if (!ours.length) return;
    const reload = t("Reload window");
    const answer = await vscode.window.showInformationMessage(
      t("Logging is on. It begins after a reload of the window."),
      reload,
    );
    if (answer === reload) await vscode.commands.executeCommand("workbench.action.reloadWindow");
  });
}

function choice(agent: string, { setting, gives }: Switch): Choice {
  return {
    setting,
    label: setting,
    description: agentName(agent),
    detail: gives,
    picked: isSettingHere(setting),
  };
}

function isSettingHere(setting: string): boolean {
  return typeof vscode.workspace.getConfiguration().inspect(setting)?.defaultValue === "boolean";
}
