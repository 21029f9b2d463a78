import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterAll, expect, test } from "@jest/globals";
import express from "express";
import type pg from "pg";
import { healthRoutes } from "../../../src/http/health.ts";

/* Whoever may ask /readyz costs the database nothing by asking often. The database here only counts. */
let asked = 0;
let isStopping = false;
const pool = {
  connect: async () => {
    asked += 1;
    return { query: async () => ({ rows: [{ done: true }] }), release: () => undefined };
  },
} as unknown as pg.Pool;
const server = express()
  .use(healthRoutes({ pool, isStopping: () => isStopping }))
  .listen(0, "127.0.0.1");
await once(server, "listening");
afterAll(() => void server.close());
const ready = async (): Promise<number> =>
  (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/readyz`)).status;

test("the database is asked once a second, however often somebody asks", async () => {
  expect(await Promise.all(Array.from({ length: 50 }, ready))).toEqual(Array(50).fill(200));
  expect(asked).toBe(1);
  await new Promise((done) => setTimeout(done, 1_050));
  await ready();
  expect(asked).toBe(2);
});

test("that the server stops is told at once", async () => {
  isStopping = true;
  expect(await ready()).toBe(503);
});
