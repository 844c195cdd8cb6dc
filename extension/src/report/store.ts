/** What the page knows: the world as told, what it asked for, and where the person is. */
import type { Dimension, Request, Totals } from "../protocol";
import type { FromPage, Ref, Route, ToPage, World } from "../shared/bridge";
import { setBundle } from "../shared/l10n";

interface Editor {
  postMessage(message: FromPage): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare function acquireVsCodeApi(): Editor;

export type Period = "today" | "7d" | "billing-month" | "all";
export type SortKey =
  "title" | "agent" | "workspace" | "when" | "requests" | "input" | "cache" | "cost";
export type Breakdown = "kind" | "model" | "subagent" | "skill" | "tool";

/** What is remembered of the person's choices while the page is hidden or the window reloads. */
export interface View {
  route: Route;
  period: Period;
  where: Dimension;
  sort: { key: SortKey; descending: boolean };
  search: string;
  filters: { agent: string; model: string; workspace: string; basis: string };
  breakdown: Breakdown;
  /** Turns that are open, by session. */
  open: Record<string, string[]>;
  /** Notices that were dismissed. */
  dismissed: string[];
  scroll: number;
}

const FIRST: View = {
  route: { page: "overview" },
  period: "billing-month",
  where: "model",
  sort: { key: "when", descending: true },
  search: "",
  filters: { agent: "", model: "", workspace: "", basis: "" },
  breakdown: "kind",
  open: {},
  dismissed: [],
  scroll: 0,
};

const editor = acquireVsCodeApi();

function remembered(): View {
  const state = editor.getState();
  // written by us, by this version or an older one
  return { ...FIRST, ...(typeof state === "object" ? (state as Partial<View>) : {}) };
}

export const view: View = remembered();

/** Until the extension has told it, there is no world. */
export let world: World | null = null;

let redraw: () => void = () => undefined;
let scheduled = false;

/** Draws the page once, however often it is called until then. */
export function changed(): void {
  editor.setState(view);
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    redraw();
  });
}

/** Remembers the view without drawing. */
export function remember(): void {
  editor.setState(view);
}

export function send(message: FromPage): void {
  editor.postMessage(message);
}

/** Goes to another page of this report. */
export function go(route: Route): void {
  view.route = route;
  view.scroll = 0;
  changed();
}

interface Entry {
  data?: unknown;
  text?: string;
  error?: string;
  /** The state of the ledger it was asked at. */
  asked: string;
  pending: boolean;
  used: number;
}

const KEPT = 60;
const entries = new Map<string, Entry>();
const waiting = new Map<number, (answer: { result?: unknown; error?: string }) => void>();
let lastId = 0;
let clock = 0;
/** Grows when the person asks to read anew. */
let wish = 0;

/** What is known of an answer; the former one stays until a newer one is here. */
export interface Loaded<R> {
  data?: R;
  error?: string;
}

/** The answer to a request, asked for when there is none or the ledger has changed since. */
export function load<P, R>(request: Request<P, R>, params: P): Loaded<R> {
  const key = request.method + JSON.stringify(params);
  let entry = entries.get(key);
  if (!entry) {
    entry = { asked: "", pending: false, used: 0 };
    entries.set(key, entry);
    if (entries.size > KEPT) forgetOldest();
  }
  entry.used = ++clock;
  if (entry.asked !== moment() && !entry.pending && world?.server.kind === "running") {
    ask(entry, request.method, params);
  }
  return {
    ...(entry.data === undefined ? {} : { data: entry.data as R }),
    ...(entry.error === undefined ? {} : { error: entry.error }),
  };
}

function moment(): string {
  return `${world?.status?.generation ?? ""} ${wish}`;
}

function ask(entry: Entry, method: string, params: unknown): void {
  entry.pending = true;
  entry.asked = moment();
  const id = ++lastId;
  waiting.set(id, ({ result, error }) => {
    entry.pending = false;
    const text = error ?? JSON.stringify(result);
    if (text === entry.text && entry.error === error) {
      if (entry.asked !== moment()) changed();
      return;
    }
    entry.text = text;
    if (error === undefined) {
      entry.data = result;
      delete entry.error;
    } else {
      entry.error = error;
    }
    changed();
  });
  send({ kind: "ask", id, method, params });
}

function forgetOldest(): void {
  const oldest = [...entries].filter(([, entry]) => !entry.pending);
  oldest.sort(([, a], [, b]) => a.used - b.used);
  const first = oldest[0];
  if (first) entries.delete(first[0]);
}

/** Reads everything on the page anew. */
export function refresh(): void {
  wish++;
  changed();
}

/** The session that a route means: the one it names, else the current one of the window. */
export function refOf(route: Route): Ref | undefined {
  if (route.page === "session" && route.ref) return route.ref;
  const session = world?.status?.session;
  return session ? { agent: session.agent, id: session.id } : undefined;
}

/** A day when `updatedAt` was less than this ago counts as live. */
const LIVE_MS = 5 * 60_000;

export function isLive(updatedAt: string | null): boolean {
  return updatedAt !== null && Date.now() - Date.parse(updatedAt) < LIVE_MS;
}

/** Whether an amount is complete, for its basis mark. */
export function markOf(totals: Pick<Totals, "nanoAiu" | "basis">): Totals["basis"] {
  return totals.nanoAiu === null ? "unknown" : totals.basis;
}

/** Begins: tells the extension, and draws whenever something changes. */
export function begin(draw: () => void): void {
  redraw = draw;
  window.addEventListener("message", (event: MessageEvent<ToPage>) => {
    const message = event.data;
    switch (message.kind) {
      case "answer": {
        const take = waiting.get(message.id);
        waiting.delete(message.id);
        take?.(message);
        break;
      }
      case "world":
        world = message.world;
        setBundle(world.bundle);
        changed();
        break;
      case "go":
        go(message.route);
        break;
    }
  });
  send({ kind: "ready" });
}
