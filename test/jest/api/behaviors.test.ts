import { expect, test } from "@jest/globals";
import { rememberBehaviors } from "../../../src/graphql/behaviors.ts";

type Behavior = Parameters<typeof rememberBehaviors>[0];

/** As the library does it, and counted. */
function makeClass(): { make: (texts: Record<string, string>) => Behavior; calls: string[] } {
  const calls: string[] = [];
  class Counted {
    texts: Record<string, string>;
    constructor(texts: Record<string, string>) {
      this.texts = texts;
    }
    getBehaviorForEntity(_type: string, entity: string): { behaviorString: string } {
      return { behaviorString: this.texts[entity] ?? "" };
    }
    stringMatches(text: string, filter: string): boolean | undefined {
      calls.push(`${text} ${filter}`);
      return text.includes(`-${filter}`) ? false : text.includes(filter) || undefined;
    }
    entityMatches(type: string, entity: string, filter: string): boolean | undefined {
      calls.push(`whether ${type} has ${filter}`);
      return this.stringMatches(this.getBehaviorForEntity(type, entity).behaviorString, filter);
    }
    getPreferencesAppliedBehaviors(type: string, inferred: object, override: object): object {
      calls.push(`preferences of ${type}`);
      return { behaviorString: [type, inferred, override].join(" ") };
    }
  }
  return { make: (texts) => Object.freeze(new Counted(texts)) as unknown as Behavior, calls };
}

test("each question is answered as before, and each text is read once for a filter", () => {
  const { make, calls } = makeClass();
  const behavior = make({ accounts: "select", postings: "-select", notes: "", wallets: "select" });
  rememberBehaviors(behavior);
  const ask = (entity: string, filter: string): unknown =>
    behavior.entityMatches("pgResource", entity as never, filter as never);
  for (let n = 0; n < 3; n += 1) {
    expect(["accounts", "postings", "notes", "wallets"].map((entity) => ask(entity, "select"))).toEqual([
      true,
      false,
      undefined,
      true,
    ]);
  }
  expect(calls).toEqual([
    "whether pgResource has select",
    "select select",
    "-select select",
    " select",
    "select select",
  ]);
  expect(ask("accounts", "insert")).toBeUndefined();
  expect(calls.at(-2)).toBe("whether pgResource has insert");
});

test("preferences are applied once to each pair of texts", () => {
  const { make, calls } = makeClass();
  const behavior = make({});
  rememberBehaviors(behavior);
  const apply = (type: string, inferred: string, override: string): string =>
    behavior.getPreferencesAppliedBehaviors(
      type as never,
      { behaviorString: inferred, toString: () => inferred } as never,
      { behaviorString: override, toString: () => override } as never,
    ).behaviorString;
  for (let n = 0; n < 3; n += 1) {
    expect(apply("pgResource", "a", "b")).toBe("pgResource a b");
    expect(apply("pgCodec", "a", "b")).toBe("pgCodec a b");
    expect(apply("pgResource", "a", "c")).toBe("pgResource a c");
    expect(apply("pgResource", "c", "b")).toBe("pgResource c b");
  }
  expect(calls).toHaveLength(4);
});

test("two schemas do not share answers, and a class is changed once", () => {
  const { make, calls } = makeClass();
  const [one, other] = [make({ accounts: "select" }), make({ accounts: "-select" })];
  for (const behavior of [one, other, one]) rememberBehaviors(behavior);
  const answer = (behavior: Behavior): unknown =>
    behavior.entityMatches("pgResource", "accounts" as never, "select" as never);
  expect([one, other, one, other].map(answer)).toEqual([true, false, true, false]);
  expect(calls.filter((call) => call.startsWith("whether"))).toHaveLength(2);
});
