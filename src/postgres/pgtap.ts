import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";

/**
 * Unpacks pgTAP, which is plain SQL, from its npm package into `folder`, and returns the server
 * setting that makes `create extension pgtap` find it there: nothing is copied into PostgreSQL.
 */
export function unpackPgtap(folder: string): { extension_control_path: string } {
  const require = createRequire(import.meta.url);
  const archive = join(dirname(require.resolve("@electric-sql/pglite-pgtap")), "pgtap.tar.gz");
  for (const { name, content } of readTar(gunzipSync(readFileSync(archive)))) {
    if (!/^share\/postgresql\/extension\/[\w.-]+$/.test(name)) continue;
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  // The server may run as another user than the one who unpacks.
  for (const part of ["", "share", "share/postgresql", "share/postgresql/extension"]) {
    chmodSync(join(folder, part), 0o755);
  }
  return { extension_control_path: `${join(folder, "share/postgresql")}:$system` };
}

/** The regular files of a tar archive: 512-byte headers, each followed by its padded content. */
function* readTar(tar: Buffer): Generator<{ name: string; content: Buffer }> {
  const text = (from: number, length: number): string =>
    tar
      .subarray(from, from + length)
      .toString("utf8")
      .replace(/\0[\s\S]*$/, "");
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12).trim(), 8);
    const prefix = text(at + 345, 155);
    const type = text(at + 156, 1);
    if (type === "0" || type === "") {
      const name = prefix ? `${prefix}/${text(at, 100)}` : text(at, 100);
      yield { name: name.replace(/^\.\//, ""), content: tar.subarray(at + 512, at + 512 + size) };
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
