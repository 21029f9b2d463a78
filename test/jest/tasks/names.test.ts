import { expect, test } from "@jest/globals";
import { loadTasks } from "../../../src/worker.ts";
import { noProvider, taskConfig } from "../../support/jobs.ts";
import { projectFiles, readProjectFile } from "../../support/project_files.ts";

/* A task is a string to whoever asks for it, so a typing error would go unseen until a job fails. */
const tasks = Object.keys(await loadTasks({ config: taskConfig(), findPaymentProvider: noProvider })).sort();

const scheduled = readProjectFile("tasks/crontab")
  .split("\n")
  .filter((line) => /^\s*[^#\s]/.test(line))
  .map((line) => line.trim().split(/\s+/)[5] ?? "");

/** The names in `add_job('…'` of SQL, `addJob("…"` of TypeScript, and of what a dead letter is rerun by. */
const enqueued = projectFiles()
  .filter((file) => /^(migrations\/(current\.sql|fixtures\/)|src\/|tasks\/)/.test(file))
  .map(readProjectFile)
  .flatMap((text) => [
    ...text.matchAll(/\badd_?job\(\s*(?:\w+\s*=>\s*)?["']([^"']+)["']/gi),
    ...text.matchAll(/\badd_dead_letter\([^;]*?'([a-z_]+\/[a-z_]+)'/g),
  ])
  .map((match) => match[1] ?? "");

test("there are tasks, and every file of the folder is one", () => {
  const files = projectFiles("tasks").filter((file) => !/(^|\/)(crontab|_[^/]*)$/.test(file));
  expect(files.map((file) => file.replace(/^tasks\/(.*)\.ts$/, "$1"))).toEqual(tasks);
  expect(tasks.length).toBeGreaterThan(0);
});

test("every task is scheduled or enqueued", () => {
  expect(tasks.filter((task) => ![...scheduled, ...enqueued].includes(task))).toEqual([]);
});

test("every task that is scheduled or enqueued exists", () => {
  expect([...scheduled, ...enqueued].filter((task) => !tasks.includes(task))).toEqual([]);
});
