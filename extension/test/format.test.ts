import assert from "node:assert/strict";
import { test } from "node:test";
import {
  amount,
  duration,
  exactUsd,
  folderName,
  parts,
  percent,
  spent,
  tokens,
  when,
  type Manner,
} from "../src/shared/format";

const CREDITS: Manner = {
  unit: "credits",
  currency: "EUR",
  currencyPerUsd: 0.9,
  locale: "en",
  zone: "UTC",
};
const USD: Manner = { ...CREDITS, unit: "usd" };
const EUR: Manner = { ...CREDITS, unit: "other" };

const billed = (nanoAiu: number | null) => ({ nanoAiu, basis: "billed" as const });

test("amounts are written as the design says", () => {
  const cases: readonly (readonly [number | null, string, string])[] = [
    [140_142_000_000, "140.14 cr", "$1.40"],
    [12_345_670_000_000, "12,345.67 cr", "$123.46"],
    [123_456_000_000_000, "123,456.00 cr", "$1,234.56"],
    [1_000_000_000, "1.00 cr", "$0.0100"],
    [999_600_000, "1.00 cr", "$0.0100"],
    [999_400_000, "0.999 cr", "$0.0100"],
    [420_000_000, "0.420 cr", "$0.0042"],
    [4_000_000, "0.004 cr", "<$0.0001"],
    [500_000, "0.001 cr", "<$0.0001"],
    [499_999, "<0.001 cr", "<$0.0001"],
    [1, "<0.001 cr", "<$0.0001"],
    [0, "0.00 cr", "$0.00"],
    [null, "— cr", "—"],
    [-1_500_000_000, "−1.50 cr", "−$0.0150"],
  ];
  for (const [nano, credits, dollars] of cases) {
    assert.equal(amount(billed(nano), CREDITS), credits);
    assert.equal(amount(billed(nano), USD), dollars);
  }
});

test("no positive amount is ever written as zero", () => {
  for (let nano = 1; nano < 1e15; nano = nano * 3 + 1) {
    for (const manner of [CREDITS, USD, EUR]) {
      assert.match(amount(billed(nano), manner), /[1-9]/);
    }
  }
});

test("what is assumed and what is left out is marked", () => {
  const mark = (basis: "billed" | "estimated", unknownRequests: number): string =>
    amount({ nanoAiu: 6_310_000_000, basis, unknownRequests }, CREDITS);
  assert.equal(mark("estimated", 0), "~6.31 cr");
  assert.equal(mark("billed", 2), "≥6.31 cr");
  assert.equal(mark("estimated", 2), "≥~6.31 cr");
});

test("another currency is dollars times its rate, written as its language does", () => {
  assert.equal(amount(billed(140_000_000_000), EUR), "€1.26");
  assert.equal(
    amount(billed(140_000_000_000), { ...EUR, locale: "de" }).replace(/\s/g, " "),
    "1,26 €",
  );
  assert.equal(amount(billed(100_000_000_000), { ...EUR, currency: "not one" }), "$1.00");
});

test("an amount is cut at its decimal point", () => {
  assert.deepEqual(parts(billed(140_142_000_000), CREDITS), {
    qualifier: "",
    integer: "140",
    fraction: ".14",
    suffix: "",
    small: false,
  });
  assert.equal(parts(billed(null), CREDITS), null);
});

test("a period in which nothing was used cost nothing; an unknown amount stays unknown", () => {
  assert.equal(spent({ ...billed(null), requests: 0 }).nanoAiu, 0);
  assert.equal(spent({ ...billed(null), requests: 3 }).nanoAiu, null);
});

test("proofs show every digit", () => {
  assert.equal(exactUsd(9_042_000_027, "en"), "$0.09042000027");
  assert.equal(exactUsd(null, "en"), "—");
});

test("tokens, shares, durations", () => {
  assert.deepEqual(
    [
      0, 9_999, 10_000, 21_414, 99_949, 99_950, 746_000, 999_499, 999_500, 1_020_000, 12_340_000,
    ].map((value) => tokens(value, "en")),
    ["0", "9,999", "10.0k", "21.4k", "99.9k", "100k", "746k", "999k", "1.00M", "1.02M", "12.3M"],
  );
  assert.equal(tokens(null, "en"), "—");
  assert.deepEqual(
    [0, 0.004, 0.056, 0.0996, 0.56, 1, null].map((share) => percent(share, "en")),
    ["0 %", "0.4 %", "5.6 %", "10 %", "56 %", "100 %", "—"],
  );
  assert.deepEqual([42_000, 222_000, 3_822_000, null].map(duration), [
    "42 s",
    "3:42",
    "1:03:42",
    "—",
  ]);
});

test("days come before months, in the person's zone", () => {
  const moment = "2026-11-20T23:30:05.000Z";
  assert.equal(when(moment, "day", CREDITS), "20 Nov");
  assert.equal(when(moment, "day", { locale: "en", zone: "Asia/Tokyo" }), "21 Nov");
  assert.equal(when(moment, "second", CREDITS), "23:30:05");
  assert.equal(when(null, "day", CREDITS), "—");
});

test("folders are named by their last part", () => {
  assert.equal(folderName("/home/me/acme-api/"), "acme-api");
  assert.equal(folderName("C:\\work\\acme"), "acme");
  assert.equal(folderName("file:///home/me/acme%20api"), "acme api");
  assert.equal(folderName("file:///home/me/50%"), "50%");
  assert.equal(folderName(null), "—");
});
