// One run of a test: what is told of it while it goes on, and the result that is made of that.
import { randomUUID } from "node:crypto";

import { milliseconds } from "./duration.js";
import { RunError } from "./run-error.js";

/** The time for the functions' last lines to come through the other pipe. */
const LAST_LINES = 1000;

export class Run {
  #number;
  #target;
  #options;
  #mocks;
  #door;
  #runs = new Map();
  #steps = [];
  #events = [];
  #logs = [];
  #notes = [];
  #sent = new Set();
  #waiting = new Map();
  #watchers = new Set();
  #result;
  #settle;
  #logged = settled();
  #over = false;

  constructor(number, target, options, door) {
    const { steps = {}, ...rest } = options;
    this.#number = number;
    this.#target = target;
    this.#options = rest;
    this.#mocks = steps;
    this.#door = door;
    this.ended = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ended.catch(() => {});
  }

  /** The line that begins the run. */
  order() {
    const { data, event, events = [], skipSleep = true, deliver = false, retryDelay = 0 } = this.#options;
    const steps = Object.entries(this.#mocks).map(([step, mock]) => [step, mockLine(mock)]);
    return {
      type: "run",
      run: this.#number,
      event,
      ...this.#target,
      data,
      events: events.map((event) => this.#own(event)),
      steps: Object.fromEntries(steps),
      skip_sleep: skipSleep,
      deliver,
      retry_delay_ms: milliseconds(retryDelay),
    };
  }

  /** Gives an event of the test an id, so that it is not taken for one that a function sends. */
  #own(event) {
    const own = { id: `test-${randomUUID()}`, ...(typeof event === "string" ? { name: event } : event) };
    own.ts ??= Date.now();
    own.data ??= {};
    this.#sent.add(own.id);
    return own;
  }

  /** Resolves once the run waits: for this step, or for any. */
  async waiting(step) {
    const found = () => [...this.#waiting.values()].find((wait) => step === undefined || wait.step === step);
    while (!found()) {
      if (this.#over) {
        const steps = this.#steps.map((step) => step.name).join(", ") || "none";
        throw new Error(`the run has ended and never waited${step ? ` for ${JSON.stringify(step)}` : ""}; its steps: ${steps}`);
      }
      await new Promise((resolve) => this.#watchers.add(resolve));
    }
    return found();
  }

  /** Advances the run's time, and resolves when what follows from that is done. */
  async advance(length) {
    await this.#door.advance(milliseconds(length));
  }

  /** Sends an event to the run. */
  send(event) {
    this.#door.say({ type: "send", event: this.#own(event) });
  }

  cancel() {
    this.#door.say({ type: "cancel" });
  }

  has(run) {
    return this.#runs.has(run);
  }

  log({ timestamp, level, message, function: of, run, step }) {
    this.#logs.push({ level: level.toLowerCase(), message, function: of, run, step, time: timestamp });
  }

  /** The functions' lines have come, before or after the result. */
  logged() {
    this.#logged.resolve();
  }

  fail(error) {
    this.#over = true;
    this.#settle.reject(error);
    this.#notify();
  }

  #notify() {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const resolve of watchers) resolve();
  }

  take(line) {
    if (line.type === "refused") return this.fail(new Error(line.message));
    if (line.type === "question") return this.#answer(line);
    this.#report(line.report);
    this.#notify();
  }

  async #answer({ question, function: of, step, name, attempt, opts }) {
    const mock = this.#mocks[step] ?? this.#mocks[name];
    let reply;
    try {
      const input = Array.isArray(opts?.input) ? opts.input : [];
      const output = await mock({ step, name, function: of, attempt, input, opts: opts ?? {} });
      reply = { output: output ?? null };
      JSON.stringify(reply);
    } catch (error) {
      reply = { error: serialised(error) };
    }
    this.#door.say({ type: "answer", question, reply });
  }

  #report(report) {
    switch (report.type) {
      case "run":
        return void this.#runs.set(report.run, {
          id: report.run,
          function: report.function,
          origin: report.origin,
          event: report.event,
          steps: [],
        });
      case "step":
        return this.#step(report, report.kind ?? "step.run", report.status, report.attempt + 1);
      case "waiting":
        return void this.#waiting.set(report.id, { step: report.step, kind: report.kind, for: report.for, until: report.until });
      case "waited":
        this.#waiting.delete(report.id);
        return this.#step(report, report.kind, report.error ? "failed" : "completed", 1);
      case "event":
        return void (this.#sent.has(report.event.id) || this.#events.push(report.event));
      case "note":
        return void this.#notes.push(report.message);
      case "ended": {
        const run = this.#runs.get(report.run);
        for (const key of ["status", "output", "error", "reason"]) if (key in report) run[key] = report[key];
        return;
      }
      case "result":
        this.#result = report;
        return void this.#finish();
    }
  }

  #step(report, kind, status, attempts) {
    const { step: name, id, function: of, run, mocked = false, ms, output, error } = report;
    const known = this.#steps.find((step) => step.run === run && step.hashed === id);
    const step = known ?? { name, kind, function: of, run };
    Object.assign(step, { status, attempts, mocked, ms });
    delete step.output;
    delete step.error;
    if (output !== undefined) step.output = output;
    if (error !== undefined) step.error = error;
    if (known) return;
    Object.defineProperty(step, "hashed", { value: id });
    this.#steps.push(step);
    this.#runs.get(run)?.steps.push(step);
  }

  /** Makes the result, once the functions' lines have come. */
  async #finish() {
    const timer = setTimeout(this.#logged.resolve, LAST_LINES);
    await this.#logged.promise;
    clearTimeout(timer);
    const { status, output, error, reason, function: name } = this.#result;
    const runs = [...this.#runs.values()];
    const asked = runs.filter((run) => run.origin === "asked");
    const about = asked.find((run) => run.function === name) ?? asked[0];
    // A line has the hashed id of the step that said it; `step` while steps are looked for.
    const names = new Map(this.#steps.map((step) => [`${step.run} ${step.hashed}`, step.name]));
    for (const line of this.#logs) line.step = names.get(`${line.run} ${line.step}`);
    this.#over = true;
    this.#settle.resolve({
      status,
      output,
      error: status === "completed" ? undefined : new RunError(name, about, error ?? { name: "Cancelled", message: reason }),
      steps: asked.flatMap((run) => run.steps),
      step: (name) => this.#steps.find((step) => step.name === name),
      events: this.#events,
      logs: this.#logs,
      notes: this.#notes,
      runs,
    });
    this.#notify();
  }
}

function settled() {
  let resolve;
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}

function mockLine(mock) {
  if (typeof mock === "function") return { asked: null };
  if (mock instanceof Error) return { error: serialised(mock) };
  return { output: mock ?? null };
}

/** Returns an error as the SDK would have written it. */
function serialised(error) {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message, stack } = error;
  return { name, message, stack, ...(error.cause instanceof Error ? { cause: serialised(error.cause) } : {}) };
}
