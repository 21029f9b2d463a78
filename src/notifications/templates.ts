import Mustache from "mustache";

/** The words of a message before its values are put in. */
export interface Template {
  /** Null for channels that have none. */
  subject: string | null;
  body: string;
}

/** What values there are; all of them plain data. */
export type View = Record<string, unknown>;

export type Channel = "email" | "sms" | "chat" | "in_app";

/** A message as it goes out. */
export interface Rendered {
  subject: string | null;
  text: string;
  /** Of a mail. */
  html: string | null;
}

/** How long a message may become, in characters. */
const maxLengths: Record<Channel, number> = { email: 200_000, sms: 1_000, chat: 4_000, in_app: 4_000 };
const maxSubject = 200;
const maxDepth = 3;

/** A template that cannot be used: the field that is wrong, and how, as a sentence. */
export class TemplateError extends Error {
  readonly field: "subject" | "body";
  constructor(field: "subject" | "body", fault: string) {
    super(fault);
    this.name = "TemplateError";
    this.field = field;
  }
}

// Parsed templates are not kept: whoever writes them would fill the memory.
const writer = new Mustache.Writer();
(writer as { templateCache?: unknown }).templateCache = undefined;

/**
 * Puts the values into the words. In the body of a mail, which is HTML, every value is escaped; elsewhere nothing
 * is, for it is text. A subject becomes one line, whatever is in its values.
 */
export function renderTemplate(channel: Channel, template: Template, view: View): Rendered {
  const values = withoutPrototypes(view) as View;
  const asText = (text: string): string => writer.render(text, values, undefined, { escape: String });
  const subject = template.subject === null ? null : cut(oneLine(asText(template.subject)), maxSubject);
  if (channel !== "email") return { subject, text: cut(asText(template.body).trim(), maxLengths[channel]), html: null };
  const html = cut(writer.render(template.body, values), maxLengths.email);
  return { subject, text: htmlToText(html), html };
}

/**
 * Refuses a template that names what there is not, or that would get round the escaping: with `{{{value}}}` or
 * `{{&value}}`, with partials or with delimiters of its own. Sections may be nested, but not in themselves.
 */
export function checkTemplate(template: Template, sample: View): void {
  if (template.subject !== null) checkField("subject", template.subject, sample);
  checkField("body", template.body, sample);
}

type Token = [type: string, value: string, start: number, end: number, inner?: Token[] | string, ...rest: unknown[]];

function checkField(field: "subject" | "body", text: string, sample: View): void {
  let tokens: Token[];
  try {
    tokens = writer.parse(text) as Token[];
  } catch (error) {
    throw new TemplateError(field, `It cannot be read: ${(error as Error).message}.`);
  }
  checkTokens(field, tokens, { names: namesOf(sample), sections: [] });
}

interface Scope {
  names: Map<string, unknown>;
  /** The sections around, from the outside in. */
  sections: string[];
}

function checkTokens(field: "subject" | "body", tokens: Token[], scope: Scope): void {
  for (const [type, name, , , inner] of tokens) {
    if (type === "text" || type === "!") continue;
    if (type === "&") throw new TemplateError(field, `{{{${name}}}} is not escaped: write {{${name}}}.`);
    if (type === ">") throw new TemplateError(field, `There are no partials: {{>${name}}}.`);
    if (type === "=") throw new TemplateError(field, "The delimiters stay as they are.");
    const isHere = scope.names.has(name) || (name === "." && scope.sections.length > 0);
    if (!isHere) throw new TemplateError(field, `There is no value ${JSON.stringify(name)}.`);
    if (type === "name") continue;
    if (scope.sections.includes(name)) throw new TemplateError(field, `{{#${name}}} is inside itself.`);
    if (scope.sections.length >= maxDepth)
      throw new TemplateError(field, `Sections are nested too deep: {{#${name}}}.`);
    const value = scope.names.get(name);
    const item = Array.isArray(value) ? value[0] : undefined;
    const names = new Map([...scope.names, ...namesOf(isObject(item) ? item : {})]);
    checkTokens(field, inner as Token[], { names, sections: [...scope.sections, name] });
  }
}

function namesOf(view: View): Map<string, unknown> {
  return new Map(Object.entries(view));
}

function isObject(value: unknown): value is View {
  return typeof value === "object" && value !== null;
}

/** Mustache looks names up in whatever an object inherits, too. */
function withoutPrototypes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPrototypes);
  if (!isObject(value)) return value;
  return Object.assign(
    Object.create(null),
    Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withoutPrototypes(inner)])),
  );
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/** What would end a header, or hide a part of a line, becomes a blank. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+/gu, " ").trim();
}

const entities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };

/** The words of a mail for those who read no HTML: paragraphs as lines, links with where they lead. */
export function htmlToText(html: string): string {
  return html
    .replace(/<(style|script|head)\b[\s\S]*?<\/\1\s*>/gi, "")
    .replace(/\s+/g, " ")
    .replace(/<a\b[^>]*\bhref="([^"]*)"[^>]*>(.*?)<\/a>/gi, "$2: $1")
    .replace(/<li\b[^>]*>/gi, "\n- ")
    .replace(/<(br|\/p|\/div|\/h[1-6]|\/tr|\/ul|\/ol)\b[^>]*>/gi, "\n")
    .replace(/<[^>]*>/g, "")
    .replace(/&(#x[0-9a-f]+|#\d+|\w+);/gi, (whole, name: string) => decodeEntity(name) ?? whole)
    .replace(/[ \t]*\n[ \t]*/g, "\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

function decodeEntity(name: string): string | undefined {
  if (!name.startsWith("#")) return entities[name.toLowerCase()];
  const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10);
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
}
