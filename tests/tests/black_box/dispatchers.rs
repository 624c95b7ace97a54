//! The ways that requests of the global `fetch` take: through a dispatcher of the package undici, through a
//! proxy of the environment, or past both.

use std::process::Stdio;

use harness::{Baton, Project, deadline};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::behaviours::runtime::Runtime;

const WORK: &str = include_str!("dispatchers/work.mjs");

/// A module that puts the classes and the `fetch` of undici in the place of Node's, as a later Node does.
const UNDER_NODE: &str = r#"import { install } from "undici";
install();
const { work } = await import("./work.mjs");
console.log(JSON.stringify(await work()));
process.exit(0);
"#;

const UNDER_BATON: &str = r#"import { work } from "./work.mjs";
export default { fetch: async () => Response.json(await work()) };
"#;

#[tokio::test]
async fn requests_by_way_of_dispatchers_come_to_the_same_as_with_undicis_own_fetch() {
    let project = Project::of_packages();
    project.write("work.mjs", WORK);
    project.write("node.mjs", UNDER_NODE);
    project.write("entry.ts", UNDER_BATON);
    let node = Runtime::Node
        .command()
        .arg("node.mjs")
        .current_dir(project.root())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let node = deadline::within("the requests under Node", String::new, node).await;
    let node = node.expect("a runtime that starts");
    assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
    let expected: Map<String, Value> = serde_json::from_slice(&node.stdout).expect("results");
    assert!(expected.len() > 50, "{expected:#?}");

    let baton = Baton::dev_on(&project, "entry.ts").ready().await;
    let answer = baton.get("/").await;
    assert_eq!(answer.status, 200, "{answer}");
    let actual = answer.json();
    let wrong: Vec<_> = expected
        .iter()
        .filter(|(name, result)| actual[name] != **result)
        .map(|(name, result)| format!("{name}\n  undici {result}\n  Baton  {}", actual[name]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A proxy that answers each request itself.
async fn proxy() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let read = connection.read(&mut request).await.unwrap_or_default();
                let line = String::from_utf8_lossy(&request[..read]);
                let text = format!("proxied {}", line.lines().next().unwrap_or_default());
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length";
                let _ = connection
                    .write_all(format!("{head}: {}\r\n\r\n{text}", text.len()).as_bytes())
                    .await;
            });
        }
    });
    port
}

#[tokio::test]
async fn proxies_of_a_generations_environment_are_used() {
    let project = Project::new();
    project.write(
        "serve.ts",
        r#"import { createServer, get } from "node:http";
const server = createServer((_, response) => response.end("direct"));
server.listen(0, "127.0.0.1").unref();
const byHttp = (url: string) =>
  new Promise((resolve) => get(url, (response) => response.setEncoding("utf8").on("data", resolve)));
export default {
  async fetch(request: Request) {
    // Baton asks for Inngest once it has loaded the file.
    if (new URL(request.url).pathname !== "/") return new Response(null, { status: 404 });
    const { port } = server.address() as any;
    const text = async (url: string) => (await (await fetch(url)).text()).split("HTTP")[0].replace(String(port), "port");
    const told = [await text(`http://127.0.0.1:${port}/a`), await text(`http://localhost:${port}/b`)];
    delete process.env.HTTP_PROXY;
    return Response.json([...told, await text(`http://127.0.0.1:${port}/c`), await byHttp(`http://127.0.0.1:${port}/d`)]);
  },
};
"#,
    );
    project.write("baton.toml", "[env]\nfile = \".env\"\n");
    project.write(
        ".env",
        format!(
            "HTTP_PROXY=http://127.0.0.1:{}\nNO_PROXY=example.com,localhost\n",
            proxy().await
        ),
    );
    let baton = Baton::dev_on(&project, "serve.ts").ready().await;
    let expected = json!(["proxied GET http://127.0.0.1:port/a ", "direct", "direct", "direct"]);
    assert_eq!(baton.get("/").await.json(), expected);
}

#[tokio::test]
async fn worker_threads_and_websockets_take_them_too() {
    let project = Project::of_packages();
    let asks = |load: &str, tell: &str| {
        format!(
            "{load}\nconst dispatcher = new ProxyAgent(process.env.PROXY);\n\
             const text = async (init) => (await (await fetch(\"http://intranet.invalid/\", init)).text()).slice(0, 7);\n\
             const told = [text({{ dispatcher }})];\nsetGlobalDispatcher(dispatcher);\ntold.push(text());\n\
             Promise.all(told).then((told) => {tell}.postMessage(told));\n"
        )
    };
    let required = "const { ProxyAgent, setGlobalDispatcher } = require(\"undici\");";
    project.write(
        "thread.mts",
        asks(
            "import { parentPort } from \"node:worker_threads\";\nimport { ProxyAgent, setGlobalDispatcher } from \"undici\";",
            "parentPort",
        ),
    );
    project.write(
        "thread.cjs",
        asks(required, "require(\"node:worker_threads\").parentPort"),
    );
    project.write(
        "text.cjs",
        asks(required, "require(\"node:worker_threads\").parentPort"),
    );
    project.write(
        "serve.ts",
        r#"import { Worker } from "node:worker_threads";
const threads = {
  module: () => new Worker(new URL("./thread.mts", import.meta.url)),
  commonjs: () => new Worker(new URL("./thread.cjs", import.meta.url)),
};
const first = (worker: Worker) => new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
const refused = () =>
  new Promise((resolve) => {
    const socket = new WebSocket("ws://intranet.invalid/", ["chat"]);
    socket.onopen = () => resolve("open");
    socket.onerror = (event) => resolve((event as ErrorEvent).message);
  });
export default {
  async fetch(request: Request) {
    if (new URL(request.url).pathname !== "/") return new Response(null, { status: 404 });
    const told: Record<string, unknown> = {};
    for (const [name, begin] of Object.entries(threads)) told[name] = await first(begin());
    const past = await refused();
    process.env.HTTP_PROXY = process.env.PROXY;
    told.socket = past !== (await refused());
    told.class = [WebSocket.name, WebSocket.OPEN, WebSocket.prototype.constructor === WebSocket];
    return Response.json(told);
  },
};
"#,
    );
    let url = format!("http://127.0.0.1:{}", proxy().await);
    let baton = Baton::dev_on(&project, "serve.ts").env("PROXY", url).ready().await;
    let by_the_proxy = json!(["proxied", "proxied"]);
    let expected = json!({
        "module": by_the_proxy, "commonjs": by_the_proxy, "socket": true, "class": ["WebSocket", 1, true],
    });
    assert_eq!(baton.get("/").await.json(), expected, "{}", baton.stderr().tail());
}
