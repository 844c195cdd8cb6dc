/** Logs as Copilot Chat writes them, made up: figures, folders and titles of a working month. */
import fs from "node:fs";
import path from "node:path";

/** Nano-AIU per token: fresh input, cache read, output. */
const PRICES = {
  "claude-sonnet-4.6": [300_000, 30_000, 1_500_000],
  "claude-opus-4.8": [500_000, 50_000, 2_500_000],
  "gpt-5.3-codex": [175_000, 17_500, 1_400_000],
  "claude-haiku-4.5": [100_000, 10_000, 500_000],
};

/** What a call costs in whole nano-AIU. */
export function price({ model, input, cached, output }) {
  const [fresh, read, written] = PRICES[model];
  return (input - cached) * fresh + cached * read + output * written;
}

let spans = 0;

/** One line of a debug log that tells of a call. */
export function callLine(session, ts, { nano, status = "ok", ...call }) {
  const known = status === "ok";
  return line(
    session,
    ts,
    "llm_request",
    `chat:${call.model}`,
    {
      model: call.model,
      debugName: "panel/editAgent",
      ...(known
        ? {
            inputTokens: call.input,
            outputTokens: call.output,
            cachedTokens: call.cached,
            copilotUsageNanoAiu: nano ?? price(call),
          }
        : {}),
      ttft: 140,
    },
    { dur: 2_400, parentSpanId: call.parent, status },
  );
}

function line(session, ts, type, name, attrs, more = {}) {
  const spanId = more.spanId ?? (++spans).toString(16).padStart(16, "0");
  return `${JSON.stringify({ ts, dur: 0, sid: session, type, name, spanId, status: "ok", ...more, attrs })}\n`;
}

/** Folder of the debug logs of a workspace's storage. */
export function debugLogs(storage) {
  return path.join(storage, "GitHub.copilot-chat/debug-logs");
}

/**
 * Writes a session: `turns` of `{at, text, calls: [{model, input, cached, output, sub?}], tools}`.
 * Returns its cost in nano-AIU.
 */
export function writeSession(storage, id, title, turns) {
  const folder = path.join(debugLogs(storage), id);
  fs.mkdirSync(folder, { recursive: true });
  let main = line(id, turns[0].at, "session_start", "session_start", {
    copilotVersion: "0.67.0",
    vscodeVersion: "1.139.1",
  });
  let cost = 0;
  for (const [index, turn] of turns.entries()) {
    let ts = turn.at;
    const spanId = `turn${index}`.padEnd(16, "0");
    main += line(
      id,
      ts,
      "user_message",
      "user_message",
      { content: turn.text },
      { spanId },
    );
    const children = new Map();
    for (const call of turn.calls) {
      ts += 20_000;
      if (call.status === undefined) cost += call.nano ?? price(call);
      if (!call.sub) {
        main += callLine(id, ts, { ...call, parent: spanId });
        continue;
      }
      const child = `toolu_${index}_${call.sub}`;
      if (!children.has(child)) {
        const file = `runSubagent-${call.sub}-${child}.jsonl`;
        children.set(child, file);
        main += line(
          id,
          ts,
          "child_session_ref",
          `runSubagent-${call.sub}`,
          {
            childSessionId: child,
            childLogFile: file,
            label: `runSubagent-${call.sub}`,
          },
          { parentSpanId: spanId },
        );
      }
      fs.appendFileSync(
        path.join(folder, children.get(child)),
        callLine(child, ts, call),
      );
    }
    for (const tool of turn.tools ?? []) {
      main += line(
        id,
        ts,
        "tool_call",
        tool,
        { args: "{}", result: "done" },
        { parentSpanId: spanId, dur: 40 },
      );
    }
  }
  fs.writeFileSync(path.join(folder, "main.jsonl"), main);
  const chats = path.join(storage, "chatSessions");
  fs.mkdirSync(chats, { recursive: true });
  const top = {
    version: 3,
    creationDate: turns[0].at,
    customTitle: title,
    sessionId: id,
    requests: [],
  };
  fs.writeFileSync(
    path.join(chats, `${id}.jsonl`),
    `${JSON.stringify({ kind: 0, v: top })}\n`,
  );
  const end = new Date(turns.at(-1).at + 60_000);
  for (const file of fs.readdirSync(folder))
    fs.utimesSync(path.join(folder, file), end, end);
  fs.utimesSync(path.join(chats, `${id}.jsonl`), end, end);
  return cost;
}

/** The storage of a workspace on `folder`, as VS Code makes it. */
export function storageOf(data, id, folder) {
  const storage = path.join(data, "User/workspaceStorage", id);
  fs.mkdirSync(storage, { recursive: true });
  const file = path.join(storage, "workspace.json");
  fs.writeFileSync(file, JSON.stringify({ folder: `file://${folder}` }));
  fs.utimesSync(file, 0, 0);
  return storage;
}

const S = "claude-sonnet-4.6";
const H = "claude-haiku-4.5";
const MINUTE = 60_000;

/** A long session with a subagent, a pause, a change of model, a compaction and a failure. */
export function featured(start) {
  const call = (model, input, cached, output, more) => ({
    model,
    input,
    cached,
    output,
    ...more,
  });
  const texts = [
    [
      0,
      "Read the webhook handler and list every place that writes to ledger_events",
      [call(S, 21414, 0, 642), call(S, 26110, 20231, 388)],
      ["read_file", "grep_search", "read_file"],
    ],
    [
      5,
      "Which of these are not idempotent? Show the exact line and why",
      [
        call(S, 28014, 25698, 517),
        call(S, 34616, 27056, 431),
        call(S, 39215, 34225, 850),
      ],
      ["read_file"],
    ],
    [
      10,
      "Draft the migration plan, smallest safe step first",
      [call(S, 40922, 38927, 1007)],
      [],
    ],
    [
      14,
      "Find every caller of recordEvent across the monorepo and check the retry behaviour",
      [
        call(S, 42320, 39876, 504),
        call(H, 14205, 0, 212, { sub: "explore" }),
        call(H, 19809, 12887, 190, { sub: "explore" }),
        call(H, 24009, 19606, 1064, { sub: "explore" }),
        call(S, 51822, 41447, 596),
      ],
      ["runSubagent"],
    ],
    [
      19,
      "Add the idempotency key column and the unique index",
      [call(S, 58722, 50310, 398)],
      ["create_file"],
    ],
    [
      39,
      "Tests fail on Postgres 15: index name too long. Fix and rerun",
      [call(S, 61174, 0, 917), call(S, 69674, 59966, 696)],
      ["run_in_terminal", "replace_string_in_file"],
    ],
    [
      45,
      "Now the backfill job, in batches of 500",
      [call(S, 75276, 69357, 588)],
      [],
    ],
    [
      49,
      "Handle events that arrive while the backfill runs",
      [call(S, 84177, 74395, 793)],
      ["read_file"],
    ],
    [
      55,
      "Write the integration test with two concurrent deliveries",
      [call(S, 94583, 83608, 1121)],
      ["create_file", "run_in_terminal"],
    ],
    [
      61,
      "The test is flaky, find out why before changing it",
      [call(S, 0, 0, 0, { status: "error" }), call(S, 106078, 93649, 1003)],
      ["run_in_terminal"],
    ],
    [72, "Continue with the rollback script", [call(S, 36396, 19416, 761)], []],
    [
      75,
      "Second opinion: review the whole diff for races",
      [call("gpt-5.3-codex", 41684, 0, 1584)],
      ["get_changed_files"],
    ],
    [
      77,
      "Apply both findings and update the runbook",
      [call(S, 48293, 34933, 991)],
      [],
    ],
  ];
  return texts.map(([minute, text, calls, tools]) => ({
    at: start + minute * MINUTE,
    text,
    calls,
    tools,
  }));
}

const TITLES = [
  "Rotate the staging certificates",
  "Fix hydration warning on the product page",
  "Explain the failing nightly job",
  "Checkout: split the address form into three steps and keep validation messages in sync with the server, in all eleven languages, without breaking the analytics events that marketing relies on for the weekly funnel",
  "Race in the payout scheduler: reproduce, explain, fix",
  "Design review: event store partitioning",
  "Rename a variable",
  "Generate property tests for money rounding",
  "Upgrade the build to Vite 8",
  "Audit log: append-only table and retention",
];

/** A repeatable source of numbers from 0 to 1. */
function source(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** `number` sessions in `folders`, the newest a day before `now`; returns their cost in nano-AIU. */
export function writeMonth(data, folders, number, now, days = 23) {
  const random = source(20_261_120);
  const models = Object.keys(PRICES);
  const storages = folders.map((folder, index) =>
    storageOf(data, `folder${index}`, folder),
  );
  let cost = 0;
  for (let index = 0; index < number; index++) {
    const at = now - (1 + random() * days) * 24 * 60 * MINUTE;
    const model = models[Math.floor(random() ** 2 * models.length)];
    const turns = Array.from(
      { length: 1 + Math.floor(random() * 3) },
      (_, turn) => ({
        at: at + turn * 4 * MINUTE,
        text: "Made up",
        calls: Array.from(
          { length: 1 + Math.floor(random() * 3) },
          (_, step) => {
            const input = Math.round(
              8_000 + 40_000 * random() + 9_000 * (turn + step),
            );
            const cached =
              turn + step ? Math.round(input * (0.6 + 0.3 * random())) : 0;
            return {
              model,
              input,
              cached,
              output: Math.round(300 + 900 * random()),
            };
          },
        ),
        tools: ["read_file"],
      }),
    );
    const id = `${(index + 1).toString(16).padStart(8, "0")}-0000-4000-8000-${String(index).padStart(12, "0")}`;
    const title = `${TITLES[index % TITLES.length]}${index < TITLES.length ? "" : ` (${index})`}`;
    cost += writeSession(storages[index % storages.length], id, title, turns);
  }
  return cost;
}
