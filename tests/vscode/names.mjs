/**
 * The only name server of the network that run.sh makes for the tests: it knows no name, and
 * remembers which ones any process asked for.
 */
import dgram from "node:dgram";

/** Names that were asked for since this process began. */
export const asked = new Set();

/** Name of the first question of a DNS message. */
function question(message) {
  const labels = [];
  for (let at = 12; message[at]; at += message[at] + 1)
    labels.push(message.toString("latin1", at + 1, at + 1 + message[at]));
  return labels.join(".").toLowerCase();
}

let server;

/** Begins to listen; a second call changes nothing. */
export async function listen() {
  if (server) return;
  server = dgram.createSocket("udp4");
  server.on("message", (message, { port, address }) => {
    asked.add(question(message));
    const answer = Buffer.from(message);
    answer[2] = 0x84 | (message[2] & 0x01); // a response, authoritative
    answer[3] = 0x83; // no such name
    server.send(answer, port, address);
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.bind(53, "127.0.0.1", resolve);
  });
  server.unref();
}
