import * as vscode from "vscode";
import type { Usage } from "../usage";
import * as analyze from "./analyze";
import * as compare from "./compare";
import * as copySummary from "./copySummary";
import * as doctor from "./doctor";
import * as enableLogging from "./enableLogging";
import * as explain from "./explain";
import * as exportSession from "./exportSession";
import * as serverCommands from "./server";
import * as setPlan from "./setPlan";

const features = [
  analyze,
  compare,
  copySummary,
  doctor,
  enableLogging,
  explain,
  exportSession,
  serverCommands,
  setPlan,
];

/** Every command of the palette; an error of one is shown in one line. */
export function register(usage: Usage): vscode.Disposable {
  return vscode.Disposable.from(...features.map((feature) => feature.register(usage)));
}
