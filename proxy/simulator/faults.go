package simulator

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// A handler answers one request of one endpoint.
type handler func(*Simulator, http.ResponseWriter, *http.Request)

// fault makes a handler of what goes wrong: the request is read, the plan in
// its query decides, and a call that is spared gets a plain answer.
func fault(wrong func(s *Simulator, w http.ResponseWriter, r *http.Request, p *params)) handler {
	return func(s *Simulator, w http.ResponseWriter, r *http.Request) {
		p := paramsOf(r)
		plan := s.planOf(p, r.URL.Path, -1)
		if p.refused(w) {
			return
		}
		drain(r)
		call, fails := s.plans.next(plan)
		if fails {
			wrong(s, w, r, p)
			return
		}
		respond(w, http.StatusOK, fine{true, call})
	}
}

// fine is the answer of a call that is spared.
type fine struct {
	OK   bool `json:"ok"`
	Call int  `json:"call"` // its number among those of the same key
}

// faultCode answers with the status in the path. retry_after goes into the
// header as it is, so that every spelling can be tried; retry_date=5s becomes
// the HTTP-date that far ahead.
func faultCode(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
	date := p.duration("retry_date", 0)
	if p.refused(w) {
		return
	}
	if p.has("retry_after") {
		w.Header().Set("Retry-After", p.text("retry_after", ""))
	}
	if p.has("retry_after_ms") {
		w.Header().Set("Retry-After-Ms", p.text("retry_after_ms", ""))
	}
	if p.has("retry_date") {
		w.Header().Set("Retry-After", roundUp(time.Now().Add(date), time.Second).UTC().Format(http.TimeFormat))
	}
	n, _ := strconv.Atoi(below(r, "/fault/")[:3])
	respond(w, n, problem{Error: http.StatusText(n)})
}

// kinds are the failures that flaky, outage and charges choose from by name;
// besides them, any status code.
const kinds = "a status code, reset, close, hang or truncate"

func isKind(name string) bool {
	switch name {
	case "reset", "close", "hang", "truncate":
		return true
	}
	return isStatus(name)
}

// breakOff fails a request in the way of one kind.
func (s *Simulator) breakOff(w http.ResponseWriter, r *http.Request, kind string) {
	switch kind {
	case "reset":
		s.cut(w, "", byReset)
	case "close":
		s.cut(w, "", byClose)
	case "truncate":
		s.cut(w, truncated, byClose)
	case "hang":
		hold(r.Context(), maxWait)
	default:
		n, _ := strconv.Atoi(kind)
		respond(w, n, problem{Error: http.StatusText(n)})
	}
}

// hang says nothing until the client leaves, or until for has passed.
func hang(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
	d := p.duration("for", maxWait)
	if p.refused(w) {
		return
	}
	hold(r.Context(), d)
	respond(w, http.StatusOK, fine{OK: true})
}

func hangAfterHeaders(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
	w.Header().Set("Content-Length", "100")
	w.WriteHeader(http.StatusOK)
	http.NewResponseController(w).Flush()
	hold(r.Context(), maxWait)
	panic(http.ErrAbortHandler) // the body never came
}

func slowDrip(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
	n, interval := p.count("bytes", 20, 0, 1<<30), p.duration("interval", 100*time.Millisecond)
	if p.refused(w) {
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	w.WriteHeader(http.StatusOK)
	c := http.NewResponseController(w)
	c.Flush()
	letters := &pattern{}
	for range n {
		hold(r.Context(), interval)
		if _, err := io.CopyN(w, letters, 1); err != nil {
			return
		}
		c.Flush()
	}
}

func redirect(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
	code := p.count("status", http.StatusFound, 300, 399)
	if p.refused(w) {
		return
	}
	w.Header().Set("Location", p.text("to", "/echo"))
	respond(w, code, map[string]string{"to": p.text("to", "/echo")})
}

func late(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
	delay := p.duration("delay", time.Second)
	if p.refused(w) {
		return
	}
	hold(r.Context(), delay)
	respond(w, http.StatusOK, fine{OK: true})
}

func lastOfConnection(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
	w.Header().Set("Connection", "close") // GOAWAY in HTTP/2
	respond(w, http.StatusOK, fine{OK: true})
}

// flaky fails a share of the calls, the same ones for the same seed and key.
func flaky(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	plan := s.planOf(p, r.URL.Path, -1)
	plan.share = p.share("p", 0.3)
	kind := p.text("as", "503")
	if !isKind(kind) {
		p.fail("as = %q: must be %s", kind, kinds)
	}
	if p.refused(w) {
		return
	}
	drain(r)
	call, fails := s.plans.next(plan)
	if fails {
		s.breakOff(w, r, kind)
		return
	}
	respond(w, http.StatusOK, fine{true, call})
}

// untilNewToken refuses the first credential that it is shown under a key for
// ever, and accepts every other one.
func untilNewToken(s *Simulator, w http.ResponseWriter, r *http.Request) {
	drain(r)
	shown := Fingerprint(credentialOf(r))
	if shown == "" {
		unauthorized(w, "", "no credential was presented")
		return
	}
	if s.plans.first(r.URL.Path+" "+r.URL.Query().Get("key"), shown) == shown {
		unauthorized(w, "invalid_token", "this credential is refused; a new one will do")
		return
	}
	respond(w, http.StatusOK, map[string]any{"ok": true, "credential": shown})
}

// unauthorized answers 401 in the words of RFC 6750 section 3.
func unauthorized(w http.ResponseWriter, code, text string) {
	challenge := `Bearer realm="simulator"`
	if code != "" {
		challenge += fmt.Sprintf(`, error=%q, error_description=%q`, code, text)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	respond(w, http.StatusUnauthorized, problem{Error: orElse(code, "unauthorized"), Hint: text})
}
