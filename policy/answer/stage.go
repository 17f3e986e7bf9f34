package answer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"outrider/policy/moment"
	"outrider/policy/quota"
)

// Settings say what answers mean.
type Settings struct {
	Rules []Rule // the first that fits an answer says what it means

	// Dialect is how the provider tells of its quotas. Nil: it is told by its look.
	Dialect *quota.Dialect

	// Attempt is how long an attempt may take until its answer is read. 0: as long as
	// it likes.
	Attempt time.Duration

	// Uploaded says how long ago the last byte was sent of a body that a client streams:
	// an attempt begins anew with each. False: none is. Nil: none ever is.
	Uploaded func(ctx context.Context) (time.Duration, bool)
}

// A Finding is what an answer means. It does not change.
type Finding struct {
	Meaning Meaning // "": what its status says, since no Rule fits it
	Word    string  // of the Rule, which the answer has: "insufficient_quota", "X-Ratelimit-Remaining: 0"

	// Quiet says that the status of the answer says nothing of it.
	Quiet bool

	// After is for how long the provider wants to be left alone, from when the answer
	// came. 0: it does not say.
	After time.Duration

	// Unprocessed says that the provider has done nothing, as GraphQL does of a query that
	// it has not begun for its cost.
	Unprocessed bool

	// Points is what the answer says of the points of GraphQL, whatever it means; nil:
	// nothing, or no Rule asks for it before one that fits.
	Points *quota.View
}

// String is a Finding in a few words, all of them ours or of the configuration.
func (f *Finding) String() string {
	if f.Meaning == Exhausted {
		return "quota exhausted: " + f.Word
	}
	return string(f.Meaning) + ": " + f.Word
}

// A Stage finds out what answers mean. It has no state.
type Stage struct {
	set      Settings
	patterns []pattern
}

// New checks the settings, and reports everything that is wrong with them.
func New(s Settings) (*Stage, error) {
	var errs []error
	stage := &Stage{set: s}
	for i := range s.Rules {
		if err := s.Rules[i].check(); err != nil {
			errs = append(errs, fmt.Errorf("rule %d: %w", i, err))
			continue
		}
		stage.patterns = append(stage.patterns, newPattern(s.Rules[i]))
	}
	return stage, errors.Join(errs...)
}

// reads reports whether the body of an answer to req may be read.
func (s *Stage) reads(req *http.Request) bool {
	for i := range s.patterns {
		if p := &s.patterns[i]; p.Header == "" && p.concerns(req) {
			return true
		}
	}
	return false
}

// Found is told what an answer means, before anybody else has it: nil, if no Rule fits
// it, and it says nothing of points. The attempt began at begun.
type Found func(req *http.Request, resp *http.Response, f *Finding, begun time.Time)

// Wrap returns a decorator that tells found what each answer means.
func (s *Stage) Wrap(found Found) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper { return &transport{s, found, next} }
}

type transport struct {
	stage *Stage
	found Found
	next  http.RoundTripper
}

// RoundTrip passes the answer on as it is, and tells what it means.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	begun, asked := time.Now(), req
	if t.stage.reads(req) {
		asked = Legible(req)
	}
	resp, err := t.next.RoundTrip(asked)
	if err != nil {
		return nil, err
	}
	l := look{stage: t.stage, req: req, resp: resp, begun: begun}
	f := l.finding()
	if l.read {
		moment.Of(req.Context()).Arrive() // whoever acts on what it means does so now
	}
	t.found(req, l.resp, f, begun)
	return l.resp, nil
}
