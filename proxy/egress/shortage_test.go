package egress_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"outrider/proxy/egress"
)

// With all descriptors in use nothing could be dialled, and it looked as if the provider
// refused connections: its circuit opened, though it was well.
func TestShortageOfThisMachineIsNoFaultOfThePeer(t *testing.T) {
	for _, c := range []struct {
		op    string
		errno syscall.Errno
		local bool
	}{
		{"socket", syscall.EMFILE, true},
		{"socket", syscall.ENFILE, true},
		{"socket", syscall.ENOBUFS, true},
		{"connect", syscall.ENOMEM, true},
		{"connect", syscall.EADDRNOTAVAIL, true},
		{"connect", syscall.ECONNREFUSED, false},
		{"connect", syscall.ENETUNREACH, false},
	} {
		want := egress.DialFailed
		if c.local {
			want = egress.SocketsExhausted
		}
		told := 0
		settings := egress.Settings{
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(c.op, c.errno)}
			},
			Short: func(err error) {
				if told++; !errors.Is(err, c.errno) {
					t.Errorf("%v: told of %v", c.errno, err)
				}
			},
		}
		for _, url := range []string{"http://api.test/", "https://api.test/"} {
			_, err := newTransport(t, settings).RoundTrip(newRequest(t, "GET", url, nil))
			if e := wantError(t, err, want, false); e.Local() != c.local || e.Addr == "" {
				t.Errorf("%+v is local: %v", e, e.Local())
			}
		}
		settings.Proxy = through(t, "proxy.test:3128")
		_, err := newTransport(t, settings).RoundTrip(newRequest(t, "GET", "https://api.test/", nil))
		if !c.local {
			want = egress.ProxyFailed
		}
		if e := wantError(t, err, want, false); e.Local() != c.local || e.Addr != "api.test:443" {
			t.Errorf("by a proxy: %+v is local: %v", e, e.Local())
		}
		if c.local != (told == 3) || !c.local && told > 0 {
			t.Errorf("%v: told %d times of 3 dials", c.errno, told)
		}
	}
}

// A name cannot be looked up without a socket, either. The resolver says so in words alone.
func TestShortageWhileTheNameIsLookedUp(t *testing.T) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("socket", syscall.EMFILE)}
	}}
	told := 0
	_, err := egress.Dialer{Short: func(error) { told++ }}.Dial(t.Context(), "tcp", "api.test:443")
	if e := wantError(t, err, egress.SocketsExhausted, false); !strings.Contains(e.Error(), syscall.EMFILE.Error()) || told != 1 {
		t.Errorf("%v, told %d times", e, told)
	}
}
