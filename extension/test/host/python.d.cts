/** The program's text: the bundler reads it as such. */
declare const text: string;
export default text;
