//! The ways that requests of the global `fetch` take: by a dispatcher of the package undici, by a proxy of the
//! environment, or past both.

use std::process::Stdio;

use harness::{Baton, Project, deadline};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::behaviours::runtime::Runtime;

const WORK: &str = include_str!("dispatchers/work.mjs");

/// Has the classes and the `fetch` of undici in the place of Node's, as a later Node has them.
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
