// The hosts that a menu of VS Code shows: those without a wildcard.
import { config } from "./options.mjs";

const hosts = config.filter((line) => line.param === "Host").map((line) => line.value);
for (const host of hosts.filter((name) => !/[*?!]/.test(name))) {
  const { ProxyCommand, User } = config.compute(host);
  if (ProxyCommand && User) console.log(host);
}
