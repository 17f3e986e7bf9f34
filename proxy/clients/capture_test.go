package clients_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"outrider/proxy/clients"
)

// nodes are the Nodes to test with: the one on the path, and those that
// OUTRIDER_TEST_NODES lists.
func nodes(t *testing.T) []string {
	t.Helper()
	found := []string{need(t, "node", "apt-get install -y nodejs")}
	return append(found, filepath.SplitList(os.Getenv("OUTRIDER_TEST_NODES"))...)
}

// variables are those for a rig, as KEY=value.
func variables(t *testing.T, s clients.Settings, unset ...string) []string {
	t.Helper()
	if s.Dir == "" {
		s.Dir = filepath.Join(t.TempDir(), "with space")
	}
	if s.Environ == nil {
		s.Environ = func(string) string { return "" }
	}
	all, err := clients.Variables(s)
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	for _, v := range all {
		if !slices.Contains(unset, v.Name) {
			env = append(env, v.Name+"="+v.Value)
		}
	}
	return env
}

// settings are those for a rig.
func (r *rig) settings() clients.Settings {
	return clients.Settings{Proxy: r.url(), Root: r.root, Bundle: r.root}
}

const show = `const show = (body) => process.stdout.write(body.replaceAll('"', ''));
const read = (res) => { let all = ''; res.setEncoding('utf8').on('data', (s) => all += s).on('end', () => show(all)); };
const http = require('node:http'), https = require('node:https');
`

// nodeClients are the ways in which applications on Node make calls.
var nodeClients = []struct {
	name, script string
	host         string // that is asked for; "": api.test
	packages     string // that have to be there; "": none
}{
	{name: "fetch http", script: `fetch('http://api.test/x').then((r) => r.text()).then(show)`},
	{name: "fetch https", script: `fetch('https://api.test/x', {method: 'POST', body: 'abc'}).then((r) => r.text()).then(show)`},
	{name: "http.get", script: `http.get('http://api.test/x', read)`},
	{name: "https.get", script: `https.get('https://api.test/x', read)`},
	{name: "http.Agent of its own", script: `http.get('http://api.test/x', {agent: new http.Agent({keepAlive: true})}, read)`},
	{name: "https.Agent of its own", script: `https.get('https://api.test/x', {agent: new https.Agent({keepAlive: true})}, read)`},
	{name: "no agent", script: `https.get('https://api.test/x', {agent: false}, read)`},
	{name: "POST with a body", script: `https.request('https://api.test/x', {method: 'POST', agent: new https.Agent()}, read).end('abc'.repeat(100000))`},
	{name: "worker", script: `new (require('node:worker_threads').Worker)(` + "`" + `
		fetch('https://api.test/x').then((r) => r.text()).then(() => require('node:https').get('https://api.test/x',
			{agent: new (require('node:https').Agent)()}, (res) => { res.resume(); console.log('{ok:true'); }))` + "`" + `, {eval: true})`},
	{name: "own lookup that knows nothing", script: `const err = Object.assign(new Error('no'), {code: 'ENOTFOUND'});
		https.get('https://api.test/x', {agent: new https.Agent({lookup: (h, o, done) => done(err)})}, read)`},
	{name: "axios", packages: "axios", script: `require('axios').get('https://api.test/x', {responseType: 'text', transformResponse: (x) => x}).then((r) => show(r.data))`},
	{name: "axios with an agent", packages: "axios", script: `require('axios').get('https://api.test/x',
		{responseType: 'text', transformResponse: (x) => x, httpsAgent: new https.Agent({keepAlive: true})}).then((r) => show(r.data))`},
	{name: "got", packages: "got", script: `import(require('node:url').pathToFileURL(process.env.NODE_PATH + '/got/dist/source/index.js'))
		.then(({got}) => got('https://api.test/x').text()).then(show)`},
	{name: "undici", packages: "undici", script: `require('undici').request('https://api.test/x').then((r) => r.body.text()).then(show)`},
	{name: "stripe", packages: "stripe", host: "api.stripe.com",
		script: `const Stripe = require('stripe'); new (Stripe.Stripe || Stripe.default || Stripe)('sk_test_x').customers.list().then((r) => show('{ok:true ' + r.object))`},
	{name: "openai", packages: "openai", host: "api.openai.com",
		script: `const OpenAI = require('openai'); new (OpenAI.OpenAI)({apiKey: 'x'}).models.list().then((r) => show('{ok:true ' + r.object))`},
}

// Every way in which Node makes calls leads through the proxy, on every Node
// that there is, and the roots are trusted.
func TestNodeIsCaptured(t *testing.T) {
	r := newRig(t)
	env := variables(t, r.settings())
	modules := os.Getenv("NODE_PATH")
	env = append(env, "NODE_PATH="+modules)
	for _, node := range nodes(t) {
		version, err := run(t, nil, node, "--version")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSpace(version), func(t *testing.T) {
			for _, c := range nodeClients {
				t.Run(c.name, func(t *testing.T) {
					if c.packages != "" && modules == "" {
						skip(t, "npm install "+c.packages+", and name node_modules in NODE_PATH")
					}
					r.take()
					out, err := run(t, env, node, "-e", show+c.script)
					if err != nil || !strings.HasPrefix(out, "{ok:true") {
						t.Fatalf("%q %v", out, err)
					}
					host := c.host
					if host == "" {
						host = "api.test"
					}
					for _, asked := range r.take() {
						if strings.Contains(asked, host) {
							return
						}
					}
					t.Errorf("the proxy was not asked for %s", host)
				})
			}
		})
	}
}

// The bounds of an agent hold: no more connections at a time than it allows, and a
// connection that fails makes room for the next.
func TestNodeAgentsKeepTheirBounds(t *testing.T) {
	r := newRig(t)
	env := variables(t, r.settings())
	script := show + `const agent = new https.Agent({keepAlive: true, maxSockets: 2});
		const call = (host) => new Promise((done) => https.get('https://' + host + '/x', {agent}, (res) => { res.resume(); res.on('end', () => done(200)); })
			.on('error', (e) => done(e.code)));
		Promise.all(['api.test', 'api.test', 'api.test', 'api.test', 'api.test', 'refused.test', 'refused.test', 'refused.test', 'refused.test'].map(call))
			.then((all) => { agent.destroy(); show(all.join(' ')); })`
	for _, node := range nodes(t) {
		r.take()
		out, err := run(t, env, node, "-e", script)
		if want := "200 200 200 200 200" + strings.Repeat(" ERR_PROXY_TUNNEL", 4); err != nil || out != want {
			t.Errorf("%s: %q %v", node, out, err)
		}
		connections := 0
		for _, asked := range r.take() {
			if strings.Contains(asked, "api.test") {
				connections++
			}
		}
		if connections > 2 {
			t.Errorf("%s: %d connections, where 2 are allowed", node, connections)
		}
	}
}

// A request's own timeout bounds its way to the proxy as well.
func TestNodeTimeoutsHold(t *testing.T) {
	r := newRig(t)
	env := variables(t, r.settings())
	script := show + `https.get('https://silent.test/x', {agent: new https.Agent({keepAlive: true}), timeout: 100}, read)
		.on('error', (e) => { show(e.code); process.exit(); })`
	for _, node := range nodes(t) {
		if out, err := run(t, env, node, "-e", script); err != nil || out != "ETIMEDOUT" {
			t.Errorf("%s: %q %v", node, out, err)
		}
	}
}

// Applications whose entry is an ES module have no require of their own; the
// preload comes before them all the same.
func TestNodeModulesAreCaptured(t *testing.T) {
	r := newRig(t)
	env := variables(t, r.settings())
	for _, node := range nodes(t) {
		script := `import https from 'node:https'; await fetch('https://api.test/x');
			https.get('https://api.test/y', {agent: new https.Agent()}, (res) => res.resume());`
		r.take()
		if out, err := run(t, env, node, "--input-type=module", "-e", script); err != nil {
			t.Fatalf("%s: %s %v", node, out, err)
		}
		if asked := r.take(); len(asked) != 2 {
			t.Errorf("%s: the proxy was asked %q", node, asked)
		}
	}
}

// What must not go through the proxy does not, with a Node that knows proxies
// by itself and with one that does not.
func TestNodeIsNotCapturedWhereItMustNotBe(t *testing.T) {
	r := newRig(t)
	socket := filepath.Join(t.TempDir(), "s.sock")
	unix := `http.createServer((q, res) => res.end('{ok:true')).listen('` + socket + `', function () {
		http.get({socketPath: '` + socket + `', agent: new http.Agent()}, (res) => { read(res); res.on('end', () => this.close()); }); })`
	for _, c := range []struct{ name, noProxy, script string }{
		{"loopback", "", `http.get('http://` + r.plain + `/x', {agent: new http.Agent()}, read)`},
		{"loopback by fetch", "", `fetch('http://` + r.plain + `/x').then((r) => r.text()).then(show)`},
		{"NO_PROXY", "127.0.0.0/8,other.test", `http.get({host: 'x.other.test', port: '` + port(r.plain) + `', agent: new http.Agent(),
			lookup: (h, o, done) => o.all ? done(null, [{address: '127.0.0.1', family: 4}]) : done(null, '127.0.0.1', 4)}, read)`},
		{"a name that the application keeps here", "", `http.get({host: 'mine.test', port: '` + port(r.plain) + `', agent: new http.Agent(),
			lookup: (h, o, done) => o.all ? done(null, [{address: '127.0.0.1', family: 4}]) : done(null, '127.0.0.1', 4)}, read)`},
		{"a Unix socket", "", unix},
	} {
		s := r.settings()
		s.NoProxy = c.noProxy
		env := variables(t, s)
		for _, node := range nodes(t) {
			r.take()
			out, err := run(t, env, node, "-e", show+c.script)
			if err != nil || !strings.HasPrefix(out, "{ok:true") {
				t.Errorf("%s, %s: %q %v", c.name, node, out, err)
			}
			if asked := r.take(); len(asked) > 0 {
				t.Errorf("%s, %s: the proxy was asked %q", c.name, node, asked)
			}
		}
	}
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// The preload stays out of the way: without a proxy, with one that is no URL, and
// where the application has an agent that connects by itself.
func TestNodeLivesWithThePreload(t *testing.T) {
	r := newRig(t)
	for _, node := range nodes(t) {
		for name, change := range map[string][]string{
			"no proxy":     {"HTTP_PROXY=", "http_proxy=", "HTTPS_PROXY=", "https_proxy="},
			"not a URL":    {"HTTP_PROXY=::::", "http_proxy=::::", "HTTPS_PROXY=::::", "https_proxy=::::", "NODE_USE_ENV_PROXY="},
			"socks":        {"HTTP_PROXY=socks5://x:1", "http_proxy=socks5://x:1", "HTTPS_PROXY=", "https_proxy=", "NODE_USE_ENV_PROXY="},
			"as it should": nil,
		} {
			env := append(variables(t, r.settings()), change...)
			script := show + `http.get({host: '127.0.0.1', port: ` + port(r.plain) + `, path: '/x', agent: Object.assign(new http.Agent(), {
				createConnection: (o) => require('node:net').connect(o)})}, read)`
			if out, err := run(t, env, node, "-e", script); err != nil || !strings.HasPrefix(out, "{ok:true") {
				t.Errorf("%s, %s: %q %v", node, name, out, err)
			}
		}
	}
}

// The key of the proxy is shown to it, certificates are checked, and a refusal
// says who refused and why.
func TestNodeTellsTheProxyAndTheApplication(t *testing.T) {
	r := newRig(t)
	keyed := r.settings()
	keyed.Proxy = strings.Replace(keyed.Proxy, "http://", "http://outrider:p%40ss@", 1)
	untrusting := []string{"NODE_EXTRA_CA_CERTS"}
	for _, node := range nodes(t) {
		agent := `https.get('https://api.test/x', {agent: new https.Agent()}, read).on('error', (e) => show(e.code + ' ' + e.message))`
		r.take()
		if out, err := run(t, variables(t, keyed), node, "-e", show+agent); err != nil || !strings.HasPrefix(out, "{ok:true") {
			t.Errorf("%s: %q %v", node, out, err)
		}
		if asked := r.take(); len(asked) != 1 || asked[0] != "CONNECT api.test:443 Basic b3V0cmlkZXI6cEBzcw==" {
			t.Errorf("%s: the proxy was asked %q", node, asked)
		}
		for _, script := range []string{agent, `fetch('https://api.test/x').then(show, (e) => show(e.cause.code))`} {
			out, err := run(t, variables(t, r.settings(), untrusting...), node, "-e", show+script)
			if err != nil || !strings.HasPrefix(out, "UNABLE_TO_VERIFY_LEAF_SIGNATURE") {
				t.Errorf("%s: without our root: %q %v", node, out, err)
			}
		}
		refused := strings.ReplaceAll(agent, "api.test", "refused.test")
		out, err := run(t, variables(t, r.settings()), node, "-e", show+refused)
		want := "ERR_PROXY_TUNNEL the proxy refused a connection to refused.test:443: 403 Forbidden (outrider; error=destination_ip_prohibited; details=not for you)"
		if err != nil || out != want {
			t.Errorf("%s: %q %v", node, out, err)
		}
	}
}
