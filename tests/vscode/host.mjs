/** A real VS Code in a browser: code-server with the packed extension, and windows on it. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after } from "node:test";
import { chromium } from "playwright-core";
import { asked, listen } from "./names.mjs";

export const repository = path.resolve(import.meta.dirname, "../..");
const cache =
  process.env.SESSION_USAGE_E2E_CACHE ??
  path.join(os.homedir(), ".cache/session-usage-e2e");
const entry = path.join(
  cache,
  "code-server/node_modules/code-server/out/node/entry.js",
);
const vsix = path.join(repository, "extension/copilot-usage.vsix");
export const samples = path.join(
  repository,
  "server/session_usage/data/samples",
);
export const shots =
  process.env.SHOTS ?? path.join(repository, "build/screenshots");

const SETTINGS = {
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "extensions.autoUpdate": "off",
  "extensions.autoCheckUpdates": false,
  "workbench.startupEditor": "none",
  "workbench.enableExperiments": false,
  "workbench.colorTheme": "Dark Modern",
  "security.workspace.trust.enabled": false,
  "chat.disableAIFeatures": true,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
};

async function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function listening(port) {
  for (let tries = 0; tries < 300; tries++) {
    const open = await new Promise((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("code-server does not listen");
}

/** Domains that may be asked for: VS Code's gallery of extensions, and what `start` is told. */
const strangers = new Set(["open-vsx.org"]);

after(() => {
  const known = (name) =>
    [...strangers].some((domain) => `.${name}`.endsWith(`.${domain}`));
  assert.deepEqual(
    [...asked].filter((name) => !known(name)),
    [],
    "nothing but this machine is asked, by no process",
  );
});

/** One code-server with a home of its own, and a browser. */
export class Host {
  static async start({
    settings = {},
    env = {},
    options = [],
    asks = [],
    prepare = () => {},
  } = {}) {
    const host = new Host();
    for (const domain of asks) strangers.add(domain);
    await listen();
    host.state = fs.mkdtempSync(path.join(os.tmpdir(), "session-usage-e2e-"));
    host.home = path.join(host.state, "home");
    host.data = path.join(host.state, "data");
    host.extensions = path.join(host.state, "extensions");
    for (const folder of [
      host.home,
      path.join(host.data, "User"),
      host.extensions,
      shots,
    ]) {
      fs.mkdirSync(folder, { recursive: true });
    }
    fs.writeFileSync(
      path.join(host.data, "User/settings.json"),
      JSON.stringify({ ...SETTINGS, ...settings }, null, 1),
    );
    await prepare(host);
    host.env = {
      ...process.env,
      HOME: host.home,
      XDG_CONFIG_HOME: path.join(host.home, ".config"),
      XDG_DATA_HOME: path.join(host.home, ".local/share"),
      ...env,
    };
    const folders = [
      "--user-data-dir",
      host.data,
      "--extensions-dir",
      host.extensions,
    ];
    execFileSync(
      process.execPath,
      [entry, ...folders, "--install-extension", vsix],
      {
        env: host.env,
        stdio: "pipe",
      },
    );
    host.port = await freePort();
    const log = fs.openSync(path.join(host.state, "code-server.log"), "w");
    host.process = spawn(
      process.execPath,
      [
        entry,
        ...folders,
        "--bind-addr",
        `127.0.0.1:${host.port}`,
        "--auth",
        "none",
        "--disable-telemetry",
        "--disable-update-check",
        "--disable-getting-started-override",
        ...options,
      ],
      { env: host.env, stdio: ["ignore", log, log], detached: true },
    );
    await listening(host.port);
    return host;
  }

  async browser() {
    this.context ??= await chromium.launchPersistentContext(
      path.join(this.state, "chromium"),
      {
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        headless: true,
        viewport: { width: 1280, height: 860 },
        args: [
          "--no-sandbox",
          "--disable-gpu",
          "--disable-quic",
          "--no-first-run",
          "--disable-background-networking",
          "--disable-component-update",
          "--disable-sync",
          // the browser's own updates; what its pages ask for is recorded in `open`
          "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ],
      },
    );
    return this.context;
  }

  /** A page of the browser whose every request is recorded. */
  async newPage() {
    const page = await (await this.browser()).newPage();
    page.on("request", (request) => {
      const { protocol, hostname } = new URL(request.url());
      // the pages of web views have such addresses, and a worker of VS Code's own answers for them
      const local =
        hostname === "127.0.0.1" || /\.vscode-cdn\.net$/.test(hostname);
      if (/^(https?|wss?):$/.test(protocol) && !local) asked.add(hostname);
    });
    return page;
  }

  /** A window on `folder`, with the status bar drawn. */
  async open(folder, size) {
    const page = await this.newPage();
    if (size) await page.setViewportSize(size);
    const query = folder ? `folder=${encodeURIComponent(folder)}` : "ew=true";
    await page.goto(`http://127.0.0.1:${this.port}/?${query}`, {
      waitUntil: "domcontentloaded",
    });
    await page.waitForSelector(".monaco-workbench .part.statusbar", {
      timeout: 60_000,
    });
    return new Window(page);
  }

  /**
   * Runs the tests in the bundle `tests` of the extension folder inside the extension host of a
   * window on `folder`; resolves with the exit code that VS Code would have ended with.
   */
  async runInside(folder, tests) {
    const page = await this.newPage();
    const ended = new Promise((resolve) =>
      page.exposeFunction("codeAutomationExit", resolve),
    );
    await page.exposeFunction("codeAutomationLog", () => {});
    const extension = path.join(repository, "extension");
    const remote = (file) => `vscode-remote://127.0.0.1:${this.port}${file}`;
    const payload = [
      ["extensionDevelopmentPath", remote(extension)],
      ["extensionTestsPath", remote(path.join(extension, tests))],
    ];
    const query = new URLSearchParams({
      folder,
      payload: JSON.stringify(payload),
    });
    await page.goto(`http://127.0.0.1:${this.port}/?${query}`);
    return ended;
  }

  /** A folder to open a window on. */
  folder(name) {
    const folder = path.join(this.state, name);
    fs.mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** Opens a window, and tells which storage VS Code made for it. */
  async openWithStorage(folder, size) {
    const all = path.join(this.data, "User/workspaceStorage");
    const list = () => (fs.existsSync(all) ? fs.readdirSync(all) : []);
    const before = new Set(list());
    const window = await this.open(folder, size);
    for (let tries = 0; tries < 600; tries++) {
      const made = list().find((name) => !before.has(name));
      if (made) return { window, storage: path.join(all, made) };
      await window.page.waitForTimeout(50);
    }
    throw new Error("no storage was made");
  }

  /** Processes of the server that belong to this host, the one that answers first. */
  servers() {
    return fs
      .readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .filter((name) => {
        try {
          const command = fs
            .readFileSync(`/proc/${name}/cmdline`, "utf8")
            .split("\0");
          const environment = fs.readFileSync(`/proc/${name}/environ`, "utf8");
          return command.includes("serve") && environment.includes(this.home);
        } catch {
          return false;
        }
      })
      .map(Number);
  }

  async stop() {
    await this.context?.close();
    try {
      process.kill(-this.process.pid, "SIGTERM");
      await new Promise((resolve) => this.process.once("exit", resolve));
    } catch {
      // it has ended already
    }
    if (!process.env.KEEP)
      fs.rmSync(this.state, { recursive: true, force: true, maxRetries: 5 });
  }
}

function exactly(text) {
  return new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`);
}

/** What a person does in a window. */
export class Window {
  constructor(page) {
    this.page = page;
    this.item = page.locator("#session-usage\\.copilot-usage\\.cost");
  }

  /** The status bar item's text once it fits `pattern`. */
  async status(pattern, timeout = 30_000) {
    const item = this.item.filter({ hasText: pattern });
    await item.waitFor({ timeout });
    return (await item.innerText()).trim();
  }

  /** The hover of the status bar item, as text. */
  async hover() {
    const hovers = this.page
      .locator(".monaco-hover:visible")
      .filter({ hasText: /\S/ });
    await this.leave();
    await hovers.last().waitFor({ state: "detached" });
    await this.item.hover();
    await hovers.last().waitFor({ timeout: 10_000 });
    return hovers.last();
  }

  async leave() {
    await this.page.mouse.move(500, 300);
  }

  /** Runs a command from the palette by its exact title. */
  async command(title) {
    const input = this.page.locator(
      ".quick-input-widget .quick-input-box input",
    );
    const row = this.page
      .locator(".quick-input-list .monaco-list-row")
      .filter({
        has: this.page.locator(".label-name", { hasText: exactly(title) }),
      })
      .first();
    for (let tries = 1; ; tries++) {
      try {
        // a palette that is just closing takes the key and stays away
        await this.page.keyboard.press("F1");
        await input.fill(`>${title}`, { timeout: 2_000 * tries });
        await row.click({ timeout: 5_000 * tries });
        return;
      } catch (error) {
        if (tries === 4) throw error;
        await this.page.keyboard.press("Escape");
      }
    }
  }

  /** Chooses in an open quick pick. */
  async pick(text) {
    await this.page
      .locator(".quick-input-list .monaco-list-row")
      .first()
      .waitFor();
    await this.page
      .locator(".quick-input-widget .quick-input-box input")
      .fill(text);
    const row = this.page
      .locator(".quick-input-list .monaco-list-row", { hasText: text })
      .first();
    await row.waitFor({ state: "visible", timeout: 15_000 });
    await row.click();
  }

  /** Exports the current session into the open folder; returns the file's name. */
  async exportAs(format) {
    await this.command("Copilot Usage: Export…");
    await this.pick(format);
    await this.page
      .locator(".quick-input-widget .quick-input-box input")
      .waitFor();
    await this.page
      .locator(".quick-input-action, .quick-input-action .monaco-button", {
        hasText: /OK|Save/,
      })
      .first()
      .click();
    const told = this.page.locator(".notification-list-item", {
      hasText: new RegExp(`Exported to .*\\.${format.toLowerCase()}`),
    });
    await told.waitFor();
    const name = /session-\w+\.\w+/.exec(await told.innerText())[0];
    await this.command("Notifications: Clear All Notifications");
    return name;
  }

  async theme(name) {
    await this.command("Preferences: Color Theme");
    const input = this.page.locator(
      ".quick-input-widget .quick-input-box input",
    );
    await this.page
      .locator(".quick-input-list .monaco-list-row")
      .first()
      .waitFor();
    await input.fill(name);
    await this.page
      .locator(".quick-input-list .monaco-list-row")
      .filter({
        has: this.page.locator(".label-name", { hasText: exactly(name) }),
      })
      .first()
      .click();
    await this.page.locator(".quick-input-widget").waitFor({ state: "hidden" });
  }

  /** The frame of the web view that shows `page` ("report" or "side"). */
  async view(kind) {
    for (let tries = 0; tries < 150; tries++) {
      for (const frame of this.page.frames()) {
        if (
          (await frame.$(`body[data-page="${kind}"] .cu`).catch(() => null)) !==
          null
        )
          return frame;
      }
      await this.page.waitForTimeout(100);
    }
    throw new Error(`no web view ${kind}`);
  }

  /** Keeps a picture of the window, or of a part of it. */
  async shot(name, clip) {
    const file = path.join(shots, `${name}.png`);
    await this.page.screenshot({ path: file, ...(clip ? { clip } : {}) });
  }
}
