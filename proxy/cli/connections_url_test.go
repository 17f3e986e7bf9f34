package cli

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A connection with a url of its own is called there, whichever way the call came in: by
// base URL it is led there and its links back; a proxy client that asks for another host is
// refused, and neither host sees a credential that is not its own.
func TestConnectionAtItsOwnURL(t *testing.T) {
	var mu sync.Mutex
	var seen []string // host, path and credential
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, strings.Split(r.Host, ":")[0]+r.URL.Path+" "+r.Header.Get("Authorization"))
		w.Header().Set("Location", "http://"+r.Host+"/base/next")
	})
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	r := launch(t, fmt.Sprintf(`
[upstream.crm]
url   = "http://127.0.0.1%[1]s/base"
hosts = ["127.0.0.1%[1]s", "localhost%[1]s"]
connections = "required"
auth  = { type = "bearer" }
`, port))
	if status, body := r.hand("PUT", "/crm/acme", `{"token":"key-of-acme","url":"http://localhost`+port+`"}`); status != 201 {
		t.Fatal(status, body)
	}
	if status, body := r.hand("PUT", "/crm/globex", `{"token":"key-of-globex"}`); status != 201 {
		t.Fatal(status, body)
	}
	for _, c := range []struct {
		connection, url string
		proxied         bool
		status          int
		location        string
	}{
		{"acme", r.url("/crm/x"), false, 200, r.url("/crm/next")},
		{"globex", r.url("/crm/x"), false, 200, r.url("/crm/next")},
		{"acme", "http://localhost" + port + "/x", true, 200, "http://localhost" + port + "/base/next"},
		{"acme", "http://127.0.0.1" + port + "/x", true, 421, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Outrider-Connection", c.connection)
		client := http.DefaultClient
		if c.proxied {
			client = r.proxyClient()
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || resp.Header.Get("Location") != c.location {
			t.Errorf("%s as %s: %d, Location %q; want %d, %q", c.url, c.connection, resp.StatusCode, resp.Header.Get("Location"), c.status, c.location)
		}
		if c.status == 421 && !strings.Contains(resp.Header.Get("Proxy-Status"), "the connection acme is at http://localhost"+port) {
			t.Errorf("refused with %s", resp.Header.Get("Proxy-Status"))
		}
	}
	want := "localhost/base/x Bearer key-of-acme, 127.0.0.1/base/x Bearer key-of-globex, localhost/x Bearer key-of-acme"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("seen %s\nwant %s", got, want)
	}
	if status, body := r.hand("GET", "/crm/acme", ""); status != 200 || !strings.Contains(body, `"url":"http://localhost`+port+`"`) {
		t.Errorf("%d %s", status, body)
	}
}
