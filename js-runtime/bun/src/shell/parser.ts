// The grammar of `$`: what POSIX calls lists, pipelines, simple commands and subshells, `if`, and
// `[[ … ]]`. No loops, no functions, no here-documents: Bun has none either.

import { Lexer, type Operator, type Stream, type Token, type Word } from "./lexer.ts";

export interface Script {
  statements: AndOr[];
}

/** `first && next || next`. */
export interface AndOr {
  first: Pipeline;
  rest: { operator: "&&" | "||"; pipeline: Pipeline }[];
}

export interface Pipeline {
  negated: boolean;
  commands: Command[];
}

export type Redirect =
  { kind: "redirect"; stream: Stream; append: boolean; target: Word } | { kind: "duplicate"; stream: 1 | 2; of: 1 | 2 };

export type Command =
  | { kind: "simple"; assignments: Assignment[]; words: Word[]; redirects: Redirect[] }
  | { kind: "subshell"; script: Script; redirects: Redirect[] }
  | { kind: "if"; branches: { condition: Script; body: Script }[]; otherwise?: Script; redirects: Redirect[] }
  | { kind: "condition"; words: Word[]; redirects: Redirect[] };

export interface Assignment {
  name: string;
  value: Word;
}

const ASSIGNMENT = /^([A-Za-z_][A-Za-z0-9_]*)=/;

/** Parses a template; throws an error that names the fault. */
export function parse(strings: readonly string[], values: unknown[]): Script {
  const lexer = new Lexer(strings, values, (lexer) => new Parser(lexer).nested());
  return new Parser(lexer).whole();
}

class Parser {
  #lexer: Lexer;
  #token: Token;

  constructor(lexer: Lexer) {
    this.#lexer = lexer;
    this.#token = lexer.next();
  }

  whole(): Script {
    const script = this.#script();
    if (this.#token.kind !== "end") throw this.#unexpected();
    return script;
  }

  /** Up to the parenthesis that closes it, which is read and nothing behind it. */
  nested(): Script {
    const script = this.#script();
    if (!this.#is(")")) throw new Error("Unclosed command substitution");
    return script;
  }

  #advance(): void {
    this.#token = this.#lexer.next();
  }

  #is(operator: Operator): boolean {
    return this.#token.kind === "operator" && this.#token.operator === operator;
  }

  #take(operator: Operator): boolean {
    const is = this.#is(operator);
    if (is) this.#advance();
    return is;
  }

  /** True where a reserved word stands, which quotes and interpolation make an ordinary one. */
  #isWord(text: string): boolean {
    if (this.#token.kind !== "word") return false;
    const [part, ...more] = this.#token.word;
    return more.length === 0 && part.kind === "text" && !part.quoted && part.text === text;
  }

  #expectWord(text: string): void {
    if (!this.#isWord(text)) throw new Error(`Expected "${text}"${this.#found()}`);
    this.#advance();
  }

  #skipNewlines(): void {
    while (this.#take("\n"));
  }

  #script(...until: string[]): Script {
    const statements: AndOr[] = [];
    for (;;) {
      while (this.#take(";") || this.#take("\n"));
      if (this.#token.kind === "end" || this.#is(")") || until.some((word) => this.#isWord(word))) break;
      statements.push(this.#andOr());
      if (!this.#is(";") && !this.#is("\n")) break;
    }
    return { statements };
  }

  #andOr(): AndOr {
    const first = this.#pipeline();
    const rest: AndOr["rest"] = [];
    for (;;) {
      const operator = this.#is("&&") ? "&&" : this.#is("||") ? "||" : undefined;
      if (!operator) return { first, rest };
      this.#advance();
      this.#skipNewlines();
      rest.push({ operator, pipeline: this.#pipeline() });
    }
  }

  #pipeline(): Pipeline {
    const negated = this.#isWord("!");
    if (negated) this.#advance();
    const commands = [this.#command()];
    while (this.#take("|")) {
      this.#skipNewlines();
      commands.push(this.#command());
    }
    return { negated, commands };
  }

  #command(): Command {
    if (this.#take("(")) {
      const script = this.#script();
      if (!this.#take(")")) throw new Error("Unclosed subshell");
      return { kind: "subshell", script, redirects: this.#redirects() };
    }
    if (this.#take("[[")) {
      const words: Word[] = [];
      while (this.#token.kind === "word") {
        words.push(this.#token.word);
        this.#advance();
      }
      if (!this.#take("]]")) throw new Error(`Expected "]]"${this.#found()}`);
      return { kind: "condition", words, redirects: this.#redirects() };
    }
    if (this.#isWord("if")) return this.#if();
    return this.#simple();
  }

  #if(): Command {
    const branches = [];
    let otherwise: Script | undefined;
    do {
      this.#advance();
      const condition = this.#script("then");
      this.#expectWord("then");
      branches.push({ condition, body: this.#script("elif", "else", "fi") });
    } while (this.#isWord("elif"));
    if (this.#isWord("else")) {
      this.#advance();
      otherwise = this.#script("fi");
    }
    this.#expectWord("fi");
    return { kind: "if", branches, otherwise, redirects: this.#redirects() };
  }

  #simple(): Command {
    const assignments: Assignment[] = [];
    const words: Word[] = [];
    const redirects: Redirect[] = [];
    for (;;) {
      const redirect = this.#redirect();
      if (redirect) {
        redirects.push(redirect);
        continue;
      }
      if (this.#token.kind !== "word") break;
      const { word } = this.#token;
      const assignment = words.length === 0 ? asAssignment(word) : undefined;
      if (assignment) assignments.push(assignment);
      else words.push(word);
      this.#advance();
    }
    if (words.length === 0 && assignments.length === 0) {
      throw redirects.length > 0 ? new Error("expected a command before the redirection") : this.#unexpected();
    }
    return { kind: "simple", assignments, words, redirects };
  }

  #redirects(): Redirect[] {
    const redirects: Redirect[] = [];
    for (let redirect = this.#redirect(); redirect; redirect = this.#redirect()) redirects.push(redirect);
    return redirects;
  }

  #redirect(): Redirect | undefined {
    const token = this.#token;
    if (token.kind === "duplicate") {
      this.#advance();
      return token;
    }
    if (token.kind !== "redirect") return undefined;
    this.#advance();
    if (this.#token.kind !== "word") throw new Error("Redirection with no file");
    const redirect: Redirect = { ...token, target: this.#token.word };
    this.#advance();
    return redirect;
  }

  #unexpected(): Error {
    return new Error(`expected a command or assignment${this.#found()}`);
  }

  #found(): string {
    const token = this.#token;
    if (token.kind === "operator") return ` but got: ${JSON.stringify(token.operator)}`;
    return token.kind === "end" ? "" : ` but got: a ${token.kind}`;
  }
}

function asAssignment(word: Word): Assignment | undefined {
  const [first, ...rest] = word;
  const match = first?.kind === "text" && !first.quoted ? ASSIGNMENT.exec(first.text) : null;
  if (!match || first.kind !== "text") return undefined;
  const text = first.text.slice(match[0].length);
  return { name: match[1], value: [...(text ? [{ ...first, text }] : []), ...rest] };
}
