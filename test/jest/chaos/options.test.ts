import { describe, expect, test } from "@jest/globals";
import { help, readOptions } from "../../../chaos/options.ts";

const standard = { kills: 50, settlements: 2000, workers: 2, seed: 1 };

describe("the options of npm run chaos", () => {
  test("are numbers, each with a default", () => {
    expect(readOptions([])).toEqual(standard);
    expect(readOptions(["--kills", "500", "--settlements=20000"])).toEqual({
      ...standard,
      kills: 500,
      settlements: 20_000,
    });
    expect(readOptions(["--kills", "0"])).toEqual({ ...standard, kills: 0 });
  });

  test.each(["abc", "-1", "1.5", "1e3", "", "100001"])("--kills %p is named, with what it should be", (value) => {
    expect(readOptions([`--kills=${value}`])).toEqual({
      fault: `--kills must be a whole number from 0 to 100000, not "${value}".`,
    });
  });

  test.each([
    [["--settlements", "-1"], '--settlements must be a whole number from 1 to 10000000, not "-1".'],
    [["--settlements", "0"], '--settlements must be a whole number from 1 to 10000000, not "0".'],
    [["--workers"], '--workers must be a whole number from 1 to 64, not "".'],
    [["--bogus", "1"], "--bogus is no option."],
    [["500"], "500 is no option."],
  ])("%p is wrong", (args, fault) => {
    expect(readOptions(args)).toEqual({ fault });
  });

  test("are told by --help", () => {
    expect(readOptions(["--kills", "2", "--help"])).toBe("help");
    expect(readOptions(["-h"])).toBe("help");
    for (const name of Object.keys(standard)) expect(help).toContain(`--${name} <number>`);
  });
});
