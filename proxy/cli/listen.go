package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"outrider/policy/config"
)

// unixScheme stands before the path of a Unix socket, in place of host:port.
const unixScheme = "unix:"

// socketMode lets the owner and the group of a socket's file connect.
const socketMode = 0o660

// listenAt opens an address as the configuration has it.
func listenAt(address string) (net.Listener, error) {
	path, socket := strings.CutPrefix(address, unixScheme)
	if !socket {
		var how net.ListenConfig
		if onLoopback(address) {
			// A client of this machine cannot be gone without the kernel having told so:
			// nobody need be asked whether it is there, and each connection is spared four
			// system calls.
			how.KeepAlive = -1
			// Nor has it another way to us that it could take as well (RFC 8684).
			how.SetMultipathTCP(false)
		}
		return how.Listen(context.Background(), "tcp", address)
	}
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", path) // its file goes when it is closed
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = listener.Close()
		return nil, err
	}
	return listener, nil
}

// onLoopback reports whether only this machine reaches an address.
func onLoopback(address string) bool {
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// clearSocket removes what a process that died has left, where connections are
// refused. Any other socket, and a file that is none, are somebody's: one that is
// busy, or that we may not open, does not answer either.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists, and is no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("%s is in use: somebody answers at it", path)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, winsockRefused):
		return os.Remove(path)
	}
	return fmt.Errorf("%s may be in use: %w", path, err)
}

// winsockRefused is what Windows has for ECONNREFUSED (WSAECONNREFUSED).
const winsockRefused = syscall.Errno(10061)

// dialAt connects to an address as the configuration has it.
func dialAt(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	if path, socket := strings.CutPrefix(address, unixScheme); socket {
		return dialer.DialContext(ctx, "unix", path)
	}
	return dialer.DialContext(ctx, "tcp", address)
}

// shownAddress is where a listener can be reached.
func shownAddress(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return unixScheme + l.Addr().String()
	}
	return l.Addr().String()
}

// opened are the listeners of a sidecar, before anything is served on them.
type opened struct {
	upstream string // "" for the main port
	listen   string
	net.Listener
}

// listen opens every address. They are all open before the first call is
// taken, so that a port that is in use is an error at the start.
func (s *sidecar) listen() (listeners []opened, adminListener net.Listener, err error) {
	wanted := []opened{{listen: s.file.Listen}}
	for _, u := range s.file.Upstreams {
		if u.Listen != "" {
			wanted = append(wanted, opened{upstream: u.Name, listen: u.Listen})
		}
	}
	for _, l := range wanted {
		if l.Listener, err = listenAt(l.listen); err != nil {
			closeAll(listeners, nil)
			return nil, nil, fmt.Errorf("opening listen %s: %w", l.listen, err)
		}
		s.addresses[l.upstream] = shownAddress(l)
		s.owns(l.Listener)
		l.Listener = &attended{l.Listener, &s.shortages}
		listeners = append(listeners, l)
	}
	if adminListener, err = listenAt(s.file.Admin); err != nil {
		closeAll(listeners, nil)
		return nil, nil, fmt.Errorf("opening admin %s: %w", s.file.Admin, err)
	}
	s.adminAt = shownAddress(adminListener)
	s.owns(adminListener)
	return listeners, &attended{adminListener, &s.shortages}, nil
}

func (s *sidecar) owns(l net.Listener) {
	if address, err := netip.ParseAddrPort(l.Addr().String()); err == nil {
		s.own = append(s.own, address)
	}
}

// ownsConfigured is for who listens on nothing, and says of a file what would be ours.
func (s *sidecar) ownsConfigured(file *config.File) {
	addresses := []string{file.Listen, file.Admin}
	for _, u := range file.Upstreams {
		addresses = append(addresses, u.Listen)
	}
	for _, address := range addresses {
		if host, port, err := net.SplitHostPort(address); err == nil && port != "0" { // else the system chooses one
			if host == "" {
				host = "::"
			}
			if at, ok := literal(host, port); ok {
				s.own = append(s.own, at)
			}
		}
	}
}

// selfUpstreams says which upstreams have a url that is one of our own listeners: no call may
// go there. That can be told of localhost and addresses of loopback alone: no name has to be
// looked up, and no proxy is between.
func (s *sidecar) selfUpstreams(file *config.File) (problems []string) {
	for _, u := range file.Upstreams {
		port := cmp.Or(u.URL.Port(), map[string]string{"http": "80", "https": "443"}[u.URL.Scheme])
		at, ok := literal(u.URL.Hostname(), port)
		if ok && at.Addr().Unmap().IsLoopback() && s.ours(at) {
			problems = append(problems, fmt.Sprintf("upstream.%s.url: %s is a listener of Outrider itself: where is the API?", u.Name, u.URL.Host))
		}
	}
	return problems
}

// literal is an address that nobody has to be asked for.
func literal(host, port string) (netip.AddrPort, bool) {
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	at, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	return at, err == nil
}

// ours reports whether an address is one that we listen on.
func (s *sidecar) ours(address netip.AddrPort) bool {
	ip := address.Addr().Unmap()
	for _, own := range s.own {
		if own.Port() != address.Port() {
			continue
		}
		if at := own.Addr().Unmap(); at == ip || at.IsUnspecified() && (ip.IsLoopback() || ip.IsUnspecified() || onInterface(ip)) {
			return true
		}
	}
	return false
}

func onInterface(ip netip.Addr) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Unmap() == ip {
			return true
		}
	}
	return false
}

func closeAll(listeners []opened, others ...net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
	for _, l := range others {
		if l != nil {
			_ = l.Close()
		}
	}
}
