package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/outbox"

	"github.com/google/uuid"
)

// A keeping says what becomes of a call that may be kept. All others have none: they are
// sent, and that is that.
type keeping struct {
	now      bool                      // it is kept in place of being sent
	rescue   bool                      // it is kept if it comes to nothing
	asked    bool                      // its caller asked for it
	alone    bool                      // it waits for those of its dedup key, see dedups
	wait     time.Duration             // how long its caller waits for the answer
	limit    int64                     // of its body, in bytes
	departed atomic.Pointer[time.Time] // when a first request for it went out; nil: none did

	key     *dedup // under which it is under way; nil: none, or not any more
	release func() // what prepareBody has given; nil: its body is not prepared
}

// consider finds out what the rule of a call, and its caller, say. Who only reads wants
// the answer, unless it says itself that this may come later; an upgrade is a
// conversation. nil: the call is not kept.
func (s *Server) consider(set *policy.Set, r *http.Request, to *route) *keeping {
	if to.upstream == nil || s.Outbox == nil || to.plan.Policy.Outbox == config.OutboxNever ||
		upgradeType(r) != "" || r.Method == http.MethodTrace {
		return nil
	}
	prefers, mode := preferenceOf(r.Header), to.plan.Policy.Outbox
	writes := !policy.ReadsOnly(r.Method)
	switch {
	case prefers.async || mode == config.OutboxAlways && writes:
		return &keeping{now: true, asked: prefers.async, alone: mode == config.OutboxOnFailure, wait: prefers.wait, limit: set.File.Outbox.MaxBody}
	case mode == config.OutboxOnFailure && writes:
		return &keeping{rescue: true, alone: true, limit: set.File.Outbox.MaxBody}
	}
	return nil
}

// departing notes when the first request of a call goes out.
func (k *keeping) departing(context.Context) error {
	now := time.Now()
	k.departed.CompareAndSwap(nil, &now)
	return nil
}

// keep makes a letter of a call, and answers: when the answer goes out, the letter is
// durable. A client that leaves before has none.
func (s *Server) keep(x *exchange, k *keeping, to *route, out *http.Request, asked policy.Controls) {
	out.Header = withoutPreference(out.Header)
	if x.r.ContentLength > k.limit {
		x.refuse(tooLarge(k.limit))
		return
	}
	letter, how, err := s.letter(x, to, out, asked)
	if err != nil {
		x.refuse(err)
		return
	}
	var body io.Reader = http.NoBody
	switch {
	case k.release != nil:
		body = &keptBody{out.Body, &x.call}
	case x.body != nil:
		body = &keptBody{x.body, &x.call}
	}
	letter.Trailer = x.r.Trailer // which is filled when the body has been read
	receipt, err := s.Outbox.Keep(x.ctx, letter, body, how)
	if err != nil {
		x.refuse(keepProblem(x, k, letter, err))
		return
	}
	k.leave() // the store knows of it: the next one need not wait until this one is answered
	s.accepted(x, k, letter, receipt)
}

// asking bounds how long a call waits for the store to say whether letters come before it.
const asking = 5 * time.Second

// keysOf is as much of a letter as the store has to know of a call to say what comes before
// it. own says that its dedup key is an idempotency key. Such a one that the upstream honours
// is no question: the upstream itself knows the call again.
func keysOf(x *exchange, to *route, out *http.Request, asked policy.Controls) (call *outbox.Letter, own bool, err error) {
	call = &outbox.Letter{}
	addressed(call, *to, asked.Connection)
	call.KeyHeader, call.Key = to.plan.LetterKey(out)
	own, err = wishes(call, x.r.Header)
	if own && call.Key != "" {
		call.DedupKey = ""
	}
	return call, own, err
}

// comesAfter reports whether letters come before a call that would be sent, and be kept only
// if that fails: an earlier call with its keys was kept. Sent now it would be done a second
// time, or overtake them.
func (s *Server) comesAfter(x *exchange, call *outbox.Letter, own bool) (bool, error) {
	if call.DedupKey == "" && call.OrderKey == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeoutCause(x.ctx, asking, fmt.Errorf("the store did not answer within %s", asking))
	defer cancel()
	earlier, err := s.Outbox.Earlier(ctx, call)
	switch {
	case err == nil || policy.ClientGone(x.ctx):
		return earlier, err
	case own && call.OrderKey == "": // a key that it brought for the upstream, and not for us
		return false, nil
	}
	return false, &problem{slug: "outbox-unavailable", detail: "whether an earlier call with this Outrider-Dedup-Key or Outrider-Order-Key is kept cannot be told, and nothing was sent: " + err.Error()}
}

// rescuedAgain is when a call that failed is sent again, where nobody says when: retries
// have just been of no use.
const rescuedAgain = 5 * time.Second

// rescue makes a letter of a call that came to nothing, where another time it may come to
// something. It reports that the call is answered. Where no letter can be made of it, its
// own failure is the answer; but one that may be kept, or not, is told so.
func (s *Server) rescue(x *exchange, k *keeping, to *route, out *http.Request, asked policy.Controls, resp *http.Response, failure error) bool {
	settled := to.plan.Settle(out, resp, failure)
	if !settled.Rescue || policy.ClientGone(x.ctx) || x.call.BodyFailed() {
		return false
	}
	letter, how, err := s.letter(x, to, out, asked)
	if err != nil {
		return false
	}
	if name, key := x.call.Minted(); key != "" {
		letter.KeyHeader, letter.Key = name, key // what went out before is the same request
	}
	if how.Delay = settled.After; how.Delay == 0 {
		how.Delay = rescuedAgain
	}
	if departed := k.departed.Load(); departed != nil && !settled.NothingDone {
		how.Departed = *departed
	}
	body, err := again(out)
	if err != nil {
		return false
	}
	receipt, err := s.Outbox.Keep(x.ctx, letter, body, how)
	k.leave() // from now on the store knows of it, or nobody will
	if errors.Is(err, outbox.ErrUncertain) {
		drop(resp)
		x.refuse(keepProblem(x, k, letter, err))
		return true
	}
	if err != nil {
		s.Log.WarnContext(x.ctx, "a call that failed could not be kept", "upstream", letter.Upstream, "error", err)
		return false
	}
	drop(resp)
	s.accepted(x, k, letter, receipt)
	return true
}

// drop ends an answer that nobody gets; nil is none.
func drop(resp *http.Response) {
	if resp != nil {
		_ = resp.Body.Close()
	}
}

// again is the body of a request that was sent, from its begin.
func again(out *http.Request) (io.Reader, error) {
	switch {
	case out.Body == nil || out.Body == http.NoBody:
		return http.NoBody, nil
	case out.GetBody == nil:
		return nil, errBodyGone
	}
	return out.GetBody()
}

// letter is that of a call, and how it is to be kept.
func (s *Server) letter(x *exchange, to *route, out *http.Request, asked policy.Controls) (*outbox.Letter, outbox.KeepOptions, error) {
	letter, err := letterOf(to.plan, out, to.target)
	if err != nil {
		return nil, outbox.KeepOptions{}, err
	}
	addressed(letter, *to, asked.Connection)
	strict, err := wishes(letter, x.r.Header)
	if err != nil {
		return nil, outbox.KeepOptions{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, outbox.KeepOptions{}, err
	}
	letter.ID = id.String()
	letter.Location = s.location(x.r, *to, letter.ID)
	letter.Idempotent = letter.Idempotent || asked.Idempotent
	letter.Caller, letter.Priority = x.r.Header.Get("Outrider-Caller"), x.r.Header.Get("Outrider-Priority")
	letter.Traceparent = x.span.Traceparent()
	return letter, outbox.KeepOptions{Strict: strict}, nil
}

// keptBody is the body of a request on its way to the outbox. It notes a client that
// breaks it off.
type keptBody struct {
	io.Reader
	call *policy.Call
}

func (b *keptBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil {
		b.call.BodyEnded(err != io.EOF)
	}
	return n, err
}

// fullAgain is when a full outbox may be asked again. Nobody knows: letters go as their
// upstreams take them.
const fullAgain = 30 * time.Second

// keepProblem is the answer to a call that was not kept. Nothing of it was, unless that is
// said.
func keepProblem(x *exchange, k *keeping, letter *outbox.Letter, err error) error {
	conflict, reused := errors.AsType[*outbox.ConflictError](err)
	callback, unwanted := errors.AsType[*outbox.CallbackError](err)
	switch {
	case x.call.BodyFailed() || policy.ClientGone(x.ctx):
		return err
	case errors.Is(err, outbox.ErrTooLarge):
		return tooLarge(k.limit)
	case errors.Is(err, outbox.ErrFull):
		return &problem{slug: "outbox-full", retryAfter: fullAgain, detail: "the letters that wait take all of outbox.max_size; nothing was kept"}
	case reused:
		return &problem{slug: "key-reused", detail: "another request was kept under this key, as the letter " + conflict.ID + "; a key belongs to one request"}
	case unwanted:
		return refused(callback.Reason)
	}
	if errors.Is(err, outbox.ErrUncertain) {
		return &problem{slug: "outbox-unavailable", detail: "the store went away before it said whether the call is kept: " + letter.Location + " will tell, and the same call under its own Idempotency-Key or Outrider-Dedup-Key is no second one"}
	}
	return &problem{slug: "outbox-unavailable", detail: "the call could not be made durable, and nothing was kept: " + err.Error()}
}

func tooLarge(limit int64) *problem {
	return &problem{slug: "body-too-large", detail: fmt.Sprintf("the body is larger than outbox.max_body, which is %s; nothing was kept", config.Size(limit))}
}
