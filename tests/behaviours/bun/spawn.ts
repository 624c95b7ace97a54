// `Bun.spawn`, `Bun.spawnSync`, `Bun.which`.

const sh = (script, options = {}) => Bun.spawn(["sh", "-c", script], options);

export default {
  "text of the output": async () => {
    const child = sh("echo out; echo err >&2", { stderr: "pipe" });
    const texts = [await new Response(child.stdout).text(), await new Response(child.stderr).text()];
    return [texts, await child.exited, child.exitCode, child.signalCode, child.killed];
  },
  "methods of the output": async () => [
    await sh("echo text").stdout.text(),
    await sh("echo '{\"a\":1}'").stdout.json(),
    await sh("printf hi").stdout.bytes(),
    await sh("printf hi").stdout.arrayBuffer(),
  ],
  "an exit code": async () => {
    const child = sh("exit 3");
    const before = child.exitCode;
    return [before, await child.exited, child.exitCode];
  },
  "a signal": async () => {
    const child = Bun.spawn(["sleep", "60"]);
    child.kill();
    return [await child.exited, child.exitCode, child.signalCode, child.killed];
  },
  "a signal by name and by number": async () => {
    const first = Bun.spawn(["sleep", "60"]);
    first.kill("SIGKILL");
    const second = Bun.spawn(["sleep", "60"]);
    second.kill(2);
    return [await first.exited, first.signalCode, await second.exited, second.signalCode];
  },
  "a pid": async () => {
    const child = sh("echo $$");
    return Number(await child.stdout.text()) === child.pid;
  },
  "input by a pipe": async () => {
    const child = Bun.spawn(["cat"], { stdin: "pipe" });
    child.stdin.write("one ");
    child.stdin.write(new TextEncoder().encode("two"));
    child.stdin.flush();
    child.stdin.end();
    return child.stdout.text();
  },
  "input of other kinds": async (folder) => {
    await Bun.write(`${folder}/input`, "from a file");
    const kinds = [
      new TextEncoder().encode("bytes"),
      new Blob(["blob"]),
      new Response("response"),
      Bun.file(`${folder}/input`),
      "ignore",
      null,
    ];
    const texts = [];
    for (const stdin of kinds) texts.push(await Bun.spawn(["cat"], { stdin }).stdout.text());
    return texts;
  },
  "input from a stream": async () => {
    const stdin = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("streamed"));
        controller.close();
      },
    });
    return Bun.spawn(["cat"], { stdin }).stdout.text();
  },
  "one child's output is another one's input": async () => {
    const first = Bun.spawn(["printf", "b\\na\\n"]);
    return Bun.spawn(["sort"], { stdin: first.stdout }).stdout.text();
  },
  "output into a file": async (folder) => {
    const child = sh("echo out; echo err >&2", { stdout: Bun.file(`${folder}/o`), stderr: Bun.file(`${folder}/e`) });
    await child.exited;
    return [await Bun.file(`${folder}/o`).text(), await Bun.file(`${folder}/e`).text(), typeof child.stdout];
  },
  "no output": async () => {
    const child = sh("echo out", { stdout: "ignore", stderr: "ignore" });
    return [await child.exited, child.stdout ?? "none", child.stderr ?? "none", child.stdin ?? "none"];
  },
  "stdio as a list": async () => {
    const child = sh("cat; echo err >&2", { stdio: [new TextEncoder().encode("in"), "pipe", "pipe"] });
    return [await child.stdout.text(), await child.stderr.text()];
  },
  "options with the command in them": async () => Bun.spawn({ cmd: ["echo", "cmd"], stdout: "pipe" }).stdout.text(),
  "a folder and an environment": async (folder) => [
    await sh("pwd", { cwd: folder }).stdout.text(),
    await sh("echo $A-$B", { env: { PATH: process.env.PATH, A: "a" } }).stdout.text(),
  ],
  "argv0": async () =>
    (await Bun.spawn(["sh", "-c", "echo $0"], { argv0: "named" }).stdout.text()).trim(),
  "a missing command": () => {
    try {
      Bun.spawn(["no-such-command-at-all"]);
    } catch (error) {
      return [error.code, error.message, error.path];
    }
  },
  "no command": () => {
    try {
      Bun.spawn([]);
    } catch (error) {
      return error.name;
    }
  },
  "a missing folder": () => {
    try {
      Bun.spawn(["true"], { cwd: "/nonexistent" });
    } catch (error) {
      return error.code;
    }
  },
  "onExit gets the exit code": async () =>
    new Promise((told) => {
      sh("exit 5", { onExit: (child, code, signal, error) => told([typeof child.pid, code, signal, error]) });
    }),
  "onExit gets the signal": async () =>
    new Promise((told) => {
      sh("kill -9 $$", { onExit: (_, code, signal) => told([code, signal]) });
    }),
  "a timeout": async () => {
    const child = Bun.spawn(["sleep", "60"], { timeout: 100 });
    return [await child.exited, child.signalCode];
  },
  "a timeout with another signal": async () => {
    const child = Bun.spawn(["sleep", "60"], { timeout: 100, killSignal: "SIGKILL" });
    return [await child.exited, child.signalCode];
  },
  "an abort signal": async () => {
    const abort = new AbortController();
    const child = Bun.spawn(["sleep", "60"], { signal: abort.signal });
    abort.abort();
    return [await child.exited, child.signalCode];
  },
  megabytes: async () => (await Bun.spawn(["head", "-c", "2000000", "/dev/zero"]).stdout.bytes()).length,
  "two outputs, both large": async () => {
    const child = sh("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2", { stderr: "pipe" });
    const [out, err] = await Promise.all([child.stdout.bytes(), child.stderr.bytes()]);
    return [out.length, err.length];
  },
  "await using": async () => {
    let child;
    {
      await using used = Bun.spawn(["sleep", "60"]);
      child = used;
    }
    return child.killed;
  },
  "spawnSync": () => {
    const { stdout, stderr, exitCode, success } = Bun.spawnSync(["sh", "-c", "echo out; echo err >&2; exit 2"], {
      stderr: "pipe",
    });
    return [stdout.toString(), stderr.toString(), exitCode, success];
  },
  "spawnSync that succeeds": () => {
    const { stdout, exitCode, success } = Bun.spawnSync(["echo", "well"]);
    return [stdout.toString(), exitCode, success];
  },
  "spawnSync with input": () => Bun.spawnSync(["cat"], { stdin: new TextEncoder().encode("input") }).stdout.toString(),
  "spawnSync with options": (folder) => Bun.spawnSync({ cmd: ["pwd"], cwd: folder }).stdout.toString(),
  "spawnSync that a signal ends": () => {
    const { exitCode, signalCode, success } = Bun.spawnSync(["sh", "-c", "kill -9 $$"]);
    return [exitCode, signalCode, success];
  },
  "spawnSync with a timeout": () => {
    const { success, exitedDueToTimeout } = Bun.spawnSync(["sleep", "60"], { timeout: 100 });
    return [success, exitedDueToTimeout];
  },
  "spawnSync of a missing command": () => {
    try {
      Bun.spawnSync(["no-such-command-at-all"]);
    } catch (error) {
      return error.code;
    }
  },
  "spawnSync into a file": async (folder) => {
    const { stdout } = Bun.spawnSync(["echo", "kept"], { stdout: Bun.file(`${folder}/kept`) });
    return [stdout ?? "none", await Bun.file(`${folder}/kept`).text()];
  },
  "Bun.which": (folder) => [
    Bun.which("sh", { PATH: "/bin" }),
    Bun.which("no-such-command-at-all"),
    Bun.which("sh", { PATH: folder }),
    Bun.which("/bin/sh"),
    Bun.which(""),
  ],
};
