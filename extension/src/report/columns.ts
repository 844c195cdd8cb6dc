/** Cost over time, stacked by model. */
import type { AggregateRow } from "../protocol";
import { amount, inUnit, round, when } from "../shared/format";
import { t } from "../shared/l10n";
import { h, hiddenTable, on, s } from "./dom";
import { manner, swatch } from "./figures";
import { FILLS, REST } from "./series";
import type { Period } from "./store";

/** One column of the chart: nano-AIU by place in `FILLS`. */
export interface Column {
  label: string;
  long: string;
  values: number[];
  sum: number;
  now: boolean;
}

const DAY_MS = 86_400_000;
/** More days than this are drawn as months. */
const MOST_DAYS = 62;

interface Clock {
  zone: string | undefined;
  /** Today in that zone, 2026-11-24. */
  today: string;
}

/** Days (or hours, or months) of a window with what each model cost; empty ones are there too. */
export function columns(
  rows: readonly AggregateRow[],
  period: Period,
  clock: Clock,
  placeOf: (model: string | null) => number,
): Column[] {
  const hours = period === "today";
  const found = rows
    .map((row) => ({ time: row.key[hours ? "hour" : "day"] ?? null, row }))
    .filter((one): one is { time: string; row: AggregateRow } => one.time !== null);
  const first = found[0]?.time;
  const keys = hours
    ? hoursOf(
        found.map((one) => one.time),
        clock,
      )
    : daysOf(period, first, clock);
  const months = keys.length > MOST_DAYS;
  const slots = new Map<string, Column>();
  for (const key of keys) {
    const slot = months ? key.slice(0, 7) : key;
    if (!slots.has(slot)) slots.set(slot, emptyColumn(slot, hours, clock));
  }
  for (const { time, row } of found) {
    const column = slots.get(months ? time.slice(0, 7) : time);
    if (!column || row.nanoAiu === null) continue;
    const place = placeOf(row.key["model"] ?? null);
    column.values[place] = (column.values[place] ?? 0) + row.nanoAiu;
    column.sum += row.nanoAiu;
  }
  return [...slots.values()];
}

function hoursOf(times: readonly string[], clock: Clock): string[] {
  const numbers = times.map((time) => Number(time.slice(11, 13)));
  const from = Math.min(8, ...numbers);
  const to = Math.max(19, ...numbers);
  return Array.from(
    { length: to - from + 1 },
    (_, index) => `${clock.today}T${String(from + index).padStart(2, "0")}`,
  );
}

function daysOf(period: Period, first: string | undefined, clock: Clock): string[] {
  const end = Date.parse(clock.today);
  const start =
    period === "7d"
      ? end - 6 * DAY_MS
      : period === "billing-month"
        ? Date.parse(`${new Date().toISOString().slice(0, 7)}-01`)
        : Date.parse(first ?? clock.today);
  const days: string[] = [];
  for (let day = Math.min(start, Date.parse(first ?? clock.today)); day <= end; day += DAY_MS) {
    days.push(new Date(day).toISOString().slice(0, 10));
  }
  return days;
}

function emptyColumn(slot: string, hours: boolean, clock: Clock): Column {
  // a day is a day wherever it is written: noon UTC is on it in every style
  const style = { locale: manner().locale, zone: "UTC" };
  const values = FILLS.map(() => 0);
  if (hours) {
    const hour = Number(slot.slice(11, 13));
    const day = when(`${slot.slice(0, 10)}T12:00:00Z`, "day", style);
    const now = new Intl.DateTimeFormat("en-GB", {
      hour: "2-digit",
      hourCycle: "h23",
      timeZone: clock.zone,
    }).format();
    return {
      label: `${hour}:00`,
      long: `${day} ${hour}:00–${hour + 1}:00`,
      values,
      sum: 0,
      now: Number(now) === hour,
    };
  }
  if (slot.length === 7) {
    const long = when(`${slot}-15T12:00:00Z`, "month", style);
    return {
      label: slot.slice(2),
      long,
      values,
      sum: 0,
      now: clock.today.startsWith(slot),
    };
  }
  return {
    label: String(Number(slot.slice(8, 10))),
    long: when(`${slot}T12:00:00Z`, "weekday", style),
    values,
    sum: 0,
    now: slot === clock.today,
  };
}

/** The next round number at or above `value`, for the top of an axis. */
export function nice(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10]) {
    if (step * power >= value * 0.999_999) return step * power;
  }
  return 10 * power;
}

function axis(value: number): string {
  const style = manner();
  return new Intl.NumberFormat(style.locale, {
    maximumSignificantDigits: 3,
    ...(style.unit === "credits"
      ? {}
      : {
          style: "currency",
          currency: style.unit === "usd" ? "USD" : style.currency,
          currencyDisplay: "narrowSymbol",
          minimumFractionDigits: 0,
        }),
  }).format(value);
}

/** Short number above a column. */
function above(nano: number): string {
  return inUnit(nano, manner()) >= 100
    ? round(nano, manner())
    : amount({ nanoAiu: nano, basis: "billed" }, manner()).replace(/ cr$/, "");
}

interface Names {
  nameOf(place: number): string;
}

/** The chart, its legend (which reads out the column under focus or mouse) and its table. */
export function columnChart(
  list: readonly Column[],
  width: number,
  caption: string,
  names: Names,
): { chart: HTMLElement; legend: HTMLElement } {
  const height = width < 460 ? 150 : 190;
  const [left, top, bottom] = [44, 16, 20];
  const highest = Math.max(0, ...list.map((one) => one.sum));
  const unit = inUnit(1, manner());
  const max = nice(highest * unit * 1.02) / unit;
  const y = (value: number): number => top + (height - top - bottom) * (1 - value / max);
  const pitch = (width - left) / Math.max(1, list.length);
  const thick = Math.min(28, Math.max(3, Math.floor(pitch * 0.64)));
  const used = FILLS.map((_, place) => list.some((one) => (one.values[place] ?? 0) > 0));
  const step = pitch < 12 ? 5 : pitch < 22 ? 3 : pitch < 34 ? 2 : 1;
  const peak = list.reduce<Column | undefined>(
    (best, one) => (one.sum > (best?.sum ?? 0) ? one : best),
    undefined,
  );

  const lines = [0, 0.5, 1].flatMap((share) => {
    const line = Math.round(y(max * share)) + 0.5;
    return [
      s("line", { class: share ? "grid" : "base", x1: left, x2: width, y1: line, y2: line }),
      s("text", { x: left - 8, y: line + 3.5, "text-anchor": "end" }, axis(max * share * unit)),
    ];
  });
  const drawn = list.map((one, index) => {
    const x = left + index * pitch;
    const middle = Math.round(x + (pitch - thick) / 2) + thick / 2;
    let edge = y(0);
    const stack = one.values.map((value, place) => {
      const size = (value / max) * (height - top - bottom);
      if (size < 0.15) return null;
      edge -= size;
      return s("rect", {
        x: middle - thick / 2,
        y: edge.toFixed(2),
        width: thick,
        height: Math.max(0.6, size - 0.8).toFixed(2),
        fill: FILLS[place] ?? FILLS[REST],
      });
    });
    const tip = `${one.long}: ${amount({ nanoAiu: one.sum, basis: "billed" }, manner())}`;
    const labelled = one.now || index % step === (list.length - 1) % step;
    const numbered =
      one.sum > 0 &&
      (one === peak || (one.now && Math.abs(index - list.indexOf(peak ?? one)) * pitch > 44));
    return [
      s(
        "g",
        {
          class: "col",
          "data-index": index,
          ...(one.sum > 0
            ? { tabindex: 0, role: "img", "aria-label": tip, "data-key": `column ${one.long}` }
            : {}),
        },
        s("rect", { class: "hit", x, y: top, width: pitch, height: height - top - bottom }),
        stack,
      ),
      labelled
        ? s(
            "text",
            { class: one.now ? "v" : "", x: middle, y: height - 5, "text-anchor": "middle" },
            one.label,
          )
        : null,
      numbered
        ? s(
            "text",
            {
              class: "v",
              x: Math.min(width - 16, middle),
              y: edge - 5,
              "text-anchor": "middle",
            },
            above(one.sum),
          )
        : null,
    ];
  });

  const legend = h("ul", { class: "legend end" });
  const entry = (place: number, value?: number): HTMLElement =>
    h(
      "li",
      {},
      swatch(FILLS[place] ?? FILLS[REST]),
      names.nameOf(place),
      value === undefined
        ? null
        : h("b", {}, amount({ nanoAiu: value, basis: "billed" }, manner())),
    );
  const rest = (): void =>
    legend.replaceChildren(...used.flatMap((is, place) => (is ? [entry(place)] : [])));
  rest();
  const read = (event: Event): void => {
    const target = event.target instanceof Element ? event.target.closest(".col") : null;
    const one = list[Number(target?.getAttribute("data-index") ?? NaN)];
    if (!one?.sum) return;
    legend.replaceChildren(
      h("li", {}, h("b", {}, one.long)),
      ...one.values.flatMap((value, place) => (value > 0 ? [entry(place, value)] : [])),
    );
  };
  const chart = on(
    h(
      "div",
      { class: "chart-box" },
      s(
        "svg",
        { class: "chart", width, height, role: "group", "aria-label": caption },
        lines,
        drawn,
      ),
      tableOf(list, caption, used, names),
    ),
    { mouseover: read, focusin: read, mouseleave: rest, focusout: rest },
  );
  return { chart, legend };
}

/** The same as a table, for screen readers. */
function tableOf(
  list: readonly Column[],
  caption: string,
  used: readonly boolean[],
  names: Names,
): HTMLElement {
  const places = used.flatMap((is, place) => (is ? [place] : []));
  const cell = (value: number): string => amount({ nanoAiu: value, basis: "billed" }, manner());
  return hiddenTable(
    caption,
    [t("Time"), ...places.map((place) => names.nameOf(place)), t("Sum")],
    list
      .filter((one) => one.sum > 0)
      .map((one) => [
        one.long,
        ...places.map((place) => cell(one.values[place] ?? 0)),
        cell(one.sum),
      ]),
  );
}
