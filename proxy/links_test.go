package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/telemetry"
)

// The three ways to write a base URL, and callers that say no Host.
var (
	byPath   = links{scheme: "https", host: "api.test", self: "127.0.0.1:8080", prefix: "/crm"}
	byName   = links{scheme: "https", host: "api.test", self: "crm.localhost:8080"}
	byPort   = links{scheme: "https", host: "api.test:8443", self: "localhost:9999"}
	based    = links{scheme: "https", host: "api.test", base: "/v1", self: "127.0.0.1:8080", prefix: "/crm"}
	basedOwn = links{scheme: "https", host: "api.test", base: "/v1", self: "127.0.0.1:9999"}
	hostless = links{scheme: "https", host: "api.test", prefix: "/crm"}
	bare     = links{scheme: "https", host: "api.test"}
	bareBase = links{scheme: "https", host: "api.test", base: "/v1"}
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

		{"the base path is taken off", based, "https://api.test/v1/x", "http://127.0.0.1:8080/crm/x"},
		{"from a path too", based, "/v1/x", "/crm/x"},
		{"without a prefix too", basedOwn, "/v1/x", "/x"},
		{"outside of the base path", based, "https://api.test/v2/x", ""},
		{"outside, as a path", based, "/v2/x", ""},
		{"a longer segment is outside", based, "/v10/x", ""},
		{"the base path alone: ours has a slash more", based, "https://api.test/v1?q", ""},

		{"up within", byPath, "/a/../b", "/crm/a/../b"},
		{"up and out", byPath, "/../b", ""},
		{"up and out of the base path", based, "https://api.test/v1/x/../../b", ""},
		{"up and out, encoded", byPath, "/a/%2e%2E/.%2e/b", ""},
		{"up and out, by backslashes", byPath, `/a/..\..\b`, ""},
		{"dots in the query", byPath, "/a?/../../b", "/crm/a?/../../b"},

		{"no Host", hostless, "https://api.test/x", "/crm/x"},
		{"no Host, no path", hostless, "https://api.test", "/crm"},
		{"no Host, no prefix", bare, "https://api.test/x", "/x"},
		{"no Host, no prefix, no path", bare, "https://api.test", "/"},
		{"no Host, no prefix, a query", bare, "//api.test?q", "/?q"},

		{"two slashes stay a path", byPath, "https://api.test//evil.test", "http://127.0.0.1:8080/crm//evil.test"},
		{"and do not become a host", basedOwn, "/v1//evil.test", "http://127.0.0.1:9999//evil.test"},
		{"nor in browsers", basedOwn, `/v1/\evil.test`, `http://127.0.0.1:9999/\evil.test`},
		// Node's fetch would have gone to evil.test, where the provider's own
		// reference leads to a path of its own.
		{"nor where a tab is left out", basedOwn, "/v1/\t/evil.test", ""},
		{"nor up and out", byPath, "/a/.\t./../b", ""},
		{"nor without a Host", bareBase, "/v1//evil.test", ""},
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
		{"no end of the reference", `</x>, </y`, `</x>, </y`},
		{"no end of the quotes", `</x>; title="y, </z>`, `</x>; title="y, </z>`},
		{"something else behind a reference", `</x> rel=a`, `</x> rel=a`},
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

// Where neither the upstream nor a path from the root is named, nothing changes.
// What does change leads to us.
func FuzzLinks(f *testing.F) {
	for _, seed := range []string{"https://api.test/x", `</x>; rel="a\", b", <//api.test>`, "/v1//evil.test", "<https://API.test:443/..>", `</\x>`, ",,<>", "//"} {
		f.Add(seed)
	}
	all := []links{byPath, byName, based, basedOwn, hostless, bare, bareBase}
	f.Fuzz(func(t *testing.T, value string) {
		for _, l := range all {
			got := l.linkValues(value)
			if got != value && !strings.Contains(strings.ToLower(value), "//api.test") && !strings.Contains(value, "</") {
				t.Errorf("%+v: Link %q became %q", l, value, got)
			}
			if strings.Count(got, "<") != strings.Count(value, "<") {
				t.Errorf("%+v: Link %q became %q", l, value, got)
			}
			got = l.reference(value)
			own := "http://" + l.self + l.prefix
			if l.self == "" {
				own = l.prefix
			}
			switch {
			case got == value:
			case strings.HasPrefix(value, "/") && value[:min(2, len(value))] != "//":
				if !strings.HasPrefix(got, l.prefix+"/") && !strings.HasPrefix(got, own+"/") {
					t.Errorf("%+v: Location %q became %q", l, value, got)
				}
			case !strings.HasPrefix(got, own):
				t.Errorf("%+v: Location %q became %q", l, value, got)
			}
			if got != value && l.prefix == "" && (strings.HasPrefix(got, "//") || strings.HasPrefix(got, `/\`)) {
				t.Errorf("%+v: Location %q leads away: %q", l, value, got)
			}
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// redirecting is a server before a provider that answers with a Location and a
// Link of its own.
func redirecting(t *testing.T, document string) *Server {
	t.Helper()
	file, err := config.Parse("test.toml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	provider := roundTripper(func(r *http.Request) (*http.Response, error) {
		origin := r.URL.Scheme + "://" + r.URL.Host
		return &http.Response{StatusCode: http.StatusCreated, ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, Request: r, Header: http.Header{
			"Location": {origin + "/v1/made"}, "Link": {"<" + origin + "/v1/x?page=2>; rel=next"}, "Content-Location": {origin + "/v1/made"},
		}}, nil
	})
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
