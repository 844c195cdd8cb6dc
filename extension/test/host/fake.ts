/** Pythons that are none, on a PATH on which there is nothing else. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import program from "./python.cjs";

export class Fake {
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), "fake-python-"));
  private readonly before = process.env["PATH"];

  constructor() {
    process.env["PATH"] = this.folder;
  }

  /** Puts one of `version` on PATH, whose server fails to start `failing` times. */
  python(name: string, version: string, failing = 0): string {
    const file = path.join(this.folder, name);
    const values = `const VERSION = ${JSON.stringify(version)}, FAILING = ${failing};`;
    fs.writeFileSync(file, `#!${process.execPath}\n${values}\n${program}`, { mode: 0o755 });
    return file;
  }

  /** Process ids of the servers that were started, in order. */
  starts(): number[] {
    const file = path.join(this.folder, "starts");
    return fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim().split("\n").map(Number) : [];
  }

  /** What the newest server was told in `initialize`. */
  told(): { initializationOptions: unknown } {
    const file = path.join(this.folder, "initialize.json");
    return JSON.parse(fs.readFileSync(file, "utf8")) as { initializationOptions: unknown };
  }

  remove(): void {
    process.env["PATH"] = this.before;
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
