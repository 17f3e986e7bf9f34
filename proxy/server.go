package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/framing"
	"outrider/proxy/telemetry"
)

// Bounds of the inbound side. A client that sends its head slowly holds one
// connection, and not for long; everybody else has their own.
const (
	readHeaderTimeout = 30 * time.Second
	keepAliveTimeout  = 3 * time.Minute
)

// Settings wire a Server.
type Settings struct {
	Live      *policy.Live
	Telemetry *telemetry.Telemetry
	// Outside makes the way to hosts that no upstream names, for a list of
	// private address ranges that may be reached.
	Outside func(allow []netip.Prefix) (Outside, error)
	// Secret gives the value of a reference, for the access key.
	Secret func(ref config.Reference) (string, error)
	Log    *slog.Logger
}

// Outside is the guarded way to hosts that no upstream names.
type Outside struct {
	Transport http.RoundTripper // for plain HTTP
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	// DialListed is Dial for hosts that an upstream names: any address but ours.
	DialListed func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Server takes calls in and brings their answers back. It is an http.Server
// around one handler per address, with a strict reader in front.
type Server struct {
	Settings
	kept    kept
	outside outside
	tunnels tunnels
	inner   *innerListener // connections that came out of a CONNECT
	servers []*http.Server
	serving sync.WaitGroup
	calls   underway
	base    context.Context // of all calls
	breaks  context.CancelFunc
}

// New makes a Server. It serves nothing before Serve is called.
func New(s Settings) *Server {
	server := &Server{Settings: s, inner: newInnerListener()}
	server.base, server.breaks = context.WithCancel(context.Background())
	server.start(server.inner, func(w http.ResponseWriter, r *http.Request) { server.serveInner(w, r) })
	return server
}

// Serve answers on a listener until Shutdown. upstream is the name of the
// upstream that owns the port, "" for the port that serves every way in.
// listen is the address as it was configured.
func (s *Server) Serve(listener net.Listener, upstream, listen string) {
	at := address{upstream: upstream, keyed: s.Live.Load().File.AccessKey != ""}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		at.host = strings.ToLower(host)
	}
	_, at.port, _ = net.SplitHostPort(listener.Addr().String())
	s.start(listener, func(w http.ResponseWriter, r *http.Request) { s.serve(at, w, r) })
}

func (s *Server) start(listener net.Listener, handler http.HandlerFunc) {
	server := &http.Server{
		Handler:                      s.calls.count(handler),
		BaseContext:                  func(net.Listener) context.Context { return s.base },
		ReadHeaderTimeout:            readHeaderTimeout,
		IdleTimeout:                  keepAliveTimeout,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the upstream's to answer
		ErrorLog:                     slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnContext:                  connContext,
	}
	s.servers = append(s.servers, server)
	s.serving.Go(func() {
		err := server.Serve(framing.NewListener(listener, framing.Limits{}))
		if !errors.Is(err, http.ErrServerClosed) {
			s.Log.Error("a listener failed", "address", listener.Addr().String(), "error", err)
		}
	})
}

// An exchange is one call between a client and us.
type exchange struct {
	s        *Server
	w        http.ResponseWriter
	r        *http.Request
	ctx      context.Context
	call     *policy.Call
	span     *telemetry.Span
	outcome  telemetry.Outcome
	informer *informer
	body     *upload       // nil: the request has none
	patience time.Duration // for a client that neither sends nor reads
	wrote    bool          // an answer has begun
	abort    bool          // the connection must not be used again
}

func (s *Server) begin(w http.ResponseWriter, r *http.Request, form form) *exchange {
	x := &exchange{s: s, w: w, r: r, informer: &informer{w: w, r: r}, patience: silence}
	x.call = &policy.Call{Inform: x.informer.pass}
	x.ctx, x.span = s.Telemetry.StartCall(r, string(form))
	x.ctx = policy.WithCall(x.ctx, x.call)
	x.outcome = telemetry.Outcome{Call: x.call, Method: r.Method, Host: r.Host}
	if form != formConnect {
		x.outcome.Path = splitTarget(r.RequestURI).path
	}
	if r.Body != nil && r.Body != http.NoBody && form != formConnect {
		x.body = newUpload(w, r.Body)
		r.Body = x.body
	}
	return x
}

// end tells what became of the call. It is deferred: a panic is a defect of
// ours that must cost this call only.
func (x *exchange) end() {
	if defect := recover(); defect != nil {
		if defect == http.ErrAbortHandler {
			x.abort = true
		} else {
			x.s.Log.ErrorContext(x.ctx, "a call met a defect", "panic", defect, "stack", string(debug.Stack()))
			x.refuse(&problem{slug: "internal-error", detail: "the call met a defect in Outrider; its log has the details under this trace"})
		}
	}
	if x.body != nil {
		x.body.leave()
		x.outcome.RequestBytes = x.body.n.Load()
	}
	x.span.End(x.outcome)
	if x.abort {
		panic(http.ErrAbortHandler)
	}
}

// refuse answers in our own name, or breaks the connection where an answer has
// begun or nobody reads one.
func (x *exchange) refuse(err error) {
	x.informer.stop()
	if fault := x.clientFault(); fault != nil {
		err = fault
	}
	x.outcome.Err = err
	p := problemOf(x.ctx, err)
	x.outcome.Class = policy.Classify(x.ctx, nil, err)
	if p != nil && kinds[p.slug].ours {
		x.outcome.Class = policy.ClassLocal
	}
	if p == nil {
		x.outcome.Status = statusClientClosed
		x.outcome.Class = policy.ClassClientGone
		x.abort = true
		return
	}
	x.outcome.Problem = p.slug
	if x.wrote {
		x.abort = true
		return
	}
	x.wrote = true
	if x.body.open() {
		p.last = true
	}
	x.outcome.Status = respondProblem(x.w, x.r, x.call, p, x.span.TraceID())
}

// clientFault is what the client did wrong inside of its body. net/http ends the
// context of a request when that happens, and what comes of it is only a
// consequence.
func (x *exchange) clientFault() error {
	if conn, ok := framed(x.r); ok {
		if violation, bad := conn.Refused(); bad {
			return violation
		}
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

// serve is one call, from the request as net/http read it to the last byte.
func (s *Server) serve(at address, w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r, formOf(r))
	defer x.end()
	if violation, bad := framing.Violation(r); bad {
		x.refuse(violation)
		return
	}
	set := s.Live.Load()
	if err := s.checkKey(set, at, r); err != nil {
		x.refuse(err)
		return
	}
	if r.Method == http.MethodConnect {
		if at.upstream != "" {
			x.refuse(notAProxy(at.upstream))
			return
		}
		s.connect(set, at, x)
		return
	}
	to, err := s.route(set, at, r)
	if err != nil {
		x.refuse(err)
		return
	}
	s.exchange(set, x, to)
}

func formOf(r *http.Request) form {
	switch {
	case r.Method == http.MethodConnect:
		return formConnect
	case absolute(r):
		return formForward
	}
	return formBaseURL
}

// exchange sends a call on its way and brings the answer back.
func (s *Server) exchange(set *policy.Set, x *exchange, to route) {
	x.outcome.Host, x.outcome.Path = to.host, to.target.path
	asked, err := controls(x.r.Header)
	if err != nil {
		x.refuse(err)
		return
	}
	x.ctx = policy.WithControls(x.ctx, asked)
	chain, replay, err := s.chain(set, x, to)
	if err != nil {
		x.refuse(err)
		return
	}

	out := outbound(x.r, to)
	if x.body != nil {
		// The answer may begin before the request has ended, and an upload that
		// nobody wants must not be read to its end first.
		x.body.shared = http.NewResponseController(x.w).EnableFullDuplex() == nil
		x.body.patience = x.patience
	}
	release, err := prepareBody(x.ctx, x.r, out, replay, &s.kept)
	if err != nil {
		x.refuse(err)
		return
	}
	defer release()

	resp, err := chain.RoundTrip(out.WithContext(x.ctx)) //nolint:bodyclose // respond and upgrade close it
	if err != nil {
		x.refuse(err)
		return
	}
	x.informer.stop()
	x.outcome.Status = resp.StatusCode
	x.outcome.Class = policy.Classify(x.ctx, resp, nil)
	x.wrote = true
	if resp.StatusCode == http.StatusSwitchingProtocols {
		s.upgrade(x, resp)
		return
	}
	if x.outcome.ResponseBytes, err = x.respond(resp); err != nil {
		x.broken(err)
	}
}

// broken ends a call whose answer could not be passed on whole: the client must
// see that, so its connection is broken off.
func (x *exchange) broken(err error) {
	x.abort = true
	if conn, ok := framed(x.r); ok && !x.r.ProtoAtLeast(1, 1) {
		// To an HTTP/1.0 client the end of the connection is the end of the
		// body: only a reset tells it otherwise.
		if tcp, ok := conn.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	x.outcome.Err = err
	x.outcome.Class = policy.ClassFault
	if _, client := errors.AsType[*clientError](err); client || policy.ClientGone(x.ctx) {
		x.outcome.Class = policy.ClassClientGone
	}
}

func (s *Server) upgrade(x *exchange, resp *http.Response) {
	up, down, err := respondUpgrade(x.w, resp, x.span.TraceID(), x.call, &s.tunnels)
	x.outcome.RequestBytes, x.outcome.ResponseBytes = up, down
	if err != nil {
		x.broken(err)
	}
}

// chain picks what the call goes through, and how much of its body may be kept
// for a replay.
func (s *Server) chain(set *policy.Set, x *exchange, to route) (http.RoundTripper, int64, error) {
	if to.upstream != nil {
		x.call.Upstream, x.call.Rule = to.upstream.Config.Name, to.plan.Match
		x.patience = to.plan.Policy.IdleTimeout
		if auth := to.plan.Policy.Auth.Type; x.r.Method == http.MethodTrace && auth != "none" && auth != "passthrough" {
			// RFC 9110 section 9.3.8: the answer would show the credential.
			return nil, 0, &problem{slug: "method-denied", detail: "TRACE would give the credential of this upstream back"}
		}
		return to.plan, to.plan.Policy.ReplayBody, nil
	}
	outside, err := s.outside.get(set.File, s.Outside)
	if err != nil {
		return nil, 0, err
	}
	return policy.Passage(outside.Transport), 0, nil
}

// outside keeps the way to unlisted hosts that belongs to a configuration.
type outside struct {
	mu   sync.Mutex
	file *config.File
	way  Outside
}

func (o *outside) get(file *config.File, open func([]netip.Prefix) (Outside, error)) (Outside, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file != file {
		way, err := open(file.Forward.AllowPrivate)
		if err != nil {
			return Outside{}, err
		}
		o.release()
		o.file, o.way = file, way
	}
	return o.way, nil
}

// release gives the idle connections back.
func (o *outside) release() {
	if closer, ok := o.way.Transport.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// checkKey asks callers for the access key, where one is set. Whole digests are
// compared, so that the time taken tells nothing about the key.
func (s *Server) checkKey(set *policy.Set, at address, r *http.Request) error {
	if !at.keyed {
		return nil
	}
	missing := &problem{slug: "key-required", detail: "send the access key as Outrider-Key, or as the password of the proxy's URL"}
	if formOf(r) != formBaseURL {
		missing.status = http.StatusProxyAuthRequired
	}
	key, err := s.Secret(set.File.AccessKey)
	if err != nil || key == "" {
		return missing
	}
	want := sha256.Sum256([]byte(key))
	for _, shown := range keysShown(r.Header) {
		got := sha256.Sum256([]byte(shown))
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return nil
		}
	}
	return missing
}

// keysShown are the access keys that a request presents: as a header of ours,
// or in the ways in which HTTP clients speak to a proxy.
func keysShown(header http.Header) []string {
	shown := header["Outrider-Key"]
	for _, value := range header["Proxy-Authorization"] {
		scheme, rest, _ := strings.Cut(value, " ")
		switch strings.ToLower(scheme) {
		case "bearer":
			shown = append(shown, strings.TrimSpace(rest))
		case "basic":
			r := http.Request{Header: http.Header{"Authorization": {value}}}
			if user, password, ok := r.BasicAuth(); ok {
				shown = append(shown, password, user)
			}
		}
	}
	return shown
}
