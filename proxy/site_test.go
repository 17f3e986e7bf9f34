package proxy

import (
	"net/http"
	"testing"
)

// What Chromium 156 sends by its proxy, and what programs do.
func TestWhatCameFromAnotherSite(t *testing.T) {
	const browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
	const evil, own = "http://evil.example:7060", "https://app.demo.test"
	tests := []struct {
		name   string
		secure bool
		header map[string]string
		want   bool
	}{
		{"a page, told by the browser", true, map[string]string{"User-Agent": browser, "Sec-Fetch-Site": "cross-site"}, true},
		{"one of the same site", true, map[string]string{"User-Agent": browser, "Sec-Fetch-Site": "same-site", "Origin": own}, false},
		{"what was typed in", true, map[string]string{"User-Agent": browser, "Sec-Fetch-Site": "none"}, false},
		{"a WebSocket", true, map[string]string{"User-Agent": browser, "Origin": evil, "Upgrade": "websocket"}, true},
		{"a WebSocket of the same site", true, map[string]string{"User-Agent": browser, "Origin": own, "Upgrade": "websocket"}, false},
		{"a WebSocket of the same host", true, map[string]string{"User-Agent": browser, "Origin": "https://api.demo.test", "Upgrade": "websocket"}, false},
		{"a WebSocket of a sandbox", true, map[string]string{"User-Agent": browser, "Origin": "null", "Upgrade": "websocket"}, true},
		{"a WebSocket of a page of this machine", true, map[string]string{"User-Agent": browser, "Origin": "http://localhost:3000", "Upgrade": "websocket"}, true},
		{"a WebSocket of a program", true, map[string]string{"Upgrade": "websocket"}, false},
		{"one that names a page, as it has to", true, map[string]string{"Origin": evil, "Upgrade": "websocket"}, false},
		{"PowerShell", false, map[string]string{"User-Agent": "Mozilla/5.0 (Linux; Debian GNU/Linux 12; en-US) PowerShell/7.5.0"}, false},
		{"a form over plain HTTP", false, map[string]string{"User-Agent": browser, "Origin": evil}, true},
		{"an image over plain HTTP", false, map[string]string{"User-Agent": browser, "Referer": evil + "/page"}, true},
		{"one whose page hides itself", false, map[string]string{"User-Agent": browser}, true},
		{"one of the same site", false, map[string]string{"User-Agent": browser, "Referer": own + "/page"}, false},
		{"a page of another owner below a public suffix", false, map[string]string{"User-Agent": browser, "Origin": "http://demo.test.co.uk"}, true},
		{"an old browser over TLS", true, map[string]string{"User-Agent": browser}, false},
		{"its form of another site", true, map[string]string{"User-Agent": browser, "Origin": evil}, true},
		{"a program with an Origin of its own making", false, map[string]string{"User-Agent": "curl/8.5.0", "Origin": evil}, false},
		{"a program", false, map[string]string{"User-Agent": "python-requests/2.34.0"}, false},
	}
	for _, test := range tests {
		header := http.Header{}
		for name, value := range test.header {
			header.Set(name, value)
		}
		if got := leadsAcrossSites(header, "api.demo.test:443", test.secure); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestHostsOfOneSite(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"api.demo.test", "api.demo.test", true},
		{"api.demo.test", "demo.test", true},
		{"a.github.io", "b.github.io", false},
		{"github.io", "a.github.io", false},
		{"a.co.uk", "b.co.uk", false},
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "11.0.0.1", false},
		{"localhost", "localhost", true},
		{"localhost", "other", false},
		{"", "", false},
		{"::1", "api.demo.test", false},
	} {
		if got := sameSite(test.a, test.b); got != test.want {
			t.Errorf("%s and %s: %v", test.a, test.b, got)
		}
	}
}
