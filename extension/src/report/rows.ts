/** Rows of a table of which only those in sight are in the document. */
import { h } from "./dom";

/** Rows beyond the edge that are drawn all the same, for quick scrolling and for Tab. */
const MARGIN = 20;
/** Shorter tables are drawn whole. */
const WHOLE = 200;

export interface Rows {
  body: HTMLTableSectionElement;
  /** Draws what is in sight now. */
  update(): void;
  /** Scrolls a row into sight and gives it the focus. */
  focus(index: number): void;
}

/**
 * The body of a table of `total` rows; `rowAt` makes one, `heightAt` tells its height in px.
 * Rows carry `aria-rowindex`; the head is row 1.
 */
export function virtualRows(
  total: number,
  columns: number,
  rowAt: (index: number) => HTMLTableRowElement,
  heightAt: (index: number) => number,
): Rows {
  const body = h("tbody");
  const edges = new Float64Array(total + 1);
  for (let index = 0; index < total; index++) {
    edges[index + 1] = (edges[index] ?? 0) + heightAt(index);
  }
  let drawn: readonly [number, number] = [-1, -1];

  const at = (position: number): number => {
    let [low, high] = [0, total];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((edges[middle + 1] ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const spacer = (height: number): HTMLElement[] => {
    if (height <= 0) return [];
    const cell = h("td", { colspan: columns });
    cell.style.height = `${height}px`;
    return [h("tr", { class: "spacer", "aria-hidden": "true" }, cell)];
  };
  const make = (index: number): HTMLTableRowElement => {
    const row = rowAt(index);
    row.setAttribute("aria-rowindex", String(index + 2));
    return row;
  };
  const draw = (from: number, to: number): void => {
    if (from === drawn[0] && to === drawn[1]) return;
    const active = document.activeElement;
    const key =
      active && body.contains(active) ? (active as HTMLElement).dataset["key"] : undefined;
    drawn = [from, to];
    const rows: HTMLElement[] = [];
    for (let index = from; index < to; index++) rows.push(make(index));
    body.replaceChildren(
      ...spacer(edges[from] ?? 0),
      ...rows,
      ...spacer((edges[total] ?? 0) - (edges[to] ?? 0)),
    );
    if (key !== undefined && document.hasFocus()) {
      body
        .querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`)
        ?.focus({ preventScroll: true });
    }
  };
  const update = (): void => {
    if (total <= WHOLE) {
      draw(0, total);
      return;
    }
    const top = -body.getBoundingClientRect().top;
    const from = Math.max(0, at(top) - MARGIN);
    const to = Math.min(total, at(top + window.innerHeight) + 1 + MARGIN);
    if (from < drawn[0] + MARGIN / 2 || to > drawn[1] - MARGIN / 2) draw(from, to);
  };
  return {
    body,
    update,
    focus: (index) => {
      const wanted = Math.min(total - 1, Math.max(0, index));
      if (wanted < drawn[0] || wanted >= drawn[1]) {
        const top = body.getBoundingClientRect().top + window.scrollY + (edges[wanted] ?? 0);
        window.scrollTo(0, top - window.innerHeight / 2);
        update();
      }
      const row = body.querySelector<HTMLElement>(`[aria-rowindex="${wanted + 2}"]`);
      row?.scrollIntoView({ block: "nearest" });
      row?.focus();
    },
  };
}
