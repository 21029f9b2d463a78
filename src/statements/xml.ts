import { XMLParser } from "fast-xml-parser";
import { StatementError } from "./statement.ts";

/** An element: its children by name, its attributes with an @ in front, or its text alone. */
export type XmlNode = string | { [name: string]: XmlNode | XmlNode[] };

export interface XmlOptions {
  /** The elements that may come several times: they are always lists. */
  lists: readonly string[];
  /** How deep elements may be nested. */
  maxDepth: number;
}

/**
 * Reads XML, strictly: well-formed, without a document type (so without entities of its own, external or not), in
 * an encoding that is known, and no deeper than it should be. Prefixes of namespaces are left out.
 */
export function readXml(bytes: Buffer, { lists, maxDepth }: XmlOptions): XmlNode {
  const text = decode(bytes);
  if (/<!DOCTYPE/i.test(text)) throw new StatementError("A statement must not have a document type.");
  const parser = new XMLParser({
    transformTagName: (name) => name.slice(name.indexOf(":") + 1),
    ignoreAttributes: false,
    attributeNamePrefix: "@",
    parseTagValue: false,
    parseAttributeValue: false,
    ignoreDeclaration: true,
    ignorePiTags: true,
    // References to characters by number; there are no entities to expand without a document type.
    htmlEntities: true,
    maxNestedTags: maxDepth,
    isArray: (name) => lists.includes(name),
  });
  let root: XmlNode;
  try {
    root = parser.parse(text, true) as XmlNode;
  } catch (error) {
    throw new StatementError(`The file is not well-formed XML: ${(error as Error).message}`, { cause: error });
  }
  if (Object.values(root).length !== 1 || Array.isArray(Object.values(root)[0])) {
    throw new StatementError("The file is not well-formed XML: it has one root element.");
  }
  return root;
}

const encodings = ["utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16le", "utf-16be"];

/** By the mark of its bytes or its declaration; what is not in that encoding is an error, not a replacement. */
function decode(bytes: Buffer): string {
  const marked = { fffe: "utf-16le", feff: "utf-16be" }[bytes.toString("hex", 0, 2)];
  const declared = /^(?:\xef\xbb\xbf)?<\?xml[^>]{0,100}?\bencoding\s*=\s*["']([A-Za-z0-9._-]{1,30})["']/.exec(
    bytes.toString("latin1", 0, 200),
  )?.[1];
  const encoding = marked ?? (declared ?? "utf-8").toLowerCase();
  if (!encodings.includes(encoding)) throw new StatementError(`The encoding ${encoding} is not known.`);
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (error) {
    throw new StatementError(`The file is not in the encoding ${encoding}.`, { cause: error });
  }
}

/** The element at a path, the first where there are several; undefined if there is none. */
export function at(node: XmlNode | undefined, ...path: string[]): XmlNode | undefined {
  let found = node;
  for (const name of path) {
    if (found === undefined || typeof found === "string") return undefined;
    const child: XmlNode | XmlNode[] | undefined = Object.hasOwn(found, name) ? found[name] : undefined;
    found = Array.isArray(child) ? child[0] : child;
  }
  return found;
}

/** All elements of a name. */
export function allOf(node: XmlNode | undefined, name: string): XmlNode[] {
  if (node === undefined || typeof node === "string" || !Object.hasOwn(node, name)) return [];
  const found = node[name];
  return Array.isArray(found) ? found : found === undefined ? [] : [found];
}

/** The text of the element at a path; undefined if there is none, or nothing in it. */
export function textAt(node: XmlNode | undefined, ...path: string[]): string | undefined {
  const found = at(node, ...path);
  const text = typeof found === "string" ? found : at(found, "#text");
  return typeof text === "string" && text.trim() !== "" ? text.trim() : undefined;
}
