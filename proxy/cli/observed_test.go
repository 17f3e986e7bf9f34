package cli

import (
	"bytes"
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
	}, Others: 7}})
	file, err := config.Parse("observed.toml", b.Bytes())
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, b.String())
	}
	if len(file.Upstreams) != 5 {
		t.Errorf("%d upstreams in\n%s", len(file.Upstreams), b.String())
	}
}
