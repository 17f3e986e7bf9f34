package egress_test

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"testing"

	"outrider/proxy/egress"
)

// A call whose name nobody resolved was said to have had no answer in time, as if somebody
// had been asked.
func TestCanceledSaysHowFarItCame(t *testing.T) {
	names := useDNS(t, map[string][]string{"silent.test": {"silence"}})
	for _, scheme := range []string{"http", "https"} { // one dials for itself, and one waits for a dial of all
		ctx, cancel := context.WithCancel(t.Context())
		call := func(host, want string, guard *egress.Guard) {
			t.Helper()
			req, err := http.NewRequestWithContext(ctx, "GET", scheme+"://"+host+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = newTransport(t, egress.Settings{Guard: guard}).RoundTrip(req)
			if e := wantError(t, err, egress.Canceled, false); e.While != want {
				t.Errorf("%s: canceled %q, want %q", scheme, e.While, want)
			}
		}
		nobody := func(netip.AddrPort) bool { return false }

		go func() {
			<-names.heard // A and AAAA
			<-names.heard
			cancel()
		}()
		call("silent.test.", "while the name was looked up", egress.NewOpenGuard(nobody))

		ctx, cancel = context.WithCancel(t.Context())
		s, left := serve(t, func(*peer) {}), make(chan struct{})
		call(s.addr, "while it was connecting", egress.NewOpenGuard(func(netip.AddrPort) bool {
			cancel()
			if scheme == "https" { // the dial of all would go on
				<-left
			}
			return false
		}))
		close(left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent := serve(t, func(p *peer) {
		_ = p.body(1) // of the ClientHello
		cancel()
		_, _ = io.Copy(io.Discard, p.br)
	})
	req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+silent.addr+"/", nil)
	_, err := newTransport(t, egress.Settings{}).RoundTrip(req)
	if e := wantError(t, err, egress.Canceled, false); e.While != "in the TLS handshake" {
		t.Errorf("canceled %q", e.While)
	}
}

// A call that waited for a dial of all was told that its own host was looked up, or connected,
// when it was the proxy.
func TestCanceledOnTheWayToAProxyNamesTheProxy(t *testing.T) {
	names := useDNS(t, map[string][]string{"silent.test": {"silence"}})
	guard := egress.NewOpenGuard(func(netip.AddrPort) bool { return false })
	for _, scheme := range []string{"http", "https"} { // one dials for itself, and one waits for a dial of all
		ctx, cancel := context.WithCancel(t.Context())
		call := func(proxy string) {
			t.Helper()
			req, err := http.NewRequestWithContext(ctx, "GET", scheme+"://api.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = newTransport(t, egress.Settings{Guard: guard, Proxy: through(t, proxy)}).RoundTrip(req)
			want := "while the proxy was asked for a connection"
			if scheme == "http" && proxy != "silent.test." {
				want = "" // it was asked for the answer
			}
			if e := wantError(t, err, egress.Canceled, want == ""); e.While != want {
				t.Errorf("%s by %s: canceled %q, want %q", scheme, proxy, e.While, want)
			}
		}
		go func() {
			<-names.heard // A and AAAA
			<-names.heard
			cancel()
		}()
		call("silent.test.")

		ctx, cancel = context.WithCancel(t.Context())
		silent := serve(t, func(p *peer) {
			p.head()
			cancel()
			_, _ = io.Copy(io.Discard, p.br)
		})
		call(silent.addr)
	}
}
