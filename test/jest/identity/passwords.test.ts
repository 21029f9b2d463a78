import { describe, expect, test } from "@jest/globals";
import { makeGate } from "../../../src/identity/gate.ts";
import { checkNewPassword } from "../../../src/identity/password_rules.ts";
import { makePasswords } from "../../../src/identity/passwords.ts";
import { RefusedError } from "../../../src/identity/refused.ts";

const open = <T>(work: () => Promise<T>): Promise<T> => work();

describe("a hash", () => {
  const cost = { memoryKib: 64, passes: 2 };
  const passwords = makePasswords({ cost, gate: open });

  test("holds its parameters and a salt of its own", async () => {
    const [first, second] = [await passwords.hash("secret"), await passwords.hash("secret")];
    expect(first).toMatch(/^\$argon2id\$v=19\$m=64,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(second).not.toBe(first);
  });

  test("verifies the password that it was made of, to the last character", async () => {
    const hash = await passwords.hash("Grüße, 🦊 und so weiter");
    expect(await passwords.verify("Grüße, 🦊 und so weiter", hash)).toBe(true);
    for (const other of ["Grüße, 🦊 und so weite", "grüße, 🦊 und so weiter", "Grüße, 🦊 und so weiter ", ""]) {
      expect(await passwords.verify(other, hash)).toBe(false);
    }
  });

  test("is verified at the cost that it was made at", async () => {
    const later = makePasswords({ cost: { memoryKib: 128, passes: 3 }, gate: open });
    const hash = await passwords.hash("secret");
    expect(await later.verify("secret", hash)).toBe(true);
    expect([later.isOutdated(hash), passwords.isOutdated(hash)]).toEqual([true, false]);
  });

  test("is what others make of the same password and salt", async () => {
    // The reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32
    const known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    expect(await passwords.verify("password", known)).toBe(true);
    expect(await passwords.verify("passwort", known)).toBe(false);
  });

  test("is computed for nobody too, at the same cost, and is nobody's", async () => {
    let computed = 0;
    const count = <T>(work: () => Promise<T>): Promise<T> => {
      computed += 1;
      return work();
    };
    const counting = makePasswords({ cost, gate: count });
    const hash = await counting.hash("secret");
    expect(computed).toBe(1);
    expect(await counting.verify("secret", null)).toBe(false);
    expect(computed).toBe(2);
    expect(await counting.verify("wrong", hash)).toBe(false);
    expect(computed).toBe(3);
  });

  test("in another form is an error, not a wrong password", async () => {
    await expect(passwords.verify("secret", "$2b$10$abcdefghijklmnopqrstuv")).rejects.toThrow("no form that is known");
  });
});

describe("the gate", () => {
  test("runs a few at a time, in order, and refuses what does not fit into the queue", async () => {
    const gate = makeGate({ concurrency: 2, queue: 3 });
    const began: number[] = [];
    const finish: (() => void)[] = [];
    const results = Array.from({ length: 7 }, (_value, index) =>
      gate(async () => {
        began.push(index);
        await new Promise<void>((resolve) => finish.push(resolve));
        return index;
      }).catch((error: unknown) => error),
    );
    await new Promise(setImmediate);
    expect(began).toEqual([0, 1]);
    for (const index of [5, 6]) {
      const error = await results[index];
      expect(error).toBeInstanceOf(RefusedError);
      expect(error).toMatchObject({ code: "LG476", detail: { retryAfterSeconds: 1 } });
    }
    for (let step = 0; step < 5; step += 1) {
      finish.shift()?.();
      await new Promise(setImmediate);
      expect(began.length - step - 1).toBeLessThanOrEqual(2);
    }
    expect(began).toEqual([0, 1, 2, 3, 4]);
    expect(await Promise.all(results.slice(0, 5))).toEqual([0, 1, 2, 3, 4]);
  });

  test("goes on after work that fails", async () => {
    const gate = makeGate({ concurrency: 1, queue: 5 });
    const failing = gate(() => Promise.reject(new Error("no")));
    const next = gate(async () => "yes");
    await expect(failing).rejects.toThrow("no");
    expect(await next).toBe("yes");
  });
});

describe("a new password", () => {
  const ruleOf = (password: string, email = "ann.miller@example.com"): unknown => {
    try {
      checkNewPassword(password, email);
      return "good";
    } catch (error) {
      if (error instanceof RefusedError && error.code === "LG477") return error.detail["rule"];
      throw error;
    }
  };

  test.each([
    "correct horse battery",
    "hunter2 hunter2 hunter3",
    "zwölf Zeichen",
    "🦊🦉🐢🐬🐝🦋🐞🐌🐙🦑🦐🦀",
    "x".repeat(3) + "y".repeat(200) + "z".repeat(53),
    "837465920174",
  ])("%s is good", (password) => {
    expect(ruleOf(password)).toBe("good");
  });

  test.each([
    ["elevenchars", "too_short"],
    ["🦊🦉🐢🐬🐝🦋🐞🐌🐙🦑🦐", "too_short"],
    ["y".repeat(200) + "z".repeat(57), "too_long"],
    ["qwertyuiop123", "too_common"],
    ["Password2026!", "too_common"],
    ["123!password!123", "too_common"],
    ["aaaaaaaaaaaaaaa", "repeats_itself"],
    ["abcabcabcabcab", "repeats_itself"],
    ["Ann.Miller@example.com", "like_the_email"],
    ["my ANN.MILLER@EXAMPLE.COM", "like_the_email"],
    ["ann.miller2026", "like_the_email"],
  ])("%s is %s", (password, rule) => {
    expect(ruleOf(password)).toBe(rule);
  });

  test("need not differ from an address that there is none of", () => {
    expect(ruleOf("correct horse battery", "")).toBe("good");
  });
});
