import { host, options, packages, there } from "./options.mjs";

const { NodeSSH } = packages("node-ssh");
const ssh = await new NodeSSH().connect(options(host));
console.log((await ssh.execCommand("echo $SM_CURRENT_HOST")).stdout);
await ssh.putFile("mine", there);
ssh.dispose();
