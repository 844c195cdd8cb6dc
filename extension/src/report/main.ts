/** Draws the page that the route names, in an editor tab or in the side bar. */
import { t } from "../shared/l10n";
import { compare } from "./compare";
import { h, keepingPlace, refocus, type Child } from "./dom";
import { manner } from "./figures";
import { errorPage, loadingPage, stoppedPage } from "./pages";
import { overview } from "./overview";
import { patterns } from "./series";
import { composing, focusSearch, scrolled, sessions } from "./sessions";
import { explain, reportOf, session, tabTitle } from "./session";
import { topBar } from "./shell";
import { side } from "./side";
import { begin, changed, go, refOf, remember, send, view, world } from "./store";
import { timelineScrolled } from "./timeline";
import { requestNumbers } from "./turns";
import { whyDrawer } from "./why";

const root = document.getElementById("root") as HTMLElement;
const inSideBar = document.body.dataset["page"] === "side";

/** Padding of the page by its width, as in the style sheet. */
function inner(width: number): number {
  return width - 2 * (inSideBar || width <= 640 ? 12 : 24);
}

function page(width: number): Child {
  const server = world?.server.kind;
  if (!world) return loadingPage();
  if (!world.status) {
    return server === "stopped" || server === "no-python" ? stoppedPage() : loadingPage();
  }
  switch (view.route.page) {
    case "overview":
      return overview(width);
    case "sessions":
      return sessions(width);
    case "session":
      return session(width);
    case "compare":
      return compare();
  }
}

/** The drawer, if the route asks for one. Closing gives the focus back to where it came from. */
function drawer(): HTMLElement | null {
  const { route } = view;
  if (route.page !== "session" || route.why === undefined) return null;
  const ref = refOf(route);
  if (!ref) return null;
  const report = reportOf(ref).data;
  return whyDrawer(ref, report?.title ?? ref.id, route.why, {
    numbers: requestNumbers(report),
    close: () => {
      go({ page: "session", ref });
      opener = before ?? "why";
    },
    explain: (figure) => explain(ref, figure),
  });
}

/** Key of the element that had the focus before the drawer opened. */
let before: string | undefined;
/** Key of the element that gets the focus with the next drawing. */
let opener: string | undefined;
let drawerOpen = false;
let lastPage = "";
let lastTitle = "";

function pageName(): string {
  const { route } = view;
  return route.page === "session" ? `session ${refOf(route)?.id ?? ""}` : JSON.stringify(route);
}

function draw(): void {
  if (composing) return;
  const width = inner(root.clientWidth || document.body.clientWidth);
  const name = pageName();
  const wasOpen = drawerOpen;
  const active = document.activeElement;
  if (!wasOpen && active instanceof HTMLElement) before = active.dataset["key"];
  const samePage = name === lastPage;
  const unit = manner().unit === "credits" ? "" : "usd";
  keepingPlace(root, () => {
    let content: Child;
    let open: HTMLElement | null = null;
    try {
      content = inSideBar ? side(width) : page(width);
      open = inSideBar ? null : drawer();
    } catch (error) {
      content = errorPage(error instanceof Error ? error.message : String(error));
    }
    drawerOpen = open !== null;
    const main = h("main", { class: "page", inert: drawerOpen }, content);
    root.replaceChildren(
      h(
        "div",
        { class: `cu ${inSideBar ? "side" : ""} ${unit}` },
        patterns(),
        inSideBar ? null : h("div", { inert: drawerOpen, class: "top-box" }, topBar()),
        main,
        open,
      ),
    );
    onScroll();
  });
  if (!samePage) window.scrollTo(0, lastPage === "" ? view.scroll : 0);
  lastPage = name;
  if (document.hasFocus()) giveFocus(wasOpen);
  const title = inSideBar ? "" : view.route.page === "session" ? tabTitle() : t("Cost Report");
  if (title && title !== lastTitle) {
    lastTitle = title;
    send({ kind: "title", title });
  }
}

/** Where the focus goes when the drawer opens, changes and closes. */
function giveFocus(wasOpen: boolean): void {
  const drawn = root.querySelector<HTMLElement>(".drawer");
  if (drawn && !drawn.contains(document.activeElement)) {
    drawn.querySelector<HTMLElement>(wasOpen ? ".body" : ".icb")?.focus();
  }
  if (!drawn && opener !== undefined) {
    root.querySelector<HTMLElement>(`[data-key="${CSS.escape(opener)}"]`)?.focus();
    opener = undefined;
  }
}

window.addEventListener("focus", () => {
  giveFocus(false);
  refocus(root);
});

function onScroll(): void {
  scrolled();
  timelineScrolled();
}

let remembering: number | undefined;

window.addEventListener(
  "scroll",
  () => {
    onScroll();
    view.scroll = window.scrollY;
    clearTimeout(remembering);
    remembering = window.setTimeout(remember, 200);
  },
  { passive: true },
);

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLElement && event.target.matches("input, select");
  if (event.key === "/" && !typing && view.route.page === "sessions" && !inSideBar) {
    focusSearch();
    event.preventDefault();
  }
});

let drawnWidth = 0;
new ResizeObserver(() => {
  if (root.clientWidth === drawnWidth) return;
  drawnWidth = root.clientWidth;
  changed();
}).observe(root);

begin(draw);
