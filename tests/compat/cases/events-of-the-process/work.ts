/** Every event by which reporters of errors and warnings hear of them. */
export async function work() {
  const heard: string[] = [];
  const listen = (name: string, tell: (value: any) => string) => {
    process.on(name as "warning", (value: unknown) => void heard.push(`${name}: ${tell(value)}`));
  };
  listen("unhandledRejection", (reason) => reason.message);
  listen("rejectionHandled", (promise) => typeof promise.then);
  listen("warning", (warning) => `${warning.name} ${warning.message}`);
  listen("uncaughtExceptionMonitor", (error) => error.message);
  listen("uncaughtException", (error) => error.message);
  const late = Promise.reject(new Error("late"));
  await new Promise((resolve) => setTimeout(resolve, 20));
  late.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 5));
  process.emitWarning("old", "DeprecationWarning");
  setTimeout(() => {
    throw new Error("thrown");
  });
  await new Promise((resolve) => setTimeout(resolve, 40));
  return heard;
}
