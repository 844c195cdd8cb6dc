/** Growth of the context: input of each request of the main agent, and where the cache broke. */
import type { RequestRow } from "../protocol";
import { amount, count, duration, percent, tokens } from "../shared/format";
import { t } from "../shared/l10n";
import { nice } from "./columns";
import { h, hiddenTable, s } from "./dom";
import { inputSegments, manner } from "./figures";

/** Why a request read little of what the one before had sent. */
export interface Break {
  why: "pause" | "model" | "other";
  /** Tokens that the request before it had sent and this one did not read from the cache. */
  lost: number;
  pauseMs: number | null;
}

/** Prompts below this are not worth a cache. */
const WORTH_CACHING = 4_096;
/** Less than this share of the former prompt read from the cache is a break. */
const LEAST_READ = 0.25;
/** A prompt this much shorter is another one: compacted, or a new conversation. */
const SHORTER = 0.6;
/** Caches of model providers live this long without use, or longer. */
const CACHE_MS = 5 * 60_000;

/** Requests of the main agent's conversation in order of time. */
export function mainRequests(requests: readonly RequestRow[]): RequestRow[] {
  return requests
    .filter((one) => !one.subagent.length && one.surface === "chat" && one.inputTokens !== null)
    .sort((a, b) => (a.startedAt ?? "").localeCompare(b.startedAt ?? ""));
}

/** Cache breaks by key of the request. */
export function breaks(main: readonly RequestRow[]): Map<string, Break> {
  const found = new Map<string, Break>();
  main.forEach((one, index) => {
    const before = main[index - 1];
    if (!before?.inputTokens || one.inputTokens === null || one.cacheReadTokens === null) return;
    const shrunk = one.inputTokens < before.inputTokens * SHORTER;
    if (before.inputTokens < WORTH_CACHING || shrunk) return;
    if (one.cacheReadTokens >= before.inputTokens * LEAST_READ) return;
    const pauseMs =
      one.startedAt && before.startedAt
        ? Date.parse(one.startedAt) - Date.parse(before.startedAt)
        : null;
    found.set(one.key, {
      why:
        one.model !== before.model
          ? "model"
          : pauseMs !== null && pauseMs >= CACHE_MS
            ? "pause"
            : "other",
      lost: before.inputTokens - one.cacheReadTokens,
      pauseMs,
    });
  });
  return found;
}

/** A break in a few words. */
export function breakWord({ why }: Break): string {
  if (why === "model") return t("model switch");
  return why === "pause" ? t("cache cold") : t("cache not used");
}

/** A break in a sentence. */
export function breakWords(one: Break): string {
  const lost = t("{0} tokens not read from the cache", tokens(one.lost, manner().locale));
  return one.why === "pause" ? t("{0} pause, {1}", duration(one.pauseMs), lost) : lost;
}

interface Turns {
  /** Number of the turn of a request, for the axis. */
  numberOf(request: RequestRow): number | null;
}

export function contextChart(
  main: readonly RequestRow[],
  broken: ReadonlyMap<string, Break>,
  width: number,
  turns: Turns,
): HTMLElement {
  const small = width < 460;
  const height = small ? 96 : 148;
  const [left, top, bottom] = [small ? 34 : 44, small ? 14 : 30, 18];
  const max = nice(Math.max(1, ...main.map((one) => one.inputTokens ?? 0)) * 1.02);
  const { locale } = manner();
  const y = (value: number): number => top + (height - top - bottom) * (1 - value / max);
  const pitch = (width - left) / Math.max(1, main.length);
  const thick = Math.max(1, Math.min(26, Math.floor(pitch * 0.62)));
  const lines = (small ? [0, 1] : [0, 0.5, 1]).flatMap((share) => {
    const line = Math.round(y(max * share)) + 0.5;
    return [
      s("line", { class: share ? "grid" : "base", x1: left, x2: width, y1: line, y2: line }),
      s(
        "text",
        { x: left - 8, y: line + 3.5, "text-anchor": "end" },
        tokens(Math.round(max * share), locale).replace(/\.0k$/, "k"),
      ),
    ];
  });
  let lastTurn: number | null = null;
  let lastLabel = -Infinity;
  let lastWords = -Infinity;
  const drawn = main.map((one, index) => {
    const x = left + index * pitch;
    const middle = Math.round(x + (pitch - thick) / 2) + thick / 2;
    let edge = y(0);
    const stack = inputSegments(one).map(([value, fill]) => {
      const size = (value / max) * (height - top - bottom);
      edge -= size;
      return size < 0.2
        ? null
        : s("rect", {
            x: middle - thick / 2,
            y: edge.toFixed(2),
            width: thick,
            height: Math.max(0.5, size - 0.6).toFixed(2),
            fill,
          });
    });
    const turn = turns.numberOf(one);
    const fresh = turn !== null && turn !== lastTurn && middle - lastLabel > 22;
    if (turn !== null) lastTurn = turn;
    if (fresh) lastLabel = middle;
    const gap = broken.get(one.key);
    const words = gap && !small && middle - lastWords > 90 ? breakWord(gap) : null;
    if (words) lastWords = middle;
    const tip = [
      turn === null ? null : t("turn {0}", turn),
      one.model,
      t("{0} tokens", count(one.inputTokens ?? 0, locale)),
      t("{0} from cache", percent(one.cacheHitRate, locale)),
      amount(one, manner()),
      gap ? breakWords(gap) : null,
    ]
      .filter((text) => text !== null)
      .join(", ");
    return [
      s(
        "g",
        { class: "col", tabindex: 0, role: "img", "aria-label": tip, "data-key": `bar ${one.key}` },
        s("title", {}, tip),
        s("rect", { class: "hit", x, y: top, width: pitch, height: height - top - bottom }),
        stack,
      ),
      fresh ? s("text", { x: middle, y: height - 4, "text-anchor": "middle" }, String(turn)) : null,
      gap ? s("path", { class: "break", d: `M${middle - 4} ${edge - 10}h8l-4 6z` }) : null,
      words
        ? s(
            "text",
            {
              class: "v",
              x: Math.min(Math.max(middle, left + 36), width - 36),
              y: edge - 14,
              "text-anchor": "middle",
            },
            words,
          )
        : null,
    ];
  });
  const caption = t("Context by request of the main agent");
  return h(
    "div",
    { class: "chart-box" },
    s("svg", { class: "chart", width, height, role: "group", "aria-label": caption }, lines, drawn),
    hiddenTable(
      caption,
      [t("Turn"), t("Model"), t("Input"), t("Cache read"), t("Cache write")],
      main.map((one) => [
        String(turns.numberOf(one) ?? "—"),
        one.model ?? "—",
        tokens(one.inputTokens, locale),
        tokens(one.cacheReadTokens, locale),
        tokens(one.cacheWriteTokens, locale),
      ]),
    ),
  );
}
