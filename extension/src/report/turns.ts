/** The turns of a session, and which of them are open. */
import type { RequestRow, SessionReport, TurnRow } from "../protocol";
import { changed, view } from "./store";

export interface Turn {
  key: string | null;
  /** From 1 in order of time; null: requests that belong to no turn. */
  number: number | null;
  row: TurnRow;
  requests: RequestRow[];
  title: string | null;
}

/** Turns in order of time with their requests; what belongs to none comes last. */
export function turnsOf(report: SessionReport, titles: ReadonlyMap<string, string>): Turn[] {
  const byTurn = new Map<string | null, RequestRow[]>();
  for (const one of report.requests ?? []) {
    const list = byTurn.get(one.turn);
    if (list) list.push(one);
    else byTurn.set(one.turn, [one]);
  }
  const time = (row: TurnRow): string =>
    row.startedAt ?? byTurn.get(row.turn)?.find((one) => one.startedAt)?.startedAt ?? "";
  const rows = [...(report.turns ?? [])].sort((a, b) =>
    (a.turn === null) !== (b.turn === null)
      ? Number(a.turn === null) - Number(b.turn === null)
      : time(a).localeCompare(time(b)),
  );
  return rows.map((row, index) => ({
    key: row.turn,
    number: row.turn === null ? null : index + 1,
    row,
    requests: (byTurn.get(row.turn) ?? []).sort((a, b) =>
      (a.startedAt ?? "").localeCompare(b.startedAt ?? ""),
    ),
    title: row.turn === null ? null : (titles.get(row.turn) ?? null),
  }));
}

/** Numbers of a session's requests in order of time, by key; the same in every view of them. */
export function requestNumbers(report: SessionReport | undefined): Map<string, number> {
  const sorted = [...(report?.requests ?? [])].sort((a, b) =>
    (a.startedAt ?? "").localeCompare(b.startedAt ?? ""),
  );
  return new Map(sorted.map((one, index) => [one.key, index + 1]));
}

/** Name of a turn in the set of open ones. */
export function name(turn: Turn): string {
  return turn.key ?? "";
}

/** Which turns are open: as the person left them, at first the dearest. */
export function openTurns(session: string, turns: readonly Turn[]): Set<string> {
  const left = view.open[session];
  if (left) return new Set(left);
  const dearest = turns.reduce<Turn | undefined>(
    (best, turn) => ((turn.row.nanoAiu ?? 0) > (best?.row.nanoAiu ?? -1) ? turn : best),
    undefined,
  );
  return new Set(dearest ? [name(dearest)] : []);
}

export function setOpen(session: string, turns: Iterable<string>): void {
  view.open = { ...view.open, [session]: [...turns] };
  changed();
}

export function allTurns(turns: readonly Turn[]): string[] {
  return turns.map(name);
}
