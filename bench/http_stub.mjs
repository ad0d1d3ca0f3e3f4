// A stub of the API in another process: HTTP/1.1, or TLS with HTTP/2 where the client wants it. Prints its port.
// Usage: node http_stub.mjs [CERTIFICATE KEY]
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createSecureServer } from "node:http2";

const answer = JSON.stringify({
  success: true,
  errors: [],
  messages: [],
  result: { id: "order-1", status: "queued", version_id: "v", workflow_id: "w", trigger_source: "api" },
});

function serve(request, response) {
  request.resume();
  request.on("end", () => {
    response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
    response.end(answer);
  });
}

const [cert, key] = process.argv.slice(2).map((path) => readFileSync(path));
const server = cert ? createSecureServer({ cert, key, allowHTTP1: true }, serve) : createServer(serve);
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
