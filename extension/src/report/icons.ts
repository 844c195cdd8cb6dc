import { s } from "./dom";

/** Drawn on 16 px with a stroke of 1.15 px. */
const PATHS = {
  chat: "M2.5 3.5h11v7.5H7l-3 2.5V11H2.5z",
  terminal: "M2 3h12v10H2zM4.5 6l2 2-2 2M8.5 10h3",
  star: "M8 2.5v11M3.2 5.2l9.6 5.6M12.8 5.2l-9.6 5.6",
  brackets: "M5.5 3L2 8l3.5 5M10.5 3L14 8l-3.5 5",
  chevron: "M6 4l4 4-4 4",
  down: "M4 6l4 4 4-4",
  up: "M4 10l4-4 4 4",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.3 10.3L14 14",
  close: "M4 4l8 8M12 4l-8 8",
  warn: "M8 2.2l6.3 11.3H1.7zM8 6.3v3.6M8 11.4v.4",
  error: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  info: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM8 7.4v3.8M8 4.8v.3",
  check: "M3 8.5l3.2 3.2L13 4.8",
  refresh: "M13 8a5 5 0 1 1-1.5-3.6M13.2 2.4v2.6h-2.6",
  question:
    "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM6.2 6.4a1.8 1.8 0 1 1 2.6 1.7c-.6.3-.8.6-.8 1.2M8 11.2v.3",
  request: "M3 8h9M9 5l3 3-3 3",
  tool: "M9.8 6.2a3 3 0 0 0 3.9-3.6l-2 2-1.6-.4-.4-1.6 2-2A3 3 0 0 0 7.9 4.3L2.6 9.8a1.6 1.6 0 0 0 2.3 2.3z",
  subagent: "M4 3v4.5a2 2 0 0 0 2 2h6M9.5 7l2.5 2.5L9.5 12",
  compact: "M8 1.8V6M5.8 4L8 6.2 10.2 4M8 14.2V10M5.8 12L8 9.8l2.2 2.2M2.5 8h11",
  file: "M4 1.8h5l3 3v9.4H4zM9 1.8v3h3",
  folder: "M1.8 4h4.4l1.4 1.6h6.6v7.2H1.8z",
  clock: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM8 4.6V8l2.4 1.6",
  branch: "M5 2.6v10.8M5 9c4 0 6-.8 6-3.6M3.6 2.6h2.8M3.6 13.4h2.8M9.6 4.2h2.8",
  copy: "M5.5 5.5h7v8h-7zM3.5 10.5v-8h7",
} as const;

export type Icon = keyof typeof PATHS;

/** An icon beside words that say the same. */
export function icon(name: Icon, className = ""): SVGSVGElement {
  return s(
    "svg",
    { class: `ic ${className}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    s("path", { d: PATHS[name] }),
  );
}

const AGENTS: Readonly<Record<string, Icon>> = {
  "copilot-vscode": "chat",
  "copilot-cli": "terminal",
  "claude-code": "star",
  codex: "brackets",
};

/** The icon of an agent. */
export function agentIcon(agent: string): Icon {
  return AGENTS[agent] ?? "file";
}
