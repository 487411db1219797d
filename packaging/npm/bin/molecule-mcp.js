#!/usr/bin/env node
// Starts the program that was installed for this computer's kind, and ends as it ends. Nothing is downloaded.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");

const name = `molecule-mcp-${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`${name}/bin/molecule-mcp`);
} catch {
  process.stderr.write(
    `molecule-mcp: the package ${name} is missing. Either there is none for this kind of computer, or optional ` +
      "packages were left out: install again without --omit=optional.\n",
  );
  process.exit(70);
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("error", (error) => {
  process.stderr.write(`molecule-mcp: ${program} cannot be started (${error.code})\n`);
  process.exit(70);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
