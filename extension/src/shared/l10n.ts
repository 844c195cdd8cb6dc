/** English messages and what they are in the person's language. */
export type Bundle = Readonly<Record<string, string>>;

let bundle: Bundle = {};

/** Takes the language's messages; both halves of the extension call it once at their start. */
export function setBundle(messages: Bundle | undefined): void {
  bundle = messages ?? {};
}

/** `message` in the person's language with `{0}`, `{1}`, … filled in. */
export function t(message: string, ...values: readonly (string | number)[]): string {
  return (bundle[message] ?? message).replace(/\{(\d)\}/g, (slot, index: string) =>
    String(values[Number(index)] ?? slot),
  );
}
