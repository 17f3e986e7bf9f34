package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outrider/policy/auth"
	"outrider/policy/breaker"
	"outrider/policy/config"
	"outrider/policy/limit"
	"outrider/policy/results"
	"outrider/policy/retry"
	"outrider/policy/stale"
)

// A Set is one configuration, compiled. It never changes and owns no goroutine.
type Set struct {
	// File is what the Set was compiled from.
	File *config.File

	upstreams []*Upstream            // in the order of their names
	byName    map[string]*Upstream   // name → upstream
	byHost    map[hostPort]*Upstream // exact names → upstream
	byDomain  map[hostPort]*Upstream // ".myshopify.com" for "*.myshopify.com" → upstream
	names     []string               // the hosts whose TLS is opened

	fetched   map[string]*credential  // identity → a credential that is fetched
	connected map[string]*connections // name of an upstream → its connections of the store
}

// Live is the published Set. A call loads it exactly once.
type Live struct {
	set atomic.Pointer[Set]

	mu      sync.Mutex // held while a Set is published
	sources map[*auth.OAuth2]bool
	// connected are the connections of all Sets, which make sources when they are used.
	connected map[*connections]bool
}

// Load returns the published Set; nil before the first Publish.
func (l *Live) Load() *Set { return l.set.Load() }

// Publish makes next the Set of all calls that begin from now on, lets it take
// over the state that it was compiled to carry, and gives back the connections
// that only the previous Set used. Calls under way end as they began.
func (l *Live) Publish(next *Set) {
	l.mu.Lock()
	defer l.mu.Unlock()
	prev := l.set.Swap(next)
	next.adopt()
	if prev != nil {
		prev.release(next)
	}
	l.keep(next, prev)
	for _, c := range next.connected {
		if l.connected == nil {
			l.connected = make(map[*connections]bool)
		}
		l.connected[c] = true
	}
}

// keep remembers the sources of next, so that they are closed, and those of prev, which
// calls under way use. One of an earlier Set goes, unless something would be lost with it.
func (l *Live) keep(next, prev *Set) {
	used := make(map[*auth.OAuth2]bool)
	for _, set := range []*Set{next, prev} {
		if set == nil {
			continue
		}
		for _, u := range set.upstreams {
			for _, c := range u.credentials {
				used[c.source] = true
			}
		}
	}
	for source := range l.sources {
		if !used[source] && !expendable(source) {
			used[source] = true
		}
	}
	l.sources = used
}

// Close gives back the idle connections of all upstreams, and waits until ctx ends for
// the refreshes that are under way, those of Sets before too: what they bring must not
// be lost. The error says what would be, if all ended now: what a refresh that still is
// under way brings, or a grant that could not be saved. Calls under way end as they would.
func (l *Live) Close(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if set := l.set.Load(); set != nil {
		set.release(&Set{})
	}
	var sources []keptSource
	for source := range l.sources {
		sources = append(sources, source)
	}
	for c := range l.connected {
		sources = append(sources, c.close()...)
	}
	var closing sync.WaitGroup
	for _, source := range sources {
		closing.Go(source.Close)
	}
	closed := make(chan struct{})
	go func() { closing.Wait(); close(closed) }()
	select {
	case <-closed:
	case <-ctx.Done(): // maybe before anybody has looked, or when all are closed
	}
	return losses(sources)
}

// losses says what would be lost if all ended now; nil: nothing. Of many sources in one
// state it is enough to hear of one.
func losses(sources []keptSource) error {
	var refreshing, notKept error
	for _, s := range sources {
		status := s.Status()
		if status.State == auth.StateRefreshing {
			refreshing = errRefreshing
		}
		if status.NotKept != nil {
			notKept = fmt.Errorf("a grant could not be saved: %w", status.NotKept)
		}
	}
	return errors.Join(refreshing, notKept)
}

var errRefreshing = errors.New("a token request goes on, and nobody will save what it brings")

// An Upstream is one configured API. It owns what a reload must not reset; its
// plans only refer to it, so that two rules cannot fight over one state.
type Upstream struct {
	Config *config.Upstream

	alias     bool   // hosts are other names for the host of url
	basePath  string // see BasePath
	transport http.RoundTripper
	quotas    *limit.Quotas // of its own limit tables, and of those of its rules
	scope     string        // what calls have in common that have a quota in common: as the setting per
	circuit   *breaker.Group
	budget    *retry.Budget
	repeats   *retry.Repeats
	stale     *stale.Store   // nil: no answers are kept
	results   *results.Watch // nil: no lists are counted
	exhausted *exhaustion
	seen      *sightings
	replaced  func(key string) bool              // of these there is another one than before: see adopt; nil: of none
	observe   func(ctx context.Context, e Event) // as Env.Observe

	credentials map[string]*credential // name → those that are fetched
	named       map[string]auth.Source // name of a connection → the credential that the file has for it
	connections *connections           // those of the store
	template    *template              // of those; nil: the store can have none
	base        *Plan
	rules       []*Plan
	matcher     *config.Matcher // which of them is for a call
}

// Upstreams lists the upstreams in the order of their names.
func (s *Set) Upstreams() []*Upstream { return s.upstreams }

// ByName finds the upstream of a base URL.
func (s *Set) ByName(name string) (*Upstream, bool) {
	u, ok := s.byName[name]
	return u, ok
}

// ByHost finds the upstream that names a host, as seen by clients that use us
// as their proxy. An exact name wins over a wildcard. The port has to be 80,
// 443, the port of the upstream's url, or one that `hosts` gives: a credential
// is bound to a service, not to everything that runs on a machine.
func (s *Set) ByHost(authority string) (*Upstream, bool) {
	host, port := splitAuthority(authority)
	if u, ok := lookup(s.byHost, host, port); ok {
		return u, true
	}
	for domain := host; ; {
		dot := strings.IndexByte(domain, '.')
		if dot < 0 {
			return nil, false
		}
		if u, ok := lookup(s.byDomain, domain[dot:], port); ok {
			return u, true
		}
		domain = domain[dot+1:]
	}
}

// A hostPort is a name as `hosts` has it, in lower case and without brackets.
type hostPort struct{ host, port string }

func lookup(hosts map[hostPort]*Upstream, host, port string) (*Upstream, bool) {
	if u, ok := hosts[hostPort{host, port}]; ok && port != "" {
		return u, true
	}
	u, ok := hosts[hostPort{host, ""}]
	return u, ok && u.servesPort(port)
}

// Intercepts reports whether the TLS of proxy clients to this upstream is opened.
func (s *Set) Intercepts(u *Upstream) bool { return s.File.Forward.Intercept && u.Config.Intercept }

// InterceptedNames are the hosts whose TLS is opened, without ports, sorted:
// what the local certificate authority may speak for.
func (s *Set) InterceptedNames() []string { return s.names }

// interceptedNames collects them.
func (s *Set) interceptedNames() []string {
	var names []string
	for _, u := range s.upstreams {
		if !s.Intercepts(u) {
			continue
		}
		for _, entry := range u.Config.Hosts {
			// Nobody can ask for a host with a zone, which means something to this
			// machine only, and no certificate can name one (RFC 6874 section 1).
			if host, _ := splitAuthority(entry); !strings.Contains(host, "%") {
				names = append(names, host)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (u *Upstream) servesPort(port string) bool {
	switch port {
	case "", "80", "443", u.Config.URL.Port():
		return true
	}
	return false
}

// splitAuthority takes "Host:port" apart: the host in lower case, without the
// brackets of IPv6 and without the dot that ends an absolute name. An address is
// written in its shortest form, and IPv4 as IPv4: in another spelling it would be
// no host of ours, and yet lead there.
func splitAuthority(authority string) (host, port string) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = authority, ""
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.IndexByte(host, ':') >= 0 {
		if ip, err := netip.ParseAddr(host); err == nil {
			return ip.Unmap().String(), port
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), port
}

// Origin is where calls to this upstream go: for the base URL, and for clients
// that use us as their proxy when the host that they asked for is only another
// name. Otherwise the host stays theirs and the scheme becomes the upstream's.
func (u *Upstream) Origin(asked string) (scheme, authority string) {
	if asked == "" || u.alias {
		return u.Config.URL.Scheme, u.Config.URL.Host
	}
	host, _ := splitAuthority(asked)
	if port := u.Config.URL.Port(); port != "" {
		return u.Config.URL.Scheme, net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Config.URL.Scheme, host
}

// BasePath is the path of the upstream's url, as written, without a slash at
// its end. Calls by base URL get it in front of their path.
func (u *Upstream) BasePath() string { return u.basePath }

// Plan finds the plan for a call: the first rule that matches, or the upstream
// itself. escapedPath is the path at the provider, as it goes out.
func (u *Upstream) Plan(method, escapedPath string) *Plan {
	if i := u.matcher.First(method, escapedPath); i >= 0 {
		return u.rules[i]
	}
	return u.base
}

// Plans lists the upstream's own plan and those of its rules, in file order.
func (u *Upstream) Plans() []*Plan { return append([]*Plan{u.base}, u.rules...) }

// adopt lets carried state follow the settings of this Set.
func (s *Set) adopt() {
	for _, u := range s.upstreams {
		u.quotas.Adopt()
		u.circuit.Adopt()
		if u.template != nil {
			u.connections.follow(u.template)
		}
		if u.replaced != nil {
			u.exhausted.gone(u.replaced)
		}
	}
}

// release gives back the idle connections of transports that next does not use.
func (s *Set) release(next *Set) {
	used := make(map[http.RoundTripper]bool, len(next.upstreams))
	for _, u := range next.upstreams {
		used[u.transport] = true
	}
	for _, u := range s.upstreams {
		if closer, ok := u.transport.(interface{ CloseIdleConnections() }); ok && !used[u.transport] {
			closer.CloseIdleConnections()
		}
	}
}

// hostCovered reports whether one of the hosts stands for the host of target.
func hostCovered(hosts []string, target *url.URL) bool {
	host, _ := splitAuthority(target.Host)
	for _, h := range hosts {
		name, _ := splitAuthority(h)
		if name == host || strings.HasPrefix(name, "*.") && strings.HasSuffix(host, name[1:]) {
			return true
		}
	}
	return false
}

// Status is the state of every upstream now.
func (s *Set) Status() []UpstreamStatus {
	status := make([]UpstreamStatus, 0, len(s.upstreams))
	for _, u := range s.upstreams {
		status = append(status, u.status())
	}
	return status
}

func (u *Upstream) status() UpstreamStatus {
	status := UpstreamStatus{
		Name: u.Config.Name, URL: u.Config.URL.String(), Hosts: u.Config.Hosts, Listen: u.Config.Listen,
		Budget: u.budget.Level(), Stale: u.keptAnswers(),
	}
	states := u.quotas.Snapshot()
	for _, plan := range u.Plans() {
		for _, quota := range plan.quotas {
			for _, s := range states {
				if s.Table == quota.name && !forgotten(s) {
					status.Quotas = append(status.Quotas, quotaStatus(quota.Limit, s))
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(u.credentials)) {
		if _, connection := strings.CutPrefix(name, ConnectionCredential("")); !connection {
			status.Credentials = append(status.Credentials, u.credentials[name].status(name))
		}
	}
	status.Connections = u.connectionsStatus()
	status.Circuits = u.circuits()
	return status
}

func future(t time.Time) *time.Time {
	if !t.After(time.Now()) {
		return nil
	}
	return &t
}
