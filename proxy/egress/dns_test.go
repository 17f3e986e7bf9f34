package egress_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"outrider/proxy/egress"
)

// A nameserver gives a name's answers in turn, one list for each lookup, the
// last for all that follow. Names that it does not know do not exist.
type nameserver struct {
	conn net.PacketConn
	zone map[string][]string // name → lists of addresses, separated by spaces; "silence": no answer

	mu    sync.Mutex
	asked map[dnsmessage.Question]int
	heard chan bool // a question that gets no answer yet
	end   []func()  // gives those at the test's end: a lookup outlives its context
}

// useDNS makes the test's names resolve by zone, for this process.
func useDNS(t *testing.T, zone map[string][]string) *nameserver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameserver{conn: conn, zone: zone, asked: make(map[dnsmessage.Question]int), heard: make(chan bool, 10)}
	done := make(chan bool)
	go func() {
		defer close(done)
		n.serve()
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := net.Dialer{Resolver: before} // a late lookup reads no variable that the test's end writes
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		n.mu.Lock()
		for _, give := range n.end {
			give()
		}
		n.mu.Unlock()
		conn.Close()
		<-done
	})
	return n
}

func (n *nameserver) serve() {
	buf := make([]byte, 2048)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:size]) != nil || len(m.Questions) != 1 {
			continue
		}
		silent := !n.answer(&m)
		reply, _ := m.Pack()
		if !silent {
			n.conn.WriteTo(reply, from)
			continue
		}
		n.mu.Lock()
		n.end = append(n.end, func() { n.conn.WriteTo(reply, from) })
		n.mu.Unlock()
		n.heard <- true
	}
}

// answer turns a question into its answer; false is one to hold back.
func (n *nameserver) answer(m *dnsmessage.Message) bool {
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	lists, known := n.zone[strings.TrimSuffix(q.Name.String(), ".")]
	n.mu.Lock()
	turn := n.asked[q]
	n.asked[q]++
	n.mu.Unlock()
	if !known {
		m.RCode = dnsmessage.RCodeNameError
		return true
	}
	list := lists[min(turn, len(lists)-1)]
	if list == "silence" {
		return false
	}
	for addr := range strings.FieldsSeq(list) {
		ip := netip.MustParseAddr(addr)
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}}
		switch {
		case ip.Is4() && q.Type == dnsmessage.TypeA:
			r.Body = &dnsmessage.AResource{A: ip.As4()}
		case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
			r.Body = &dnsmessage.AAAAResource{AAAA: ip.As16()}
		default:
			continue
		}
		m.Answers = append(m.Answers, r)
	}
	return true
}

// lookups is how often a name was asked for, each time for A and AAAA.
func (n *nameserver) lookups(name string) (most int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for q, times := range n.asked {
		if q.Name.String() == name+"." {
			most = max(most, times)
		}
	}
	return most
}

// A record is a deny function that refuses nothing on this machine, and
// remembers what it was asked about. What is outside it refuses, so that no test
// sends a packet there.
type record struct {
	mu      sync.Mutex
	checked []string // host:port, in order
}

func (r *record) deny(ap netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checked = append(r.checked, ap.String())
	return ap.Addr().IsGlobalUnicast() && !ap.Addr().IsPrivate()
}

func (r *record) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.checked = nil }()
	return r.checked
}

// serveAt runs a server at each of the hosts, on one port for all.
func serveAt(t *testing.T, hosts ...string) (servers []*server, port string) {
	t.Helper()
	var err error
	for range 20 {
		var lns []net.Listener
		port = "0"
		for _, host := range hosts {
			var ln net.Listener
			if ln, err = net.Listen("tcp", net.JoinHostPort(host, port)); err != nil {
				break
			}
			lns = append(lns, ln)
			_, port, _ = net.SplitHostPort(ln.Addr().String())
		}
		if err != nil {
			for _, ln := range lns {
				ln.Close()
			}
			continue
		}
		for _, ln := range lns {
			servers = append(servers, serveOn(t, ln, answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")))
		}
		return servers, port
	}
	t.Skipf("this machine has not the addresses %v of loopback: %v", hosts, err)
	return nil, ""
}

// dialled connects in the two ways there are, and says where that led.
func dialled(t *testing.T, guard *egress.Guard, addr string) map[string]any {
	t.Helper()
	led := make(map[string]any)
	c, err := egress.Dialer{Guard: guard}.Dial(context.Background(), "tcp", addr)
	if led["tunnel"] = err; err == nil {
		led["tunnel"] = c.RemoteAddr().String()
		c.Close()
	}
	var h hooks
	tr := newTransport(t, egress.Settings{Guard: guard})
	resp, err := tr.RoundTrip(h.on(newRequest(t, "GET", "http://"+addr+"/", nil)))
	if led["call"] = err; err == nil {
		led["call"] = h.gotConn[0].Conn.RemoteAddr().String()
		resp.Body.Close()
	}
	return led
}

func prefixes(list ...string) (all []netip.Prefix) {
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// 127.0.0.2 is the address that is allowed, in the place of a public one.
func TestNameThatResolvesDifferentlyTheSecondTimeGainsNothing(t *testing.T) {
	servers, port := serveAt(t, "127.0.0.2", "127.0.0.1")
	for _, second := range []string{"127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"} {
		for _, way := range []string{"call", "tunnel"} {
			var r record
			guard := egress.NewGuard(prefixes("127.0.0.2/32"), r.deny)
			names := useDNS(t, map[string][]string{"rebind.test": {"127.0.0.2", second}})
			dial := func() error {
				if way == "tunnel" {
					c, err := egress.Dialer{Guard: guard}.Dial(context.Background(), "tcp", "rebind.test:"+port)
					if err == nil {
						c.Close()
					}
					return err
				}
				resp, err := newTransport(t, egress.Settings{Guard: guard}).RoundTrip(newRequest(t, "GET", "http://rebind.test:"+port+"/", nil))
				if err == nil {
					resp.Body.Close()
				}
				return err
			}
			if err := dial(); err != nil {
				t.Fatal(err)
			}
			// Whatever is connected comes from the one lookup, and was judged.
			if got := r.take(); names.lookups("rebind.test") != 1 || !slices.Equal(got, []string{"127.0.0.2:" + port}) {
				t.Errorf("%d lookups, judged %v", names.lookups("rebind.test"), got)
			}
			wantError(t, dial(), egress.AddressDenied, false)
			if names.lookups("rebind.test") != 2 {
				t.Errorf("%d lookups for two dials", names.lookups("rebind.test"))
			}
		}
	}
	if n := servers[1].accepted.Load(); n != 0 {
		t.Errorf("%d connections to the denied address", n)
	}
}

// A public address first: it is judged, and what the name says later is too.
func TestNameThatIsPublicFirst(t *testing.T) {
	servers, port := serveAt(t, "127.0.0.1")
	var r record
	useDNS(t, map[string][]string{"public.test": {"8.8.8.8", "127.0.0.1"}})
	for _, want := range []string{"8.8.8.8:" + port, "127.0.0.1:" + port} {
		_, err := egress.Dialer{Guard: egress.NewGuard(nil, r.deny)}.Dial(context.Background(), "tcp", "public.test:"+port)
		wantError(t, err, egress.AddressDenied, false)
		if got := r.take(); !slices.Equal(got, []string{want}) {
			t.Errorf("judged %v, want %s", got, want)
		}
	}
	if n := servers[0].accepted.Load(); n != 0 {
		t.Errorf("%d connections to the denied address", n)
	}
}

func TestNameOfADeniedAddress(t *testing.T) {
	servers, port := serveAt(t, "127.0.0.1")
	for _, list := range []string{
		"127.0.0.1", "0.0.0.0", "100.64.0.1", "169.254.169.254", "10.0.0.1", "168.63.129.16", "255.255.255.255",
		"::1", "::", "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
		"64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:7f00:1::",
		"127.0.0.1 ::1 0.0.0.0 :: ::ffff:127.0.0.1 64:ff9b::7f00:1",
	} {
		if strings.Contains(list, ":") {
			needIPv6(t)
		}
		var r record
		useDNS(t, map[string][]string{"denied.test": {list}})
		for way, led := range dialled(t, egress.NewGuard(nil, r.deny), "denied.test:"+port) {
			err, _ := led.(error)
			if err == nil {
				t.Errorf("%s: a %s led to %v", list, way, led)
				continue
			}
			wantError(t, err, egress.AddressDenied, false)
		}
		// Each address was judged, once a dial, as what it really is.
		var want []string
		for addr := range strings.FieldsSeq(list) {
			want = append(want, netip.AddrPortFrom(netip.MustParseAddr(addr).Unmap(), uint16(atoi(port))).String())
		}
		got := r.take()
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: judged %v, not %s", list, got, w)
			}
		}
	}
	if n := servers[0].accepted.Load(); n != 0 {
		t.Errorf("%d connections to a denied address", n)
	}
}

func atoi(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}

func needIPv6(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	}
	ln.Close()
}

// Of several addresses one is allowed: that one is connected, in whatever order
// they come, and whichever family is tried first (RFC 8305).
func TestNameOfAllowedAndDeniedAddresses(t *testing.T) {
	needIPv6(t)
	servers, port := serveAt(t, "127.0.0.1", "127.0.0.2", "::1")
	for _, c := range []struct {
		list, allow string
		led         int // which of the servers
	}{
		{"127.0.0.1 127.0.0.2", "127.0.0.2/32", 1}, {"127.0.0.2 127.0.0.1", "127.0.0.2/32", 1}, {"169.254.169.254 10.0.0.1 127.0.0.2", "127.0.0.2/32", 1},
		{"::1 127.0.0.2", "127.0.0.2/32", 1}, {"127.0.0.1 ::1", "::1/128", 2}, {"64:ff9b::7f00:1 2002:7f00:1:: 127.0.0.2 127.0.0.1", "127.0.0.2/32", 1},
		{"::ffff:127.0.0.1 ::1", "::1/128", 2},
	} {
		var r record
		useDNS(t, map[string][]string{"mixed.test": {c.list}})
		for way, led := range dialled(t, egress.NewGuard(prefixes(c.allow), r.deny), "mixed.test:"+port) {
			if led != servers[c.led].addr {
				t.Errorf("%s: a %s led to %v", c.list, way, led)
			}
		}
		if got := r.take(); !slices.Contains(got, servers[c.led].addr) {
			t.Errorf("%s: judged only %v", c.list, got)
		}
	}
	for _, s := range servers {
		if s != servers[1] && s != servers[2] && s.accepted.Load() != 0 {
			t.Errorf("%d connections to %s", s.accepted.Load(), s.addr)
		}
	}
}

func TestDialTriesOneAddressAfterTheOther(t *testing.T) {
	needIPv6(t)
	loopback := prefixes("127.0.0.0/8", "::1/128")
	for _, c := range []struct{ list, at string }{
		{"127.0.0.3 127.0.0.1", "127.0.0.1"}, // the first refuses
		{"127.0.0.3 127.0.0.4 127.0.0.1", "127.0.0.1"},
		{"::1 127.0.0.1", "127.0.0.1"}, // one family refuses
		{"127.0.0.1 ::1", "::1"},
		{"127.0.0.3 ::1", "::1"},
	} {
		servers, port := serveAt(t, c.at)
		var r record
		useDNS(t, map[string][]string{"several.test": {c.list}})
		for way, led := range dialled(t, egress.NewGuard(loopback, r.deny), "several.test:"+port) {
			if led != servers[0].addr {
				t.Errorf("%s: a %s led to %v", c.list, way, led)
			}
		}
		judged := r.take()
		if !slices.Contains(judged, servers[0].addr) {
			t.Errorf("%s: judged only %v", c.list, judged)
		}
		if first, _, _ := strings.Cut(c.list, " "); first == "127.0.0.3" && c.at == "127.0.0.1" && judged[0] != "127.0.0.3:"+port {
			t.Errorf("%s: judged %v", c.list, judged)
		}
	}
}

func TestNameWithoutAWorkingAddress(t *testing.T) {
	_, port := serveAt(t, "127.0.0.1")
	guard := egress.NewGuard(prefixes("127.0.0.3/32", "127.0.0.4/32"), nil)
	useDNS(t, map[string][]string{
		"down.test": {"127.0.0.3 127.0.0.4"}, "empty.test": {""},
		// One is refused by us and one is down: the host failed, in either order.
		"half.test": {"127.0.0.1 127.0.0.3"}, "other-half.test": {"127.0.0.3 127.0.0.1"},
	})
	for _, name := range []string{"down.test", "empty.test", "half.test", "other-half.test", "missing.test"} {
		for way, led := range dialled(t, guard, name+":"+port) {
			err, _ := led.(error)
			wantError(t, err, egress.DialFailed, false)
			if _, refusal := errors.AsType[*egress.DeniedError](err); refusal {
				t.Errorf("%s, a %s: %v is a refusal", name, way, err)
			}
		}
	}
}

// Through a proxy nobody sees which address is taken: one that is denied is one
// too many.
func TestNameBehindAProxy(t *testing.T) {
	proxy := serveProxy(t, false, nil)
	var r record
	inside := prefixes("10.1.0.0/16")
	names := useDNS(t, map[string][]string{
		"private.test": {"10.2.0.1"}, "mixed.test": {"10.1.0.1 10.2.0.1"}, "mapped.test": {"::ffff:127.0.0.1"},
		"nat64.test": {"64:ff9b::a9fe:a9fe"}, "allowed.test": {"10.1.0.1"}, "empty.test": {""},
	})
	call := func(guard *egress.Guard, name string) error {
		_, err := newTransport(t, egress.Settings{Guard: guard, Proxy: through(t, proxy.addr)}).RoundTrip(newRequest(t, "GET", "https://"+name+"/", nil))
		_, err2 := egress.Dialer{Guard: guard, Proxy: through(t, proxy.addr)}.Dial(context.Background(), "tcp", name+":443")
		if err.Error() != err2.Error() {
			t.Errorf("%s: %v for a call, %v for a tunnel", name, err, err2)
		}
		return err
	}
	for _, name := range []string{"private.test", "mixed.test", "mapped.test", "nat64.test"} {
		wantError(t, call(egress.NewGuard(inside, r.deny), name), egress.AddressDenied, false)
	}
	if n := proxy.accepted.Load(); n != 0 {
		t.Errorf("%d connections to the proxy", n)
	}
	// It is allowed, or nothing is known here: the proxy is asked, and says 502.
	for _, name := range []string{"allowed.test", "empty.test", "missing.test"} {
		wantError(t, call(egress.NewGuard(inside, r.deny), name), egress.ProxyFailed, false)
	}
	before := names.lookups("private.test")
	wantError(t, call(egress.NewOpenGuard(r.deny), "private.test"), egress.ProxyFailed, false)
	if n := names.lookups("private.test"); n != before {
		t.Error("an open guard looked a name up")
	}
}

func TestCancellationEndsTheLookupBehindAProxy(t *testing.T) {
	proxy := serveProxy(t, false, nil)
	names := useDNS(t, map[string][]string{"silent.test": {"silence"}})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-names.heard // A and AAAA
		<-names.heard
		cancel()
	}()
	_, err := egress.Dialer{Guard: egress.NewGuard(nil, nil), Proxy: through(t, proxy.addr)}.Dial(ctx, "tcp", "silent.test.:443")
	wantError(t, err, egress.Canceled, false)
	if n := proxy.accepted.Load(); n != 0 {
		t.Errorf("%d connections to the proxy", n)
	}
}
