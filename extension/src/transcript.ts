/** Transcripts: documents that are read from the log when they are shown, and kept nowhere. */
import * as vscode from "vscode";
import { requests } from "./protocol";
import type { Ref } from "./shared/bridge";
import { t } from "./shared/l10n";
import { short } from "./shared/tooltip";
import type { Usage } from "./usage";

const SCHEME = "copilot-usage-transcript";

export function register({ server }: Usage): vscode.Disposable {
  return vscode.workspace.registerTextDocumentContentProvider(SCHEME, {
    provideTextDocumentContent: async ({ query }, token) => {
      const { id, agent } = JSON.parse(query) as Ref;
      let text = "";
      let cursor: string | null | undefined;
      do {
        const page = await server.request(
          requests.replaySession,
          { session: id, agent, ...(cursor ? { cursor } : {}) },
          token,
        );
        text += page.text;
        cursor = page.cursor;
      } while (cursor !== null && !token.isCancellationRequested);
      return text;
    },
  });
}

/** Shows what was said in a session, under its title. */
export async function openTranscript(ref: Ref, title: string): Promise<void> {
  const name = t("Transcript: {0}", short(title, 60)).replace(/[/\\]/g, "∕");
  const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${name}`, query: JSON.stringify(ref) });
  const document = await vscode.workspace.openTextDocument(uri);
  await vscode.window.showTextDocument(document, { preview: true });
}
