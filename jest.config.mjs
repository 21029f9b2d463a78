/** Jest runs TypeScript as Node.js does: types are blanked out, nothing is rewritten. */
export default {
  testEnvironment: "<rootDir>/test/support/environment.ts",
  extensionsToTreatAsEsm: [".ts"],
  transform: { "\\.ts$": "<rootDir>/test/support/strip_types.cjs" },
  testMatch: ["<rootDir>/test/jest/**/*.test.ts"],
  modulePathIgnorePatterns: ["<rootDir>/\\.data/"],
  testSequencer: "<rootDir>/test/support/sequencer.ts",
  globalSetup: "<rootDir>/test/support/global_setup.ts",
  globalTeardown: "<rootDir>/test/support/global_teardown.ts",
  testTimeout: 30_000,
  // Each file clones a database and opens connections: more workers than cores only queue up.
  maxWorkers: 2,
  // A file that boots the API leaves some 100 MB behind in its process: after some of them it is replaced.
  workerIdleMemoryLimit: "1GB",
};
