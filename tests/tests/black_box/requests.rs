//! Requests reach an app as they were sent: their headers byte for byte, their path as in the request line. Bytes
//! that are no request are refused, and are no failure of the app.

use harness::{Baton, Project, Run, deadline};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// `Łódź` as a content network sends it, and a byte that is no UTF-8.
const ODD: &[u8] = b"\xc5\x81\xc3\xb3d\xc5\xba \xe9";

/// Writes bytes to a new connection, and reads until it is closed.
async fn exchange(baton: &Baton, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", baton.port()))
        .await
        .expect("a connection");
    stream.write_all(request).await.expect("a request");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    deadline::within("an answer", String::new, read)
        .await
        .expect("an answer");
    answer
}

/// Returns a request with a header whose value is any bytes.
fn request(line: &str, header: &str, value: &[u8]) -> Vec<u8> {
    let mut request = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}: ").into_bytes();
    request.extend_from_slice(value);
    request.extend_from_slice(b"\r\n\r\n");
    request
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn headers_go_byte_for_byte_both_ways() {
    let project = Project::of_entries();
    let codes = "JSON.stringify([...value].map((character) => character.charCodeAt(0)))";
    project.write(
        "src/fetch.ts",
        format!(
            "export default {{\n  fetch(request: Request) {{\n    const value = request.headers.get(\"cf-ipcity\")!;\n    \
             return new Response({codes}, {{ headers: {{ \"x-back\": value }} }});\n  }},\n}};\n"
        ),
    );
    project.write(
        "src/node.ts",
        format!(
            "import {{ createServer }} from \"node:http\";\ncreateServer((request, response) => {{\n  \
             const value = request.headers[\"cf-ipcity\"] as string;\n  response.setHeader(\"x-back\", value);\n  \
             // (Of a text Node makes one string with the headers, in UTF-8.)\n  response.end(Buffer.from({codes}));\n}}).listen(3000);\n"
        ),
    );
    for entry in ["src/fetch.ts", "src/node.ts"] {
        let baton = Baton::dev_on(&project, entry).ready().await;
        let answer = exchange(&baton, &request("GET /", "CF-IPCity", ODD)).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 200"), "{entry}: {text}");
        let expected: Vec<String> = ODD.iter().map(u8::to_string).collect();
        assert!(text.ends_with(&format!("[{}]", expected.join(","))), "{entry}: {text}");
        assert!(
            contains(&answer, &[b"x-back: ", ODD, b"\r\n"].concat()),
            "{entry}: {text}"
        );
    }
}

#[tokio::test]
async fn calls_of_inngest_take_any_header() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let call = baton.executor().request(&Run::of("fixture-version"), "step");
    let (head, body) = call.wire("localhost");
    let mut bytes = head[..head.len() - 2].to_vec();
    bytes.extend_from_slice(&[b"cf-ipcity: ", ODD, b"\r\n\r\n", &body[..]].concat());
    let answer = exchange(&baton, &bytes).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("\"version\":\"1\""),
        "{text}"
    );
}

#[tokio::test]
async fn the_path_is_that_of_the_request_line_and_the_host_is_one() {
    let project = Project::of_entries();
    project.write(
        "src/where.ts",
        "export default {\n  fetch(request: Request) {\n    return new Response(`at ${request.url}`);\n  },\n};\n",
    );
    let baton = Baton::dev_on(&project, "src/where.ts").ready().await;
    let check = async |line: &str, hosts: &[&str], expected: &str| {
        let hosts: String = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
        let request = format!("{line} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let answer = exchange(&baton, request.as_bytes()).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains(expected), "{line} {hosts}: {text}");
    };
    check("GET /public?a=b", &["example.com"], "at http://example.com/public?a=b").await;
    check("GET /public", &["x/admin?"], "HTTP/1.1 400").await;
    check("GET /public", &["a b"], "HTTP/1.1 400").await;
    check("GET /public", &["a:99999"], "HTTP/1.1 400").await;
    check("GET /public", &["["], "HTTP/1.1 400").await;
    check("GET /public", &["a", "b"], "HTTP/1.1 400").await;
    check("GET /public", &[""], "at http://localhost/public").await;
    check("GET //admin", &["x"], "at http://x//admin").await;
    check(
        "GET http://evil.com/public",
        &["localhost"],
        "at http://evil.com/public",
    )
    .await;
    check("GET http://evil.com/-/status", &["localhost"], "HTTP/1.1 403").await;
    check("TRACE /", &["localhost"], "HTTP/1.1 405").await;
    check("CONNECT a.example:443", &["a.example:443"], "HTTP/1.1 405").await;
    let errors: Vec<_> = baton
        .stderr()
        .lines()
        .into_iter()
        .filter(|line| line.json["level"] == "ERROR")
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    let socket = project.state_dir().join("control.sock");
    let mut control = UnixStream::connect(socket).await.expect("the control socket");
    let request = b"GET /-/live HTTP/1.1\r\nhost: x/y\r\nconnection: close\r\n\r\n";
    control.write_all(request).await.expect("a request");
    let mut answer = String::new();
    control.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn an_app_may_answer_with_many_headers_and_hears_where_they_are_too_many() {
    let project = Project::of_entries();
    project.write(
        "src/headers.ts",
        "export default {\n  fetch(request: Request) {\n    const headers = new Headers();\n    \
         const count = Number(new URL(request.url).searchParams.get(\"count\"));\n    \
         for (let at = 0; at < count; at++) headers.append(`x-${at}`, \"value\");\n    \
         return new Response(\"many\", { headers });\n  },\n};\n",
    );
    let baton = Baton::dev_on(&project, "src/headers.ts").ready().await;
    let many = exchange(&baton, &request("GET /?count=400", "x", b"y")).await;
    let text = String::from_utf8_lossy(&many);
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("x-399: value"),
        "{text}"
    );
    let too_many = exchange(&baton, &request("GET /?count=1000", "x", b"y")).await;
    let text = String::from_utf8_lossy(&too_many);
    assert!(
        text.starts_with("HTTP/1.1 500") && text.contains("more than 512 headers"),
        "{text}"
    );
}
