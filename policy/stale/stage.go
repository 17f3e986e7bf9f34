package stale

import (
	"context"
	"net/http"
	"time"

	"outrider/policy/replay"
)

// An Outcome is what the end of a call means for what is kept.
type Outcome int

// The outcomes.
const (
	Unrelated Outcome = iota // it says nothing of it
	Good                     // an answer, also one that there is nothing
	Denied                   // not this for the credential, or not any more
	Failed                   // the upstream did not answer, or not to what was asked
)

// A Failure is the true end of a call.
type Failure struct {
	Reason string // "status 503", "attempt_timeout": in words of ours, printable ASCII
	Status int    // of the upstream's answer; 0: there was none
	Err    error  // in place of an answer
	Local  bool   // nothing was sent for the call
}

// Settings say when an old answer is better than none.
type Settings struct {
	// Keep is how old an answer may be that is given, counted from when it was asked
	// for. 0: none is kept and none given, but changes are noted for those who do.
	Keep time.Duration
	// Judge says what the end of a call means: the Failure counts if it Failed.
	Judge func(req *http.Request, resp *http.Response, err error) (Outcome, Failure)
	// Owner marks whose credential the latest request of a call carried, as its context
	// tells: by the same name there may be another account's next time. nil: there is none.
	Owner func(ctx context.Context) string
	// OnGive is told of an old answer that is given, and how old it is. It must not block.
	OnGive func(ctx context.Context, f Failure, age time.Duration)
}

// A Stage answers from a Store. It may be used concurrently.
type Stage struct {
	set   Settings
	store *Store
}

// New makes a Stage over a Store, which others may have as well.
func New(s Settings, store *Store) *Stage { return &Stage{s, store} }

// Wrap returns a decorator for the calls of one credential, which is named as its quota is.
func (s *Stage) Wrap(credential func(*http.Request) string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper { return &transport{s, credential, next} }
}

type transport struct {
	*Stage
	credential func(*http.Request) string
	next       http.RoundTripper
}

// RoundTrip sends req, and answers it with the last good answer if that fails.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.concerns(req) {
		return t.pass(req)
	}
	credential := t.credential(req)
	at := place{page: pageOf(req), variant: variantOf(req, credential), credential: credential}
	r := &recording{store: t.store, at: at, begun: time.Now(), keep: t.set.Keep, head: req.Method == http.MethodHead}
	t.store.begin(r)
	copied := false
	defer func() { // also if there is a panic
		if !copied {
			t.store.end(r, nil)
		}
	}()

	resp, err := t.next.RoundTrip(req)
	outcome, failure := t.set.Judge(req, resp, err)
	switch outcome {
	case Good:
		r.owner = t.owner(req)
		if copied = r.copy(resp); !copied && supersedes(resp.StatusCode) {
			t.store.superseded(at)
		}
	case Denied:
		t.store.superseded(at)
	case Failed:
		if old := t.old(req, at, failure); old != nil {
			if resp != nil {
				replay.Drop(req.Context(), resp)
			}
			return old, nil
		}
	}
	return resp, err
}

// owner is whose credential the request of a call carried, after it was sent.
func (t *transport) owner(req *http.Request) string {
	if t.set.Owner == nil {
		return ""
	}
	return t.set.Owner(req.Context())
}

// concerns reports whether the answer to a request may be kept, and given again.
func (t *transport) concerns(req *http.Request) bool {
	return t.set.Keep > 0 && Answers(req.Method) &&
		(req.Body == nil || req.Body == http.NoBody) && // else it is part of what is asked for
		len(req.Header.Values("Range")) == 0 && len(req.Header.Values("Upgrade")) == 0 &&
		!directivesOf(req.Header).has("no-store")
}

// Answers reports whether answers to a method are kept.
func Answers(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// pass sends what is none of ours, but for a change that went well.
func (t *transport) pass(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err == nil && changes(req.Method) && resp.StatusCode < http.StatusBadRequest {
		t.store.changed(pageOf(req))
	}
	return resp, err
}

// changes reports whether a method may change something (RFC 9110 section 9.2.1, RFC 10008).
func changes(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return false
	}
	return true
}

// old is what is given in place of a failure; nil: there is nothing.
func (t *transport) old(req *http.Request, at place, f Failure) *http.Response {
	kept := t.store.find(at)
	if kept == nil || kept.owner != t.owner(req) {
		return nil
	}
	age := kept.age(time.Now())
	if limit := accepted(req.Header, min(t.set.Keep, kept.limit)); limit <= 0 || age > limit {
		return nil
	}
	if t.set.OnGive != nil {
		t.set.OnGive(req.Context(), f, age)
	}
	return kept.response(req, f, age)
}
