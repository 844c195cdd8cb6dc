/** Elements without markup: text goes in as text, so there is nothing to escape. */

export type Child = Node | string | number | null | undefined | false | readonly Child[];

type Handlers = { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
type Value = string | number | boolean | null | undefined;

/** Attributes by name; true is an empty one, null, undefined and false are none. */
export type Attributes = Record<string, Value> & { style?: never };

const SVG = "http://www.w3.org/2000/svg";

function fill(element: Element, attributes: Attributes, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
}

function append(parent: Element, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Node || typeof child === "string") parent.append(child);
    else if (typeof child === "number") parent.append(String(child));
    else append(parent, child);
  }
}

/** An HTML element. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/** An SVG element. */
export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  fill(element, attributes, children);
  return element;
}

/** `element` with event handlers. */
export function on<E extends HTMLElement>(element: E, handlers: Handlers): E {
  for (const [name, handler] of Object.entries(handlers)) {
    element.addEventListener(name, handler as EventListener);
  }
  return element;
}

/** A button that does `act`. `key` names it, so that it keeps the focus when the page is redrawn. */
export function button(
  className: string,
  key: string,
  act: () => void,
  attributes: Attributes,
  ...children: readonly Child[]
): HTMLButtonElement {
  return on(
    h("button", { type: "button", class: className, "data-key": key, ...attributes }, children),
    {
      click: (event) => {
        event.stopPropagation();
        act();
      },
    },
  );
}

/** Text for screen readers alone. */
export function hidden(text: string): HTMLElement {
  return h("span", { class: "sr" }, text);
}

/** Key of the element that had the focus last, unless the person went to it no more. */
let held: string | undefined;

document.addEventListener("focusin", ({ target }) => {
  held = target instanceof HTMLElement ? target.dataset["key"] : undefined;
});
document.addEventListener("pointerdown", () => (held = undefined), { capture: true });

/**
 * Runs `redraw` and gives the focus, the caret and inner scroll positions back to the elements
 * that have the same `data-key` afterwards.
 */
export function keepingPlace(root: HTMLElement, redraw: () => void): void {
  const scrolled = [...root.querySelectorAll<HTMLElement>("[data-scroll]")].map(
    (one) => [one.dataset["scroll"], one.scrollTop] as const,
  );
  const top = window.scrollY;
  redraw();
  for (const [name, position] of scrolled) {
    const one = root.querySelector(`[data-scroll="${CSS.escape(name ?? "")}"]`);
    if (one) one.scrollTop = position;
  }
  if (window.scrollY !== top) window.scrollTo(0, top);
  // a focus given now would be taken from the editor, where the person may be typing
  if (document.hasFocus()) refocus(root);
}

/** Gives the focus back to the element that lost it by a redrawing or by going elsewhere. */
export function refocus(root: HTMLElement): void {
  if (held === undefined || document.activeElement !== document.body) return;
  root
    .querySelector<HTMLElement>(`[data-key="${CSS.escape(held)}"]`)
    ?.focus({ preventScroll: true });
}

/** What a chart shows, as a table for screen readers; the first cell of a row names it. */
export function hiddenTable(
  caption: string,
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): HTMLElement {
  return h(
    "div",
    { class: "sr" },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((text) => h("th", { scope: "col" }, text)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map(([name = "", ...cells]) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, name),
            cells.map((text) => h("td", {}, text)),
          ),
        ),
      ),
    ),
  );
}
