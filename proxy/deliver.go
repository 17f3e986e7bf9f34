package proxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/outbox"
	"outrider/proxy/telemetry"
)

// A Delivery sends letters: each goes through the policies of its upstream as they are
// now, like a call that comes in now, with the credential of now. Nobody waits for it, so
// that its only clocks are those of the upstream.
type Delivery struct {
	Live      *policy.Live
	Telemetry *telemetry.Telemetry
	Log       *slog.Logger
}

// unservedAgain is when a letter is looked at again whose upstream, or host, the
// configuration does not have any more: by then another may be loaded.
const unservedAgain = time.Minute

// A sending is one letter on its way.
type sending struct {
	*outbox.Sending
	call    *policy.Call
	span    *telemetry.Span
	outcome telemetry.Outcome
	started time.Time
	left    atomic.Bool // something of it may have gone on the wire
}

// depart lets an attempt go out, if the letter may leave still.
func (s *sending) depart(ctx context.Context) error {
	if err := s.Depart(ctx); err != nil {
		return err
	}
	s.left.Store(true)
	return nil
}

// Send sends a letter once, as often as its upstream's retries have it. The body of the
// answer is the receiver's to close.
func (d *Delivery) Send(ctx context.Context, l *outbox.Sending) (result outbox.Outcome) {
	s := &sending{Sending: l, started: time.Now()}
	s.call = &policy.Call{Upstream: l.Upstream, Depart: s.depart}
	ctx, s.span = d.Telemetry.StartLetter(ctx, telemetry.Letter{
		ID: l.ID, Upstream: l.Upstream, Attempt: l.Attempt, Size: l.BodySize, Accepted: l.Traceparent,
	})
	ctx = policy.WithCall(ctx, s.call)
	s.outcome = telemetry.Outcome{Call: s.call, Method: l.Method, Host: l.Host, Path: splitTarget(l.Target).path, RequestBytes: l.BodySize}
	defer func() {
		if defect := recover(); defect != nil { // of ours: it must cost this letter only
			d.Log.ErrorContext(ctx, "a letter met a defect", "letter", l.ID, "panic", defect, "stack", string(debug.Stack()))
			result = s.failed(ctx, s.settledByItself(), &problem{slug: "internal-error", detail: "sending met a defect in Outrider; its log has the details under this trace"})
		}
	}()

	way, plan, req, err := d.way(ctx, s)
	if err != nil {
		return s.failed(ctx, policy.Settlement{Verdict: policy.VerdictNotSent, After: unservedAgain, NothingDone: true}, err)
	}
	resp, err := way.RoundTrip(req) //nolint:bodyclose // it is the receiver's to close
	settled := plan.Settle(req, resp, err)
	if err != nil {
		return s.failed(ctx, settled, err)
	}
	return s.answered(ctx, settled, resp)
}

// way is what a letter goes through, and the request that goes there. An error means that
// there is no such way in the configuration, or that its connection cannot be used.
func (d *Delivery) way(ctx context.Context, s *sending) (http.RoundTripper, *policy.Plan, *http.Request, error) {
	set := d.Live.Load()
	to, err := routeLetter(set, s.Letter)
	if err != nil {
		return nil, nil, nil, err
	}
	s.call.Rule, s.call.Propagate = to.plan.Match, to.plan.Policy.Propagate
	ctx = policy.WithControls(ctx, letterControls(s.Sending, set.File.Outbox.Priority))
	var way http.RoundTripper = to.plan
	if s.Connection != "" {
		connected, err := to.plan.Connect(ctx, s.Connection)
		if err != nil {
			return nil, nil, nil, err
		}
		s.call.Connection = s.Connection
		if err := to.lead(s.Connection, connected.Origin); err != nil {
			return nil, nil, nil, err
		}
		way = connected
	}
	s.outcome.Host = to.host
	req, err := s.request(to)
	if err != nil {
		return nil, nil, nil, err
	}
	return way, to.plan, req.WithContext(ctx), nil
}

// routeLetter finds out where a letter goes. The host that its caller asked for has to be
// one of the upstream still: with the credential it goes nowhere else.
func routeLetter(set *policy.Set, l *outbox.Letter) (route, error) {
	u, ok := set.ByName(l.Upstream)
	if !ok {
		return route{}, unknownUpstream(set, l.Upstream)
	}
	if l.Host != "" {
		if at, listed := set.ByHost(l.Host); !listed || at != u {
			return route{}, &problem{slug: "unknown-upstream", detail: fmt.Sprintf("[upstream.%s] does not name the host %s any longer", l.Upstream, quote(l.Host))}
		}
	}
	t := splitTarget(l.Target)
	scheme, host := u.Origin(l.Host)
	return route{form: formBaseURL, upstream: u, plan: u.Plan(l.Method, t.path), scheme: scheme, host: host, target: t, asked: l.Host}, nil
}

// letterControls are those that the caller had, as far as they are for later. usual is the
// priority of a letter whose caller said nothing. The key is the letter's own, the same in
// all of its sends: one that was made for it, nobody has used before it went out first.
func letterControls(l *outbox.Sending, usual string) policy.Controls {
	c := policy.Controls{Idempotent: l.Idempotent, NoKey: true, FirstUse: l.First && l.Key == l.ID}
	priority := l.Priority
	if priority == "" {
		priority = usual
	}
	switch priority {
	case "high":
		c.Priority = policy.PriorityHigh
	case "low":
		c.Priority = policy.PriorityLow
	}
	if l.Caller != "" {
		c.Caller = func() string { return l.Caller }
	}
	return c
}

// request is a letter as it goes out.
func (s *sending) request(to route) (*http.Request, error) {
	header := s.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if s.KeyHeader != "" && s.Key != "" {
		header[http.CanonicalHeaderKey(s.KeyHeader)] = []string{s.Key}
	}
	req := &http.Request{
		Method: s.Method, URL: new(url.URL), Host: to.host, Header: header,
		Body: http.NoBody, ContentLength: s.BodySize,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	to.target.at(req.URL, to.scheme, to.host)
	if s.BodySize == 0 {
		return req, nil
	}
	if len(s.Trailer) > 0 {
		req.Trailer, req.ContentLength = maps.Clone(s.Trailer), -1 // see outbound
	}
	req.GetBody = func() (io.ReadCloser, error) {
		body, err := s.Body()
		if err != nil {
			return nil, err
		}
		return &keptUpload{body, s.call}, nil
	}
	var err error
	req.Body, err = req.GetBody()
	return req, err
}

// keptUpload is a kept body on its way out. While it flows, the clocks that wait for the
// answer do not run: a large upload is not a slow answer.
type keptUpload struct {
	io.ReadCloser
	call *policy.Call
}

func (b *keptUpload) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.call.Uploading()
	return n, err
}

// failed is how a sending ended that has no answer. What it would have answered a client is
// what is told of it.
func (s *sending) failed(ctx context.Context, settled policy.Settlement, err error) outbox.Outcome {
	s.outcome.Err, s.outcome.Class = err, policy.Classify(ctx, nil, err)
	result := s.result(settled)
	result.Err = err
	if p := problemOf(ctx, err); p != nil {
		k := kinds[p.slug]
		s.outcome.Problem, s.outcome.Status = p.slug, k.status
		if p.status != 0 {
			s.outcome.Status = p.status
		}
		if k.ours {
			s.outcome.Class = policy.ClassLocal
		}
		result.Err = &sendError{p, err}
	} else {
		s.outcome.Status = statusClientClosed // it was us who broke off
	}
	s.span.End(&s.outcome)
	return result
}

// A sendError is what ended a sending, in the words that a client would read.
type sendError struct {
	*problem
	cause error
}

// Unwrap is what happened.
func (e *sendError) Unwrap() error { return e.cause }

// answered is how a sending ended that has an answer. Its span ends with the body of that.
func (s *sending) answered(ctx context.Context, settled policy.Settlement, resp *http.Response) outbox.Outcome {
	s.outcome.Status, s.outcome.Class = resp.StatusCode, policy.Classify(ctx, resp, nil)
	if failed := s.call.Stale(); failed != nil {
		s.outcome.Class, s.outcome.Err = failed.Class, failed.Err
	}
	resp.Body = &keptDownload{ReadCloser: resp.Body, ctx: ctx, sending: s}
	result := s.result(settled)
	result.Response = resp
	return result
}

// verdicts maps what the policies say of a sending to what the outbox does about it.
var verdicts = map[policy.Verdict]outbox.Verdict{
	policy.VerdictDelivered: outbox.Delivered,
	policy.VerdictNotSent:   outbox.NotSent,
	policy.VerdictLater:     outbox.Later,
	policy.VerdictDead:      outbox.Dead,
	policy.VerdictUnknown:   outbox.Unknown,
}

func (s *sending) result(settled policy.Settlement) outbox.Outcome {
	return outbox.Outcome{
		Verdict: verdicts[settled.Verdict], Reason: settled.Reason, After: settled.After, NothingDone: settled.NothingDone,
		Wire: s.call.Attempts(), TraceID: s.span.TraceID(), Started: s.started, Took: time.Since(s.started),
	}
}

// settledByItself is what can be said where a defect of ours keeps the policies from saying
// it.
func (s *sending) settledByItself() policy.Settlement {
	switch {
	case !s.left.Load():
		return policy.Settlement{Verdict: policy.VerdictNotSent, After: unservedAgain, NothingDone: true}
	case s.Resendable():
		return policy.Settlement{Verdict: policy.VerdictLater}
	}
	return policy.Settlement{Verdict: policy.VerdictUnknown, Reason: outbox.ReasonUnknown}
}

// keptDownload is the body of an answer on its way to the outbox. It is counted, and its
// end is that of the sending.
type keptDownload struct {
	io.ReadCloser
	ctx     context.Context // of the sending
	sending *sending
	once    sync.Once
}

func (b *keptDownload) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.sending.outcome.ResponseBytes += int64(n)
	if err != nil && err != io.EOF {
		b.sending.outcome.Err, b.sending.outcome.Class = err, policy.Classify(b.ctx, nil, err)
	}
	return n, err
}

func (b *keptDownload) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.sending.span.End(&b.sending.outcome) })
	return err
}

// Serves reports whether the configuration has an upstream: the letters of others are for
// an Outrider that has it.
func (d *Delivery) Serves(upstream string) bool {
	_, ok := d.Live.Load().ByName(upstream)
	return ok
}

// KeyAge is how long the upstream of a letter knows an idempotency key for sure; 0: nobody
// knows.
func (d *Delivery) KeyAge(l *outbox.Letter) time.Duration {
	to, err := routeLetter(d.Live.Load(), l)
	if err != nil {
		return 0
	}
	return to.plan.Policy.Retry.KeyAge
}

// Limits are the settings of the outbox as the configuration has them.
func Limits(o config.Outbox) outbox.Limits {
	return outbox.Limits{
		MaxAge: o.MaxAge, KeepResults: o.KeepResults, KeepDead: o.KeepDead, DedupWindow: o.DedupWindow,
		MaxSize: o.MaxSize, MaxBody: o.MaxBody, Attempts: o.Attempts, Concurrency: o.Concurrency,
		SkipDead: o.OnDead == "skip", Priority: o.Priority, AllowsCallback: o.AllowsCallback,
	}
}
