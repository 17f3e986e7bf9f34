package proxy

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/telemetry"
)

// The three ways to write a base URL, and callers that say no Host.
var (
	byPath   = links{scheme: "https", host: "api.test", self: "127.0.0.1:8080", prefix: "/crm", called: "/p/q"}
	byName   = links{scheme: "https", host: "api.test", self: "crm.localhost:8080", called: "/p"}
	byPort   = links{scheme: "https", host: "api.test:8443", self: "localhost:9999", called: "/p"}
	based    = links{scheme: "https", host: "api.test", base: "/v1", self: "127.0.0.1:8080", prefix: "/crm", called: "/v1/p/q"}
	basedOwn = links{scheme: "https", host: "api.test", base: "/v1", self: "127.0.0.1:9999", called: "/v1/p"}
	hostless = links{scheme: "https", host: "api.test", prefix: "/crm", called: "/p"}
	bare     = links{scheme: "https", host: "api.test", called: "/p"}
	bareBase = links{scheme: "https", host: "api.test", base: "/v1", called: "/v1/p"}
	alone    = links{scheme: "https", host: "api.test", self: "127.0.0.1:8080", prefix: "/crm", called: "/"}
	aloneIn  = links{scheme: "https", host: "api.test", base: "/v1", self: "127.0.0.1:8080", prefix: "/crm", called: "/v1/"}
)

func TestReferences(t *testing.T) {
	tests := []struct {
		name      string
		from      links
		ref, want string // want "": as it is
	}{
		{"absolute", byPath, "https://api.test/v1/x?a=%7e#f", "http://127.0.0.1:8080/crm/v1/x?a=%7e#f"},
		{"absolute, by name", byName, "https://api.test/v1/x", "http://crm.localhost:8080/v1/x"},
		{"absolute, by port", byPort, "https://api.test:8443/v1/x", "http://localhost:9999/v1/x"},
		{"the default port is no difference", byPath, "https://api.test:443/x", "http://127.0.0.1:8080/crm/x"},
		{"nor is an empty one", byPath, "https://api.test:/x", "http://127.0.0.1:8080/crm/x"},
		{"nor is case", byPath, "HTTPS://API.Test/X", "http://127.0.0.1:8080/crm/X"},
		{"scheme-relative", byPath, "//api.test/x", "http://127.0.0.1:8080/crm/x"},
		{"path from the root", byPath, "/x?q", "/crm/x?q"},
		{"the root", byPath, "/", "/crm/"},
		{"path from the root, by name", byName, "/x?q", ""},
		{"no path", byPath, "https://api.test", "http://127.0.0.1:8080/crm"},
		{"no path, but a query", byPath, "https://api.test?q", "http://127.0.0.1:8080/crm?q"},
		{"no path, by name", byName, "https://api.test#f", "http://crm.localhost:8080#f"},
		{"bytes that nobody encoded", byPath, "https://api.test/caf\xe9 %zz\"<>", "http://127.0.0.1:8080/crm/caf\xe9 %zz\"<>"},
		{"a reference in the query", byPath, "/x?to=https://api.test/y", "/crm/x?to=https://api.test/y"},

		{"another scheme", byPath, "http://api.test/x", ""},
		{"another host", byPath, "https://api.test.evil/x", ""},
		{"another port", byPath, "https://api.test:8443/x", ""},
		{"the default port is another one", byPort, "https://api.test/x", ""},
		{"a user", byPath, "https://u@api.test/x", ""},
		{"a host behind one that looks like ours", byPath, "https://api.test@evil.test/x", ""},
		{"a backslash", byPath, `https://api.test\@evil.test/x`, ""},
		{"another host, scheme-relative", byPath, "//evil.test/x", ""},
		{"a relative path", byPath, "x/y", ""},
		{"a relative path with a URL in it", byPath, "x?https://api.test/", ""},
		{"a query", byPath, "?page=2", ""},
		{"a fragment", byPath, "#f", ""},
		{"nothing", byPath, "", ""},
		{"another kind of URL", byPath, "mailto:a@api.test", ""},
		{"no authority", byPath, "https:///x", ""},
		{"our scheme, and no authority", byPath, "http:///stripe/v1", "https://api.test/stripe/v1"},
		{"our scheme, and a path", byPath, "HTTP:/stripe/v1", "https://api.test/stripe/v1"},
		{"our scheme, with a tab", byPath, "ht\ttp:/stripe/v1", "https://api.test/stripe/v1"},
		{"our scheme, by backslashes", byPath, `http:\\stripe/v1`, "https://api.test/stripe/v1"},
		{"no scheme, and no authority", byPath, "///stripe/v1", "https://api.test/stripe/v1"},

		{"the base path is taken off", based, "https://api.test/v1/x", "http://127.0.0.1:8080/crm/x"},
		{"from a path too", based, "/v1/x", "/crm/x"},
		{"without a prefix too", basedOwn, "/v1/x", "/x"},
		{"outside of the base path", based, "https://api.test/v2/x", ""},
		{"outside, as a path", based, "/v2/x", "https://api.test/v2/x"},
		{"a longer segment is outside", based, "/v10/x", "https://api.test/v10/x"},
		{"outside, by name", links{scheme: "https", host: "api.test", base: "/v1", self: "crm.localhost:8080", called: "/v1/p"}, "/v2/x", "https://api.test/v2/x"},
		{"what names another upstream of ours", based, "/stripe/v1/charges", "https://api.test/stripe/v1/charges"},
		{"the base path alone: ours has a slash more", based, "https://api.test/v1?q", ""},

		{"up within", byPath, "/a/../b", "/crm/a/../b"},
		{"up and out", byPath, "/../b", "https://api.test/../b"},
		{"up and out of the base path", based, "https://api.test/v1/x/../../b", ""},
		{"up and out, encoded", byPath, "/a/%2e%2E/.%2e/b", "https://api.test/a/%2e%2E/.%2e/b"},
		{"up and out, by backslashes", byPath, `/a/..\..\b`, `https://api.test/a/..\..\b`},

		{"relative, up within", byPath, "../x", ""},
		{"relative, up and out", byPath, "../../x", "https://api.test/p/../../x"},
		{"relative, up and out, encoded", byPath, ".%2E/%2e./x", "https://api.test/p/.%2E/%2e./x"},
		{"relative, by backslashes", byPath, `\stripe\v1`, `https://api.test/p/\stripe\v1`},
		{"relative, with a tab", byPath, ".\t./.\t./x", "https://api.test/p/../../x"},
		{"relative, out of the base path", based, "../../x", "https://api.test/v1/p/../../x"},
		{"relative, from the base URL alone", alone, "next?a", "/crm/next?a"},
		{"relative, from a base path alone", aloneIn, "next", "/crm/next"},
		{"and out of it", aloneIn, "../next", "https://api.test/v1/../next"},
		{"a query, from the base URL alone", alone, "?page=2", ""},
		{"a segment with a colon", alone, "./a:b", "/crm/./a:b"},
		{"dots in the query", byPath, "/a?/../../b", "/crm/a?/../../b"},

		{"no Host", hostless, "https://api.test/x", "/crm/x"},
		{"no Host, no path", hostless, "https://api.test", "/crm"},
		{"no Host, no prefix", bare, "https://api.test/x", "/x"},
		{"no Host, no prefix, no path", bare, "https://api.test", "/"},
		{"no Host, no prefix, a query", bare, "//api.test?q", "/?q"},

		{"a scheme that is none", byPath, "1:/../../../stripe/v1", "https://api.test/p/1:/../../../stripe/v1"},
		{"backslashes, and a colon", byPath, `..\..\stripe\a:b`, `https://api.test/p/..\..\stripe\a:b`},
		{"empty segments, which Python leaves out", byPath, "a//../../../stripe/v1", "https://api.test/p/a//../../../stripe/v1"},
		{"and in what was called", links{scheme: "https", host: "api.test", self: "127.0.0.1:8080", prefix: "/crm", called: "/p//q"}, "../../stripe/v1", "https://api.test/p//../../stripe/v1"},
		{"an encoded slash, which Go decodes where another byte is not", byPath, `%2Fstripe%2Fv1"`, `https://api.test/p/%2Fstripe%2Fv1"`},
		{"and in the middle", byPath, `a%2f..%2f..%2f..%2fstripe"`, `https://api.test/p/a%2f..%2f..%2f..%2fstripe"`},
		{"a blank, as over HTTP/2", byPath, " /stripe/v1", "/crm/stripe/v1"},
		{"our own URL", byPath, "http://127.0.0.1:8080/stripe/v1", "http://127.0.0.1:8080/crm/stripe/v1"},
		{"our own host", byPath, "//127.0.0.1:8080/stripe/v1", "http://127.0.0.1:8080/crm/stripe/v1"},
		{"by another name", byPath, "http://u@LOCALHOST:8080/stripe/v1", "http://127.0.0.1:8080/crm/stripe/v1"},
		{"by one of another upstream", byName, "http://stripe.localhost:8080/v1", "http://crm.localhost:8080/v1"},
		{"our own URL, out of the base path", based, "http://127.0.0.1:8080/stripe/v1", "https://api.test/stripe/v1"},
		{"of the caller's way in", byPath, "http://127.0.0.1:8080/crm/v1", ""},
		{"and out of it again", byPath, "http://127.0.0.1:8080/crm/../stripe/v1", "http://127.0.0.1:8080/crm/crm/../stripe/v1"},
		{"another port of this machine", byPath, "http://127.0.0.1:3000/callback", ""},
		{"of a call of *", links{scheme: "https", host: "api.test", self: "crm.localhost:8080", called: "*"}, "help", "/help"},

		{"two slashes stay a path", byPath, "https://api.test//evil.test", "http://127.0.0.1:8080/crm//evil.test"},
		{"and do not become a host", basedOwn, "/v1//evil.test", "http://127.0.0.1:9999//evil.test"},
		{"nor in browsers", basedOwn, `/v1/\evil.test`, `http://127.0.0.1:9999/\evil.test`},
		// Node's fetch would have gone to evil.test, where the provider's own
		// reference leads to a path of its own.
		{"nor where a tab is left out", basedOwn, "/v1/\t/evil.test", "http://127.0.0.1:9999//evil.test"},
		{"nor up and out", byPath, "/a/.\t./../b", "https://api.test/a/../../b"},
		{"nor without a Host", bareBase, "/v1//evil.test", "https://api.test/v1//evil.test"},
		{"nor without anything", bare, "https://api.test//evil.test", ""},

		{"off", links{}, "https://api.test/x", ""},
	}
	for _, tt := range tests {
		if tt.want == "" {
			tt.want = tt.ref
		}
		if got := tt.from.field("Location", []string{tt.ref}); got[0] != tt.want {
			t.Errorf("%s: %s became %s, want %s", tt.name, tt.ref, got[0], tt.want)
		}
		for _, name := range []string{"Content-Location", "Refresh"} {
			if got := tt.from.field(name, []string{tt.ref}); got[0] != tt.ref {
				t.Errorf("%s: %s was changed: %v", tt.name, name, got)
			}
		}
	}
}

func TestLinkValues(t *testing.T) {
	const us = "http://127.0.0.1:8080/crm"
	tests := []struct{ name, value, want string }{
		{"pagination", `<https://api.test/x?page=2>; rel="next", <https://api.test/x?page=9>; rel="last"`,
			`<` + us + `/x?page=2>; rel="next", <` + us + `/x?page=9>; rel="last"`},
		{"a path", `</x?page=2>;rel=next`, `</crm/x?page=2>;rel=next`},
		{"some of them", `<https://other.test/>; rel=a,<x>, </y>`, `<https://other.test/>; rel=a,<x>, </crm/y>`},
		{"a comma in a reference", `</x,y>; rel=a, </z>`, `</crm/x,y>; rel=a, </crm/z>`},
		{"references in parameters", `</x>; anchor="</y>, </z>"; title="\"</q>, "; rel=a, </b>`,
			`</crm/x>; anchor="</y>, </z>"; title="\"</q>, "; rel=a, </crm/b>`},
		{"empty elements", ` ,, </x> ,	,</y>,`, ` ,, </crm/x> ,	,</crm/y>,`},
		{"space before a parameter", `</x> ; rel=a`, `</crm/x> ; rel=a`},
		{"nothing", "", ""},
		{"no reference", `rel=next`, `rel=next`},
		{"no end of the reference", `</x>, </y`, `</crm/x>, </y`},
		{"no end of the quotes", `</x>; title="y, </z>`, `</crm/x>; title="y, </crm/z>`},
		{"something else behind a reference", `</x> rel=a`, `</crm/x> rel=a`},
		{"blanks and quotes in the brackets", `< '/x' >; rel=next`, `</crm/x>; rel=next`},
		{"rubbish behind", `</x>; rel="next", junk`, `</crm/x>; rel="next", junk`},
	}
	for _, tt := range tests {
		values := []string{"<y>", tt.value}
		changed := byPath.field("Link", values)
		if got := changed[1]; got != tt.want {
			t.Errorf("%s: became %s, want %s", tt.name, got, tt.want)
		}
		if values[1] != tt.value || changed[0] != "<y>" {
			t.Errorf("%s: the values were written to: %q", tt.name, values)
		}
	}
}

// A client that resolves what it gets ends where one of the provider itself would have, or at
// the base URL of that, and never at another upstream of ours.
func FuzzLinks(f *testing.F) {
	for _, seed := range []string{"https://api.test/x", `</x>; rel="a\", b", <//api.test>`, "/v1//evil.test", "<https://API.test:443/..>", `</\x>`, ",,<>", "//",
		"../../x", "next", "/v2/x", "/v1/../../crm/x", "a/%2e./%2e%2e/../b", "./a:b", "?q", "http:x", "http://127.0.0.1:8080/stripe", "1:/../../x", "a//../../../b", " /x", `..\\..\\a:b`, `%2F+++"`, `a%2f..%2f..%2f..%2fb"`} {
		f.Add(seed)
	}
	all := []links{byPath, byName, based, basedOwn, hostless, bare, bareBase, alone, aloneIn}
	f.Fuzz(func(t *testing.T, value string) {
		for _, l := range all {
			got := l.linkValues(value)
			if strings.Count(got, "<") > strings.Count(value, "<") {
				t.Errorf("%+v: Link %q became %q", l, value, got)
			}
			got = l.reference(value)
			if got != strings.ReplaceAll(strings.Trim(value, " "), "\t", "") && l.prefix == "" && (strings.HasPrefix(got, "//") || strings.HasPrefix(got, `/\`)) {
				t.Errorf("%+v: Location %q leads away: %q", l, value, got)
			}
			self := cmp.Or(l.self, "ours.test")
			theirs, err := url.Parse("https://api.test" + l.called)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := url.Parse("http://" + self + l.prefix + strings.TrimPrefix(l.called, l.base))
			if err != nil {
				t.Fatal(err)
			}
			want, err := theirs.Parse(strings.ReplaceAll(strings.Trim(value, " "), "\t", ""))
			if _, odd := behindNoHost(strings.ReplaceAll(strings.Trim(value, " "), "\t", "")); odd || err != nil {
				continue // no URL, for Go
			}
			led, err := ours.Parse(got)
			if err != nil {
				t.Errorf("%+v: Location %q became %q, which is no URL: %v", l, value, got, err)
				continue
			}
			us := want.Host == self || l.isSelf(strings.ReplaceAll(strings.Trim(value, " "), "\t", "")) // which the provider cannot mean
			if led.Host == self {
				path, below := strings.CutPrefix(led.EscapedPath(), l.prefix)
				if !below || path != "" && path[0] != '/' || l.scheme != want.Scheme && !us {
					t.Errorf("%+v: Location %q became %q, which leads beside the upstream: %s", l, value, got, led)
				}
				path = l.base + strings.TrimPrefix(led.Path, l.prefix)
				if !us && (flat(path) != flat(want.Path) || led.RawQuery != want.RawQuery || led.Fragment != want.Fragment) {
					t.Errorf("%+v: Location %q became %q, which leads to %s, not to %s", l, value, got, led, want)
				}
			} else if !us && flat(led.Path) != flat(want.Path) && !strings.EqualFold(led.Host, want.Host) {
				t.Errorf("%+v: Location %q became %q, which leads to %s, not to %s", l, value, got, led, want)
			}
		}
	})
}

// flat is a path whose slashes are single: url.Parse makes one of two where ".." is before them,
// at the root alone.
func flat(path string) string {
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	return "/" + strings.Join(segments, "/")
}

func TestCookies(t *testing.T) {
	tests := []struct {
		name        string
		from        links
		value, want string // want "": it is left out
	}{
		{"of everything", byPath, "sid=1; Path=/; HttpOnly", "sid=1; HttpOnly; Path=/crm"},
		{"of a part", byPath, "sid=1; path=/v1/; Max-Age=3", "sid=1; Max-Age=3; Path=/crm/v1"},
		{"of where the call was", byPath, "sid=1", "sid=1; Path=/crm/p"},
		{"of where the call was, at the root", alone, "sid=1", "sid=1; Path=/crm"},
		{"no path after all", byPath, "sid=1; Path=v1", "sid=1; Path=/crm/p"},
		{"the last path counts", byPath, "sid=1; Path=/a; Path=/b", "sid=1; Path=/crm/b"},
		{"of a domain, over TLS", byPath, "sid=1; Domain=.api.test; Secure; Path=/; SameSite=Lax", "sid=1; SameSite=Lax; Path=/crm"},
		{"a value that looks like it", byPath, "path=/x; Path=/", "path=/x; Path=/crm"},
		{"by name", byName, "sid=1; Path=/v1", "sid=1; Path=/v1"},
		{"by name, of everything", byName, "sid=1; Path=/", "sid=1; Path=/"},
		{"above the base path", based, "sid=1; Path=/", "sid=1; Path=/crm"},
		{"of the base path", based, "sid=1; Path=/v1", "sid=1; Path=/crm"},
		{"below the base path", based, "sid=1; Path=/v1/x", "sid=1; Path=/crm/x"},
		{"beside the base path", based, "sid=1; Path=/v2", ""},
		{"of a longer segment", based, "sid=1; Path=/v10", ""},
		{"at a port of its own, below the base path", basedOwn, "sid=1; Path=/v1/x; Domain=api.test", "sid=1; Path=/v1/x; Domain=api.test"},
		{"of where the call was, with a parameter", links{scheme: "https", host: "api.test", self: "127.0.0.1:8080", prefix: "/crm", called: "/a;Path=/;/b"}, "sid=1", "sid=1; Path=/crm"},
		{"one that has to be secure", byPath, "__Host-sid=1; Secure; Path=/", "__Host-sid=1; Secure; Path=/crm"},
		{"one of other sites' pages, too", byPath, "sid=1; SameSite=None; Secure; Path=/", "sid=1; SameSite=None; Secure; Path=/crm"},
		{"at a port of its own", basedOwn, "sid=1; Path=/v1", "sid=1; Path=/v1"},
	}
	for _, test := range tests {
		values := []string{test.value}
		got := strings.Join(test.from.field("Set-Cookie", values), "|")
		if got != test.want || values[0] != test.value {
			t.Errorf("%s: %q became %q, want %q", test.name, test.value, got, test.want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// before is a server before a provider.
func before(t *testing.T, document string, provider http.RoundTripper) *Server {
	t.Helper()
	file, err := config.Parse("test.toml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(file, policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return provider, nil },
		Jitter:    func(time.Duration) time.Duration { return 0 },
		NewKey:    func() string { return "key" },
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	watch, err := telemetry.New(t.Context(), telemetry.Settings{LogOutput: io.Discard, Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = watch.Shutdown(t.Context()) })
	live := new(policy.Live)
	live.Publish(set)
	return &Server{Settings: Settings{Live: live, Telemetry: watch, Log: slog.New(slog.DiscardHandler)}}
}

// redirecting is a server before a provider that answers with a Location and a
// Link of its own.
func redirecting(t *testing.T, document string) *Server {
	t.Helper()
	return before(t, document, roundTripper(func(r *http.Request) (*http.Response, error) {
		origin := r.URL.Scheme + "://" + r.URL.Host
		return &http.Response{StatusCode: http.StatusCreated, ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, Request: r, Header: http.Header{
			"Location": {origin + "/v1/made"}, "Link": {"<" + origin + "/v1/x?page=2>; rel=next"}, "Content-Location": {origin + "/v1/made"},
		}}, nil
	}))
}

// TestAnswersLeadBackByTheWayTheyCame goes from a request's bytes to the answer's
// head, by every way in.
func TestAnswersLeadBackByTheWayTheyCame(t *testing.T) {
	s := redirecting(t, "[upstream.crm]\nurl = \"https://api.test/v1\"\n"+
		"[upstream.off]\nurl = \"https://off.test/v1\"\nrewrite_links = false\n")
	main := &address{host: "127.0.0.1", port: "8080"}
	own := &address{upstream: "crm", host: "127.0.0.1", port: "9999"}
	tests := []struct {
		name   string
		at     *address
		head   string
		origin string // of the links; with its path
	}{
		{"by path", main, "GET /crm/x HTTP/1.1\r\nHost: localhost:8080\r\n\r\n", "http://localhost:8080/crm"},
		{"by name", main, "GET /x HTTP/1.1\r\nHost: crm.localhost:8080\r\n\r\n", "http://crm.localhost:8080"},
		{"by port", own, "GET /x HTTP/1.1\r\nHost: 127.0.0.1:9999\r\n\r\n", "http://127.0.0.1:9999"},
		{"by base URL through the proxy", main, "GET http://127.0.0.1:8080/crm/x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n", "http://127.0.0.1:8080/crm"},
		{"without a Host", main, "GET /crm/x HTTP/1.0\r\n\r\n", "/crm"},
		{"by proxy", main, "GET http://api.test/v1/x HTTP/1.1\r\nHost: api.test\r\n\r\n", "https://api.test/v1"},
		{"switched off", main, "GET /off/x HTTP/1.1\r\nHost: localhost:8080\r\n\r\n", "https://off.test/v1"},
	}
	for _, tt := range tests {
		r := taken(tt.head)
		if r == nil {
			t.Fatalf("%s: refused", tt.name)
		}
		w := httptest.NewRecorder()
		s.serve(tt.at, w, r)
		want := [2]string{tt.origin + "/made", "<" + tt.origin + "/x?page=2>; rel=next"}
		if got := [2]string{w.Header().Get("Location"), w.Header().Get("Link")}; w.Code != http.StatusCreated || got != want {
			t.Errorf("%s: %d %q, want %q", tt.name, w.Code, got, want)
		}
		if got := w.Header().Get("Content-Location"); !strings.HasSuffix(got, ".test/v1/made") {
			t.Errorf("%s: Content-Location %q", tt.name, got)
		}
	}
}

// Two providers, one host for our caller: what the first sets and says stays with it.
func TestOneProviderDoesNotReachAnother(t *testing.T) {
	got := make(http.Header)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Add(r.URL.Path, r.Header.Get("Cookie"))
		switch r.URL.Path {
		case "/v1/login":
			w.Header()["Set-Cookie"] = []string{"all=1; Path=/", "own=2", "beside=3; Path=/two"}
		case "/v1/a/out":
			w.Header().Set("Location", "../../two/stolen")
			w.WriteHeader(http.StatusFound)
		}
	}))
	defer provider.Close()
	s := before(t, "[upstream.one]\nurl = \""+provider.URL+"/v1\"\n[upstream.two]\nurl = \""+provider.URL+"/two\"\nhosts = []\n", http.DefaultTransport)
	us := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.serve(&address{host: "127.0.0.1", port: "0"}, w, r)
	}))
	defer us.Close()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	for _, path := range []string{"/one/login", "/one/x", "/two/x", "/one/a/out"} {
		resp, err := client.Get(us.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	want := http.Header{"/v1/login": {""}, "/v1/x": {"all=1; own=2"}, "/two/x": {""}, "/v1/a/out": {"all=1; own=2"}, "/two/stolen": {""}}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("the cookies were %v, want %v", got, want)
	}
}

// TestEarlyHintsLeadBackToo: they are links of the answer to come.
func TestEarlyHintsLeadBackToo(t *testing.T) {
	w := &headWriter{header: http.Header{}}
	u, _ := compiled(t).ByName("api")
	x := &exchange{w: w, r: httptest.NewRequest("GET", "/", nil), linked: u, prefix: "/crm"}
	x.out.url.Scheme, x.out.url.Host = u.Origin("")
	if err := x.Inform(http.StatusEarlyHints, textproto.MIMEHeader{"Link": {"</v1/style.css>; rel=preload"}}); err != nil {
		t.Fatal(err)
	}
	if w.head != "103 [</crm/style.css>; rel=preload]" {
		t.Errorf("passed %s", w.head)
	}
}

// headWriter remembers the last head that was written.
type headWriter struct {
	header http.Header
	head   string
}

func (w *headWriter) Header() http.Header         { return w.header }
func (w *headWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *headWriter) WriteHeader(code int)        { w.head = fmt.Sprint(code, " ", w.header["Link"]) }
