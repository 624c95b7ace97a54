//! The authorities that a generation's environment trusts.

use std::process::{Command, Stdio};

use harness::{Baton, Cli, Project, Run};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::calls::start;

/// A function that asks a server of its own, with a certificate of a company's authority, in every way.
/// `event.data.trust` has the code change what it trusts.
const ASKS: &str = r#"import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { createServer, get } from "node:https";
import { connect } from "node:tls";
import { Worker } from "node:worker_threads";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
const here = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url));
const server = createServer({ key: here("server.key"), cert: here("server.pem") }, (request, response) => {
  response.setHeader("x-inngest-server-kind", "dev").end("report 42");
});
server.on("upgrade", (request, socket) => {
  const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accepted = createHash("sha1").update(key).digest("base64");
  socket.write(`HTTP/1.1 101 Hello\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accepted}\r\n\r\n`);
});
server.listen(0, "127.0.0.1");
await new Promise((listens) => server.once("listening", listens));
const { port } = server.address() as { port: number };
const url = `https://localhost:${port}/`;
const refused = () => "refused";

const ways = {
  fetch: async () => (await fetch(url)).text(),
  https: () =>
    new Promise((resolve, reject) => {
      get(url, (response) => response.setEncoding("utf8").on("data", resolve)).on("error", reject);
    }),
  tls: () =>
    new Promise((resolve, reject) => {
      const socket = connect({ port, host: "localhost", servername: "localhost" }, () => {
        socket.destroy();
        resolve("report 42");
      }).on("error", reject);
    }),
  websocket: () =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url.replace("https", "wss"));
      socket.onopen = () => (resolve("report 42"), socket.close());
      socket.onerror = reject;
    }),
  worker: () =>
    new Promise((resolve) => {
      const code = `const { parentPort } = require("node:worker_threads");
        fetch("${url}").then((answer) => answer.text()).catch(() => "refused").then((told) => parentPort.postMessage(told));`;
      new Worker(code, { eval: true }).once("message", resolve);
    }),
};

export const asks = inngest.createFunction(
  { id: "asks", retries: 1, triggers: [{ event: "fixture/asks" }], checkpointing: false },
  async ({ event }) => {
    const told: Record<string, unknown> = { port };
    if (event.data.trust) process.env.NODE_TLS_REJECT_UNAUTHORIZED = event.data.trust;
    for (const [name, ask] of Object.entries(ways)) told[name] = await ask().catch(refused);
    return told;
  },
);
"#;

/// Makes the project, an authority in `ca.pem` and `authorities/`, and its certificate for `localhost`.
fn project() -> Project {
    let project = Project::new();
    project.write("functions/asks.ts", ASKS);
    project.write("extensions", "subjectAltName=DNS:localhost\n");
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=Acme \
                  -addext basicConstraints=critical,CA:TRUE && \
                  openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost && \
                  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions \
                  -out server.pem && mkdir authorities && cp ca.pem authorities/ && echo no certificate > authorities/README";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(project.root())
        .output();
    let made = made.expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    project
}

async fn told(baton: &Baton, data: Value) -> Value {
    let run = Run::of("fixture-asks").with_data(data);
    let answer = start(baton, &run).answer(baton).await;
    assert_eq!(answer.status, 200, "{answer}");
    let mut told = answer.json();
    told.as_object_mut().expect("an object").remove("port");
    told
}

fn in_every_way(told: &str) -> Value {
    json!({ "fetch": told, "https": told, "tls": told, "websocket": told, "worker": told })
}

#[tokio::test]
async fn slow_each_variable_for_certificates_has_their_authority_trusted_in_every_way() {
    let project = project();
    let file = |name: &str| project.root().join(name).display().to_string();
    let (authority, folder) = (file("ca.pem"), file("authorities"));
    for variable in [
        ("NODE_EXTRA_CA_CERTS", authority.as_str()),
        ("NODE_EXTRA_CA_CERTS", "ca.pem"),
        ("SSL_CERT_FILE", &authority),
        ("SSL_CERT_DIR", &folder),
        ("DENO_CERT", &authority),
        ("NODE_TLS_REJECT_UNAUTHORIZED", "0"),
    ] {
        let baton = Baton::dev(&project).env(variable.0, variable.1).ready().await;
        assert_eq!(told(&baton, json!({})).await, in_every_way("report 42"), "{variable:?}");
    }
}

#[tokio::test]
async fn the_environment_file_says_which_authorities_a_generation_trusts() {
    let project = project();
    project.write("baton.toml", "[env]\nfile = \".env\"\n");
    project.write(".env", "OTHER=1\n");
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(told(&baton, json!({})).await, in_every_way("refused"));
    project.write(".env", "NODE_EXTRA_CA_CERTS=ca.pem\n");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(told(&baton, json!({})).await, in_every_way("report 42"));
    project.write(".env", "NODE_EXTRA_CA_CERTS=missing.pem\n");
    assert_eq!(baton.reload().await.activated(), 3);
    assert_eq!(told(&baton, json!({})).await, in_every_way("refused"));
    baton
        .wait_for(
            "cannot read extra certificates",
            json!({ "level": "WARN", "variable": "NODE_EXTRA_CA_CERTS" }),
        )
        .await;
}

#[tokio::test]
async fn code_may_have_every_certificate_accepted_as_in_node() {
    let project = project();
    let baton = Baton::dev(&project).ready().await;
    let ways = |told: &Value| [told["fetch"].clone(), told["https"].clone(), told["websocket"].clone()];
    assert_eq!(ways(&told(&baton, json!({})).await), ["refused"; 3].map(Value::from));
    let trusting = told(&baton, json!({ "trust": "0" })).await;
    assert_eq!(ways(&trusting), ["report 42"; 3].map(Value::from));
    let strict = told(&baton, json!({ "trust": "1" })).await;
    // The agent of `node:https` has kept its connection.
    assert_eq!(ways(&strict), ["refused", "report 42", "refused"].map(Value::from));
}

/// A server that answers registrations, on the port that it is given.
const STAND_IN: &str = r#"import { readFileSync } from "node:fs";
import { createServer } from "node:https";
const here = (name) => readFileSync(new URL(name, import.meta.url));
createServer({ key: here("server.key"), cert: here("server.pem") }, (_, response) => {
  response.setHeader("content-type", "application/json").end(JSON.stringify({ ok: true, modified: true }));
}).listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listens"));
"#;

#[tokio::test]
async fn a_project_is_registered_at_an_inngest_whose_authority_its_environment_trusts() {
    let project = project();
    project.remove("functions/asks.ts");
    project.write("stand-in.mjs", STAND_IN);
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = port.expect("a free port").port();
    let mut stand_in = tokio::process::Command::new("node")
        .args(["stand-in.mjs", &port.to_string()])
        .current_dir(project.root())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node");
    let mut listens = [0];
    let mut output = stand_in.stdout.take().expect("its output");
    output.read_exact(&mut listens).await.expect("that it listens");
    project.write("baton.toml", "[env]\nfile = \".env\"\n");
    for (file, told) in [
        ("OTHER=1\n", "not registered"),
        ("NODE_EXTRA_CA_CERTS=ca.pem\n", "registered at Inngest"),
    ] {
        project.write(".env", file);
        let baton = Baton::start(&project)
            .registering()
            .env("INNGEST_BASE_URL", format!("https://localhost:{port}"))
            .env("INNGEST_SIGNING_KEY", "signkey-test-00112233")
            .without("INNGEST_DEV")
            .ready()
            .await;
        let is_told = |line: &harness::Line| line.message().starts_with(told);
        baton.stderr().wait_for_line(told, is_told).await;
    }
}

#[tokio::test]
async fn the_hosts_own_requests_trust_the_same_authorities() {
    let project = project();
    let baton = Baton::dev(&project).ready().await;
    let answer = start(&baton, &Run::of("fixture-asks")).answer(&baton).await.json();
    let inngest = format!("https://localhost:{}", answer["port"]);
    project.write("baton.toml", "[env]\nfile = \".env\"\n");
    for (file, told) in [
        ("OTHER=1\n", "answers\n"),
        ("NODE_EXTRA_CA_CERTS=ca.pem\n", "answers, and is a dev server"),
    ] {
        project.write(".env", file);
        let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.scratch().join("of-doctor"));
        let found = cli.env("INNGEST_DEV", &inngest).baton(&["doctor", "--port", "0"]).await;
        assert!(found.stdout.contains(told), "{file}: {found}");
    }
}
