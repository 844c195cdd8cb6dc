/** What the table of sessions lists: everything there is, searched, filtered, sorted and added up. */
import { requests, type Basis, type SessionRow } from "../protocol";
import { agentName, folderName } from "../shared/format";
import { load, markOf, view, type SortKey } from "./store";

/** The server gives pages; this many rows at once are one message of a few megabytes. */
const PAGE = 2_000;
/** All sessions, page after page as far as they have arrived. */
export function everything(): { rows: SessionRow[]; total: number; done: boolean; error?: string } {
  const rows: SessionRow[] = [];
  let cursor: string | undefined;
  let total = 0;
  for (;;) {
    const { data, error } = load(requests.listSessions, {
      limit: PAGE,
      ...(cursor === undefined ? {} : { cursor }),
    });
    if (!data) return { rows, total, done: false, ...(error === undefined ? {} : { error }) };
    rows.push(...data.sessions);
    total = data.total;
    if (data.cursor === null) return { rows, total, done: true };
    cursor = data.cursor;
  }
}

const haystacks = new WeakMap<SessionRow, string>();

/** What a session is found by. */
function haystack(row: SessionRow): string {
  const known = haystacks.get(row);
  if (known !== undefined) return known;
  const text = [row.title, row.id, row.workspace, row.branch, agentName(row.agent), ...row.models]
    .filter(Boolean)
    .join(" ")
    .toLowerCase();
  haystacks.set(row, text);
  return text;
}

export function fits(row: SessionRow, words: readonly string[]): boolean {
  const { agent, model, workspace, basis } = view.filters;
  return (
    (!agent || row.agent === agent) &&
    (!model || row.models.includes(model)) &&
    (!workspace || folderName(row.workspace) === workspace) &&
    (!basis || markOf(row.totals) === basis) &&
    (!words.length || words.every((word) => haystack(row).includes(word)))
  );
}

const ORDER: Record<SortKey, (row: SessionRow) => string | number> = {
  title: (row) => (row.title ?? row.id).toLowerCase(),
  agent: (row) => agentName(row.agent),
  workspace: (row) => folderName(row.workspace).toLowerCase(),
  when: (row) => row.updatedAt ?? "",
  requests: (row) => row.totals.requests,
  input: (row) => row.totals.inputTokens ?? -1,
  cache: (row) => row.totals.cacheHitRate ?? -1,
  cost: (row) => row.totals.nanoAiu ?? -1,
};

export function sorted(rows: readonly SessionRow[]): SessionRow[] {
  const { key, descending } = view.sort;
  const value = ORDER[key];
  const sign = descending ? -1 : 1;
  return rows
    .map((row) => [value(row), row] as const)
    .sort(([a], [b]) => sign * (a < b ? -1 : a > b ? 1 : 0))
    .map(([, row]) => row);
}

/** Exact sum of what is known, and how many are not. */
export function sum(rows: readonly SessionRow[]): {
  nanoAiu: number | null;
  basis: Basis;
  unknownRequests: number;
  mixed: boolean;
} {
  const known = rows.filter((row) => row.totals.nanoAiu !== null);
  const kinds = new Set(known.map((row) => row.totals.basis));
  const basis = (["estimated", "priced", "billed"] as const).find((kind) => kinds.has(kind));
  return {
    nanoAiu: known.length ? known.reduce((all, row) => all + (row.totals.nanoAiu ?? 0), 0) : null,
    basis: basis ?? "unknown",
    unknownRequests: rows.reduce((all, row) => all + row.totals.unknownRequests, 0),
    mixed: kinds.size > 1,
  };
}

export function values(
  rows: readonly SessionRow[],
  of: (row: SessionRow) => readonly string[],
): string[] {
  return [...new Set(rows.flatMap((row) => of(row)))].sort((a, b) => a.localeCompare(b));
}
