/** The middle one of some figures. */
export function median(figures: number[]): number {
  const sorted = [...figures].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** What one round of a load came to. */
export interface Round {
  /** In the unit of the figure. */
  value: number;
  /** Milliseconds that one statement or request took. */
  p50?: number;
  p95?: number;
  p99?: number;
  /** Microseconds of processor that the database server used for one transfer, its background included. */
  serverCpu?: number;
  /** The same for the process that speaks HTTP. */
  apiCpu?: number;
  /** How much of one core the load generator took. */
  clientCpu?: number;
}

/** One line of the report: medians over the rounds. */
export interface Figure extends Round {
  part: string;
  name: string;
  /** What `value` counts, such as transfers/s or ms. */
  unit: string;
  rounds: number[];
  floor?: Round & { name: string; rounds: number[] };
  /** The median of what each round reached of the floor beside it. */
  ratio?: number;
  /** What a table has no column for. */
  details?: unknown;
}

const measures = ["value", "p50", "p95", "p99", "serverCpu", "apiCpu", "clientCpu"] as const;

/** A figure of what was measured in some rounds, and of the floor beside each. */
export function figureOf(
  about: { part: string; name: string; unit: string; floorName?: string },
  rounds: Round[],
  floors: Round[] = [],
): Figure {
  const { part, name, unit, floorName } = about;
  const figure: Figure = { part, name, unit, ...medians(rounds), rounds: rounds.map(({ value }) => value) };
  if (floors.length === 0) return figure;
  return {
    ...figure,
    floor: { name: floorName ?? "", ...medians(floors), rounds: floors.map(({ value }) => value) },
    ratio: median(rounds.map(({ value }, n) => value / (floors[n]?.value ?? Number.NaN))),
  };
}

function medians(rounds: Round[]): Round {
  const round: Round = { value: Number.NaN };
  for (const measure of measures) {
    const values = rounds.map((one) => one[measure]).filter((one) => one !== undefined);
    if (values.length > 0) round[measure] = median(values);
  }
  return round;
}

/** A number with as many digits as count. */
export function format(value: number): string {
  if (Number.isNaN(value)) return "–";
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);
}
