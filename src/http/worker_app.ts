import { once } from "node:events";
import type { AddressInfo } from "node:net";
import express from "express";
import type { Registry } from "prom-client";
import type { RunningPart } from "../api.ts";
import type { Config } from "../config.ts";
import { protectMetrics } from "./metrics.ts";
import { makeHttpServer } from "./serve_http.ts";

/** The little HTTP that a worker serves, for those who run it: GET /livez and GET /metrics. */
export async function startWorkerHttp(options: {
  config: Config;
  metrics: Registry;
}): Promise<RunningPart & { url: string }> {
  const { config, metrics } = options;
  const app = express();
  app.disable("x-powered-by");
  app.get("/livez", (_request, response) => {
    response.json({ status: "ok" });
  });
  app.get("/metrics", protectMetrics(config), async (_request, response) => {
    response.type(metrics.contentType).send(await metrics.metrics());
  });
  const server = makeHttpServer(app);
  server.listen(config.workerPort, config.host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    server.close();
    server.closeAllConnections();
    await once(server, "close").catch(() => undefined);
  };
  return { url: `http://${config.host}:${port}`, stop };
}
