// Package admin is what people and machines look at: a page that shows the
// state live, the same as JSON, metrics, health, and reload. It decides nothing
// and keeps nothing; everything that it shows is asked for at each request.
//
//	GET  /             the page
//	GET  /api/status   the state of the upstreams
//	GET  /api/calls    ?filter=: the latest calls, newest first
//	GET  /api/events   ?filter=&only=: the state, and calls as they end: server-sent events
//	GET  /api/plan     what the configuration says of the upstreams
//	GET  /api/explain  ?method=&url=&connection=: what would happen to such a call now
//	     /api/connections and below: the connections of upstreams, see package handover
//	     /api/outbox and below: the letters that are kept, see package letters
//	POST /api/circuit/open   ?upstream=&key=&for=: open circuits, of all keys and without an end by default
//	POST /api/circuit/close  ?upstream=&key=: close them
//	POST /api/alerts/test    send a test message to each notification URL, and say who took it
//	POST /reload       read the configuration again; 422 or 409 when nothing changed
//	GET  /healthz      200 while the process lives
//	GET  /readyz       200 while calls are taken, 503 before and after
//	GET  /metrics      for Prometheus
//
// Every error is an application/problem+json (RFC 9457).
//
// # What the page reads
//
// The events "status", with what /api/status has, when it is another than before and once
// a second at most, and "calls", an object with "calls", the oldest first, and "lost", how
// many there was no time for. With only=calls or only=status just these. They end within a
// second when the access key is another than their reader has shown.
//
// /api/status is a list of upstreams, or an object that has it as "upstreams"
// and may have beside it "listen" (upstream → address, "" being the main port),
// "ready", "outbox" (as GET /api/outbox has it, where there is one), "alerts" (each with "title", "detail" and "since", and maybe "action", "calls" and
// "trace"), "notified" (those who are told of them, with "error" and "failing" while they
// are not), "capture" with the number of "tunnels" and the hosts "observed", and
// "reload" with the "error" of a configuration that was refused.
// The members of an upstream and of a call are those of policy.UpstreamStatus
// and of telemetry.Record; the page leaves out what is not there.
//
// # Who may look
//
// Whoever reaches the listener, or who shows the access key where one is set. A
// page in somebody's browser is kept out: by the Host header, which a rebound
// DNS name gives away, by the Fetch Metadata and Origin headers of a POST, and
// by the lack of any CORS header.
package admin

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
)

// Settings are the views that the handler shows. A nil function or handler
// means that its route does not exist.
type Settings struct {
	// Version is ours; responses name it in Outrider-Version.
	Version string
	// Hosts are names, without port, under which the listener may be asked for
	// beside loopback and IP addresses: the host of its configured address.
	Hosts []string
	// Status is the state of the upstreams, as the package doc has it.
	Status func() any
	// Calls lists the latest calls that a filter takes, newest first. Its error, shown to
	// the user, is of the filter.
	Calls func(filter string) (any, error)
	// Follow hands on the calls that a filter takes as they end. Its error, shown to the
	// user, is of the filter. It needs Status.
	Follow func(filter string) (Follower, error)
	// Plan is what the configuration says of each upstream.
	Plan func() any
	// Explain says what would happen to a call, connection being the one that it names
	// ("": none). Its error is shown to the user.
	Explain func(ctx context.Context, method, url, connection string) (any, error)
	// Circuit opens or closes circuits, and gives what they are then. Its error, shown
	// to the user, means that nothing has changed.
	Circuit func(ctx context.Context, o CircuitOrder) (any, error)
	// TestAlerts sends a message to each notification URL, and gives who took it. Its error,
	// shown to the user, means that there is none.
	TestAlerts func(ctx context.Context) (any, error)
	// Reload reads the configuration again. Its error, shown to the user, means
	// that nothing has changed; with a method NeedsRestart() bool that says true,
	// that the file is good and only a restart can apply it.
	Reload func() error
	// Ready is nil while calls are taken, else the reason why not.
	Ready func() error
	// Connections serves /api/connections and what is below it, whatever the method.
	Connections http.Handler
	// Outbox serves /api/outbox and what is below it, whatever the method.
	Outbox http.Handler
	// Metrics serves /metrics.
	Metrics http.Handler
	// AccessKey is the key that requests must show; "", and a nil function,
	// mean none. Health needs none ever: probes have no place to keep a key.
	AccessKey func() string
}

// A route is one address and the one method that it has; GET brings HEAD.
type route struct {
	method string // "": its handler looks itself
	open   bool   // to anybody, under any name
	handle http.HandlerFunc
}

type handler struct {
	settings  Settings
	routes    map[string]route // path → route
	foreign   *http.CrossOriginProtection
	followers atomic.Int32 // of the events, now
}

//go:embed page
var page embed.FS

// pageFiles are the parts of the page. Their types are given here, because what
// a machine says about endings may be wrong, and nosniff would then break us.
var pageFiles = []struct{ path, file, kind string }{
	{"/", "page/index.html", "text/html; charset=utf-8"},
	{"/style.css", "page/style.css", "text/css; charset=utf-8"},
	{"/app.js", "page/app.js", "text/javascript; charset=utf-8"},
	{"/live.js", "page/live.js", "text/javascript; charset=utf-8"},
	{"/act.js", "page/act.js", "text/javascript; charset=utf-8"},
	{"/alerts.js", "page/alerts.js", "text/javascript; charset=utf-8"},
	{"/outbox.js", "page/outbox.js", "text/javascript; charset=utf-8"},
	{"/setup.js", "page/setup.js", "text/javascript; charset=utf-8"},
	{"/chart.js", "page/chart.js", "text/javascript; charset=utf-8"},
	{"/calls.js", "page/calls.js", "text/javascript; charset=utf-8"},
	{"/upstreams.js", "page/upstreams.js", "text/javascript; charset=utf-8"},
	{"/dom.js", "page/dom.js", "text/javascript; charset=utf-8"},
	{"/icon.svg", "page/icon.svg", "image/svg+xml"},
}

// New builds the handler.
func New(s Settings) http.Handler {
	h := &handler{settings: s, routes: make(map[string]route), foreign: http.NewCrossOriginProtection()}
	for _, part := range pageFiles {
		h.routes[part.path] = route{method: http.MethodGet, handle: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", part.kind)
			http.ServeFileFS(w, r, page, part.file)
		}}
	}
	h.routes["/healthz"] = route{method: http.MethodGet, open: true, handle: h.health}
	if s.Ready != nil {
		h.routes["/readyz"] = route{method: http.MethodGet, open: true, handle: h.ready}
	}
	if s.Status != nil {
		h.routes["/api/status"] = route{method: http.MethodGet, handle: show(s.Status)}
	}
	if s.Calls != nil {
		h.routes["/api/calls"] = route{method: http.MethodGet, handle: h.calls}
	}
	if s.Status != nil && s.Follow != nil {
		h.routes["/api/events"] = route{method: http.MethodGet, handle: h.events}
	}
	if s.Plan != nil {
		h.routes["/api/plan"] = route{method: http.MethodGet, handle: show(s.Plan)}
	}
	if s.Explain != nil {
		h.routes["/api/explain"] = route{method: http.MethodGet, handle: h.explain}
	}
	if s.Circuit != nil {
		h.routes["/api/circuit/open"] = route{method: http.MethodPost, handle: h.circuit(true)}
		h.routes["/api/circuit/close"] = route{method: http.MethodPost, handle: h.circuit(false)}
	}
	if s.TestAlerts != nil {
		h.routes["/api/alerts/test"] = route{method: http.MethodPost, handle: h.testAlerts}
	}
	if s.Reload != nil {
		h.routes["/reload"] = route{method: http.MethodPost, handle: h.reload}
	}
	if s.Metrics != nil {
		h.routes["/metrics"] = route{method: http.MethodGet, handle: s.Metrics.ServeHTTP}
	}
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header(), h.settings.Version)
	route, found := h.find(r.URL.Path)
	if !route.open && !h.admit(w, r) {
		return
	}
	switch {
	case !found:
		Fail(w, http.StatusNotFound, "not-found", "There is nothing at this address.")
	case route.method != "" && r.Method != route.method && (r.Method != http.MethodHead || route.method != http.MethodGet):
		w.Header().Set("Allow", allow(route.method))
		Fail(w, http.StatusMethodNotAllowed, "method-not-allowed", "This address takes "+allow(route.method)+".")
	default:
		route.handle(w, r)
	}
}

func (h *handler) find(path string) (route, bool) {
	for root, below := range map[string]http.Handler{"/api/connections": h.settings.Connections, "/api/outbox": h.settings.Outbox} {
		if rest, is := strings.CutPrefix(path, root); is && below != nil && (rest == "" || rest[0] == '/') {
			return route{handle: below.ServeHTTP}, true
		}
	}
	route, found := h.routes[path]
	return route, found
}

func allow(method string) string {
	if method == http.MethodGet {
		return "GET, HEAD"
	}
	return method
}

func (h *handler) health(w http.ResponseWriter, _ *http.Request) {
	Answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	if err := h.settings.Ready(); err != nil {
		Fail(w, http.StatusServiceUnavailable, "not-ready", err.Error())
		return
	}
	Answer(w, http.StatusOK, map[string]string{"status": "ready"})
}

// show serves what a view returns.
func show(view func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { Answer(w, http.StatusOK, view()) }
}

func (h *handler) calls(w http.ResponseWriter, r *http.Request) {
	calls, err := h.settings.Calls(r.URL.Query().Get("filter"))
	if err != nil {
		Fail(w, http.StatusBadRequest, "malformed-request", "filter: "+err.Error())
		return
	}
	Answer(w, http.StatusOK, calls)
}

func (h *handler) explain(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	method, target := strings.ToUpper(query.Get("method")), query.Get("url")
	if method == "" {
		method = http.MethodGet
	}
	if target == "" {
		Fail(w, http.StatusBadRequest, "malformed-request", "The parameter url is missing: /api/explain?method=GET&url=https://…")
		return
	}
	explanation, err := h.settings.Explain(r.Context(), method, target, query.Get("connection"))
	if err != nil {
		Fail(w, http.StatusUnprocessableEntity, "not-explained", err.Error())
		return
	}
	Answer(w, http.StatusOK, explanation)
}

func (h *handler) testAlerts(w http.ResponseWriter, r *http.Request) {
	results, err := h.settings.TestAlerts(r.Context())
	if err != nil {
		Fail(w, http.StatusUnprocessableEntity, "not-notified", err.Error())
		return
	}
	Answer(w, http.StatusOK, results)
}

// restartNeeded is implemented by errors of settings that cannot be reloaded.
type restartNeeded interface {
	error
	NeedsRestart() bool
}

func (h *handler) reload(w http.ResponseWriter, _ *http.Request) {
	err := h.settings.Reload()
	if err == nil {
		Answer(w, http.StatusOK, map[string]string{"status": "reloaded"})
		return
	}
	status := http.StatusUnprocessableEntity
	if restart, ok := errors.AsType[restartNeeded](err); ok && restart.NeedsRestart() {
		status = http.StatusConflict
	}
	Fail(w, status, "reload-refused", err.Error())
}

// Answer writes v as JSON. Nothing is written before all of it is known, so
// that an answer is whole or an error.
func Answer(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(v); err != nil {
		Fail(w, http.StatusInternalServerError, "internal", "The state could not be written as JSON.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// A problem is an error for people and programs (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// Fail answers with a problem: slug names its kind, and detail says what to do.
func Fail(w http.ResponseWriter, status int, slug, detail string) {
	body, _ := json.Marshal(problem{ // strings and an int: cannot fail
		Type: "urn:outrider:problem:" + slug, Title: http.StatusText(status), Status: status, Detail: detail,
	})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
