// An authorization server that others wrote and certified, npm's oidc-provider, and an
// API that takes its tokens. The package and the clients come in the environment; where
// it listens, and a first refresh token, go out as a line of JSON.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

console.info = console.error; // standard output is ours

const installed = (path) => import(pathToFileURL(`${process.env.NODE_PATH}/${path}`));
const { default: Provider, errors } = await installed('oidc-provider/lib/index.js');
const { createLocalJWKSet, jwtVerify } = await installed('jose/dist/webapi/index.js');
const { clients, jwks } = JSON.parse(process.env.OIDC);

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients,
  rotateRefreshToken: true,
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
  },
  scopes: ['openid', 'offline_access', 'api'],
});

// The two grants that the package does not have. The signature is verified by jose,
// which is what the package verifies by, too.
const grant = (name, parameters, subjectOf) => provider.registerGrantType(name, async (ctx) => {
  const { client, params } = ctx.oidc;
  let accountId;
  try {
    accountId = await subjectOf(client, params);
  } catch (err) {
    throw new errors.InvalidGrant(err.message);
  }
  const token = new provider.AccessToken({ accountId, client, gty: name, scope: params.scope });
  ctx.body = {
    access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType, scope: token.scope,
    ...(params.subject_token && { issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' }),
  };
}, parameters);
const verified = async (token, options) => (await jwtVerify(token, createLocalJWKSet(jwks), options)).payload.sub;
grant('urn:ietf:params:oauth:grant-type:jwt-bearer', ['assertion', 'scope'], (client, { assertion }) => verified(assertion, {
  issuer: client.clientId, audience: `${issuer}/token`, requiredClaims: ['sub', 'jti', 'exp'], maxTokenAge: '3m',
}));
grant('urn:ietf:params:oauth:grant-type:token-exchange', ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope'],
  (_, { subject_token: token, subject_token_type: type }) => {
    if (type !== 'urn:ietf:params:oauth:token-type:jwt') throw new Error('another type of token');
    return verified(token, { audience: 'pods' });
  });

const seen = { granted: 0, refused: [], revoked: 0 };
provider.on('grant.success', () => { seen.granted += 1; });
provider.on('grant.error', (_, err) => { seen.refused.push(`${err.error}: ${err.error_description ?? ''} ${err.error_detail ?? ''}`); });
provider.on('grant.revoked', () => { seen.revoked += 1; });

// The API. /api takes living tokens; after /expire none of those that it has seen.
let used = new Set();
let expired = new Set();
const pages = {
  '/api': async (req) => {
    const token = (req.headers.authorization ?? '').replace('Bearer ', '');
    const found = await provider.AccessToken.find(token) ?? await provider.ClientCredentials.find(token);
    if (!found || expired.has(token)) return [401, {}];
    used.add(token);
    return [200, { client: found.clientId, account: found.accountId, scope: found.scope }];
  },
  '/expire': async () => { [expired, used] = [used, new Set()]; return [200, {}]; },
  '/seen': async () => [200, seen],
};
const answer = provider.callback();
server.on('request', async (req, res) => {
  const page = pages[req.url];
  if (!page) { answer(req, res); return; }
  const [status, body] = await page(req);
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
});

// A user agreed, some time ago.
const client = await provider.Client.find('user');
const agreed = new provider.Grant({ accountId: 'somebody', clientId: client.clientId });
agreed.addOIDCScope('openid offline_access');
const refreshToken = await new provider.RefreshToken({
  accountId: 'somebody', client, grantId: await agreed.save(), gty: 'authorization_code', scope: 'openid offline_access',
}).save();
console.log(JSON.stringify({ issuer, refreshToken }));
process.stdin.resume().on('end', () => process.exit(0)); // with the test
