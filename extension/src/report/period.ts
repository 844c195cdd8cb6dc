/** What was used in the period that the overview is about. */
import { requests, type Aggregate, type AggregateRow, type Dimension } from "../protocol";
import type { Mark } from "../shared/basis";
import { load, view, type Period } from "./store";

export function windowOf(period: Period): { window?: string } {
  return period === "all" ? {} : { window: period };
}

export function aggregate(by: readonly Dimension[]): { data?: Aggregate; error?: string } {
  return load(requests.aggregate, { by: [...by], ...windowOf(view.period) });
}

/** Which kinds a sum is made of: the mark of several is half a disc. */
export function markOfSplit(split: readonly AggregateRow[] | undefined, fallback: Mark): Mark {
  const kinds = (split ?? []).filter((row) => row.nanoAiu !== null && row.nanoAiu > 0);
  const [first] = kinds;
  if (!first) return fallback;
  return kinds.length > 1 ? "mixed" : first.basis;
}
