package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"outrider/policy"
	"outrider/proxy/inbound"
	"outrider/proxy/telemetry"
)

// An exchange is one call between a client and us.
type exchange struct {
	s        *Server
	w        http.ResponseWriter
	r        *http.Request
	ctx      context.Context
	call     policy.Call // in the same allocation, like all that goes with it
	out      departure
	span     *telemetry.Span
	outcome  telemetry.Outcome
	linked   *policy.Upstream // to which answers may link; nil: such links stay as they are
	prefix   string           // see links
	body     *upload          // nil: the request has none
	release  func()           // gives back what prepareBody took; nil: nothing
	kept     *keeping         // nil: it is not one that may be kept
	patience time.Duration    // for a client that neither sends nor reads

	informing sync.Mutex // held while an informational answer is written
	continued bool       // 100 Continue was passed on; guarded by informing
	final     bool       // no more of them; changed by the goroutine of the call, with informing held

	connects bool // it is a CONNECT
	wrote    bool // an answer has begun
	last     bool // the connection ends with the answer
	inside   bool // the client believes that it speaks with the provider, over TLS
	abort    bool // the connection must not be used again
}

func (s *Server) begin(w http.ResponseWriter, r *http.Request, form form) *exchange {
	x := &exchange{s: s, w: w, r: r, patience: silence, connects: form == formConnect}
	x.call.Informer = x
	x.ctx, x.span = s.Telemetry.StartCall(r, string(form))
	x.ctx = policy.WithCall(x.ctx, &x.call)
	x.outcome.Call, x.outcome.Method, x.outcome.Host = &x.call, r.Method, r.Host
	// Over HTTP/2 a request without a body has one all the same, of no bytes.
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 && form != formConnect {
		x.body = newUpload(w, r.Body)
		r.Body = x.body
	}
	return x
}

// end tells what became of the call. It is deferred: a panic is a defect of
// ours that must cost this call only.
func (x *exchange) end() {
	defect := recover()
	if x.release != nil {
		x.release()
	}
	if x.kept != nil {
		x.kept.end()
	}
	if defect != nil {
		if defect == http.ErrAbortHandler {
			x.abort = true
		} else {
			x.s.Log.ErrorContext(x.ctx, "a call met a defect", "panic", defect, "stack", string(debug.Stack()))
			x.refuse(&problem{slug: "internal-error", detail: "the call met a defect in Outrider; its log has the details under this trace"})
		}
	}
	x.finish() // the answer's header is nobody's from now on
	if x.body != nil {
		x.body.leave()
		x.outcome.RequestBytes = x.body.n.Load()
	}
	if !x.abort { // before all is told of the call: its client need not wait for that, but may be gone
		if err := inbound.End(x.w); err != nil {
			x.unread(err)
		}
	}
	if x.r.ProtoMajor >= 2 {
		// net/http writes the rest of the answer when the handler returns, and
		// waits for a client that gives its stream no room.
		_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(x.patience))
	}
	if x.outcome.Path == "" && !x.connects { // it ended before it was known where it goes
		x.outcome.Path = splitTarget(x.r.RequestURI).path
	}
	x.span.End(&x.outcome)
	if x.abort {
		panic(http.ErrAbortHandler)
	}
}

// refuse answers in our own name, or breaks the connection where an answer has
// begun or nobody reads one.
func (x *exchange) refuse(err error) {
	x.finish()
	if fault := x.clientFault(); fault != nil {
		err = fault
	}
	x.outcome.Err = err
	p := problemOf(x.ctx, err)
	x.outcome.Class = policy.Classify(x.ctx, nil, err)
	if p != nil && (kinds[p.slug].ours || p.unsent) {
		x.outcome.Class = policy.ClassLocal
	}
	if p == nil {
		x.outcome.Status = statusClientClosed
		x.outcome.Class = x.leftClass()
		if x.outcome.Class == policy.ClassBroken {
			x.outcome.Status = 0 // its client waits for an answer still
		}
		x.abort = true
		return
	}
	x.outcome.Problem = p.slug
	if x.wrote {
		x.breakOff()
		return
	}
	x.wrote = true
	if x.last || x.body.open() {
		p.last = true
	}
	x.outcome.Status = respondProblem(x.w, x.r, &x.call, p, x.span.TraceID())
}

// clientFault is what the client did wrong inside of its body. The context of a
// request may end with that, and what comes of it is only a consequence.
func (x *exchange) clientFault() error {
	if violation, bad := inbound.Refused(x.r); bad {
		return violation
	}
	if x.body == nil {
		return nil
	}
	x.body.leave()
	if x.body.silent.Load() {
		return x.body.fault()
	}
	return nil
}

// statusClientClosed is what the log says of a call whose client left before
// its answer: nobody was answered. The number is nginx's.
const statusClientClosed = 499

// exchange sends a call on its way and brings the answer back. An error is why there is none.
func (s *Server) exchange(set *policy.Set, x *exchange, to *route) error {
	x.outcome.Host, x.outcome.Path = to.host, to.target.path
	some := realmsOf(x.r.Header)
	var asked policy.Controls
	var err error
	if some&forUs != 0 {
		if asked, err = controls(x.r.Header); err != nil {
			return err
		}
	}
	if from := peerOf(x.r); asked.Caller == nil && from != nil {
		asked.Caller = from.caller
	}
	x.ctx = policy.WithControls(x.ctx, asked)
	chain, replay, err := s.chain(set, x, to, asked.Connection)
	if err != nil {
		return err
	}
	x.outcome.Host = to.host
	if to.form == formBaseURL && to.upstream.Config.RewriteLinks {
		x.linked, x.prefix = to.upstream, to.target.prefix
	}
	kept := s.consider(set, x.r, to)

	out := x.out.of(policy.Within(x.ctx), x.r, to, some)
	if x.body != nil {
		// The answer may begin before the request has ended, and an upload that
		// nobody wants must not be read to its end first. In HTTP/2 that concerns a
		// stream only, and not its connection.
		x.body.shared = http.NewResponseController(x.w).EnableFullDuplex() == nil && x.r.ProtoMajor < 2
		x.body.patience = x.patience
	}
	if kept != nil && kept.alone {
		x.kept = kept
		if err := s.lookBack(x, kept, to, out, asked, replay); err != nil {
			return err
		}
	}
	if kept != nil && kept.now {
		s.keep(x, kept, to, out, asked)
		return nil
	}
	switch {
	case x.body == nil:
		out.Body = http.NoBody
	case kept == nil || kept.release == nil:
		if x.release, err = prepareBody(x.ctx, x.r, out, replay, &s.kept); err != nil {
			return err
		}
	}

	resp, err := chain.RoundTrip(out) //nolint:bodyclose // respond, upgrade and rescue close it
	if kept != nil {
		if s.rescue(x, kept, to, out, asked, resp, err) {
			return nil
		}
		kept.leave() // whatever comes of it now, there is no letter
	}
	if err != nil {
		return err
	}
	x.finish()
	if to.upstream == nil && set.File.Forward.Unlisted == "observe" {
		s.observed.note(to.host, to.scheme)
	}
	x.outcome.Status = resp.StatusCode
	x.outcome.Class = policy.Classify(x.ctx, resp, nil)
	if failed := x.call.Stale(); failed != nil {
		x.outcome.Class, x.outcome.Err = failed.Class, failed.Err
	}
	x.wrote = true
	if resp.StatusCode == http.StatusSwitchingProtocols {
		s.upgrade(x, resp)
		return nil
	}
	if x.outcome.ResponseBytes, err = x.respond(resp); err != nil {
		x.broken(err)
	}
	return nil
}

// broken ends a call whose answer could not be passed on whole.
func (x *exchange) broken(err error) {
	x.breakOff()
	x.outcome.Err = err
	x.outcome.Class = policy.ClassFault
	if _, client := errors.AsType[*clientError](err); client || policy.ClientGone(x.ctx) {
		x.outcome.Class = x.leftClass()
	}
}

// leftClass is that of a call for whose answer nobody waits any more: its client left, or it was
// us who broke off, when the time for what was under way was over.
func (x *exchange) leftClass() policy.Class {
	if x.s.base.Err() != nil {
		return policy.ClassBroken
	}
	return policy.ClassClientGone
}

// unread ends a call whose client did not take the last of the answer. Where that is our own,
// what we have to say of the call is the same as if it had.
func (x *exchange) unread(err error) {
	if x.outcome.Problem != "" || x.outcome.Own {
		x.breakOff()
		return
	}
	x.broken(&clientError{err})
}

// breakOff breaks the connection off: the client must see that it has not got all of the
// answer.
func (x *exchange) breakOff() {
	x.abort = true
	if conn := connOf(x.r); conn != nil && !x.r.ProtoAtLeast(1, 1) {
		// To an HTTP/1.0 client the end of the connection is the end of the
		// body: only a reset tells it otherwise.
		// Without it, TLS would say that all is well before the socket is closed.
		if tcp, ok := beneath[*net.TCPConn](conn); ok {
			_ = tcp.SetLinger(0)
			if _, secure := beneath[*tls.Conn](conn); secure {
				_ = tcp.Close()
			}
		}
	}
}

func (s *Server) upgrade(x *exchange, resp *http.Response) {
	up, down, err := x.respondUpgrade(resp, &s.tunnels)
	x.outcome.RequestBytes, x.outcome.ResponseBytes = up, down
	if err != nil {
		x.broken(err)
	}
}

// chain picks what the call goes through, and how much of its body may be kept
// for a replay. A connection may say where the call goes.
func (s *Server) chain(set *policy.Set, x *exchange, to *route, connection *string) (http.RoundTripper, int64, error) {
	if to.upstream != nil {
		x.call.Upstream, x.call.Rule = to.upstream.Config.Name, to.plan.Match
		x.call.Propagate = to.plan.Policy.Propagate
		x.patience = to.plan.Policy.IdleTimeout
		auth := to.plan.Policy.Auth.Type
		ours := auth != "none" && auth != "passthrough"
		switch {
		case ours && x.r.Method == http.MethodTrace:
			// RFC 9110 section 9.3.8: the answer would show the credential.
			return nil, 0, &problem{slug: "method-denied", detail: "TRACE would give the credential of this upstream back"}
		case ours && to.form != formBaseURL && leadsAcrossSites(x.r.Header, to.asked, x.inside):
			// A browser whose proxy we are: pages of any site can make it send this.
			return nil, 0, crossSite()
		}
		if connection != nil {
			way, err := to.plan.Connect(x.ctx, *connection)
			if err != nil {
				return nil, 0, err
			}
			x.call.Connection = *connection // what is no name of ours may be anything, a token that was mistaken for one too
			return way, to.plan.Policy.ReplayBody, to.lead(*connection, way.Origin)
		}
		return to.plan, to.plan.Policy.ReplayBody, nil
	}
	if connection != nil {
		return nil, 0, noConnections(*connection, to.host)
	}
	_, passage, err := s.outside.get(set.File, s.Outside)
	return passage, 0, err
}
