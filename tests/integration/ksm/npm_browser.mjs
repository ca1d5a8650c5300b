// The browser build of the official npm SDK, unmodified, behind a browser's rules for foreign pages:
// `node npm_browser.mjs SDK-FOLDER < arguments.json`; prints what a page has read as JSON.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";

const given = JSON.parse(fs.readFileSync(0, "utf8"));
const page = "https://page.example";
const simple = ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"];
const asked = [];
const send = globalThis.fetch;

function allowed(response) {
  const origin = response.headers.get("access-control-allow-origin");
  if (origin !== "*" && origin !== page) throw new TypeError("blocked: no allowed origin");
  if (response.headers.has("access-control-allow-credentials")) throw new TypeError("credentials");
}

function names(response, header) {
  return (response.headers.get(header) || "").toLowerCase().split(",").map((one) => one.trim());
}

globalThis.fetch = async (url, options) => {
  const request = new Request(url, { ...options, duplex: "half" });
  const special = [...request.headers]
    .filter(([name, value]) => name !== "content-type" || !simple.includes(value.split(";")[0]))
    .map(([name]) => name)
    .filter((name) => name !== "content-length");
  if (special.length > 0) {
    const before = await send(url, {
      method: "OPTIONS",
      headers: {
        origin: page,
        "access-control-request-method": request.method,
        "access-control-request-headers": special.sort().join(","),
      },
    });
    allowed(before);
    if (!before.ok) throw new TypeError(`blocked: preflight ${before.status}`);
    const headers = names(before, "access-control-allow-headers");
    for (const name of special) {
      if (!headers.includes(name)) throw new TypeError(`blocked: header ${name}`);
    }
    asked.push(...special);
  }
  const headers = new Headers(options.headers);
  headers.delete("content-length");
  headers.set("origin", page);
  const response = await send(url, { ...options, headers });
  allowed(response);
  return response;
};

// Its file ends in .js, which Node would take for another kind of module.
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "browser-build-"));
const copy = path.join(folder, "sdk.mjs");
fs.copyFileSync(path.join(process.argv[2], "dist", "index.es.js"), copy);
globalThis.window = globalThis;
const sdk = await import(pathToFileURL(copy));
fs.rmSync(folder, { recursive: true });

const options = { storage: sdk.loadJsonConfig(given.config) };
const read = async () => (await sdk.getSecrets(options, [given.record])).records[0];
const first = await read();
first.data.fields.find((one) => one.type === "password").value = ["from a page"];
await sdk.updateSecret(options, first);
const data = new Uint8Array(100000).map((_, at) => at % 251);
await sdk.uploadFile(options, await read(), { name: "p.bin", title: "Page", type: "x/y", data });
const found = await read();
const back = await sdk.downloadFile(found.files[0]);
let refusal = "";
try {
  await sdk.createSecret(options, given.record, { title: "No", type: "login", fields: [] });
} catch (error) {
  refusal = String(error.message);
}
process.stdout.write(
  JSON.stringify({
    password: found.data.fields.find((one) => one.type === "password").value[0],
    same: Buffer.compare(Buffer.from(back), Buffer.from(data)) === 0,
    asked: [...new Set(asked)].sort(),
    refused: refusal !== "",
  })
);
