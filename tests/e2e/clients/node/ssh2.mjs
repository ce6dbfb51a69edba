import { host, options, packages } from "./options.mjs";

const { Client } = packages("ssh2");

function connected(changes) {
  const client = new Client();
  return new Promise((resolve, reject) => {
    client.on("ready", () => resolve(client)).on("error", reject);
    client.connect({ ...options(host), ...changes });
  });
}

const client = await connected({});
await new Promise((resolve, reject) => {
  client.exec("echo $SM_CURRENT_HOST", (error, channel) => {
    if (error) return reject(error);
    channel.on("data", (data) => process.stdout.write(data)).on("close", resolve);
  });
});
client.end();
await connected({ hostVerifier: () => false }).catch(() => console.log("refused"));
