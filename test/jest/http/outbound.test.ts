import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { checkTarget, makeOutboundAgents, type OutboundReason, safeRequest } from "../../../src/http/outbound.ts";

const publicAddress = "93.184.215.14";
let server: Server;
let port: number;
let handle: RequestListener;
let connections = 0;

beforeAll(async () => {
  server = createServer((request, response) => handle(request, response));
  server.on("connection", () => {
    connections += 1;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

const here = (path = "/"): string => `http://127.0.0.1:${port}${path}`;

/** Why a request is refused; undefined if it was answered. */
async function reasonOf(work: Promise<unknown>): Promise<OutboundReason | undefined> {
  return work.then(
    () => undefined,
    (error: { reason: OutboundReason }) => error.reason,
  );
}

describe("what is never called", () => {
  const hostile: [string, string][] = [
    ["the machine itself", "https://127.0.0.1/"],
    ["all of its network", "https://127.255.255.254/"],
    ["in decimal", "https://2130706433/"],
    ["in octal", "https://0177.0.0.1/"],
    ["in hexadecimal", "https://0x7f000001/"],
    ["cut short", "https://127.1/"],
    ["with a dot at its end", "https://127.0.0.1./"],
    ["with full-width digits", "https://\uFF11\uFF12\uFF17.0.0.1/"],
    ["nowhere", "https://0.0.0.0/"],
    ["one number", "https://0/"],
    ["IPv6 loopback", "https://[::1]/"],
    ["IPv6 nowhere", "https://[::]/"],
    ["mapped", "https://[::ffff:127.0.0.1]/"],
    ["mapped in hexadecimal", "https://[::ffff:7f00:1]/"],
    ["compatible", "https://[::7f00:1]/"],
    ["translated", "https://[64:ff9b::7f00:1]/"],
    ["translated locally", "https://[64:ff9b:1::a9fe:a9fe]/"],
    ["SIIT", "https://[::ffff:0:7f00:1]/"],
    ["6to4", "https://[2002:7f00:1::]/"],
    ["Teredo", "https://[2001:0:7f00:1::]/"],
    ["unique local", "https://[fd00:ec2::254]/"],
    ["link local", "https://[fe80::1]/"],
    ["site local", "https://[fec0::1]/"],
    ["multicast", "https://[ff02::1]/"],
    ["documentation", "https://[2001:db8::1]/"],
    ["not given out", "https://[4000::1]/"],
    ["private, large", "https://10.0.0.1/"],
    ["private, middle", "https://172.31.255.255/"],
    ["private, small", "https://192.168.1.1/"],
    ["carrier-grade NAT", "https://100.64.0.1/"],
    ["metadata of Alibaba", "https://100.100.100.200/"],
    ["metadata of AWS, Azure and Google", "https://169.254.169.254/latest/meta-data/"],
    ["metadata of Oracle", "https://192.0.0.192/"],
    ["the host of Azure", "https://168.63.129.16/"],
    ["benchmarks", "https://198.18.0.1/"],
    ["examples", "https://203.0.113.1/"],
    ["multicast, version 4", "https://224.0.0.1/"],
    ["reserved", "https://240.0.0.1/"],
    ["broadcast", "https://255.255.255.255/"],
  ];

  test.each(hostile)("an address: %s", async (_name, url) => {
    expect(await reasonOf(checkTarget(url))).toBe("address");
    expect(await reasonOf(safeRequest(url))).toBe("address");
  });

  test.each([
    ["http", "http://example.com/"],
    ["files", "file:///etc/passwd"],
    ["gopher", "gopher://example.com/"],
    ["a user", "https://user@example.com/"],
    ["a password", "https://:secret@example.com/"],
    ["another's port", "https://example.com:25/"],
    ["a port of SSH", "https://example.com:22/"],
    ["nothing", ""],
    ["a path", "/hook"],
    ["a number too large", "https://99999999999/"],
  ])("a URL with %s", async (_name, url) => {
    expect(await reasonOf(checkTarget(url))).toBe("url");
    expect(await reasonOf(safeRequest(url))).toBe("url");
  });

  test.each([
    ["localhost", ["127.0.0.1"]],
    ["localhost.", ["::1"]],
    ["metadata.google.internal", ["169.254.169.254"]],
    ["one address of several", [publicAddress, "10.0.0.1"]],
    ["version 6 beside version 4", [publicAddress, "fd00::1"]],
    ["no address at all", ["nonsense"]],
  ])("a name: %s", async (name, addresses) => {
    const url = name.includes(" ") ? "https://example.com/" : `https://${name}/`;
    const resolve = async (): Promise<string[]> => addresses;
    expect(await reasonOf(checkTarget(url, { resolve }))).toBe("address");
    expect(await reasonOf(safeRequest(url, { resolve }))).toBe("address");
  });

  test("a name without an address", async () => {
    const resolve = async (): Promise<string[]> => [];
    expect(await reasonOf(checkTarget("https://example.com/", { resolve }))).toBe("name");
    expect(await reasonOf(safeRequest("https://nothing.invalid/", { timeoutMs: 8_000 }))).toBe("name");
  }, 15_000);

  test("a name that changed its mind after it was checked", async () => {
    const answers = [[publicAddress], ["127.0.0.1"]];
    const resolve = jest.fn(async () => answers.shift() ?? []);
    const url = `https://rebinding.example:${port}/`;
    await checkTarget(url, { resolve });
    connections = 0;
    expect(await reasonOf(safeRequest(url, { resolve }))).toBe("address");
    expect(connections).toBe(0);
    expect(resolve).toHaveBeenCalledTimes(2);
  });

  test("what is public is called", async () => {
    const resolve = async (): Promise<string[]> => [publicAddress, "2606:4700::1111"];
    expect(await reasonOf(checkTarget("https://example.com:8443/hook?x=1", { resolve }))).toBeUndefined();
    expect(await reasonOf(checkTarget("https://1.1.1.1/"))).toBeUndefined();
    expect(await reasonOf(checkTarget("https://[2606:4700::1111]/"))).toBeUndefined();
  });
});

describe("a request", () => {
  const allowPrivate = true;

  test("goes to the address that was checked, under the name that was asked for", async () => {
    handle = (request, response) => response.end(request.headers.host);
    const resolve = jest.fn(async () => ["127.0.0.1"]);
    const { status, body } = await safeRequest(`http://shop.example:${port}/`, { allowPrivate, resolve });
    expect([status, body.toString()]).toEqual([200, `shop.example:${port}`]);
    expect(resolve).toHaveBeenCalledTimes(1);
  });

  test("sends method, headers and body", async () => {
    handle = (request, response) => {
      request.setEncoding("utf8").on("data", (text) => {
        response.writeHead(202, { "x-seen": `${request.method} ${request.headers["x-mine"]} ${text}` }).end();
      });
    };
    const sent = await safeRequest(here(), { allowPrivate, method: "POST", headers: { "x-mine": "1" }, body: "é" });
    expect([sent.status, sent.headers["x-seen"]]).toEqual([202, "POST 1 é"]);
  });

  test("follows no redirect", async () => {
    const asked: (string | undefined)[] = [];
    handle = (request, response) => {
      asked.push(request.url);
      response.writeHead(302, { location: "http://169.254.169.254/" }).end();
    };
    const { status } = await safeRequest(here("/first"), { allowPrivate });
    expect([status, asked]).toEqual([302, ["/first"]]);
  });

  test("reads no more of an answer than it wants", async () => {
    let sent = 0;
    handle = (_request, response) => {
      const more = (): void => {
        while (!response.destroyed && sent < 50_000_000) {
          sent += 100_000;
          if (!response.write("x".repeat(100_000))) return void response.once("drain", more);
        }
        response.end();
      };
      more();
    };
    const { body, isCut } = await safeRequest(here(), { allowPrivate, maxBytes: 1000 });
    expect([body.length, isCut]).toEqual([1000, true]);
    expect(sent).toBeLessThan(50_000_000);
  });

  test.each([
    ["does not begin", () => undefined],
    [
      "comes in drops",
      (response: Parameters<RequestListener>[1]) => {
        const timer = setInterval(() => response.write("x"), 20);
        response.on("close", () => clearInterval(timer));
      },
    ],
  ])("gives up on an answer that %s", async (_name, answer) => {
    handle = (_request, response) => answer(response);
    const startedAt = Date.now();
    expect(await reasonOf(safeRequest(here(), { allowPrivate, timeoutMs: 300 }))).toBe("timeout");
    expect(Date.now() - startedAt).toBeLessThan(5_000);
  });

  test("gives up on a name that takes too long to find", async () => {
    const resolve = (): Promise<string[]> => new Promise(() => undefined);
    expect(await reasonOf(safeRequest("https://slow.example/", { resolve, timeoutMs: 200 }))).toBe("timeout");
  });

  test("tells an answer that was broken off from one that is whole", async () => {
    handle = (_request, response) => {
      response.writeHead(200, { "content-length": "100" }).write("x");
      setTimeout(() => response.destroy(), 20);
    };
    expect(await reasonOf(safeRequest(here(), { allowPrivate }))).toBe("connection");
    expect(await reasonOf(safeRequest("http://127.0.0.1:1/", { allowPrivate }))).toBe("connection");
  });

  test("ends with its caller", async () => {
    handle = () => undefined;
    const caller = new AbortController();
    setTimeout(() => caller.abort(), 50);
    expect(await reasonOf(safeRequest(here(), { allowPrivate, signal: caller.signal }))).toBe("aborted");
  });

  test("uses a connection again among the same agents only", async () => {
    handle = (_request, response) => response.end("ok");
    const agents = makeOutboundAgents();
    const others = makeOutboundAgents();
    connections = 0;
    for (let i = 0; i < 3; i += 1) await safeRequest(here(), { allowPrivate, agents });
    expect(connections).toBe(1);
    await safeRequest(here(), { allowPrivate, agents: others });
    await safeRequest(here(), { allowPrivate });
    expect(connections).toBe(3);
    agents.close();
    others.close();
  });
});
