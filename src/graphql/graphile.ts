/** Graphile's types, and its libraries, with the environment that they need set before. */
import "./environment.ts";
import "postgraphile";
