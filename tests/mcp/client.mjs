// A client of the Model Context Protocol that does what it is told, a line of JSON for each thing: {"list": true} or
// {"call": "status", "arguments": {…}} in, {"value": …} or {"error": "…"} out. The first line out is what the server
// says of itself. The server's command line is this program's arguments.
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [command, ...args] = process.argv.slice(2);
const client = new Client({ name: "baton-tests", version: "1.0.0" });
await client.connect(new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" }));
const answer = (value) => console.log(JSON.stringify(value));
answer({ value: { server: client.getServerVersion(), instructions: client.getInstructions() } });

for await (const line of createInterface({ input: process.stdin })) {
  const { list, call, arguments: input } = JSON.parse(line);
  try {
    answer({ value: list ? await client.listTools() : await client.callTool({ name: call, arguments: input }) });
  } catch (error) {
    answer({ error: error.message });
  }
}
await client.close();
