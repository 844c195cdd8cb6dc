/**
 * A model server on this machine that Copilot Chat talks to, with a bill in every answer, and the
 * account of what it has billed: the truth that figures are compared with.
 *
 * Words in the newest message decide what it does: TOOL calls read_file once, DELEGATE starts a
 * subagent, COST calls our own tool, FAIL is answered with an error, ENDLESS never ends until the
 * client goes away.
 */
import http from "node:http";

const PROMPT = 12_345;
const CACHED = 8_192;
const ANSWER = 321;

/** What call `number` is billed. */
function bill(number) {
  return 4_521_000_000 + number;
}

export class Models {
  /** Calls that were answered with a bill: `{number, nano, tools}`. */
  billed = [];
  failed = 0;
  cancelled = 0;

  static async start(readable) {
    const models = new Models();
    models.readable = readable;
    models.server = http.createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => (body += chunk));
      request.on("end", () => models.answer(body, response));
    });
    await new Promise((resolve) =>
      models.server.listen(0, "127.0.0.1", resolve),
    );
    models.url = `http://127.0.0.1:${models.server.address().port}/v1/chat/completions`;
    return models;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  answer(body, response) {
    const { messages = [], tools = [], model } = JSON.parse(body || "{}");
    const names = tools.map((tool) => tool.function?.name);
    const last = messages.at(-1) ?? {};
    const text = last.role === "tool" ? "" : JSON.stringify(last.content ?? "");
    if (text.includes("FAIL")) {
      this.failed++;
      response.writeHead(400, { "content-type": "application/json" });
      response.end(
        JSON.stringify({ error: { message: "made to fail", code: "mock" } }),
      );
      return;
    }
    const number = (this.number = (this.number ?? 0) + 1);
    response.writeHead(200, { "content-type": "text/event-stream" });
    const send = (more) =>
      response.write(
        `data: ${JSON.stringify({ id: `call-${number}`, object: "chat.completion.chunk", created: 1, model, ...more })}\n\n`,
      );
    const delta = (part, reason = null) =>
      send({ choices: [{ index: 0, delta: part, finish_reason: reason }] });
    delta({ role: "assistant", content: "" });
    if (text.includes("ENDLESS") && names.length) {
      const timer = setInterval(() => delta({ content: "on and on " }), 300);
      response.on("close", () => {
        clearInterval(timer);
        this.cancelled++;
      });
      return;
    }
    const call =
      text.includes("TOOL") && names.includes("read_file")
        ? ["read_file", { filePath: this.readable, startLine: 1, endLine: 3 }]
        : text.includes("DELEGATE") && names.includes("runSubagent")
          ? [
              "runSubagent",
              {
                prompt: "Report on the folder",
                description: "Report on the folder",
              },
            ]
          : text.includes("COST") &&
              names.includes("copilotUsage_getSessionCost")
            ? ["copilotUsage_getSessionCost", {}]
            : null;
    if (last.role === "tool" && this.asked === "copilotUsage_getSessionCost") {
      this.told =
        typeof last.content === "string" ? last.content : last.content[0].text;
    }
    if (names.length) this.asked = call?.[0];
    if (call) {
      const [name, values] = call;
      delta({
        tool_calls: [
          {
            index: 0,
            id: `tool-${number}`,
            type: "function",
            function: { name, arguments: JSON.stringify(values) },
          },
        ],
      });
      delta({}, "tool_calls");
    } else {
      delta({ content: `Answer ${number} of the model server.` });
      delta({}, "stop");
    }
    const nano = bill(number);
    this.billed.push({ number, nano, tools: names.length > 0 });
    send({
      choices: [],
      usage: {
        prompt_tokens: PROMPT + number,
        completion_tokens: ANSWER + number,
        total_tokens: PROMPT + ANSWER + 2 * number,
        prompt_tokens_details: { cached_tokens: CACHED },
        completion_tokens_details: { reasoning_tokens: 64 },
      },
      copilot_usage: { total_nano_aiu: nano, token_details: [] },
    });
    response.end("data: [DONE]\n\n");
  }
}
