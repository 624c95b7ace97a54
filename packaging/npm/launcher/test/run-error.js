/** The failure of a run. Its message names the step that failed, its cause is what the function threw. */
export class RunError extends Error {
  constructor(name, run, error) {
    const step = failedStep(run, error);
    const where = step ? `step ${JSON.stringify(step.name)} of ${name}` : name;
    const attempts = step && step.attempts > 1 ? ` after ${step.attempts} attempts` : "";
    super(`${where} failed${attempts}: ${error.name ?? "Error"}: ${error.message}`);
    this.name = "RunError";
    this.function = name;
    this.step = step?.name;
    this.cause = caused(error);
    // The function's own lines come first: they are the ones to look at.
    const lines = frames(error.stack);
    if (lines.length > 0) this.stack = [`${this.name}: ${this.message}`, ...lines].join("\n");
  }
}

/** The step whose error the run failed with. */
function failedStep(run, error) {
  const failed = (run?.steps ?? []).filter((step) => step.status === "failed");
  const same = failed.filter((step) => step.error?.message === error.message);
  return same.at(-1) ?? (error.name === "StepError" ? failed.at(-1) : undefined);
}

function caused({ name, message, stack, __serialized, ...rest }) {
  const error = new Error(message);
  error.name = name ?? "Error";
  error.stack = stack ?? `${error.name}: ${message}`;
  return Object.assign(error, rest);
}

function frames(stack) {
  return String(stack ?? "")
    .split("\n")
    .filter((line) => line.trimStart().startsWith("at "));
}
