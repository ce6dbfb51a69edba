// The hosts in VS Code's menu: those without a wildcard, in ~/.ssh/config and the files that it includes at its top.
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { SSHConfig } from "./options.mjs";

const folder = join(homedir(), ".ssh");

function lines(file) {
  return [...SSHConfig.parse(readFileSync(file, "utf8"))].flatMap((line) => {
    if (line.param !== "Include") return [line];
    return lines(resolve(folder, line.value.replace(/^~(?=\/)/, homedir())));
  });
}

for (const { param, value, config } of lines(join(folder, "config"))) {
  if (param !== "Host" || /[*?!]/.test(value)) continue;
  if (config.some((line) => line.param === "ProxyCommand")) console.log(value);
}
