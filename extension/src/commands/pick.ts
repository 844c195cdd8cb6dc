import * as vscode from "vscode";
import { requests, type SessionRow } from "../protocol";
import { manner } from "../settings";
import type { Ref } from "../shared/bridge";
import { agentName, amount, folderName, when } from "../shared/format";
import { t } from "../shared/l10n";
import { short } from "../shared/tooltip";
import type { Usage } from "../usage";
import { KEPT_OPEN } from "./command";

const MANY = 500;

interface Choice extends vscode.QuickPickItem {
  row: SessionRow;
}

/** Lets the person choose a session by title, agent, workspace or cost; undefined: changed their mind. */
export async function pickSession(
  { server }: Usage,
  title: string,
  except?: Ref,
): Promise<Ref | undefined> {
  const items = server
    .request(requests.listSessions, { limit: MANY })
    .then(({ sessions }) =>
      sessions.filter((row) => row.id !== except?.id || row.agent !== except.agent).map(choice),
    );
  const picked = await vscode.window.showQuickPick(items, {
    title,
    placeHolder: t("Search by title, agent, workspace or cost"),
    matchOnDescription: true,
    matchOnDetail: true,
    ...KEPT_OPEN,
  });
  return picked && { agent: picked.row.agent, id: picked.row.id };
}

function choice(row: SessionRow): Choice {
  const style = manner();
  return {
    row,
    label: short(row.title ?? row.id, 80),
    description: amount(row.totals, style),
    detail: [
      agentName(row.agent),
      folderName(row.workspace),
      when(row.updatedAt, "moment", style),
      row.models[0] ?? "",
    ]
      .filter(Boolean)
      .join(" · "),
  };
}

/** The current session of the window, else one that the person chooses. */
export async function currentOrPicked(usage: Usage, title: string): Promise<Ref | undefined> {
  const session = usage.feed.status?.session ?? (await usage.feed.refresh()).session;
  return session ? { agent: session.agent, id: session.id } : pickSession(usage, title);
}
