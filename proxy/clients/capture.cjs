// Outrider's preload for Node: it takes the clients that do not look at
// HTTP_PROXY and HTTPS_PROXY through that proxy all the same. Those are all of
// them before Node 22.21, and on every version those that bring an http.Agent of
// their own, as stripe, got and many others do.
//
// It changes where a connection leads, and nothing else: names, certificates and
// protocols are checked as ever. Agents that connect in a way of their own
// (proxy agents) and agents to which Node gave a proxy keep theirs. Without a
// proxy in the environment it does nothing. Out of its reach are http2.connect
// and sockets that an application opens itself, such as those of ws.
'use strict';

const net = require('node:net');

// Everything that can go wrong here goes wrong silently: an application must
// not die of a proxy setting.
try {
  const proxies = {
    'http:': readProxy(process.env.http_proxy || process.env.HTTP_PROXY),
    'https:': readProxy(process.env.https_proxy || process.env.HTTPS_PROXY),
  };
  if (proxies['http:'] || proxies['https:']) capture(proxies);
} catch {}

function capture(proxies) {
  const exempt = readExemptions(process.env.no_proxy || process.env.NO_PROXY || '');
  const ours = new Set(Object.values(proxies).filter(Boolean).map((proxy) => `${proxy.host}:${proxy.port}`));

  // proxyFor gives the proxy for a target, or nothing where it is reached directly.
  const proxyFor = (protocol, host, port) => {
    if (!host || ours.has(`${host}:${port}`) || isLoopback(host) || exempt(host, port)) return undefined;
    return proxies[protocol];
  };
  captureAgent(require('node:http').Agent.prototype, 'http:', 80, proxyFor);
  captureAgent(require('node:https').Agent.prototype, 'https:', 443, proxyFor);
  captureFetch(proxyFor);
}

function readProxy(text) {
  if (!text) return undefined;
  const url = new URL(text.includes('://') ? text : `http://${text}`);
  if (url.protocol !== 'http:') return undefined;
  const proxy = { host: bare(url.hostname), port: Number(url.port || 80), authorization: '' };
  if (url.username || url.password) {
    const userinfo = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    proxy.authorization = `Basic ${Buffer.from(userinfo).toString('base64')}`;
  }
  return proxy;
}

// bare is a host without the brackets and the final dot that URLs may have.
function bare(host) {
  return String(host).toLowerCase().replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
}

function isLoopback(host) {
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || host === '::' ||
    host === '0.0.0.0' || /^(::ffff:)?127\./.test(host);
}

// readExemptions reads NO_PROXY: names with everything below them, .suffixes,
// *.suffixes, addresses, networks, *, each but networks with an optional port.
function readExemptions(text) {
  const rules = text.split(/[\s,]+/).filter(Boolean).map(readExemption);
  return (host, port) => rules.some((rule) => rule(host, port));
}

function readExemption(entry) {
  if (entry === '*') return () => true;
  const network = /^([0-9a-f.:]+)\/(\d+)$/i.exec(entry);
  if (network) {
    const list = new net.BlockList();
    list.addSubnet(network[1], Number(network[2]), net.isIPv6(network[1]) ? 'ipv6' : 'ipv4');
    return (host) => net.isIP(host) !== 0 && list.check(host, net.isIPv6(host) ? 'ipv6' : 'ipv4');
  }
  const [, name, only] = net.isIP(bare(entry)) ? [, entry] : /^(.*?)(?::(\d+))?$/.exec(entry);
  const suffix = bare(name).replace(/^\*?\./, '');
  return (host, port) => (host === suffix || host.endsWith(`.${suffix}`)) && (!only || Number(only) === Number(port));
}

// captureAgent makes the agents of a module connect through the proxy. Agents
// hand a callback over, so that a connection may take its time.
function captureAgent(prototype, protocol, defaultPort, proxyFor) {
  const direct = prototype.createConnection;
  const connect = (agent, options, done, proxy, host, port) => {
    // The agent's own timeout is for its idle connections, that of a request is meant.
    const limit = options.timeout !== agent?.options?.timeout ? options.timeout : undefined;
    tunnel(proxy, host, port, { ...options, limit }, (err, socket) => {
      if (err) return fail(err, done);
      if (protocol === 'http:') return done(null, socket);
      try {
        done(null, direct.call(agent, { ...options, socket }));
      } catch (thrown) { // a certificate or key that TLS does not take
        socket.destroy();
        fail(thrown, done);
      }
    });
  };
  prototype.createConnection = function createConnection(...args) {
    const [options, callback] = args;
    const able = options && typeof options === 'object' && typeof callback === 'function' &&
      !options.socketPath && !options.socket && !this?.options?.proxyEnv;
    const host = able ? bare(options.host || options.hostname || '') : '';
    const port = able ? Number(options.port || defaultPort) : 0;
    const proxy = able && proxyFor(protocol, host, port);
    if (!proxy) return direct.apply(this, args);
    const leave = takePlace(this, options._agentKey);
    const done = (...result) => {
      leave();
      callback(...result);
    };
    lookup(options, host, (err, local) => {
      if (err) return fail(err, done);
      if (!local) return connect(this, options, done, proxy, host, port);
      done(null, direct.call(this, options));
    });
    return undefined;
  };
}

// takePlace counts a connection that is being made among those of an agent, which
// counts only what it has: maxSockets would let everybody through meanwhile.
function takePlace(agent, name) {
  if (!name || !agent?.sockets || agent.maxSockets === Infinity && agent.maxTotalSockets === Infinity) return () => {};
  const place = new net.Socket();
  (agent.sockets[name] ||= []).push(place);
  agent.totalSocketCount++;
  return () => {
    const places = agent.sockets[name] || [];
    if (!places.includes(place)) return;
    places.splice(places.indexOf(place), 1);
    if (places.length === 0) delete agent.sockets[name];
    agent.totalSocketCount--;
  };
}

// fail hands over a connection that breaks at once, as one does that could not be
// made: an agent lets the next request have its turn when a connection is gone,
// and not when there never was one.
function fail(err, done) {
  const broken = new net.Socket();
  done(null, broken);
  broken.destroy(err);
}

// lookup asks the application's own resolver, where it has one: a name that it
// refuses stays refused, and one that it keeps on this machine is not the
// proxy's business. What it does not know, the proxy may.
function lookup(options, host, done) {
  if (typeof options.lookup !== 'function' || options.lookup === require('node:dns').lookup || net.isIP(host)) {
    return done(null, false);
  }
  const unknown = ['ENOTFOUND', 'EAI_AGAIN', 'ENODATA', 'ESERVFAIL', 'ECONNREFUSED', 'ETIMEOUT'];
  options.lookup(host, { family: options.family, hints: options.hints, all: true }, (err, found) => {
    if (err) return unknown.includes(err.code) ? done(null, false) : done(err);
    const addresses = [].concat(found).map((each) => each?.address ?? each).filter(Boolean);
    done(null, addresses.length > 0 && addresses.every(isLoopback));
  });
}

// captureFetch gives fetch, and all that shares its dispatcher, a way through
// the proxy. Where Node did that itself (NODE_USE_ENV_PROXY) it stays as it is.
function captureFetch(proxyFor) {
  const symbol = Symbol.for('undici.globalDispatcher.1');
  if (typeof globalThis.fetch !== 'function') return;
  void globalThis.Headers; // loads undici, and with that its dispatcher
  const direct = globalThis[symbol];
  if (direct?.constructor?.name !== 'Agent') return;
  const proxyOf = ({ protocol, hostname, port }) =>
    proxyFor(protocol, bare(hostname), Number(port || (protocol === 'https:' ? 443 : 80)));

  const connect = (options, done) => {
    const host = bare(options.hostname);
    const secure = options.protocol === 'https:';
    tunnel(proxyOf(options), host, Number(options.port || (secure ? 443 : 80)), {}, (err, socket) => {
      if (err || !secure) return done(err, socket);
      secured(socket, options.servername || (net.isIP(host) ? '' : host), done);
    });
  };
  class Captured extends direct.constructor {
    dispatch(options, handler) {
      return proxyOf(new URL(options.origin)) ? super.dispatch(options, handler) : direct.dispatch(options, handler);
    }
  }
  globalThis[symbol] = new Captured({ connect });
}

// secured puts TLS on a tunnel, and waits for it.
function secured(socket, servername, done) {
  const over = require('node:tls').connect({ socket, servername, ALPNProtocols: ['http/1.1'] });
  const patience = setTimeout(() => over.destroy(timedOut('TLS handshake')), timeLimit);
  const settle = (err) => {
    clearTimeout(patience);
    over.off('secureConnect', settle).off('error', settle);
    done(err || null, err ? undefined : over);
  };
  over.on('secureConnect', settle).on('error', settle);
}

const timeLimit = 60_000; // milliseconds that a connection may take to stand
const headLimit = 65_536; // bytes that the proxy's answer may have

function timedOut(what) {
  return Object.assign(new Error(`${what} through the proxy timed out`), { code: 'ETIMEDOUT' });
}

// tunnel asks the proxy for a connection to a host (RFC 9110 section 9.3.6).
function tunnel(proxy, host, port, options, done) {
  const authority = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
  const { noDelay = true, keepAlive, keepAliveInitialDelay } = options;
  const socket = net.connect({ host: proxy.host, port: proxy.port, noDelay, keepAlive, keepAliveInitialDelay });
  const patience = setTimeout(() => socket.destroy(timedOut(`connecting to ${authority}`)), options.limit || timeLimit);
  let head = Buffer.alloc(0);

  const settle = (err) => {
    clearTimeout(patience);
    socket.off('readable', read).off('error', settle).off('end', ended);
    if (!err) return process.nextTick(done, null, socket); // the stream flows again a tick after its last reader left
    socket.on('error', () => {}).destroy();
    done(err);
  };
  const ended = () => settle(Object.assign(new Error(`the proxy closed the connection to ${authority}`), { code: 'ECONNRESET' }));
  const read = () => {
    for (let chunk; (chunk = socket.read()) !== null;) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0 && head.length < headLimit) continue;
      const answer = head.subarray(0, end < 0 ? 0 : end).toString('latin1');
      if (!/^HTTP\/1\.\d 2\d\d/.test(answer)) return settle(refused(authority, answer));
      if (end + 4 < head.length) socket.unshift(head.subarray(end + 4));
      return settle();
    }
  };
  socket.on('readable', read).on('error', settle).on('end', ended);
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n` +
    (proxy.authorization ? `Proxy-Authorization: ${proxy.authorization}\r\n` : '') + '\r\n');
}

function refused(authority, answer) {
  const status = answer.split('\r\n', 1)[0].replace(/^HTTP\/1\.\d /, '') || 'no answer in HTTP';
  const reason = /^proxy-status: *(.*)$/im.exec(answer)?.[1];
  const message = `the proxy refused a connection to ${authority}: ${status}${reason ? ` (${reason})` : ''}`;
  return Object.assign(new Error(message), { code: 'ERR_PROXY_TUNNEL' });
}
