package cli

import (
	"bytes"
	"strings"
	"testing"

	"outrider/policy/config"
	"outrider/proxy"
)

// What observed prints may be taken over as it is. A host that was reached both by
// http and by https, as by every client that follows a redirect to TLS, came out as
// two upstreams with one host, which is a mistake.
func TestObservedIsConfiguration(t *testing.T) {
	var b bytes.Buffer
	writeObserved(&b, statusView{Capture: proxy.CaptureStatus{Observed: []proxy.Observed{
		{Host: "api.example.test", Scheme: "http", Calls: 5},
		{Host: "api.example.test", Scheme: "https", Calls: 3},
		{Host: "api.example.test:8443", Scheme: "https", Calls: 2},
		{Host: "plain.example.test", Scheme: "http", Calls: 1},
		{Host: "[::1]", Scheme: "http", Calls: 1},
		{Host: "[::1]:8443", Scheme: "https", Calls: 1},
		// A client tunnels plain HTTP, as undici does, and another does not.
		{Host: "local.example.test:9090", Scheme: "https", Calls: 4},
		{Host: "local.example.test:9090", Scheme: "http", Calls: 1},
	}, Others: 7}})
	file, err := config.Parse("observed.toml", b.Bytes())
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, b.String())
	}
	if !strings.Contains(b.String(), `url = "http://local.example.test:9090"`) || !strings.Contains(b.String(), "it has to be http://api.example.test:8443\n") {
		t.Errorf("what is in tunnels to other ports is known:\n%s", b.String())
	}
	if len(file.Upstreams) != 6 {
		t.Errorf("%d upstreams in\n%s", len(file.Upstreams), b.String())
	}
}
