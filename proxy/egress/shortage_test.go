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
	v4 := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443}
	v6 := &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 443}
	for _, c := range []struct {
		op    string
		errno syscall.Errno
		to    net.Addr
		local bool
	}{
		{"socket", syscall.EMFILE, v4, true},
		{"socket", syscall.EMFILE, v6, true},
		{"socket", syscall.ENFILE, nil, true},
		{"socket", syscall.ENOBUFS, v4, true},
		{"connect", syscall.ENOMEM, v6, true},
		{"connect", syscall.EADDRNOTAVAIL, v4, true},
		// With IPv6 turned off every call to an IPv6 address was told of a shortage, for ever.
		{"connect", syscall.EADDRNOTAVAIL, v6, false},
		{"connect", syscall.EADDRNOTAVAIL, nil, false},
		{"connect", syscall.ECONNREFUSED, v4, false},
		{"connect", syscall.ENETUNREACH, v6, false},
	} {
		want := egress.DialFailed
		if c.local {
			want = egress.SocketsExhausted
		}
		told := 0
		settings := egress.Settings{
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: c.to, Err: os.NewSyscallError(c.op, c.errno)}
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
			t.Errorf("%v to %v: told %d times of 3 dials", c.errno, c.to, told)
		}
	}
}

// A name cannot be looked up without a socket, either. The resolver says so in words alone.
func TestShortageWhileTheNameIsLookedUp(t *testing.T) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	for _, c := range []struct {
		op    string
		errno syscall.Errno
		want  egress.Kind
		told  int
	}{
		{"socket", syscall.EMFILE, egress.SocketsExhausted, 1},
		{"connect", syscall.EADDRNOTAVAIL, egress.DialFailed, 0}, // a nameserver of IPv6, where that is turned off
	} {
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError(c.op, c.errno)}
		}}
		told := 0
		_, err := egress.Dialer{Short: func(error) { told++ }}.Dial(t.Context(), "tcp", "api.test:443")
		if e := wantError(t, err, c.want, false); !strings.Contains(e.Error(), c.errno.Error()) || told != c.told {
			t.Errorf("%v, told %d times", e, told)
		}
	}
}
