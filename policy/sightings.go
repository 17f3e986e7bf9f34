package policy

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outrider/policy/auth"
	"outrider/policy/notice"
)

// sightings are what the answers of an upstream say beside what was asked for: of
// endpoints that will be gone, of certificates and credentials that will end, and of our
// clock. They decide nothing about calls. They are below everything that waits, so that the
// time of an answer is that of its arrival, and they outlive a reload.
type sightings struct {
	upstream string
	observe  func(ctx context.Context, e Event) // as Env.Observe

	glance atomic.Int64 // Unix nanoseconds: before that the clock is not looked at again

	certificates certificates
	tokens       tokenEnds

	mu      sync.Mutex
	clock   ClockSighting
	notices map[noticeKey]*NoticeSighting
}

const (
	// glanceEvery is how often the clock of an upstream, and the certificate of a host, are
	// looked at: what they tell changes slowly, and a call should not cost more for it.
	glanceEvery = 10 * time.Second
	// maxSightings bounds each list: a wildcard upstream has as many hosts, and paths, as
	// its callers like to name.
	maxSightings = 128
	// noticeLasts is how long a notice is believed that no answer repeats: a job that runs
	// once a week may be all that meets it.
	noticeLasts = 8 * 24 * time.Hour
)

// leastSkew is how far two clocks are apart at least when one of them is wrong. An answer
// says whole seconds, and may have been on its way for many.
const leastSkew = time.Minute

// A ClockSighting is how our clock agrees with the Date of an upstream's answers.
type ClockSighting struct {
	Ahead time.Duration // how far theirs is before ours, by the latest look
	At    time.Time     // of the latest look; zero: there was none
	Wrong int           // looks in a row by which they are a minute or more apart
}

// A NoticeSighting is what answers of an endpoint say about its future.
type NoticeSighting struct {
	Endpoint string // "GET api.test/v1/orders/*"
	notice.Notice
	Answers int       // that said so
	Last    time.Time // when the latest did
}

type noticeKey struct {
	endpoint string
	notice   notice.Notice
}

func newSightings(upstream string, observe func(ctx context.Context, e Event)) *sightings {
	return &sightings{upstream: upstream, observe: observe, notices: make(map[noticeKey]*NoticeSighting)}
}

// An onlooker looks at the answers to requests with a credential.
type onlooker struct {
	*sightings
	credential string
}

// see looks at an answer, in which there is seldom something to see.
func (o *onlooker) see(req *http.Request, resp *http.Response, now time.Time) {
	at := now.UnixNano()
	if at >= o.glance.Load() || resp.TLS != nil && !o.certificates.seen(req.URL.Host, at) ||
		o.tokens.some.Load() || len(resp.Header[tokenExpiry]) > 0 || notice.In(resp.Header) {
		o.look(req, resp, now)
	}
}

// look looks at each thing for which it is time, or of which an answer tells.
func (o *onlooker) look(req *http.Request, resp *http.Response, now time.Time) {
	if next := o.glance.Load(); now.UnixNano() >= next && o.glance.CompareAndSwap(next, now.Add(glanceEvery).UnixNano()) {
		o.compare(resp, now)
	}
	if resp.TLS != nil && !o.certificates.seen(req.URL.Host, now.UnixNano()) {
		o.certificates.see(req.URL.Host, resp.TLS, now)
	}
	o.tokens.see(o.credential, req, first(resp.Header[tokenExpiry]), now)
	if n, ok := notice.Read(resp.Header); ok {
		o.note(req, n, now)
	}
}

// compare compares our clock with that of an answer.
func (s *sightings) compare(resp *http.Response, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || resp.Header.Get("Age") != "" { // out of a cache, with the date of then
		return
	}
	s.clock.Ahead, s.clock.At = at.Sub(now), now
	if s.clock.Ahead.Abs() < leastSkew {
		s.clock.Wrong = 0
	} else {
		s.clock.Wrong++
	}
}

// note notes a notice, and tells of it if it is new. The fields are those of an answer that
// may show what its request carried: that is taken out first.
func (s *sightings) note(req *http.Request, n notice.Notice, now time.Time) {
	n = cleaned(n, guarded(req.Context()))
	s.mu.Lock()
	known := s.notice(req, n, now)
	if known == nil {
		s.mu.Unlock()
		return
	}
	known.Answers++
	known.Last = now
	told := *known
	s.mu.Unlock()
	if told.Answers == 1 {
		s.observe(req.Context(), Event{Kind: EventNotice, Upstream: s.upstream, Key: told.Endpoint, Reason: told.kind(), Until: n.Sunset, Notice: &told})
	}
}

// maxAlike is how many endpoints are told apart of which the same is said: of a provider
// whose paths have names in them, the first few say it all.
const maxAlike = 5

// notice gives what is known of an endpoint's notice, new if it was not said of late; nil:
// there are too many.
func (s *sightings) notice(req *http.Request, n notice.Notice, now time.Time) *NoticeSighting {
	k := noticeKey{endpointOf(req), n}
	if known := s.notices[k]; known != nil && now.Sub(known.Last) < noticeLasts {
		return known
	}
	alike := 0
	for other := range s.notices {
		if other.notice == n {
			alike++
		}
	}
	if alike >= maxAlike {
		k.endpoint = "other endpoints of " + req.URL.Host
		if known := s.notices[k]; known != nil {
			return known
		}
	}
	if len(s.notices) >= maxSightings {
		return nil
	}
	s.notices[k] = &NoticeSighting{Endpoint: k.endpoint, Notice: n}
	return s.notices[k]
}

// kind is a notice in a word.
func (n *NoticeSighting) kind() string {
	switch {
	case !n.Sunset.IsZero():
		return "sunset"
	case n.Deprecated:
		return "deprecation"
	}
	return "warning"
}

// cleaned takes a secret out of a notice.
func cleaned(n notice.Notice, guard *auth.Guard) notice.Notice {
	if guard == nil {
		return n
	}
	shown := http.Header{"Text": {n.Text}, "Link": {n.Link}}
	guard.Scrub(shown)
	n.Text, n.Link = shown.Get("Text"), shown.Get("Link")
	return n
}

// endpointOf names the endpoint of an outbound request.
func endpointOf(req *http.Request) string {
	return Endpoint(req.Method, req.URL.Host, pathOf(req.URL))
}

// Endpoint names an endpoint without what is somebody's own: of the path only what looks
// like a word of the API, or a version of it, is shown.
func Endpoint(method, host, path string) string {
	segments := strings.Split(path, "/")
	if len(segments) > maxSegments {
		segments = append(segments[:maxSegments], "**")
	}
	for i, segment := range segments {
		if !wordLike(segment) {
			segments[i] = "*"
		}
	}
	return method + " " + host + strings.Join(segments, "/")
}

const (
	maxSegments = 12
	longestWord = 24
)

// wordLike reports whether a part of a path is a word, or a version such as v2.1 and
// 2024-10. Numbers, names with digits and what is long are somebody's: an identifier, or a
// token that stands in the path.
func wordLike(segment string) bool {
	if len(segment) > longestWord {
		return false
	}
	letters, digits := 0, 0
	for _, c := range []byte(segment) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			letters++
		case '0' <= c && c <= '9':
			digits++
		case c != '.' && c != '-' && c != '_' && c != '*':
			return false
		}
	}
	if digits == 0 {
		return true
	}
	versioned := strings.HasPrefix(segment, "v") && letters == 1 && digits <= 4
	dated := letters == 0 && len(segment) >= 7 && len(segment) <= 10 && segment[4] == '-' // 2024-10, 2010-04-01
	return versioned || dated
}

// believed lists the notices that are, and forgets the others.
func (s *sightings) believed(now time.Time) []NoticeSighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]NoticeSighting, 0, len(s.notices))
	for k, n := range s.notices {
		if now.Sub(n.Last) >= noticeLasts {
			delete(s.notices, k)
			continue
		}
		list = append(list, *n)
	}
	return list
}

// Clock is how our clock agrees with those of the upstream.
func (u *Upstream) Clock() ClockSighting {
	u.seen.mu.Lock()
	defer u.seen.mu.Unlock()
	return u.seen.clock
}

// Notices lists what answers of late say about the future of endpoints.
func (u *Upstream) Notices() []NoticeSighting { return u.seen.believed(time.Now()) }
