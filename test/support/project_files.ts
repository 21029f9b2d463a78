import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../src/paths.ts";

const notOurs = new Set(["node_modules", ".git", ".data", "coverage"]);

/** Every file of the project that people write, as paths relative to it. Links are left out. */
export function projectFiles(folder = ""): string[] {
  return readdirSync(join(projectRoot, folder), { withFileTypes: true })
    .filter((entry) => !notOurs.has(entry.name) && !entry.isSymbolicLink())
    .flatMap((entry) => {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      return entry.isDirectory() ? projectFiles(path) : [path];
    })
    .sort();
}

/** The text of a file of the project. */
export function readProjectFile(path: string): string {
  return readFileSync(join(projectRoot, path), "utf8");
}

/** Whether the project has a file or folder of this name. */
export function projectHas(path: string): boolean {
  return statSync(join(projectRoot, path), { throwIfNoEntry: false }) !== undefined;
}
