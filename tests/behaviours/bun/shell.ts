// `$` of Bun: each construct of the shell, and each method of its promise.

import { $ } from "bun";

const SPOKEN = (output) => ({ code: output.exitCode, out: output.stdout.toString(), err: output.stderr.toString() });

/** The script's answer in a folder with files; nothing is thrown for an exit code. */
const shell = (make) => async (folder) => {
  await $`rm -rf w o && mkdir -p w/d && touch w/a.txt w/b.txt w/d/c.txt "w/sp ace.txt" && echo hi > w/o1`
    .cwd(folder)
    .quiet();
  return SPOKEN(await make().cwd(folder).nothrow().quiet());
};

export default {
  "a missing command": shell(() => $`nosuchcmd x`),
  "cd into a missing folder": shell(() => $`cd /nonexist`),
  cd: shell(() => $`cd w && pwd && echo $PWD $OLDPWD`),
  "a variable with spaces, with and without quotes": shell(() => $`X="a  b" && printf "[%s]" $X "$X"`),
  "the output of a command as words": shell(() => $`printf "[%s]" $(echo "a  b"; echo c) "$(echo "a  b"; echo c)"`),
  "the output of a command, by backticks": shell(() => $`echo \`echo hi\``),
  glob: shell(() => $`printf "[%s]\n" w/*.txt | sort`),
  "a glob over folders": shell(() => $`printf "[%s]\n" w/**/*.txt | sort`),
  "a glob without a match": shell(() => $`echo w/*.nope`),
  "a glob in a value": shell(() => $`echo ${"w/*.txt"}`),
  "a glob in quotes": shell(() => $`echo "w/*.txt" 'w/*'`),
  "braces and ranges": shell(() => $`echo {a,b}{1,2} {x,y}.txt {1..3} {a} "{a,b}"`),
  "an array between letters": shell(() => $`printf "[%s]" x${["a", "b c"]}y`),
  "an empty text and an empty array": shell(() => $`printf "[%s]" ${""} ${[]} end`),
  "numbers, booleans, null and undefined": shell(() => $`echo ${1} ${true} ${null} ${undefined} ${1n}`),
  "raw text": shell(() => $`echo ${{ raw: "$(echo raw) 'q'" }}`),
  "output into a file, more output, input": shell(() => $`echo hi > w/o1; echo more >> w/o1; cat < w/o1`),
  "2>": shell(() => $`sh -c "echo err >&2; echo out" 2> w/e1; cat w/e1`),
  "2>&1": shell(() => $`sh -c "echo err >&2; echo out" 2>&1`),
  "1>&2": shell(() => $`echo foo 1>&2`),
  "&>": shell(() => $`sh -c "echo err >&2; echo out" &> w/both; cat w/both`),
  "input from a response": shell(() => $`cat < ${new Response("from response")}`),
  "input from a buffer": shell(() => $`cat < ${Buffer.from("from buf")}`),
  "a pipe of builtins": shell(() => $`echo "b\na" | sort | head -1`),
  "a pipe from printf": shell(() => $`printf "b\na\n" | sort | head -n 1`),
  "yes, cut by head": shell(() => $`yes | head -n 2`),
  or: shell(() => $`false || echo or`),
  and: shell(() => $`true && false && echo no`),
  "one command after the other": shell(() => $`false; echo after`),
  "a subshell": shell(() => $`(cd w; pwd; X=1); pwd; echo "[$X]"`),
  "a variable before a command": shell(() => $`FOO=bar sh -c 'echo $FOO'`),
  "a variable of the shell": shell(() => $`FOO=bar; sh -c 'echo [$FOO]'; echo $FOO`),
  export: shell(() => $`export FOO=bar; sh -c 'echo [$FOO]'`),
  "escapes": shell(() => $`echo a\ b "c\"d" 'e"f' \$HOME "\$X"`),
  "a comment": shell(() => $`echo a # b`),
  "several lines": shell(
    () => $`
  echo one
  echo two
`,
  ),
  "if and else": shell(() => $`if true; then echo yes; else echo no; fi`),
  which: shell(() => $`which sh nosuch`),
  "echo -n": shell(() => $`echo -n a; echo -e "x\ty"`),
  ls: shell(() => $`ls w | sort`),
  "ls of a missing file": shell(() => $`ls w/nope`),
  "rm of a missing file": shell(() => $`rm w/nope`),
  "mkdir of an existing folder": shell(() => $`mkdir w`),
  "cat of a missing file": shell(() => $`cat w/nope`),
  "mv of a missing file": shell(() => $`mv w/nope w/x`),
  "the command seq": shell(() => $`seq 3`),
  basename: shell(() => $`basename a/b.txt; dirname a/b.txt`),
  "an empty command": shell(() => $``),
  "input from a missing file": shell(() => $`cat < w/nonexist`),
  "a command that a signal ends": shell(() => $`sh -c 'kill -9 $$'`),
  "a dollar in a value": shell(() => $`echo ${"$"}{X}y`),
  "${X} and ${X:-default}": shell(() => $`X=1; echo \${X}y \${X:-d}`),
  "exit in a pipe": shell(() => $`exit 3 | cat`),
  "the command test": shell(() => $`test -f w/a.txt && echo y`),
  "output into /dev/null": shell(() => $`echo x > /dev/null`),
  "an output in an output": shell(() => $`echo $(echo "x $(echo y)")`),
  "an output as a variable": shell(() => $`X=$(echo hi) && echo "<$X>"`),
  "a command that fails": shell(() => $`false`),
  "a pipe whose first command fails": shell(() => $`sh -c 'exit 3' | cat`),
  "a pipe whose last command fails": shell(() => $`echo a | sh -c 'exit 3'`),
  "quoted newline": shell(
    () => $`echo ${"a\nb"} "x
y"`,
  ),
  "special characters in a value": shell(() => $`echo ${"a;b && c | d > e $HOME `x` \"q\" 'z' \\ *"}`),
  "values in quotes": shell(() => $`echo "pre ${'a b $X "'} post" '${"sq"}'`),
  "a value as the command": shell(() => $`${"echo"} hi`),
  "an array as the command": shell(() => $`${["echo", "a", "b c"]}`),
  "a path with spaces in a value": shell(() => $`echo hi > ${"w/sp 2.txt"}; cat ${"w/sp 2.txt"}`),
  "backslash nl": shell(
    () => $`echo a \
  b`,
  ),
  "backslashes in quotes": shell(() => $`echo 'a\nb' "a\\b" a\\b`),
  "a semicolon at the end": shell(() => $`echo a;`),
  "braces in braces": shell(() => $`echo {a,{b,c}}x p{,q} {,}`),
  "globs with ?, [] and {}": shell(() => $`echo w/?.txt; echo w/[ab].txt; echo w/{a,b}.txt`),
  "a pipe from a subshell": shell(() => $`(echo b; echo a) | sort`),
  "if, elif and else": shell(
    () =>
      $`if false; then echo a; elif true; then echo b; else echo c; fi; if [[ -z "" ]]; then echo z; fi; if [[ -n "" ]]; then echo n; else echo nn; fi; if [[ a == a ]]; then echo eq; fi; if [[ a != b ]]; then echo ne; fi`,
  ),
  "keywords as arguments": shell(() => $`echo if then fi`),
  "exit with a code": shell(() => $`exit 5`),
  true: shell(() => $`true`),
  "an empty variable as an argument": shell(() => $`X=; printf "[%s]" $X "$X" a$X`),
  "an unset variable": shell(() => $`printf "[%s]" $NOPE "$NOPE" a$NOPE b`),
  "the errors of a builtin into a file": shell(() => $`cd /nonexist 2> w/err; cat w/err`),
  "the options of echo": shell(() => $`echo -e "a\tb" -n; echo -E x; echo "a\tb"; echo -ne "q"`),
  "an empty standard input": shell(() => $`cat`),
  "two assignments": shell(() => $`A=1 B=2; echo $A $B`),
  "a single dollar": shell(() => $`echo "cost $5 and $" $ a$`),
  "a date as a value": shell(() => $`echo ${new Date(0)}`),
  "a URL as a value": shell(() => $`echo ${new URL("http://x/y")}`),
  "an array of other values": shell(() => $`echo ${[1, true, "x"]} ${[["n1", "n2"], "y"]}`),
  "variables of the shell are not the child's": shell(() => $`FOO=bar; sh -c 'echo [$FOO]'; echo $FOO`),
  "the home folder": async (folder) =>
    SPOKEN(await $`echo ~ ~/x a~`.env({ HOME: "/h", PATH: process.env.PATH }).cwd(folder).quiet()),
  "an environment replaces the process's": async () =>
    SPOKEN(await $`echo $A-$HOME-`.env({ A: "1", PATH: process.env.PATH }).quiet()),
  "exported variables are listed": async () =>
    SPOKEN(await $`export A=1 B=2; echo $A$B; export`.env({ PATH: "/bin" }).quiet()),
  "a missing folder": async () => SPOKEN(await $`pwd`.cwd("/nonexistent").quiet()),
  "an object is refused": async () => SPOKEN(await $`echo ${{ a: 1 }}`.quiet()),
  "a background command is refused": async () => SPOKEN(await $`sleep 0 &`.quiet()),
  "a pipe of both outputs is refused": async () => SPOKEN(await $`true |& cat`.quiet().nothrow()),
  "an open parenthesis": async () => SPOKEN(await $`echo (`.quiet()),
  "conditions on files": shell(
    () => $`if [[ -f w/a.txt ]]; then echo file; fi; if [[ -d w ]]; then echo dir; fi; [[ a == b ]]`,
  ),
  "output into memory": async () => {
    const memory = Buffer.alloc(10);
    await $`echo hello > ${memory}`.quiet();
    return memory.toString();
  },
  "output into memory that is too small": async () => {
    const memory = Buffer.alloc(3);
    await $`echo hello > ${memory}`.quiet();
    return memory.toString();
  },
  "output into and input from a file": async (folder) => {
    const file = Bun.file(`${folder}/through`);
    await $`echo through > ${file}`.quiet();
    return [await file.text(), await $`cat < ${file}`.text(), await $`cat ${file}`.text()];
  },
  "errors into a file": async (folder) => {
    const file = Bun.file(`${folder}/errors`);
    await $`sh -c 'echo e >&2; echo o' 2> ${file}`.quiet();
    return file.text();
  },
  "input from a stream, a blob, bytes": async () => [
    await $`cat < ${new Response("response")}`.text(),
    await $`cat < ${new Blob(["blob"])}`.text(),
    await $`cat < ${new Uint8Array([104, 105])}`.text(),
  ],
  "megabytes through pipes": async () => (await $`head -c 3000000 /dev/zero | cat | wc -c`.text()).trim(),
  "megabytes into a promise": async () => (await $`head -c 3000000 /dev/zero`.quiet()).stdout.length,
  "megabytes from memory": async () => (await $`wc -c < ${Buffer.alloc(2_000_000)}`.text()).trim(),
  "a reader that stops early": async () => $`yes | head -n 3`.text(),
  "an exit code is an error": async () => {
    try {
      await $`echo out; sh -c 'echo err >&2; exit 4'`.quiet();
    } catch (error) {
      const { name, message, exitCode, stdout, stderr } = error;
      const kinds = [error instanceof Error, error instanceof $.ShellError];
      return { name, message, exitCode, out: stdout.toString(), err: stderr.toString(), text: error.text(), kinds };
    }
  },
  nothrow: async () => (await $`sh -c 'exit 7'`.nothrow().quiet()).exitCode,
  throws: async () => (await $`sh -c 'exit 7'`.throws(false).quiet()).exitCode,
  "text of a command that fails": async () => $`sh -c 'echo x; exit 2'`.text(),
  "text of a command that fails, with nothrow": async () => $`sh -c 'echo x; exit 2'`.nothrow().text(),
  text: async () => $`echo text`.text(),
  "text in another encoding": async () => $`printf hi`.text("hex"),
  json: async () => $`echo '{"a":[1,2]}'`.json(),
  "malformed json": async () => {
    try {
      return await $`echo nope`.json();
    } catch (error) {
      return error.name;
    }
  },
  lines: async () => Array.fromAsync($`printf 'a\n\nb'`.lines()),
  "lines with a break at the end": async () => Array.fromAsync($`echo a; echo b`.lines()),
  "bytes, buffers and blobs": async () => [
    await $`printf hi`.bytes(),
    await $`printf hi`.arrayBuffer(),
    await (await $`printf hi`.blob()).text(),
  ],
  "an output's text, json, bytes": async () => {
    const output = await $`echo '[1]'`.quiet();
    return [output.text(), output.json(), output.bytes(), Object.keys(output).sort(), Buffer.isBuffer(output.stdout)];
  },
  "nothing runs before it is awaited": async (folder) => {
    const promise = $`echo x > lazy`.cwd(folder).quiet();
    await Bun.sleep(30);
    const before = await Bun.file(`${folder}/lazy`).exists();
    await promise;
    return [before, await Bun.file(`${folder}/lazy`).exists()];
  },
  "awaited twice it runs once": async (folder) => {
    const promise = $`echo x >> twice; cat twice`.cwd(folder).quiet();
    return [(await promise).text(), (await promise).text()];
  },
  "several at once": async () => Promise.all([$`echo 1`.text(), $`echo 2`.text(), $`echo 3`.text()]),
  "a shell of its own": async (folder) => {
    const own = new $.Shell();
    own.cwd(folder).env({ A: "own", PATH: process.env.PATH }).nothrow();
    const output = await own`pwd; echo $A; false`.quiet();
    return SPOKEN(output);
  },
  escape: () =>
    ["a b", "a", "", "a$b", "a'b", 'a"b', "a\nb", "*", "~", "a=b", "{a,b}", "é", "a;b", "#x", "a\\b"].map((text) =>
      $.escape(text),
    ),
  braces: () => [$.braces("a{b,c}"), $.braces("{a,b}{1,2}"), $.braces("x{a,{b,c}}y")],
  "a value is one word": async () => {
    const hostile = [
      "; rm -rf /",
      "$(id)",
      "`id`",
      "a b",
      "*",
      "'",
      '"',
      "\\",
      "\n",
      "$HOME",
      "~",
      "{a,b}",
      "&&",
      "|",
      ">x",
      "#",
      "é 😀",
    ];
    const said = [];
    for (const text of hostile) said.push(await $`printf "[%s]" ${text}`.text());
    return said;
  },
  "a value with spaces in quotes": async () => $`printf "[%s]" "a ${"b  $c"} d" '${"e  f"}'`.text(),
  "a list is several words": async () => $`printf "[%s]" ${["a b", "c", "$d", ""]} -- ${["x"]}`.text(),
  "raw text is part of the script": async () => $`${{ raw: "echo a && echo b" }}`.text(),
  "output and errors are apart": async () => SPOKEN(await $`sh -c 'echo o; echo e >&2'`.quiet()),
  "is a promise": () => [$`true` instanceof Promise, typeof $`true`.then, $.ShellPromise.name],
  "then, catch and finally": async () => {
    const said = [];
    await $`false`
      .quiet()
      .then(() => said.push("then"))
      .catch((error) => said.push(error.exitCode))
      .finally(() => said.push("finally"));
    return said;
  },
  unicode: async () => SPOKEN(await $`echo ${"日本 héé 😀"}`.quiet()),
};
