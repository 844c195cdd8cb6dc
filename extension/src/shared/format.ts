/**
 * How amounts, tokens and times are written. Amounts come as whole nano-AIU (1e9 to a credit,
 * 1e11 to a US dollar) or null, which is unknown and never 0.
 */
import type { Basis } from "../protocol";

export type Unit = "credits" | "usd" | "other";

/** The person's choice of unit, language and time zone. */
export interface Manner {
  unit: Unit;
  /** Code of the other currency, such as EUR. */
  currency: string;
  /** How much of it one US dollar is. */
  currencyPerUsd: number;
  /** BCP 47 tag of the editor's language. */
  locale: string;
  /** IANA name; undefined: that of the machine. */
  zone: string | undefined;
}

/** What is needed of totals to write their amount. */
export interface Figure {
  nanoAiu: number | null;
  basis: Basis;
  unknownRequests?: number;
}

/** An amount cut at its decimal point, so that columns can be lined up there. */
export interface Parts {
  /** `≥` where something is left out, `~` where something was assumed. */
  qualifier: string;
  integer: string;
  fraction: string;
  /** The rest after the fraction, such as a currency sign that is written behind. */
  suffix: string;
  /** Below 1 in its unit. */
  small: boolean;
}

/** What a period cost: nothing at all where nothing was used, which is not the same as unknown. */
export function spent<T extends Figure & { requests: number }>(totals: T): T {
  return totals.nanoAiu === null && totals.requests === 0
    ? { ...totals, nanoAiu: 0, basis: "billed" }
    : totals;
}

const NANO_PER_CREDIT = 1e9;
const NANO_PER_USD = 1e11;
const formats = new Map<string, Intl.NumberFormat>();

function numberFormat(locale: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = locale + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, options);
    formats.set(key, format);
  }
  return format;
}

function currencyOf(manner: Manner): string | undefined {
  if (manner.unit === "credits") return undefined;
  if (manner.unit === "usd" || !/^[A-Z]{3}$/i.test(manner.currency)) return "USD";
  return manner.currency.toUpperCase();
}

/** `nano` in the unit chosen. */
export function inUnit(nano: number, manner: Manner): number {
  if (manner.unit === "credits") return nano / NANO_PER_CREDIT;
  const usd = nano / NANO_PER_USD;
  return manner.unit === "other" && currencyOf(manner) !== "USD"
    ? usd * manner.currencyPerUsd
    : usd;
}

/** An amount in parts; null for an unknown one. Nothing above zero is ever written as zero. */
export function parts(figure: Figure, manner: Manner): Parts | null {
  if (figure.nanoAiu === null) return null;
  const value = inUnit(figure.nanoAiu, manner);
  const size = Math.abs(value);
  const currency = currencyOf(manner);
  const fine = currency ? 4 : 3;
  const smallest = 10 ** -fine;
  const tiny = size > 0 && size < smallest / 2;
  const digits = size === 0 || Number(size.toFixed(fine)) >= 1 ? 2 : fine;
  const format = numberFormat(manner.locale, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
    ...(currency ? { style: "currency", currency, currencyDisplay: "narrowSymbol" } : {}),
  });
  let integer = "";
  let fraction = "";
  let suffix = "";
  for (const part of format.formatToParts(tiny ? Math.sign(value) * smallest : value)) {
    if (part.type === "decimal" || part.type === "fraction") fraction += part.value;
    else if (fraction) suffix += part.value;
    else integer += part.value;
  }
  const least = (figure.unknownRequests ?? 0) > 0 ? "≥" : "";
  const assumed = figure.basis === "estimated" ? "~" : "";
  return {
    qualifier: least + assumed,
    integer: (tiny ? "<" : "") + integer.replace("-", "−"),
    fraction,
    suffix: suffix.trimEnd(),
    small: size > 0 && size < 1,
  };
}

/** An amount for running text, with its marks and unit: `≥~4,964.18 cr`, `$1.40`, `—`. */
export function amount(figure: Figure, manner: Manner): string {
  const cut = parts(figure, manner);
  const text = cut ? cut.qualifier + cut.integer + cut.fraction + cut.suffix : "—";
  return manner.unit === "credits" ? `${text} cr` : text;
}

/** An amount in US dollars down to a nano-AIU, for proofs. */
export function exactUsd(nano: number | null, locale: string): string {
  if (nano === null) return "—";
  return numberFormat(locale, {
    style: "currency",
    currency: "USD",
    currencyDisplay: "narrowSymbol",
    minimumFractionDigits: 2,
    maximumFractionDigits: 11,
  }).format(nano / NANO_PER_USD);
}

/** An amount in credits down to a nano-AIU, for proofs. */
export function exactCredits(nano: number | null, locale: string): string {
  if (nano === null) return "—";
  return numberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 9 }).format(
    nano / NANO_PER_CREDIT,
  );
}

/** Whole credits where they are whole, for allowances: `7,000`. */
export function round(nano: number, manner: Manner): string {
  const currency = currencyOf(manner);
  return numberFormat(manner.locale, {
    maximumFractionDigits: 0,
    ...(currency ? { style: "currency", currency, currencyDisplay: "narrowSymbol" } : {}),
  }).format(inUnit(nano, manner));
}

/** A count in full. */
export function count(value: number, locale: string): string {
  return numberFormat(locale, {}).format(value);
}

/** Tokens: in full below 10,000, then `21.4k`, `746k`, `1.02M`; `—` when unknown. */
export function tokens(value: number | null, locale: string): string {
  if (value === null) return "—";
  if (value < 10_000) return count(value, locale);
  const [scaled, unit] = value < 999_500 ? [value / 1e3, "k"] : [value / 1e6, "M"];
  const digits = unit === "k" ? (scaled < 99.95 ? 1 : 0) : scaled < 9.995 ? 2 : 1;
  return (
    numberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(
      scaled,
    ) + unit
  );
}

/** A share of 0 to 1: `56 %`, below a tenth `5.6 %`; `—` when unknown. */
export function percent(share: number | null, locale: string): string {
  if (share === null || !Number.isFinite(share)) return "—";
  const digits = share < 0.0995 && share > 0 ? 1 : 0;
  const number = numberFormat(locale, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return `${number.format(share * 100)} %`;
}

/** Milliseconds as `42 s`, `3:42` or `1:03:42`; `—` when unknown. */
export function duration(milliseconds: number | null): string {
  if (milliseconds === null) return "—";
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const two = (value: number): string => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}:${two(seconds % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

const WHEN = {
  day: { day: "numeric", month: "short" },
  weekday: { weekday: "short", day: "numeric", month: "short" },
  month: { month: "long", year: "numeric" },
  minute: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  second: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  moment: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
} satisfies Record<string, Intl.DateTimeFormatOptions>;

const clocks = new Map<string, Intl.DateTimeFormat>();

/** A moment (ISO-8601) as day, time or both, in the person's zone unless another is named. */
export function when(
  iso: string | null,
  style: keyof typeof WHEN,
  manner: Pick<Manner, "locale" | "zone">,
): string {
  if (iso === null) return "—";
  const key = `${manner.locale} ${manner.zone ?? ""} ${style}`;
  let clock = clocks.get(key);
  if (!clock) {
    // day before month, as everywhere in the report, also where the editor speaks US English
    const locale = manner.locale === "en" || manner.locale === "en-US" ? "en-GB" : manner.locale;
    clock = new Intl.DateTimeFormat(locale, { ...WHEN[style], timeZone: manner.zone });
    clocks.set(key, clock);
  }
  return clock.format(new Date(iso)).replace("Sept", "Sep");
}

/** A moment as briefly as can be: the time if it is today, else day and time. */
export function moment(iso: string, manner: Pick<Manner, "locale" | "zone">): string {
  const today = when(new Date().toISOString(), "weekday", manner);
  return when(iso, when(iso, "weekday", manner) === today ? "second" : "moment", manner);
}

/** Name of the zone that times are written in. */
export function zoneName(manner: Manner): string {
  return manner.zone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

const AGENTS: Readonly<Record<string, string>> = {
  "copilot-vscode": "Copilot Chat",
  "copilot-cli": "Copilot CLI",
  "claude-code": "Claude Code",
  codex: "Codex",
  opencode: "OpenCode",
  gemini: "Gemini CLI",
  "agent-log": "Agent log",
};

/** An agent's name for people. */
export function agentName(agent: string): string {
  return AGENTS[agent] ?? agent;
}

/** A Copilot plan's name for people: `Copilot Pro+`. */
export function planName(plan: string): string {
  return `Copilot ${plan.charAt(0).toUpperCase()}${plan.slice(1)}`;
}

/** The last part of a folder's path or URI; the whole of it is for tooltips. */
export function folderName(path: string | null): string {
  if (path === null) return "—";
  const name = path.replace(/[/\\]+$/, "").replace(/^.*[/\\]/, "");
  if (!path.startsWith("file:")) return name || path;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
