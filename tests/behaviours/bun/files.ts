// `Bun.file` and `Bun.write`.

const path = (folder, name) => `${folder}/${name}`;

export default {
  "a text is written and read": async (folder) => {
    const bytes = await Bun.write(path(folder, "a.txt"), "héllo");
    const file = Bun.file(path(folder, "a.txt"));
    return [bytes, await file.text(), file.size, file.type, file.name, await file.exists(), await file.bytes()];
  },
  json: async (folder) => {
    await Bun.write(path(folder, "a.json"), JSON.stringify({ a: [1] }));
    const file = Bun.file(path(folder, "a.json"));
    return [await file.json(), file.type];
  },
  "malformed json": async (folder) => {
    await Bun.write(path(folder, "b.json"), "{");
    return Bun.file(path(folder, "b.json"))
      .json()
      .catch((error) => error.name);
  },
  "a missing file": async (folder) => {
    const file = Bun.file(path(folder, "nope"));
    return [file.size, await file.exists(), file.type, await file.text().catch((error) => [error.code, error.message])];
  },
  "a folder does not exist as a file": async (folder) => Bun.file(folder).exists(),
  types: () =>
    [
      "a.html",
      "a.css",
      "a.js",
      "a.ts",
      "a.json",
      "a.md",
      "a.png",
      "a.jpg",
      "a.svg",
      "a.csv",
      "a.xml",
      "a.yaml",
      "a.toml",
      "a.pdf",
      "a.zip",
      "a.wasm",
      "a",
      "a.unheard",
      "a.mp4",
      "a.txt",
    ].map((name) => [name, Bun.file(name).type]),
  "a type is given": () => Bun.file("a.bin", { type: "text/plain" }).type,
  "bytes, buffers, blobs and responses are written": async (folder) => {
    const written = [];
    for (const data of [
      new Uint8Array([104, 105]),
      new TextEncoder().encode("buf").buffer,
      new Blob(["blob"]),
      new Response("response"),
      Buffer.from("buffer"),
    ]) {
      const count = await Bun.write(path(folder, "any"), data);
      written.push([count, await Bun.file(path(folder, "any")).text()]);
    }
    return written;
  },
  "a file is copied": async (folder) => {
    await Bun.write(path(folder, "from"), "copied");
    const count = await Bun.write(path(folder, "to"), Bun.file(path(folder, "from")));
    return [count, await Bun.file(path(folder, "to")).text()];
  },
  "to a file object, a URL": async (folder) => {
    await Bun.write(Bun.file(path(folder, "o")), "one");
    await Bun.write(new URL(`file://${path(folder, "u")}`), "two");
    return [await Bun.file(path(folder, "o")).text(), await Bun.file(new URL(`file://${path(folder, "u")}`)).text()];
  },
  "folders are made": async (folder) => {
    await Bun.write(path(folder, "x/y/z.txt"), "deep");
    return Bun.file(path(folder, "x/y/z.txt")).text();
  },
  "createPath: false makes no folders": async (folder) =>
    Bun.write(path(folder, "q/y/z.txt"), "deep", { createPath: false }).catch((error) => error.code),
  "a longer file is cut": async (folder) => {
    await Bun.write(path(folder, "cut"), "long text");
    await Bun.write(path(folder, "cut"), "short");
    return Bun.file(path(folder, "cut")).text();
  },
  slices: async (folder) => {
    await Bun.write(path(folder, "s"), "0123456789");
    const file = Bun.file(path(folder, "s"));
    return [
      await file.slice(2, 5).text(),
      await file.slice(7).text(),
      await file.slice(-3).text(),
      file.slice(2, 5).size,
      await file.slice(2, 8).slice(1, 3).text(),
      await file.slice(0, 0).text(),
    ];
  },
  "a stream": async (folder) => {
    await Bun.write(path(folder, "st"), "streamed");
    return [
      await new Response(Bun.file(path(folder, "st")).stream()).text(),
      await Bun.file(path(folder, "st")).stream().text(),
    ];
  },
  "a large stream": async (folder) => {
    await Bun.write(path(folder, "large"), new Uint8Array(1_500_000).fill(7));
    let length = 0;
    for await (const chunk of Bun.file(path(folder, "large")).stream()) length += chunk.length;
    return length;
  },
  "a writer": async (folder) => {
    const writer = Bun.file(path(folder, "w")).writer();
    const counts = [writer.write("one "), writer.write(new Uint8Array([116, 119, 111]))];
    await writer.flush();
    writer.write(" three");
    await writer.end();
    return [counts, await Bun.file(path(folder, "w")).text()];
  },
  "a response of a file": async (folder) => {
    await Bun.write(path(folder, "r.html"), "<p>");
    const response = new Response(Bun.file(path(folder, "r.html")));
    return [response.headers.get("content-type"), await response.text()];
  },
  "a file is deleted": async (folder) => {
    await Bun.write(path(folder, "d"), "x");
    const file = Bun.file(path(folder, "d"));
    await file.delete();
    return [await file.exists(), await file.delete().catch((error) => error.code)];
  },
  "stat and times": async (folder) => {
    await Bun.write(path(folder, "t"), "four");
    const file = Bun.file(path(folder, "t"));
    const stat = await file.stat();
    return [stat.size, stat.isFile(), Math.abs(file.lastModified - Date.now()) < 60_000];
  },
  "is a blob": () => [Bun.file("x") instanceof Blob],
  "write through a file": async (folder) => {
    const file = Bun.file(path(folder, "wf"));
    return [await file.write("data"), await file.text()];
  },
  "form data of files": async (folder) => {
    await Bun.write(path(folder, "f.txt"), "in a form");
    const form = new FormData();
    form.append("file", Bun.file(path(folder, "f.txt")), "f.txt");
    return (form.get("file") as File).text();
  },
  "an array is written": async (folder) => {
    const blob = new Blob(["a", new Uint8Array([98])]);
    return [await Bun.write(path(folder, "arr"), blob), await Bun.file(path(folder, "arr")).text()];
  },
  "undefined cannot be written": async (folder) =>
    Bun.write(path(folder, "n"), undefined as any).then(
      () => "written",
      (error) => error.name,
    ),
};
