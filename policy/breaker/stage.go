package breaker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"outrider/policy/hint"
	"outrider/policy/moment"
)

// OpenError is the refusal of a call whose circuit is open, or half-open with
// a probe under way, or lets only a share of the calls pass so far. Nothing was
// sent.
type OpenError struct {
	Key      string    // names the circuit
	Until    time.Time // when asking again can have another answer; zero: when an operator closes it
	Share    float64   // of the calls that pass since a probe has closed it; 0: it is not closed
	Operator bool      // it is an operator who opened it
}

func (e *OpenError) Error() string {
	until := e.Until.UTC().Format(time.RFC3339)
	switch {
	case e.Share > 0:
		return fmt.Sprintf("circuit of %s lets only %.0f%% of the calls pass so far, since its probe has just succeeded: come again at %s", e.Key, 100*e.Share, until)
	case e.Until.IsZero():
		return fmt.Sprintf("circuit of %s was opened by an operator, until one closes it", e.Key)
	case e.Operator:
		return fmt.Sprintf("circuit of %s was opened by an operator until %s", e.Key, until)
	}
	return fmt.Sprintf("circuit of %s is open until %s", e.Key, until)
}

// Refusal gives the reason "circuit-open" and the time from now to Until: zero,
// which says that it is not known, only if Until is.
func (e *OpenError) Refusal() (reason string, retryAfter time.Duration) {
	if e.Until.IsZero() {
		return "circuit-open", 0
	}
	return "circuit-open", max(time.Until(e.Until), time.Nanosecond)
}

// stage is the decorator.
type stage struct {
	group *Group
	key   func(*http.Request) string
	next  http.RoundTripper
}

// RoundTrip sends req, or refuses it with an *OpenError.
func (s *stage) RoundTrip(req *http.Request) (*http.Response, error) {
	s.group.Adopt()
	moments := moment.Of(req.Context())
	rules, now := s.group.rules(), moments.Departure()
	key := s.key(req)
	c := s.group.shared.circuit(key, rules, now)
	if c == nil {
		return s.without(req, key, now)
	}
	replayable := s.group.settings.Replayable == nil || s.group.settings.Replayable(req)
	p := permit{kind: kindOf(req)}
	if refused := c.allow(&p, rules, replayable, now); refused != nil {
		s.tell(req.Context(), c, p.moved)
		return refuse(req, refused)
	}
	return s.send(req, c, &p, moments)
}

// without is RoundTrip where there are too many circuits for one of this key.
func (s *stage) without(req *http.Request, key string, now time.Time) (*http.Response, error) {
	if o, holds := s.group.shared.standing(now); holds {
		return refuse(req, &OpenError{Key: key, Until: o.until, Operator: true})
	}
	return s.next.RoundTrip(req)
}

func refuse(req *http.Request, err *OpenError) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, err
}

// send passes req on under permit p, which it gives back however it ends.
func (s *stage) send(req *http.Request, c *circuit, p *permit, moments *moment.Moments) (*http.Response, error) {
	own, out := room(req, p)
	if own != nil {
		own.wait.circuit, own.wait.patience, own.wait.life = c, p.patience, p.life
		p.wait = &own.wait
	}
	settled := false
	defer func() {
		if !settled { // It panicked, or ended the goroutine.
			_, moved := c.settle(p, s.group.rules(), &result{outcome: Ignored, ended: time.Now()})
			s.tell(req.Context(), c, moved)
		}
	}()
	if p.moved != nil {
		s.tell(req.Context(), c, p.moved)
	}
	waited := s.waited(req)
	resp, err := s.next.RoundTrip(out)
	r := result{kind: p.kind, ended: moments.Arrival()}
	r.outcome = s.group.settings.Outcome(req, resp, err)
	r.took = r.ended.Sub(p.begun) - (s.waited(req) - waited)
	rules := s.group.rules()
	r.slow = rules.slow(r.took)
	if r.outcome == Failure && resp != nil {
		r.hint = patience(resp, r.ended)
	}
	settled = true
	was, moved := c.settle(p, rules, &r)
	if r.outcome == Success {
		s.watch(req, resp, c, was, own)
	}
	if moved != nil {
		s.tell(req.Context(), c, moved)
	}
	return resp, err
}

// patience is until when a failing provider asks to be left alone; zero: it does not.
func patience(resp *http.Response, now time.Time) time.Time {
	if resp.StatusCode != http.StatusServiceUnavailable {
		return time.Time{}
	}
	if d, ok := hint.RetryAfter(resp.Header, now); ok {
		return now.Add(d)
	}
	return time.Time{}
}

func (s *stage) waited(req *http.Request) time.Duration {
	if s.group.settings.Waited == nil {
		return 0
	}
	return s.group.settings.Waited(req)
}

// tell reports changes. It is called without a lock, by the call that did them.
func (s *stage) tell(ctx context.Context, c *circuit, moved []change) {
	for _, m := range moved {
		if s.group.settings.OnChange != nil {
			s.group.settings.OnChange(ctx, Change{Key: c.key, From: m.from.String(), To: m.to.String(), Until: m.until, Cause: m.cause})
		}
	}
}

// watch has the circuit learn of it when the body of a good answer breaks off.
// An upgraded connection is a conversation, which may end in any way: it was
// judged by its headers. own is room for what watches; nil: there is none.
func (s *stage) watch(req *http.Request, resp *http.Response, c *circuit, was credit, own *Room) {
	if resp == nil || resp.Body == nil || resp.Body == http.NoBody {
		return
	}
	if _, upgraded := resp.Body.(io.Writer); upgraded {
		return
	}
	if own == nil {
		own = &Room{wait: wait{circuit: c}}
	}
	own.inner, own.stage, own.req, own.was = resp.Body, s, req, was
	resp.Body = (*body)(own)
}

// watched is a response which was counted as a success, until its end.
type watched struct {
	over  atomic.Bool // it ended, broke off, or was closed
	inner io.ReadCloser
	stage *stage
	req   *http.Request
	was   credit
}

// body is that of such a response.
type body Room

func (b *body) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	if err != nil && !b.over.Swap(true) && err != io.EOF {
		b.broken(err)
	}
	return n, err
}

func (b *body) broken(err error) {
	switch b.stage.group.settings.Outcome(b.req, nil, err) {
	case Failure, ConnectFailure:
		moved := b.wait.circuit.revoke(b.was, b.stage.group.rules(), time.Now())
		b.stage.tell(b.req.Context(), b.wait.circuit, moved.added(nil))
	}
}

// Close ends the watch: what a read after it finds is the caller's doing.
func (b *body) Close() error {
	b.over.Store(true)
	return b.inner.Close()
}
