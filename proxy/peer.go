package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// A peer is who is at the other end of a connection that we accepted.
type peer struct {
	conn      net.Conn
	opened    time.Time
	processes *processes
	caller    func() string // see name; made once for all calls of the connection

	mu    sync.Mutex // held while the name is found out
	known string     // the name; "": not found out yet
}

type peerKey struct{}

// connContext remembers the connection that a request comes from.
func (s *Server) connContext(ctx context.Context, conn net.Conn) context.Context {
	p := &peer{conn: conn, opened: time.Now(), processes: &s.processes}
	p.caller = p.name
	return context.WithValue(ctx, peerKey{}, p)
}

// peerOf is who sent a request; nil outside of our servers.
func peerOf(r *http.Request) *peer {
	p, _ := r.Context().Value(peerKey{}).(*peer)
	return p
}

// connOf is the connection that a request comes from.
func connOf(r *http.Request) net.Conn {
	if p := peerOf(r); p != nil {
		return p.conn
	}
	return nil
}

// name tells callers apart who do not say who they are: by their process, where it
// is on this machine and the system tells, and else by their address. It may take
// some milliseconds, once for each connection.
func (p *peer) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known != "" {
		return p.known
	}
	if socket, ok := beneath[*net.UnixConn](p.conn); ok {
		p.known = "a socket"
		if pid, ok := processAt(socket); ok {
			p.known = processName(pid)
		}
		return p.known
	}
	client, err := endOf(p.conn.RemoteAddr())
	if err != nil {
		return p.conn.RemoteAddr().String()
	}
	if !client.Addr().IsLoopback() {
		p.known = client.Addr().String()
		return p.known
	}
	server, _ := endOf(p.conn.LocalAddr()) // what is none is nobody's
	pid, final := p.processes.of(ends{client, server}, p.opened)
	name := client.Addr().String()
	if pid > 0 {
		name = processName(pid)
	}
	if final {
		p.known = name
	}
	return name
}

// endOf is one end of a connection, of IPv4 where it is that inside of IPv6.
func endOf(address net.Addr) (netip.AddrPort, error) {
	end, err := netip.ParseAddrPort(address.String())
	return netip.AddrPortFrom(end.Addr().Unmap(), end.Port()), err
}

func processName(pid int) string { return "process " + strconv.Itoa(pid) }
