import { readProjectFile } from "./project_files.ts";

/** A GraphQL block of a document, and the JSON block right after it, if there is one. */
export interface Example {
  line: number;
  query: string;
  variables: string;
}

/** The GraphQL examples of a Markdown file of the project, in order. */
export function readExamples(path: string): Example[] {
  const text = readProjectFile(path);
  return [...text.matchAll(/```graphql\n([\s\S]*?)```(?:\n+```json\n([\s\S]*?)```)?/g)].map((match) => ({
    line: text.slice(0, match.index).split("\n").length,
    query: match[1] ?? "",
    variables: match[2] ?? "{}",
  }));
}
