// `$` of Bun: each construct of the shell, and what its promise can do.

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
  notfound: shell(() => $`nosuchcmd x`),
  "cd bad": shell(() => $`cd /nonexist`),
  cd: shell(() => $`cd w && pwd && echo $PWD $OLDPWD`),
  "var split2": shell(() => $`X="a  b" && printf "[%s]" $X "$X"`),
  cmdsub: shell(() => $`printf "[%s]" $(echo "a  b"; echo c) "$(echo "a  b"; echo c)"`),
  backtick: shell(() => $`echo \`echo hi\``),
  glob: shell(() => $`printf "[%s]\n" w/*.txt | sort`),
  globstar: shell(() => $`printf "[%s]\n" w/**/*.txt | sort`),
  globnone: shell(() => $`echo w/*.nope`),
  "glob in interp": shell(() => $`echo ${"w/*.txt"}`),
  "glob quoted": shell(() => $`echo "w/*.txt" 'w/*'`),
  brace: shell(() => $`echo {a,b}{1,2} {x,y}.txt {1..3} {a} "{a,b}"`),
  array: shell(() => $`printf "[%s]" x${["a", "b c"]}y`),
  empty: shell(() => $`printf "[%s]" ${""} ${[]} end`),
  num: shell(() => $`echo ${1} ${true} ${null} ${undefined} ${1n}`),
  raw: shell(() => $`echo ${{ raw: "$(echo raw) 'q'" }}`),
  redirect: shell(() => $`echo hi > w/o1; echo more >> w/o1; cat < w/o1`),
  "2>": shell(() => $`sh -c "echo err >&2; echo out" 2> w/e1; cat w/e1`),
  "2>&1": shell(() => $`sh -c "echo err >&2; echo out" 2>&1`),
  "1>&2": shell(() => $`echo foo 1>&2`),
  "&>": shell(() => $`sh -c "echo err >&2; echo out" &> w/both; cat w/both`),
  "resp in": shell(() => $`cat < ${new Response("from response")}`),
  "buf in": shell(() => $`cat < ${Buffer.from("from buf")}`),
  pipe: shell(() => $`echo "b\na" | sort | head -1`),
  "pipe echo n": shell(() => $`printf "b\na\n" | sort | head -n 1`),
  yes: shell(() => $`yes | head -n 2`),
  or: shell(() => $`false || echo or`),
  and: shell(() => $`true && false && echo no`),
  seq: shell(() => $`false; echo after`),
  subshell: shell(() => $`(cd w; pwd; X=1); pwd; echo "[$X]"`),
  envprefix: shell(() => $`FOO=bar sh -c 'echo $FOO'`),
  shellvar: shell(() => $`FOO=bar; sh -c 'echo [$FOO]'; echo $FOO`),
  export: shell(() => $`export FOO=bar; sh -c 'echo [$FOO]'`),
  "escape seq": shell(() => $`echo a\ b "c\"d" 'e"f' \$HOME "\$X"`),
  comment: shell(() => $`echo a # b`),
  multi: shell(
    () => $`
  echo one
  echo two
`,
  ),
  if: shell(() => $`if true; then echo yes; else echo no; fi`),
  which: shell(() => $`which sh nosuch`),
  "echo -n": shell(() => $`echo -n a; echo -e "x\ty"`),
  ls: shell(() => $`ls w | sort`),
  "ls bad": shell(() => $`ls w/nope`),
  "rm bad": shell(() => $`rm w/nope`),
  "mkdir bad": shell(() => $`mkdir w`),
  "cat bad": shell(() => $`cat w/nope`),
  "mv bad": shell(() => $`mv w/nope w/x`),
  "seq b": shell(() => $`seq 3`),
  basename: shell(() => $`basename a/b.txt; dirname a/b.txt`),
  "empty cmd": shell(() => $``),
  "redirect bad": shell(() => $`cat < w/nonexist`),
  signal: shell(() => $`sh -c 'kill -9 $$'`),
  default: shell(() => $`echo ${"$"}{X}y`),
  varbrace: shell(() => $`X=1; echo \${X}y \${X:-d}`),
  "exit pipe": shell(() => $`exit 3 | cat`),
  test: shell(() => $`test -f w/a.txt && echo y`),
  devnull: shell(() => $`echo x > /dev/null`),
  nested: shell(() => $`echo $(echo "x $(echo y)")`),
  "assign sub": shell(() => $`X=$(echo hi) && echo "<$X>"`),
  "last false": shell(() => $`false`),
  "sh pipe fail": shell(() => $`sh -c 'exit 3' | cat`),
  "pipe fail last": shell(() => $`echo a | sh -c 'exit 3'`),
  "quoted newline": shell(
    () => $`echo ${"a\nb"} "x
y"`,
  ),
  "special interp": shell(() => $`echo ${"a;b && c | d > e $HOME `x` \"q\" 'z' \\ *"}`),
  "in quotes": shell(() => $`echo "pre ${'a b $X "'} post" '${"sq"}'`),
  "cmd interp": shell(() => $`${"echo"} hi`),
  "array cmd": shell(() => $`${["echo", "a", "b c"]}`),
  "redirect interp path": shell(() => $`echo hi > ${"w/sp 2.txt"}; cat ${"w/sp 2.txt"}`),
  "backslash nl": shell(
    () => $`echo a \
  b`,
  ),
  "single quote esc": shell(() => $`echo 'a\nb' "a\\b" a\\b`),
  "semi end": shell(() => $`echo a;`),
  "brace nested": shell(() => $`echo {a,{b,c}}x p{,q} {,}`),
  "glob ?": shell(() => $`echo w/?.txt; echo w/[ab].txt; echo w/{a,b}.txt`),
  "sub pipe": shell(() => $`(echo b; echo a) | sort`),
  "if else": shell(
    () =>
      $`if false; then echo a; elif true; then echo b; else echo c; fi; if [[ -z "" ]]; then echo z; fi; if [[ -n "" ]]; then echo n; else echo nn; fi; if [[ a == a ]]; then echo eq; fi; if [[ a != b ]]; then echo ne; fi`,
  ),
  "kw arg": shell(() => $`echo if then fi`),
  "exit code": shell(() => $`exit 5`),
  true: shell(() => $`true`),
  "var empty arg": shell(() => $`X=; printf "[%s]" $X "$X" a$X`),
  "unset var": shell(() => $`printf "[%s]" $NOPE "$NOPE" a$NOPE b`),
  "stderr redirect builtin": shell(() => $`cd /nonexist 2> w/err; cat w/err`),
  "echo args": shell(() => $`echo -e "a\tb" -n; echo -E x; echo "a\tb"; echo -ne "q"`),
  stdin: shell(() => $`cat`),
  "assign then": shell(() => $`A=1 B=2; echo $A $B`),
  "dq dollar": shell(() => $`echo "cost $5 and $" $ a$`),
  "date interp": shell(() => $`echo ${new Date(0)}`),
  "url interp": shell(() => $`echo ${new URL("http://x/y")}`),
  "bool arr": shell(() => $`echo ${[1, true, "x"]} ${[["n1", "n2"], "y"]}`),
  "variables of the shell are not the child's": shell(() => $`FOO=bar; sh -c 'echo [$FOO]'; echo $FOO`),
  "a home": async (folder) =>
    SPOKEN(await $`echo ~ ~/x a~`.env({ HOME: "/h", PATH: process.env.PATH }).cwd(folder).quiet()),
  "an environment replaces the process's": async () =>
    SPOKEN(await $`echo $A-$HOME-`.env({ A: "1", PATH: process.env.PATH }).quiet()),
  "exported variables are listed": async () =>
    SPOKEN(await $`export A=1 B=2; echo $A$B; export`.env({ PATH: "/bin" }).quiet()),
  "a folder that is not there": async () => SPOKEN(await $`pwd`.cwd("/nonexistent").quiet()),
  "an object is refused": async () => SPOKEN(await $`echo ${{ a: 1 }}`.quiet()),
  "a background command is refused": async () => SPOKEN(await $`sleep 0 &`.quiet()),
  "a pipe of both outputs is refused": async () => SPOKEN(await $`true |& cat`.quiet().nothrow()),
  "a parenthesis is left open": async () => SPOKEN(await $`echo (`.quiet()),
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
  "who reads the head only": async () => $`yes | head -n 3`.text(),
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
  "text of what fails": async () => $`sh -c 'echo x; exit 2'`.text(),
  "text of what fails, not thrown": async () => $`sh -c 'echo x; exit 2'`.nothrow().text(),
  text: async () => $`echo text`.text(),
  "text in another encoding": async () => $`printf hi`.text("hex"),
  json: async () => $`echo '{"a":[1,2]}'`.json(),
  "json that is none": async () => {
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
  "what is interpolated is one word": async () => {
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
  "what is interpolated in quotes": async () => $`printf "[%s]" "a ${"b  $c"} d" '${"e  f"}'`.text(),
  "a list is several words": async () => $`printf "[%s]" ${["a b", "c", "$d", ""]} -- ${["x"]}`.text(),
  "raw is source": async () => $`${{ raw: "echo a && echo b" }}`.text(),
  "an answer kept apart from errors": async () => SPOKEN(await $`sh -c 'echo o; echo e >&2'`.quiet()),
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
