import { spawnSync } from "node:child_process";
import { describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { settingNames } from "../../../src/config.ts";
import { projectRoot } from "../../../src/paths.ts";
import { ledgerSettings } from "../../../src/postgres/settings.ts";
import { type Instruction, parseDockerfile } from "../../support/dockerfile.ts";
import { projectHas, readProjectFile } from "../../support/project_files.ts";

/** What can be known of the container files without a container engine. */
const packageJson = JSON.parse(readProjectFile("package.json")) as {
  bin: Record<string, string>;
  dependencies: Record<string, string>;
};
const help = spawnSync(process.execPath, ["src/cli/tallystick.mjs", "--help"], { cwd: projectRoot, encoding: "utf8" });
const commands = [...help.stdout.matchAll(/^ {2}([a-z][\w-]*)/gm)].map((match) => match[1]);

describe("Dockerfile", () => {
  const stages = parseDockerfile(readProjectFile("Dockerfile"));
  const last = stages.at(-1) ?? [];
  const all = (stage: Instruction[], keyword: string): Instruction[] => stage.filter((one) => one.keyword === keyword);

  test("builds in stages, on the Node.js that the project pins", () => {
    const major = packageJson.dependencies["node"]?.split(".")[0];
    expect(stages.length).toBeGreaterThan(1);
    for (const stage of stages) expect(stage[0]?.text).toMatch(new RegExp(`^node:${major}(-|\\b)`));
  });

  test("does not run as root", () => {
    const user = all(last, "USER").at(-1)?.args[0];
    expect(user).toBeDefined();
    expect(["root", "0"]).not.toContain(user);
    expect(last.findIndex((one) => one.keyword === "USER")).toBeLessThan(
      last.findIndex((one) => one.keyword === "ENTRYPOINT"),
    );
  });

  test("copies only files that exist and that .dockerignore lets through", () => {
    const ignored = readProjectFile(".dockerignore").split("\n");
    const sources = stages
      .flatMap((stage) => all(stage, "COPY"))
      .filter((one) => !one.text.startsWith("--from="))
      .flatMap((one) => one.args.slice(0, -1));
    expect(sources.length).toBeGreaterThan(0);
    expect(sources.filter((path) => !projectHas(path) || ignored.includes(path))).toEqual([]);
  });

  test("has every folder that the program reads at run time", () => {
    const copied = all(last, "COPY").flatMap((one) => one.args.slice(0, -1));
    expect(copied).toEqual(expect.arrayContaining(["package.json", "migrations", "src", "tasks"]));
  });

  test("starts the program that package.json names, with a command that it has", () => {
    expect(all(last, "ENTRYPOINT")[0]?.args).toEqual(["node", packageJson.bin["tallystick"]]);
    expect(commands).toContain(all(last, "CMD")[0]?.args[0]);
  });

  test("asks the API for its health, on the port that it exposes", () => {
    const port = all(last, "EXPOSE")[0]?.args[0];
    expect(all(last, "HEALTHCHECK")[0]?.text).toContain(`:${port}/readyz`);
    expect(
      all(last, "ENV")
        .map((one) => one.text)
        .join(" "),
    ).toContain(`PORT=${port}`);
  });

  test("sets no setting that the configuration does not know, and no secret", () => {
    const names = all(last, "ENV").flatMap((one) => one.args.map((pair) => pair.split("=")[0] ?? ""));
    expect(names.filter((name) => ![...settingNames, "GRAPHILE_ENV"].includes(name))).toEqual([]);
    expect(names.filter((name) => /SECRET|PASSWORD|KEY|URL/.test(name))).toEqual([]);
  });
});

interface Service {
  image?: string;
  build?: string;
  command?: string[] | string;
  environment: Record<string, string>;
  healthcheck?: { disable?: boolean; test?: string[] };
  depends_on?: Record<string, { condition: string }>;
  ports?: string[];
}

describe("docker-compose.yml", () => {
  const source = readProjectFile("docker-compose.yml");
  const compose = parse(source, { merge: true }) as {
    services: Record<string, Service>;
    volumes: Record<string, null>;
  };
  const service = (name: string): Service => {
    const found = compose.services[name];
    if (found === undefined) throw new Error(`There is no service ${name}.`);
    return found;
  };
  const own = ["migrate", "api", "worker"].map((name) => [name, service(name)] as const);

  test("uses PostgreSQL 18 or newer", () => {
    const version = /^postgres:(\d+)/.exec(service("postgres").image ?? "")?.[1];
    expect(Number(version)).toBeGreaterThanOrEqual(18);
  });

  test("gives PostgreSQL the settings of the embedded server, with the compression that its build has", () => {
    const command = String(service("postgres").command);
    const given = Object.fromEntries([...command.matchAll(/-c (\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));
    expect(given).toEqual({ ...ledgerSettings, wal_compression: "lz4" });
  });

  test("runs commands that the program has", () => {
    for (const [, { command }] of own) expect(commands).toContain(command?.[0]);
  });

  test("passes settings that the configuration knows", () => {
    const names = own.flatMap(([, { environment }]) => Object.keys(environment));
    expect(names.filter((name) => !settingNames.includes(name))).toEqual([]);
  });

  test("passes to the worker what its jobs and its metrics take", () => {
    const jobs = settingNames.filter((name) =>
      /^TALLYSTICK_(WORKER|METRICS|SMTP|SMS|CHAT|MAIL|PUBLIC|STRIPE|BANK|SIMULATED|ANCHOR|EVENT|AUDIT)_/.test(name),
    );
    expect(jobs.filter((name) => service("worker").environment[name] === undefined)).toEqual([]);
  });

  test("gives each service only the database login that it needs", () => {
    const urls = (name: string): string[] =>
      Object.keys(service(name).environment).filter((key) => key.endsWith("DATABASE_URL"));
    expect(urls("api")).toEqual(["TALLYSTICK_API_DATABASE_URL"]);
    expect(urls("worker")).toEqual(["TALLYSTICK_WORKER_DATABASE_URL"]);
    expect(service("migrate").environment["DATABASE_URL"]).toMatch(/^postgres:\/\/postgres:/);
  });

  test("has no default for a secret: each is required, with a message", () => {
    const used = [...source.matchAll(/\$\{(\w*(?:SECRET|PASSWORD|KEY)\w*)([^}]*)\}/g)];
    expect(used.length).toBeGreaterThan(3);
    expect(used.filter(([, , rest]) => !rest?.startsWith(":?")).map(([text]) => text)).toEqual([]);
    for (const name of new Set(used.map(([, name]) => name))) {
      expect(source).toMatch(new RegExp(`\\$\\{${name}:\\?[^}]{10,}\\}`));
    }
  });

  test("migrates once the database is healthy, and starts the rest after that", () => {
    expect(service("postgres").healthcheck?.test).toContain("pg_isready");
    expect(service("migrate").depends_on?.["postgres"]?.condition).toBe("service_healthy");
    for (const name of ["api", "worker"]) {
      expect(service(name).depends_on?.["migrate"]?.condition).toBe("service_completed_successfully");
    }
  });

  test("checks the health of every service that stays", () => {
    // The API's check is that of the image.
    expect(readProjectFile("Dockerfile")).toContain("HEALTHCHECK");
    expect(service("api").healthcheck).toBeUndefined();
    const port = service("worker").environment["TALLYSTICK_WORKER_PORT"];
    expect(service("worker").healthcheck?.test?.join(" ")).toContain(`http://127.0.0.1:${port}/livez`);
    expect(service("migrate").healthcheck?.disable).toBe(true);
  });

  test("publishes ports on this machine only, and the database's not at all", () => {
    expect(service("postgres").ports).toBeUndefined();
    for (const port of service("api").ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/);
  });

  test("declares the volumes that it mounts", () => {
    const mounted = [...source.matchAll(/volumes: \[(\w+):/g)].map((match) => match[1]);
    expect(Object.keys(compose.volumes)).toEqual(expect.arrayContaining(mounted));
  });
});

describe(".env.example", () => {
  test("names exactly the settings of the configuration, and gives no secret away", () => {
    const lines = readProjectFile(".env.example")
      .split("\n")
      .filter((line) => /^\w+=/.test(line));
    expect(lines.map((line) => line.split("=")[0]).sort()).toEqual([...settingNames].sort());
    expect(lines.filter((line) => !line.endsWith("="))).toEqual([]);
  });
});
