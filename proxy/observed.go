package proxy

import (
	"cmp"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxObserved bounds the hosts that are remembered.
const maxObserved = 1000

// An Observed is a host that an application reached and that no upstream names.
type Observed struct {
	Host   string    `json:"host"` // with its port, unless that is the scheme's
	Scheme string    `json:"scheme"`
	Calls  int       `json:"calls"` // connections, for what was tunnelled
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// observed remembers what applications reach, so that a configuration can be
// written from it.
type observed struct {
	mu    sync.Mutex
	hosts map[string]*Observed // scheme and host → what is known
	more  int                  // calls to hosts that there was no room for
}

// connected notes a tunnel: to port 80, it is for plain HTTP.
func (o *observed) connected(authority string) {
	scheme := "https"
	if _, port, _ := net.SplitHostPort(authority); port == "80" {
		scheme = "http"
	}
	o.note(authority, scheme)
}

// shortAuthority writes a host as a URL has it: once, however a client spells it.
func shortAuthority(authority, scheme string) string {
	host := hostOf(authority)
	_, port, _ := net.SplitHostPort(authority)
	switch {
	case port != "" && port != map[string]string{"http": "80", "https": "443"}[scheme]:
		return net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

func (o *observed) note(authority, scheme string) {
	authority = shortAuthority(authority, scheme)
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.hosts[scheme+"://"+authority]
	switch {
	case seen != nil:
	case len(o.hosts) >= maxObserved:
		o.more++
		return
	default:
		if o.hosts == nil {
			o.hosts = make(map[string]*Observed)
		}
		seen = &Observed{Host: authority, Scheme: scheme, First: now}
		o.hosts[scheme+"://"+authority] = seen
	}
	seen.Calls++
	seen.Last = now
}

// list gives the hosts, those with the most calls first.
func (o *observed) list() (list []Observed, more int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, seen := range o.hosts {
		list = append(list, *seen)
	}
	slices.SortFunc(list, func(a, b Observed) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Scheme, b.Scheme))
	})
	return list, o.more
}

// A CaptureStatus is the state of what came by CONNECT and by proxy requests.
type CaptureStatus struct {
	Tunnels  int        `json:"tunnels"` // connections by CONNECT that are open
	Observed []Observed `json:"observed,omitempty"`
	Others   int        `json:"others,omitempty"` // calls to hosts beyond the first thousand
}

// Capture is the state of what came by CONNECT and by proxy requests.
func (s *Server) Capture() CaptureStatus {
	status := CaptureStatus{Tunnels: s.tunnels.count()}
	status.Observed, status.Others = s.observed.list()
	return status
}
