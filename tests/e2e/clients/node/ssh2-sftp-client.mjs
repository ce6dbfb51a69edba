import { host, options, packages, there } from "./options.mjs";

const Client = packages("ssh2-sftp-client");
const files = new Client();
await files.connect(options(host));
await files.put("mine", there);
console.log((await files.get(there)).toString());
await files.end();
