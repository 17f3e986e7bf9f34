package egress_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"outrider/proxy/egress"
)

func TestParseProxy(t *testing.T) {
	for raw, want := range map[string]string{
		"http://proxy.corp:3128":                 "http://proxy.corp:3128",
		"http://Proxy.Corp":                      "http://proxy.corp:80",
		"https://proxy.corp/":                    "https://proxy.corp:443",
		"proxy.corp:3128":                        "http://proxy.corp:3128",
		"s3cret:s3cret@proxy.corp:3128":          "http://proxy.corp:3128",
		"http://s3cret:s3cret@[fd00::1]:8080":    "http://[fd00::1]:8080",
		"http://s3cret@10.0.0.1":                 "http://10.0.0.1:80",
		"http://dom%5Cs3cret:s3%3Acret@10.0.0.1": "http://10.0.0.1:80",
		"http://bücher.example:1":                "http://xn--bcher-kva.example:1",
	} {
		p, err := egress.ParseProxy(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		for _, text := range []string{p.String(), fmt.Sprint(p), fmt.Sprintf("%#v", p), fmt.Sprintf("%+v", p)} {
			if text != want {
				t.Errorf("%s is %s, want %s", raw, text, want)
			}
		}
		if "http://"+p.Addr() != strings.Replace(want, "https", "http", 1) {
			t.Errorf("%s has the address %s", raw, p.Addr())
		}
	}
	for _, raw := range []string{
		"", "http://", "http://:3128", "http://s3cret:s3cret@", "socks5://s3cret:s3cret@proxy:1080", "ftp://proxy", "://proxy",
		"http://proxy:0", "http://proxy:99999", "http://proxy:x", "http://proxy/s3cret", "http://proxy?s3cret", "http://proxy#s3cret",
		"http://s3cret:s3/cret@proxy:3128", "http://s3cret:s3cret#@proxy", "http://a%3Ab:s3cret@proxy", "http://s3cret%zz@proxy",
		"http://s3cret\r\n@proxy", "http://pro xy", "http://pro%20xy",
	} {
		p, err := egress.ParseProxy(raw)
		if err == nil || strings.Contains(err.Error(), "s3") {
			t.Errorf("%q: %v, %v", raw, p, err)
		}
	}
}

// asked shows what a ProxyFunc says to some targets.
func asked(f egress.ProxyFunc, targets ...string) string {
	if f == nil {
		return "none"
	}
	var said []string
	for _, target := range targets {
		u, _ := url.Parse(target)
		if p := f(u); p != nil {
			said = append(said, p.String())
		} else {
			said = append(said, "direct")
		}
	}
	return strings.Join(said, " ")
}

func TestEnvironmentProxy(t *testing.T) {
	ours := func(a netip.AddrPort) bool { return a.Port() == 8080 && a.Addr().IsLoopback() }
	targets := []string{"http://api.test:80", "https://api.test:443", "https://x.corp:443"}
	for _, c := range []struct{ env, want string }{
		{"", "none"},
		{"HTTP_PROXY=http://a", "http://a:80 direct direct"},
		{"HTTP_PROXY=http://a http_proxy=b:1", "http://b:1 direct direct"},
		{"HTTPS_PROXY=https://a:1", "direct https://a:1 https://a:1"},
		{"https_proxy=u:p@a:1 NO_PROXY=.corp", "direct http://a:1 direct"},
		{"ALL_PROXY=http://a:1 no_proxy=corp,api.test:80", "direct http://a:1 direct"},
		{"ALL_PROXY=http://a:1 HTTPS_PROXY=http://b:1", "http://a:1 http://b:1 http://b:1"},
		{"HTTPS_PROXY=http://a NO_PROXY=*", "direct direct direct"},
		// What is not used is not judged.
		{"HTTP_PROXY=a HTTPS_PROXY=a ALL_PROXY=socks5://b", "http://a:80 http://a:80 http://a:80"},
		// A CGI program's HTTP_PROXY is any client's.
		{"REQUEST_METHOD=GET HTTP_PROXY=http://a", "none"},
		{"REQUEST_METHOD=GET http_proxy=http://a", "http://a:80 direct direct"},
		// Outrider's own address, exported in the shell that starts it.
		{"HTTP_PROXY=http://127.0.0.1:8080 HTTPS_PROXY=http://localhost:8080", "none"},
		{"HTTP_PROXY=http://0.0.0.0:8080 HTTPS_PROXY=http://[::1]:8080", "none"},
		{"HTTP_PROXY=http://[::ffff:127.0.0.1]:8080 HTTPS_PROXY=http://127.0.0.1:3128", "direct http://127.0.0.1:3128 http://127.0.0.1:3128"},
	} {
		env := make(map[string]string)
		for _, pair := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		f, err := egress.EnvironmentProxy(func(name string) string { return env[name] }, ours)
		if got := asked(f, targets...); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.env, got, err, c.want)
		}
	}
	for _, name := range []string{"HTTP_PROXY", "https_proxy", "ALL_PROXY"} {
		_, err := egress.EnvironmentProxy(func(n string) string {
			return map[string]string{name: "socks5://s3cret:s3cret@a"}[n]
		}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFixedProxy(t *testing.T) {
	f, err := egress.FixedProxy("http://u:p@a:1", []string{".corp", "10.0.0.0/8", "[fd00::1]:443", "api.test:80"})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"https://api.test:443": "http://a:1", "http://api.test:80": "direct", "https://x.corp:443": "direct", "https://corp:443": "http://a:1",
		"http://10.1.2.3:80": "direct", "http://11.1.2.3:80": "http://a:1", "https://[fd00::1]:443": "direct", "https://[fd00::1]:444": "http://a:1",
		"http://localhost:80": "direct", "http://127.0.0.9:80": "direct", "https://[::1]:443": "direct",
	} {
		if got := asked(f, target); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	u, _ := url.Parse("https://api.test")
	if first := f(u); f(u) != first {
		t.Error("each time another proxy: no connection would be found again")
	}
	if f, err := egress.FixedProxy("", nil); f != nil || err != nil {
		t.Errorf("without a proxy: %v", err)
	}
	if _, err := egress.FixedProxy("socks5://a", nil); err == nil {
		t.Error("a SOCKS proxy was taken")
	}
}

// FuzzParseProxy: what is accepted can stand in a message, and reads the same
// again.
func FuzzParseProxy(f *testing.F) {
	for _, s := range []string{"http://u:p@a:1", "https://[::1%25lo]/", "a", "b:2", "http://ü", "://", "http://a:b@c@d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := egress.ParseProxy(raw)
		if err != nil {
			return
		}
		if strings.ContainsAny(p.Addr(), " \r\n\t@/\x00") {
			t.Errorf("%q has the address %q", raw, p.Addr())
		}
		if q, err := egress.ParseProxy(strings.ReplaceAll(p.String(), "%", "%25")); err != nil || q.String() != p.String() {
			t.Errorf("%q: %v becomes %v, %v", raw, p, q, err)
		}
	})
}
