import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const SOURCES = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && name !== "protocol.ts")
  .map((name) => readFileSync(join("src", name), "utf8"));
const MESSAGES = new Set(
  SOURCES.flatMap((text) =>
    [...text.matchAll(/\bt\(\s*("(?:[^"\\]|\\.)*")/g)].map(
      (found) => JSON.parse(found[1] ?? "") as string,
    ),
  ),
);

function bundle(path: string): Record<string, string> {
  return JSON.parse(readFileSync(path, "utf8")) as Record<string, string>;
}

function slots(text: string): string[] {
  return (text.match(/\{\d\}/g) ?? []).sort();
}

for (const language of ["de", "ja"]) {
  test(`every message is there in ${language}, with its values, and no other`, () => {
    const messages = bundle(`l10n/bundle.l10n.${language}.json`);
    assert.deepEqual(new Set(Object.keys(messages)), MESSAGES);
    for (const [english, other] of Object.entries(messages)) {
      assert.deepEqual(slots(other), slots(english), english);
    }
    const titles = bundle(`package.nls.${language}.json`);
    assert.deepEqual(Object.keys(titles), Object.keys(bundle("package.nls.json")));
  });
}
