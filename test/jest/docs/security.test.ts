import { describe, expect, test } from "@jest/globals";
import { settingNames } from "../../../src/config.ts";
import { projectHas, readProjectFile } from "../../support/project_files.ts";

/* docs/security.md leaves no requirement out, invents none, and names nothing that is not there. */
const page = readProjectFile("docs/security.md");

/** The rows of the table after a heading, each as its cells. */
function rowsOf(heading: string): string[][] {
  const [, part = ""] = page.split(`\n## ${heading}\n`);
  return (part.split("\n## ")[0] ?? "")
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| ---"))
    .slice(1)
    .map((line) =>
      line
        .slice(2, -2)
        .split(" | ")
        .map((cell) => cell.trim()),
    );
}

/** What stands in backquotes. */
const names = [...page.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? "");
const pathForm = /^\w[\w.-]*(\/[\w.-]+)*(\/|\.(ts|mjs|sql|md|txt|yml|graphql))$/;
const paths = [...new Set(names.filter((name) => pathForm.test(name)))];

const requirements =
  `10.1 10.1.1 10.1.2 10.2 10.2.1 10.2.1.1 10.2.1.2 10.2.1.3 10.2.1.4 10.2.1.5 10.2.1.6 10.2.1.7 10.2.2
  10.3 10.3.1 10.3.2 10.3.3 10.3.4 10.4 10.4.1 10.4.1.1 10.4.2 10.4.2.1 10.4.3 10.5 10.5.1 10.6 10.6.1 10.6.2 10.6.3
  10.7 10.7.1 10.7.2 10.7.3`.split(/\s+/);

/** The sections of each chapter of ASVS 5.0.0, by their names. */
const sections: Record<string, string[]> = {
  V1: [
    "Encoding and Sanitization Architecture",
    "Injection Prevention",
    "Sanitization",
    "Memory, String, and Unmanaged Code",
    "Safe Deserialization",
  ],
  V2: ["Validation and Business Logic Documentation", "Input Validation", "Business Logic Security", "Anti-automation"],
  V3: [
    "Web Frontend Security Documentation",
    "Unintended Content Interpretation",
    "Cookie Setup",
    "Browser Security Mechanism Headers",
    "Browser Origin Separation",
    "External Resource Integrity",
    "Other Browser Security Considerations",
  ],
  V4: ["Generic Web Service Security", "HTTP Message Structure Validation", "GraphQL", "WebSocket"],
  V5: ["File Handling Documentation", "File Upload and Content", "File Storage", "File Download"],
  V6: [
    "Authentication Documentation",
    "Password Security",
    "General Authentication Security",
    "Authentication Factor Lifecycle and Recovery",
    "General Multi-factor authentication requirements",
    "Out-of-Band authentication mechanisms",
    "Cryptographic authentication mechanism",
    "Authentication with an Identity Provider",
  ],
  V7: [
    "Session Management Documentation",
    "Fundamental Session Management Security",
    "Session Timeout",
    "Session Termination",
    "Defenses Against Session Abuse",
    "Federated Re-authentication",
  ],
  V8: [
    "Authorization Documentation",
    "General Authorization Design",
    "Operation Level Authorization",
    "Other Authorization Considerations",
  ],
  V9: ["Token source and integrity", "Token content"],
  V10: [
    "Generic OAuth and OIDC Security",
    "OAuth Client",
    "OAuth Resource Server",
    "OAuth Authorization Server",
    "OIDC Client",
    "OpenID Provider",
    "Consent Management",
  ],
  V11: [
    "Cryptographic Inventory and Documentation",
    "Secure Cryptography Implementation",
    "Encryption Algorithms",
    "Hashing and Hash-based Functions",
    "Random Values",
    "Public Key Cryptography",
    "In-Use Data Cryptography",
  ],
  V12: [
    "General TLS Security Guidance",
    "HTTPS Communication with External Facing Services",
    "General Service to Service Communication Security",
  ],
  V13: [
    "Configuration Documentation",
    "Backend Communication Configuration",
    "Secret Management",
    "Unintended Information Leakage",
  ],
  V14: ["Data Protection Documentation", "General Data Protection", "Client-side Data Protection"],
  V15: [
    "Secure Coding and Architecture Documentation",
    "Security Architecture and Dependencies",
    "Defensive Coding",
    "Safe Concurrency",
  ],
  V16: ["Security Logging Documentation", "General Logging", "Security Events", "Log Protection", "Error Handling"],
  V17: ["TURN Server", "Media", "Signaling"],
};

test("names files and tests", () => {
  expect(paths.length).toBeGreaterThan(120);
});

test.each(paths)("%s exists", (path) => {
  expect(["", "test/jest/", "test/pgtap/"].filter((folder) => projectHas(`${folder}${path}`))).not.toEqual([]);
});

test("names settings that there are", () => {
  const settings = names.filter((name) => /^TALLYSTICK_[A-Z_]+$/.test(name));
  expect(settings.length).toBeGreaterThan(3);
  expect(settings.filter((name) => !settingNames.includes(name))).toEqual([]);
});

test("says for every threat where it is met, and by which test", () => {
  const rows = rowsOf("What is enforced where");
  expect(rows.length).toBeGreaterThan(30);
  for (const [threat, mechanism, where, tests] of rows) {
    expect([threat, mechanism].filter((cell) => !cell)).toEqual([]);
    expect(where).toMatch(/`[\w./-]+`/);
    expect(tests).toMatch(/`[\w./-]+\.(test\.ts|sql)`/);
  }
});

describe.each([
  ["PCI DSS 4.0.1, requirement 10", /^(Yes|In part|Operator)$/],
  ["OWASP ASVS 5.0", /^(Yes|In part|No)$/],
])("%s", (heading, answers) => {
  const rows = rowsOf(heading);

  test("every line says whether it applies", () => {
    expect(rows.filter(([, , applies = ""]) => !answers.test(applies))).toEqual([]);
  });
  test("what is done is done somehow, and has a test", () => {
    const done = rows.filter(([, , applies]) => applies === "Yes");
    expect(done.length).toBeGreaterThan(8);
    // Whether a connection is encrypted is not ours to test: the line says so.
    const untested = done.filter(([number, , , how, tests]) => !how || (!tests && number !== "V12.3"));
    expect(untested).toEqual([]);
  });
});

test("goes through every line of requirement 10, and no other", () => {
  expect(rowsOf("PCI DSS 4.0.1, requirement 10").map(([number]) => number)).toEqual(requirements);
});

test("goes through every section of every chapter, by its name", () => {
  const expected = Object.entries(sections).flatMap(([chapter, list]) =>
    list.map((name, index) => `${chapter}.${index + 1} ${name}`),
  );
  expect(rowsOf("OWASP ASVS 5.0").map(([number, name]) => `${number} ${name}`)).toEqual(expected);
});
