/** Anything that JSON can write. */
export type Json = string | number | boolean | null | undefined | object;

export interface TestEvent {
  name: string;
  data?: Record<string, unknown>;
  id?: string;
  ts?: number;
  [field: string]: unknown;
}

/** The step that a mock answers. */
export interface MockedStep {
  /** The step's id, as it is in the code. */
  step: string;
  /** The step's displayed name: its id, unless the step has a name besides. */
  name: string;
  /** `APP-FUNCTION`. */
  function: string;
  /** The number of the attempt, from 0. */
  attempt: number;
  /** The arguments that `step.run(id, handler, ...input)` passes on. */
  input: unknown[];
  /** The options of the step on the wire. */
  opts: Record<string, any>;
}

/**
 * The answer to a step: an output; an `Error`, with which the step fails for good; or a function, called at each attempt,
 * that returns an output or throws. The output of `step.waitForEvent` is the event, or `null` for a timeout.
 */
export type Mock = ((step: MockedStep) => unknown) | Error | Json;

export interface RunOptions {
  /** The event's data. Default: `{}`. */
  data?: Record<string, unknown>;
  /** The event's name. Default: the first event that triggers the function. */
  event?: string;
  /** Events that are sent once the run waits for them, or is cancelled by them, in this order. */
  events?: (TestEvent | string)[];
  /** The steps that are answered and not executed, by id or name. */
  steps?: Record<string, Mock>;
  /** Ends sleeps at once, and waits for which nothing can come any more. Default: true. */
  skipSleep?: boolean;
  /** Runs the functions that are triggered by the events that functions send. Default: false. */
  deliver?: boolean;
  /** The delay before the first retry; it doubles. Default: 0. */
  retryDelay?: number | string;
}

export interface StepResult {
  name: string;
  /** `step.run`, `step.sendEvent`, …; of waits `sleep`, `event`, `signal`, `invoke`, `http`. */
  kind: string;
  /** `APP-FUNCTION`. */
  function: string;
  run: string;
  status: "completed" | "retrying" | "failed";
  attempts: number;
  mocked: boolean;
  ms: number;
  output?: any;
  error?: { name: string; message: string; stack?: string };
}

export interface LogLine {
  level: "debug" | "info" | "warn" | "error";
  message: string;
  function?: string;
  run?: string;
  /** The step that said it, if it was in one. */
  step?: string;
  time: string;
}

export interface RunResult {
  status: "completed" | "failed" | "cancelled";
  /** The returned value. */
  output: any;
  error: RunError | undefined;
  /** The steps of the run, in the order in which they ended. */
  steps: StepResult[];
  /** Returns the first step of this name, of this run or of those that it began. */
  step(name: string): StepResult | undefined;
  /** The events that the functions sent. */
  events: TestEvent[];
  /** What the functions said. */
  logs: LogLine[];
  /** What people should know, such as mocks that no step used. */
  notes: string[];
  /** The run, and the runs that it began. */
  runs: {
    id: string;
    function: string;
    origin: "asked" | "invoked" | "delivered" | "on_failure";
    event: TestEvent;
    status: "completed" | "failed" | "cancelled";
    output?: any;
    error?: { name: string; message: string; stack?: string };
    steps: StepResult[];
  }[];
}

/** The failure of a run. The message names the step; the cause is what the function threw. */
export interface RunError extends Error {
  function: string;
  step: string | undefined;
  cause: Error;
}

/** A run that goes on. */
export interface Run {
  /** Resolves when the run has ended. */
  result: Promise<RunResult>;
  /** Resolves when the run waits: for this step, or for any. */
  waiting(step?: string): Promise<{ step: string; kind: string; for: string | null; until: string | null }>;
  /** Advances the run's time (`"2h30m"`, or milliseconds); resolves when what follows from that is done. */
  advance(length: number | string): Promise<void>;
  /** Sends an event to the run. */
  send(event: TestEvent | string): void;
  cancel(): void;
}

export interface ProjectOptions {
  /** A folder of functions or an entry file, as for `baton dev`. */
  path?: string;
  /** Default: the working folder. */
  cwd?: string;
  /** Variables of the functions' environment, besides those of this process. */
  env?: Record<string, string>;
  /** A file of NAME=value lines. */
  envFile?: string;
}

export interface Project {
  /** Runs a function to its end. A failed run is a result, too. */
  run(functionOrId: string, options?: RunOptions): Promise<RunResult>;
  /** Runs a function to its end, and returns its output; a failed run throws. */
  output(functionOrId: string, options?: RunOptions): Promise<any>;
  /** Begins a run, to advance its time or to send it events. */
  begin(functionOrId: string, options?: RunOptions): Run;
  /** Runs what an event triggers, and what the events trigger that those functions send. */
  send(event: TestEvent, options?: RunOptions): Promise<RunResult>;
  /** The ids of the project's functions. */
  functions(): Promise<string[]>;
  /** Ends the engine. It ends with this process in any case. */
  close(): Promise<void>;
}

/** The project around the working folder. The engine starts with the first run. */
export const baton: Project;

/** Makes a project of another folder, or with another environment. */
export function project(options?: ProjectOptions): Project;
