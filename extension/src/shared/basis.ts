import type { Basis } from "../protocol";
import { t } from "./l10n";

/** A sum can also be of several kinds; the server names the weakest, breakdowns can tell. */
export type Mark = Basis | "mixed";

/** What a basis means, in plain words. */
export function basisWords(mark: Mark): string {
  switch (mark) {
    case "billed":
      return t("billed by the server");
    case "priced":
      return t("exact tokens × list price of that day");
    case "estimated":
      return t("estimated");
    case "unknown":
      return t("unknown");
    case "mixed":
      return t("sum of several kinds");
  }
}

/** One word for a basis. */
export function basisWord(mark: Mark): string {
  switch (mark) {
    case "billed":
      return t("billed");
    case "priced":
      return t("priced");
    case "estimated":
      return t("estimated");
    case "unknown":
      return t("unknown");
    case "mixed":
      return t("mixed");
  }
}
