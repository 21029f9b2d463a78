/** One instruction of a Dockerfile, continuation lines joined, comments left out. */
export interface Instruction {
  keyword: string;
  /** What follows the keyword; a JSON array is taken apart. */
  args: string[];
  text: string;
}

/** The stages of a Dockerfile, each from its FROM on. Reads what this project uses of the format. */
export function parseDockerfile(source: string): Instruction[][] {
  const lines = source
    .split("\n")
    .filter((line) => !/^\s*#/.test(line))
    .join("\n")
    .replace(/\\\n/g, " ")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const stages: Instruction[][] = [];
  for (const line of lines) {
    const instruction = parseLine(line);
    if (instruction.keyword === "FROM") stages.push([]);
    const stage = stages.at(-1);
    if (stage === undefined) throw new Error(`${instruction.keyword} stands before the first FROM.`);
    stage.push(instruction);
  }
  return stages;
}

function parseLine(line: string): Instruction {
  const [, keyword, text] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
  if (keyword === undefined || text === undefined) throw new Error(`Not an instruction: ${line}`);
  const array = /\[.*\]$/.exec(text)?.[0];
  const args = array === undefined ? text.split(/\s+/) : (JSON.parse(array) as string[]);
  return { keyword, args, text };
}
