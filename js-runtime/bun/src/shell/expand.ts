// From the words of a command to its arguments: braces, `~`, variables, `$(…)`, patterns.

import { Glob } from "../glob.ts";
import type { Part, Word } from "./lexer.ts";
import type { Script } from "./parser.ts";

/** The values that words may refer to. */
export interface Surroundings {
  cwd: string;
  /** A variable of the shell, or of the environment. */
  variable(name: string): string | undefined;
  /** The output of a script, without the line breaks at its end. */
  output(script: Script): Promise<string>;
}

/** A pattern that nothing matches is an error, not a word. */
export class NoMatch extends Error {
  constructor(pattern: string) {
    super(`no matches found: ${pattern}`);
  }
}

/** The text of an argument; `pattern` is the same text with its literal parts escaped. */
interface Field {
  text: string;
  pattern: string;
  isPattern: boolean;
}

/** The arguments that a word becomes: none, one or several. */
export async function expand(word: Word, surroundings: Surroundings): Promise<string[]> {
  const expanded: string[] = [];
  for (const alternative of braces(word)) {
    for (const field of await fields(alternative, surroundings)) {
      if (!field.isPattern) {
        expanded.push(field.text);
        continue;
      }
      const found = matches(field.pattern, surroundings.cwd);
      if (found.length === 0) throw new NoMatch(field.text);
      expanded.push(...found);
    }
  }
  return expanded;
}

/** The text that a word becomes where only one can stand. */
export async function expandToText(word: Word, surroundings: Surroundings): Promise<string> {
  return (await fields(word, surroundings)).map(({ text }) => text).join(" ");
}

function matches(pattern: string, cwd: string): string[] {
  const absolute = pattern.startsWith("/");
  return [...new Glob(pattern).scanSync({ cwd: absolute ? "/" : cwd, absolute, onlyFiles: false })].sort();
}

async function fields(word: Word, surroundings: Surroundings): Promise<Field[]> {
  const done: Field[] = [];
  let open: Field | undefined;
  const put = (text: string, quoted: boolean) => {
    open ??= { text: "", pattern: "", isPattern: false };
    open.text += text;
    open.pattern += quoted ? text.replace(/[*?[\]{}!\\]/g, "\\$&") : text.replace(/[?[\]{}!\\]/g, "\\$&");
    if (!quoted && text.includes("*")) open.isPattern = true;
  };
  const end = () => {
    if (open) done.push(open);
    open = undefined;
  };
  for (const [index, part] of word.entries()) {
    switch (part.kind) {
      case "text":
        put(index === 0 && !part.quoted ? withHome(part.text, surroundings) : part.text, part.quoted);
        break;
      case "variable": {
        const value = surroundings.variable(part.name) ?? "";
        if (value !== "") put(value, true);
        break;
      }
      case "command": {
        const output = await surroundings.output(part.script);
        if (part.quoted) {
          put(output, true);
          break;
        }
        if (/^\s/.test(output)) end();
        for (const [index, text] of output.split(/\s+/).filter(Boolean).entries()) {
          if (index > 0) end();
          put(text, true);
        }
        if (/\s$/.test(output)) end();
        break;
      }
      case "object":
        if (typeof (part.value as { name?: unknown }).name !== "string") {
          throw new Error("expected a command or assignment but got: an object that only a redirection can lead to");
        }
        put((part.value as { name: string }).name, true);
    }
  }
  end();
  return done;
}

function withHome(text: string, surroundings: Surroundings): string {
  const home = surroundings.variable("HOME");
  return home !== undefined && (text === "~" || text.startsWith("~/")) ? home + text.slice(1) : text;
}

type Item = { character: string } | { part: Part };

/** `a{b,c}` is `ab` and `ac`. Braces without a comma, or quoted ones, are themselves. */
export function braces(word: Word): Word[] {
  if (!word.some((part) => part.kind === "text" && !part.quoted && part.text.includes("{"))) return [word];
  const items = word.flatMap((part): Item[] =>
    part.kind === "text" && !part.quoted ? [...part.text].map((character) => ({ character })) : [{ part }],
  );
  return alternatives(items)
    .map(toWord)
    .filter((word) => word.length > 0);
}

function alternatives(items: Item[]): Item[][] {
  const begin = items.findIndex((item, index) => isCharacter(item, "{") && closing(items, index) !== undefined);
  if (begin < 0) return [items];
  const { end, commas } = closing(items, begin)!;
  const edges = [begin, ...commas, end];
  const rest = alternatives(items.slice(end + 1));
  return edges
    .slice(1)
    .flatMap((edge, index) =>
      alternatives(items.slice(edges[index] + 1, edge)).flatMap((inner) =>
        rest.map((tail) => [...items.slice(0, begin), ...inner, ...tail]),
      ),
    );
}

/** The end of the brace that begins here, if there is a comma in it. */
function closing(items: Item[], begin: number): { end: number; commas: number[] } | undefined {
  let depth = 0;
  const commas: number[] = [];
  for (let index = begin; index < items.length; index += 1) {
    const item = items[index];
    if (isCharacter(item, "{")) depth += 1;
    else if (isCharacter(item, ",") && depth === 1) commas.push(index);
    else if (isCharacter(item, "}")) {
      depth -= 1;
      if (depth === 0) return commas.length > 0 ? { end: index, commas } : undefined;
    }
  }
}

function isCharacter(item: Item, character: string): boolean {
  return "character" in item && item.character === character;
}

function toWord(items: Item[]): Word {
  const word: Word = [];
  for (const item of items) {
    const last = word[word.length - 1];
    if ("part" in item) word.push(item.part);
    else if (last?.kind === "text" && !last.quoted) last.text += item.character;
    else word.push({ kind: "text", text: item.character, quoted: false });
  }
  return word;
}
