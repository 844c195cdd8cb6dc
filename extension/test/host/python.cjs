/**
 * A Python that is none, for tests of the client: the values VERSION and FAILING come before this
 * text in a program on PATH. As a server it writes down how it was started and what it was told,
 * ends at once in its first FAILING starts, and counts its starts in `status.generation`.
 */
/* global VERSION, FAILING, process, Buffer */
const fs = require("node:fs");
const path = require("node:path");

if (process.argv.includes("-c")) {
  process.stdout.write(`${VERSION}\n`);
  process.exit();
}
const folder = path.dirname(process.argv[1]);
const starts = path.join(folder, "starts");
fs.appendFileSync(starts, `${process.pid}\n`);
const number = fs.readFileSync(starts, "utf8").trim().split("\n").length;
if (number <= FAILING) process.exit(1);

function answer({ id, method, params }) {
  if (method === "exit") process.exit();
  if (id === undefined) return;
  let result = null;
  if (method === "initialize") {
    fs.writeFileSync(path.join(folder, "initialize.json"), JSON.stringify(params));
    result = { capabilities: {} };
  }
  if (method === "copilotUsage/subscribe")
    result = {
      subscription: `of ${number}`,
      status: { generation: number, off: [], health: "ok", session: null },
    };
  const body = JSON.stringify({ jsonrpc: "2.0", id, result });
  process.stdout.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

let input = Buffer.alloc(0);
process.stdin.on("data", (chunk) => {
  input = Buffer.concat([input, chunk]);
  for (;;) {
    const head = input.indexOf("\r\n\r\n");
    if (head < 0) return;
    const length = Number(/content-length: *(\d+)/i.exec(input.toString("latin1", 0, head))[1]);
    if (input.length < head + 4 + length) return;
    answer(JSON.parse(input.toString("utf8", head + 4, head + 4 + length)));
    input = input.subarray(head + 4 + length);
  }
});
process.stdin.on("end", () => process.exit());
