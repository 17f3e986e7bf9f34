package egress_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"outrider/proxy/egress"
)

// An authority has one pool, however its URLs are written, and two that only look
// alike have two.
func TestSpellingsOfAnAuthorityShareItsConnections(t *testing.T) {
	for _, c := range []struct {
		hosts  string
		dialed []string
	}{
		{"api.test API.test api.test:80 api.test:", []string{"api.test:80"}},
		{"api.test api.test:8080 Api.Test:8080 api.test:080", []string{"api.test:80", "api.test:8080", "api.test:080"}},
		{"api.test:443 api.test", []string{"api.test:443", "api.test:80"}},
		{"127.0.0.1 127.0.0.1:80", []string{"127.0.0.1:80"}},
		{"[::1] [::1]:80 [::1]:", []string{"[::1]:80"}},
		{"[::80] [::80]:81 [::1:80]", []string{"[::80]:80", "[::80]:81", "[::1:80]:80"}},
		{"bücher.test xn--bcher-kva.test:80", []string{"xn--bcher-kva.test:80"}},
		// None is an address, and no port is taken off to make it one.
		{"api.test:80:80 api.test:81:80", []string{"api.test:80:80", "api.test:81:80"}},
		{"api.test:81:", []string{"api.test:81:80"}},
	} {
		var dialed []string
		tr := newTransport(t, egress.Settings{Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			dialed = append(dialed, addr)
			return &instant{answers: []string{empty}}, nil
		}})
		for host := range strings.SplitSeq(c.hosts, " ") {
			req := newRequest(t, "GET", "http://api.test/", nil)
			req.URL.Host, req.Host = host, ""
			fetch(t, tr, req)
		}
		if !slices.Equal(dialed, c.dialed) {
			t.Errorf("%s: dialled %q, want %q", c.hosts, dialed, c.dialed)
		}
	}
}
