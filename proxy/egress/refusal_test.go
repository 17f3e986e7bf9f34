package egress_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"outrider/proxy/egress"
)

// A refusal of ours must be told from a host that is down: it is not retried,
// and opens no circuit.
func TestWhatWeRefuseIsARefusal(t *testing.T) {
	guard := egress.NewGuard(nil, nil)
	_, denied := egress.Dialer{Guard: guard}.Dial(context.Background(), "tcp", "127.0.0.1:9")
	open, err := egress.New(egress.Settings{Guard: egress.NewOpenGuard(func(netip.AddrPort) bool { return false })})
	if err != nil {
		t.Fatal(err)
	}
	req := newRequest(t, "GET", "http://127.0.0.1:9/", nil)
	req.Header = map[string][]string{"X": {"line\nbreak"}}
	_, invalid := open.RoundTrip(req)
	for _, c := range []struct {
		err    error
		reason string
		word   string
	}{{denied, "address-denied", "address_denied"}, {invalid, "malformed-request", "invalid_request"}} {
		refusal, ok := errors.AsType[interface {
			error
			Refusal() (string, time.Duration)
		}](c.err)
		if !ok {
			t.Errorf("%v is no refusal", c.err)
			continue
		}
		if reason, _ := refusal.Refusal(); reason != c.reason {
			t.Errorf("%v is refused as %s, want %s", c.err, reason, c.reason)
		}
		if typed, ok := errors.AsType[*egress.Error](c.err); !ok || typed.ErrorType() != c.word || !typed.Unsent() {
			t.Errorf("%v: %+v, want error type %s, unsent", c.err, typed, c.word)
		}
	}
}
