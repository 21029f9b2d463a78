import "./graphile.ts";

type Behavior = GraphileBuild.Build["behavior"];
type Resolved = ReturnType<Behavior["getPreferencesAppliedBehaviors"]>;
type Answers = Map<string, boolean | undefined>;

/** What is changed of the library's class. */
interface Methods {
  entityMatches(this: Behavior, type: string, entity: unknown, filter: string): boolean | undefined;
  getPreferencesAppliedBehaviors(this: Behavior, type: string, inferred: Resolved, override: Resolved): Resolved;
}

const changed = new WeakSet<object>();

/**
 * Graphile asks some hundred thousand times whether something has a behavior, and reads the same few texts again each
 * time: that was almost half of the time to make the schema. The answers depend on these texts alone, so here each is
 * worked out once. The object is frozen, hence its class is changed.
 */
export function rememberBehaviors(behavior: Behavior): void {
  const methods = Object.getPrototypeOf(behavior) as Methods;
  if (changed.has(methods)) return;
  changed.add(methods);
  methods.entityMatches = rememberMatches(methods.entityMatches);
  methods.getPreferencesAppliedBehaviors = rememberPreferences(methods.getPreferencesAppliedBehaviors);
}

/** The library itself is asked first for each type and filter: it warns of those that nobody registered. */
function rememberMatches(original: Methods["entityMatches"]): Methods["entityMatches"] {
  const known = new WeakMap<Behavior, { asked: Set<string>; texts: Map<string, Answers> }>();
  return function (type, entity, filter) {
    const { asked, texts } = getOrMake(known, this, () => ({ asked: new Set(), texts: new Map() }));
    const question = `${type} ${filter}`;
    if (!asked.has(question)) {
      asked.add(question);
      return original.call(this, type, entity, filter);
    }
    const text = this.getBehaviorForEntity(type as never, entity as never).behaviorString;
    const answers = getOrMake<string, Answers>(texts, text, () => new Map());
    if (!answers.has(filter)) answers.set(filter, this.stringMatches(text as never, filter as never));
    return answers.get(filter);
  };
}

function rememberPreferences(
  original: Methods["getPreferencesAppliedBehaviors"],
): Methods["getPreferencesAppliedBehaviors"] {
  const known = new WeakMap<Behavior, Map<string, Resolved>>();
  return function (type, inferred, override) {
    const results = getOrMake(known, this, () => new Map<string, Resolved>());
    const question = [type, inferred.behaviorString, override.behaviorString].join("\n");
    return getOrMake(results, question, () => original.call(this, type, inferred, override));
  };
}

interface Memory<Key, Value> {
  get(key: Key): Value | undefined;
  set(key: Key, value: Value): unknown;
}

function getOrMake<Key, Value>(memory: Memory<Key, Value>, key: Key, make: () => Value): Value {
  const known = memory.get(key);
  if (known !== undefined) return known;
  const made = make();
  memory.set(key, made);
  return made;
}
