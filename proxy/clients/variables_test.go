package clients_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"outrider/proxy/clients"
)

// ask gives the variables for settings, by name.
func ask(t *testing.T, s clients.Settings) map[string]string {
	t.Helper()
	all, err := clients.Variables(s)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	for _, v := range all {
		if _, twice := values[v.Name]; twice || v.Readers == "" {
			t.Errorf("%s is there twice, or nobody reads it", v.Name)
		}
		values[v.Name] = v.Value
	}
	return values
}

// environ is an environment that is a map.
func environ(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestEveryoneIsTold(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root.pem")
	authority(t, root)
	got := ask(t, clients.Settings{Proxy: "http://127.0.0.1:8080", Root: root, Bundle: root, CertDir: "/c", Java: "/my store.p12", JavaPassword: "changeit",
		Dir: dir, Environ: environ(nil)})
	for name, want := range map[string]string{
		"http_proxy": "http://127.0.0.1:8080", "HTTPS_PROXY": "http://127.0.0.1:8080", "all_proxy": "http://127.0.0.1:8080",
		"NO_PROXY": "localhost,127.0.0.1,::1", "NODE_USE_ENV_PROXY": "1", "PERL_LWP_ENV_PROXY": "1",
		"SSL_CERT_FILE": root, "REQUESTS_CA_BUNDLE": root, "CURL_CA_BUNDLE": root, "GIT_SSL_CAINFO": root, "npm_config_cafile": root,
		"NODE_EXTRA_CA_CERTS": root,
		"JAVA_TOOL_OPTIONS": `-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8080 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 ` +
			`-Dhttp.nonProxyHosts=localhost|*.localhost|127.0.0.1|[::1]|127.* "-Djavax.net.ssl.trustStore=/my store.p12" ` +
			`-Djavax.net.ssl.trustStorePassword=changeit -Djavax.net.ssl.trustStoreType=PKCS12`,
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if !strings.HasPrefix(got["SSL_CERT_DIR"], "/c") || !strings.HasPrefix(got["NODE_OPTIONS"], "--require "+dir) ||
		!strings.HasPrefix(got["PHP_INI_SCAN_DIR"], string(filepath.ListSeparator)+dir) || !strings.HasPrefix(got["WGETRC"], dir) {
		t.Errorf("got %v", got)
	}
}

// What the environment says already is kept, and an environment that has our
// variables gets the same ones again.
func TestWhatWasThereStays(t *testing.T) {
	dir := t.TempDir()
	root, company := filepath.Join(dir, "root.pem"), filepath.Join(dir, "company.pem")
	authority(t, root)
	authority(t, company)
	write(t, filepath.Join(dir, ".wgetrc"), "tries = 3\nca-certificate = /old\nHTTP_Proxy=http://old")
	before := map[string]string{
		"HOME": dir, "JAVA_TOOL_OPTIONS": `-Xmx64m '-Dname=a "b" c'`, "NODE_OPTIONS": `--max-old-space-size=64 --require "./a \"b.js"`,
		"PHP_INI_SCAN_DIR": "/etc/php.d", "SSL_CERT_DIR": "/x" + string(filepath.ListSeparator) + "/y", "AWS_CA_BUNDLE": company,
	}
	s := clients.Settings{Proxy: "http://127.0.0.1:8080", NoProxy: "intern.test 10.0.0.0/8,localhost", Root: root, Bundle: root, CertDir: "/c",
		Dir: filepath.Join(dir, "own files"), Environ: environ(before)}
	got := ask(t, s)
	for name, beginning := range map[string]string{
		"NO_PROXY":          "intern.test,10.0.0.0/8,localhost,127.0.0.1,::1",
		"JAVA_TOOL_OPTIONS": `-Xmx64m "-Dname=a "'"'"b"'"'" c" -Dhttp.proxyHost=`,
		"NODE_OPTIONS":      `--max-old-space-size=64 --require "./a \"b.js" --require "` + dir,
		"PHP_INI_SCAN_DIR":  "/etc/php.d" + string(filepath.ListSeparator) + dir,
		"SSL_CERT_DIR":      strings.Join([]string{"/c", "/x", "/y"}, string(filepath.ListSeparator)),
	} {
		if !strings.HasPrefix(got[name], beginning) {
			t.Errorf("%s is %q, want %q…", name, got[name], beginning)
		}
	}
	if !strings.Contains(got["JAVA_TOOL_OPTIONS"], "-Dhttp.nonProxyHosts=intern.test|*.intern.test|10.*|localhost|") {
		t.Errorf("Java is told %q", got["JAVA_TOOL_OPTIONS"])
	}
	wgetrc := read(t, got["WGETRC"])
	if want := "tries = 3\n# ca-certificate = /old\n# HTTP_Proxy=http://old\n"; !strings.HasPrefix(wgetrc, want) {
		t.Errorf("wget is told %q", wgetrc)
	}
	if bundle := read(t, got["SSL_CERT_FILE"]); bundle != read(t, root)+read(t, company) {
		t.Errorf("the bundle is %q", bundle)
	}

	for name, value := range before {
		if got[name] == "" {
			got[name] = value
		}
	}
	s.Environ, s.NoProxy = environ(got), got["no_proxy"]
	for name, value := range ask(t, s) {
		if value != got[name] && !strings.HasSuffix(name, "EXTRA_CA_CERTS") {
			t.Errorf("a second time, %s is %q, and was %q", name, value, got[name])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Without roots nothing is said about trust: a client keeps what it has.
func TestWithoutRootsOnlyTheProxyIsTold(t *testing.T) {
	got := ask(t, clients.Settings{Proxy: "http://outrider:k%40y@[::1]:80", Environ: environ(nil)})
	var names []string
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	want := "ALL_PROXY HTTPS_PROXY HTTP_PROXY JAVA_TOOL_OPTIONS NODE_USE_ENV_PROXY NO_PROXY PERL_LWP_ENV_PROXY all_proxy http_proxy https_proxy no_proxy"
	if strings.Join(names, " ") != want {
		t.Errorf("told: %v", names)
	}
	if got["http_proxy"] != "http://outrider:k%40y@[::1]:80" || !strings.HasPrefix(got["JAVA_TOOL_OPTIONS"], "-Dhttp.proxyHost=::1 -Dhttp.proxyPort=80 ") {
		t.Errorf("told: %v", got)
	}
}

func TestAProxyMustBeOne(t *testing.T) {
	for _, proxy := range []string{"", "127.0.0.1:8080", "https://x:1", "http://x", "http://:80", "unix:/run/x", "http://secret@x"} {
		if _, err := clients.Variables(clients.Settings{Proxy: proxy}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", proxy, err)
		}
	}
}
