import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";

export const [modules, host, there] = process.argv.slice(2);
export const packages = createRequire(join(modules, "here"));
const loaded = packages("ssh-config");
export const SSHConfig = loaded.default || loaded;
const ours = join(homedir(), ".ssh", "sm-proxy", "config");
export const config = SSHConfig.parse(readFileSync(ours, "utf8"));

// The options of a host that `sm-proxy sync` has listed, for ssh2 and what is built on it.
export function options(host) {
  const found = config.compute(host);
  const line = found.ProxyCommand.replaceAll("%r", found.User).replaceAll("%p", found.Port);
  const proxy = spawn(line, { shell: true, stdio: ["pipe", "pipe", "inherit"] });
  // sm-proxy writes this file before its first byte.
  const keys = () => readFileSync(found.UserKnownHostsFile, "utf8").split(/\s+/);
  return {
    sock: Duplex.from({ readable: proxy.stdout, writable: proxy.stdin }),
    username: found.User,
    privateKey: readFileSync(found.IdentityFile[0], "utf8"),
    hostVerifier: (key) => keys().includes(key.toString("base64")),
  };
}
