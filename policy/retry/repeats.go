package retry

import (
	"hash/maphash"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"outrider/policy/replay"
)

const (
	// keyMemory is for how long an idempotency key is known again: the client
	// libraries that use keys wait for less between their own attempts.
	keyMemory = time.Minute
	// requestMemory is for how long a request is known again that did not succeed. It is
	// short, since it may be another one that looks the same.
	requestMemory = 10 * time.Second
	// maxDigested bounds the bodies by which requests are known again.
	maxDigested = 16 << 10
)

// How a call is known to be a retry of its caller's.
const (
	ByCount   = "retry count"  // its header says so
	ByKey     = "same key"     // its idempotency key came before
	ByRequest = "same request" // the same caller's request with the same body has just failed
)

// Repeats knows calls that their callers make again: client libraries retry as well, and
// what they retry is no new call that would earn others a retry. It remembers digests
// alone, and a bounded number of them; their seed is its own, so that nothing can be
// guessed back from one.
//
// All methods may be used concurrently. Nil knows only what a call says of itself.
type Repeats struct {
	seed   maphash.Seed
	keys   *memory // of requests with an idempotency key
	failed *memory // of requests that ended without success: each is followed by one retry
}

// NewRepeats returns one that has seen nothing.
func NewRepeats() *Repeats {
	return &Repeats{seed: maphash.MakeSeed(), keys: newMemory(keyMemory), failed: newMemory(requestMemory)}
}

// repeated says how a call is known to be a retry of its caller's; "": it is not. It is
// asked before the first attempt, once, since it notes the call's key: who gives up waiting
// comes again while the first is under way. However the call is known, it is the one
// retry of a failure.
func (s *Stage) repeated(c *course) string {
	known := false
	if seen := s.set.Repeats; seen != nil {
		known = s.header != "" && s.noteKey(c.req)
		c.follows = !seen.failed.empty() && s.follows(c)
	}
	switch {
	case retryCount(c.req.Header):
		return ByCount
	case known:
		return ByKey
	case c.follows:
		return ByRequest
	}
	return ""
}

// follows reports whether the same request has just failed, and takes that failure away.
func (s *Stage) follows(c *course) bool {
	mark, ok := s.mark(c)
	return ok && s.set.Repeats.failed.take(mark)
}

// unsent takes back what repeated has done for a call that was refused by ourselves: when
// it comes again, it is what it was this time.
func (s *Stage) unsent(c *course) {
	if s.set.Repeats != nil && s.keyed(c.req) {
		s.set.Repeats.keys.take(s.keyMark(c.req))
	}
	if c.follows {
		s.remember(c)
	}
}

// remember notes a call that was sent, and ended without success.
func (s *Stage) remember(c *course) {
	if s.set.Repeats == nil {
		return
	}
	if mark, ok := s.mark(c); ok {
		s.set.Repeats.failed.note(mark)
	}
}

// noteKey remembers the idempotency key of a request, if it has one, and reports whether it was
// known. The same key at another place is another one: some use one for several steps.
func (s *Stage) noteKey(req *http.Request) (known bool) {
	return s.keyed(req) && s.set.Repeats.keys.note(s.keyMark(req))
}

func (s *Stage) keyMark(req *http.Request) uint64 {
	h := s.hash(req)
	add(h, req.Header[s.header]...)
	return h.Sum64()
}

// mark is the digest of a call's request: where it goes, with what, and from whom. One
// with a body that is long, or not in memory, has none; nor has one without, since many
// calls of one caller look like that. With another key of the caller's it is another
// request; a key of ours is no part of what the caller sent.
func (s *Stage) mark(c *course) (mark uint64, ok bool) {
	body, ok := replay.Held(c.req, maxDigested)
	if !ok || len(body) == 0 {
		return 0, false
	}
	h := s.hash(c.req)
	if s.header != "" && c.minted == "" {
		add(h, c.req.Header[s.header]...)
	}
	if s.set.Caller != nil {
		add(h, s.set.Caller(c.req.Context()))
	}
	_, _ = h.Write(body)
	return h.Sum64(), true
}

// hash begins a digest with the place of a request, and the account that it is for: two
// customers may use the same key, and send the same.
func (s *Stage) hash(req *http.Request) *maphash.Hash {
	h := new(maphash.Hash)
	h.SetSeed(s.set.Repeats.seed)
	add(h, req.Method, req.URL.Host, req.URL.Opaque, req.URL.Path, req.URL.RawQuery)
	add(h, req.Header["Authorization"]...)
	add(h, req.Header["X-Api-Key"]...)
	if s.set.Account != nil {
		add(h, s.set.Account(req.Context()))
	}
	return h
}

// add keeps what follows each other apart.
func add(h *maphash.Hash, parts ...string) {
	for _, part := range parts {
		_, _ = h.WriteString(part)
		_ = h.WriteByte(0)
	}
}

// attemptOf finds the number of an attempt that is not the first.
var attemptOf = regexp.MustCompile(`(?:^|;)\s*attempt=0*(?:[2-9]|1\d)`)

// retryCount reports that a client library says that this is not its first attempt:
// X-Stainless-Retry-Count of those that Stainless makes (OpenAI, Anthropic and others),
// counted from 0, and Amz-Sdk-Request of those of AWS, "attempt=2; max=3".
func retryCount(h http.Header) bool {
	stainless, aws := h["X-Stainless-Retry-Count"], h["Amz-Sdk-Request"]
	if len(stainless) == 0 && len(aws) == 0 { // mostly
		return false
	}
	for _, v := range stainless {
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && n > 0 {
			return true
		}
	}
	for _, v := range aws {
		if attemptOf.MatchString(v) {
			return true
		}
	}
	return false
}
