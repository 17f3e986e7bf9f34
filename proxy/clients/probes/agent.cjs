// As stripe, got and others do: an agent of one's own.
const url = process.argv[2];
const client = url.startsWith('https:') ? require('node:https') : require('node:http');
client.get(url, { agent: new client.Agent({ keepAlive: true }) }, (response) => process.exit(response.statusCode === 200 ? 0 : 1))
  .on('error', (err) => {
    console.error(String(err));
    process.exit(1);
  });
