package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"outrider/policy"
	"outrider/proxy/egress"
	"outrider/proxy/framing"
)

// A problem is an answer that we made ourselves, as RFC 9457 has it. It is also
// an error, so that whoever finds one can return it.
type problem struct {
	slug       string
	detail     string        // for the person at the client: what happened, and what to do
	retryAfter time.Duration // when a later try can succeed; zero: unknown
	status     int           // zero: as in the table
	unsent     bool          // we refused it this time, whatever is usual for the slug
	last       bool          // the connection ends with this answer
	allow      string        // the methods that there are, where the status says that this is none
}

func (p *problem) Error() string { return p.slug + ": " + p.detail }

// A kind is what all problems of one slug have in common.
type kind struct {
	status      int
	title       string
	proxyStatus string // error type of RFC 9209
	ours        bool   // we refused it: the upstream was not asked
}

// kinds is the one table of answers that we make: slug → kind.
var kinds = map[string]kind{
	"queue-timeout":            {429, "The wait for a turn would be too long", "http_request_denied", true},
	"queue-full":               {429, "Too many calls are waiting for a turn", "http_request_denied", true},
	"quota-exhausted":          {429, "The provider's quota is exhausted", "http_request_denied", true},
	"circuit-open":             {503, "The circuit of this upstream is open", "destination_unavailable", true},
	"credential-unavailable":   {502, "No live credential for this upstream", "proxy_configuration_error", true},
	"bodies-full":              {503, "Too many request bodies are held", "http_request_denied", true},
	"request-unsignable":       {422, "The request cannot be signed", "http_request_denied", true},
	"sockets-exhausted":        {503, "This machine can open no further connection", "proxy_internal_error", true},
	"proxy-failed":             {502, "The proxy on the way out did not let it through", "destination_unavailable", false},
	"upstream-unreachable":     {502, "The upstream cannot be reached", "destination_unavailable", false},
	"upstream-reset":           {502, "The upstream broke the connection off", "connection_terminated", false},
	"upstream-tls":             {502, "No trusted TLS connection to the upstream", "tls_protocol_error", false},
	"upstream-malformed":       {502, "The upstream's answer is not valid HTTP", "http_protocol_error", false},
	"upstream-timeout":         {504, "The upstream did not answer in time", "http_response_timeout", false},
	"deadline-exceeded":        {504, "The call's total time has passed", "http_response_timeout", false},
	"unknown-upstream":         {404, "No such upstream", "destination_not_found", true},
	"unknown-connection":       {404, "No such connection", "destination_not_found", true},
	"address-denied":           {403, "The address is not allowed", "destination_ip_prohibited", true},
	"authority-mismatch":       {421, "The Host does not belong here", "http_request_denied", true},
	"cross-site":               {403, "Pages of other sites may not call this", "http_request_denied", true},
	"interception-unavailable": {502, "The connection cannot be opened", "proxy_configuration_error", true},
	"too-many-tunnels":         {503, "Too many connections are open", "http_request_denied", true},
	"method-denied":            {403, "The method is not allowed", "http_request_denied", true},
	"malformed-request":        {400, "The request cannot be understood", "http_request_error", true},
	"key-required":             {401, "An access key is required", "http_request_denied", true},
	"proxy-loop":               {508, "The call would come back to Outrider itself", "proxy_loop_detected", true},
	"outbox-full":              {503, "The outbox is full", "http_request_denied", true},
	"outbox-unavailable":       {503, "The outbox cannot be used now", "proxy_internal_error", true},
	"outbox-refused":           {422, "The call cannot be kept", "http_request_denied", true},
	"body-too-large":           {413, "The body is too large to be kept", "http_request_denied", true},
	"key-reused":               {422, "The key belongs to another request", "http_request_denied", true},
	"letter-unknown":           {404, "No such letter", "destination_not_found", true},
	"letter-unanswered":        {404, "The letter has no answer", "destination_not_found", true},
	"letter-sending":           {409, "The letter is being sent", "http_request_denied", true},
	"letter-ended":             {409, "The letter has ended", "http_request_denied", true},
	"internal-error":           {500, "A defect in Outrider", "proxy_internal_error", true},
}

func malformed(detail string) *problem { return &problem{slug: "malformed-request", detail: detail} }

// misframed is a request whose bytes leave open where the next one begins: its
// connection ends with the answer.
func misframed(bad *framing.Error) *problem {
	return &problem{slug: "malformed-request", detail: bad.Reason, status: bad.Status, last: true}
}

func hostDenied(host string) *problem {
	return &problem{slug: "unknown-upstream", status: http.StatusForbidden,
		detail: fmt.Sprintf("no [upstream] names the host %s, and forward.unlisted is \"deny\"", quote(host))}
}

func foreignHost(host string) *problem {
	return &problem{slug: "authority-mismatch", detail: fmt.Sprintf(
		"Host %s is not an address of this port; call http://127.0.0.1:PORT/NAME/... or use Outrider as HTTP_PROXY", quote(host))}
}

func notAProxy(upstream string) *problem {
	return &problem{slug: "authority-mismatch", detail: fmt.Sprintf(
		"this port serves the upstream %s alone, and is no proxy to others; the proxy is at listen", upstream)}
}

func crossSite() *problem {
	return &problem{slug: "cross-site", detail: "a page of another site made a browser send this, or may have, as a browser does not say over plain HTTP, and it would go out with a credential of ours; by base URL, and with an access_key, callers are told apart by that instead"}
}

func unknownUpstream(set *policy.Set, name string) *problem {
	var names []string
	for _, u := range set.Upstreams() {
		names = append(names, u.Config.Name)
	}
	detail := "no upstreams are configured: add [upstream.NAME] to the configuration"
	if len(names) > 0 {
		detail = fmt.Sprintf("no [upstream.%s]; configured: %s", strings.Trim(quote(name), `"`), strings.Join(names, ", "))
		if name == "" {
			detail = fmt.Sprintf("name the upstream first in the path, /NAME/...; configured: %s", strings.Join(names, ", "))
		}
	}
	return &problem{slug: "unknown-upstream", detail: detail}
}

// noConnections answers a call that names a connection to a host that has no credential.
func noConnections(name, host string) *problem {
	return &problem{slug: "unknown-connection", detail: fmt.Sprintf("there is no connection %s, for no [upstream] names the host %s", quote(name), quote(host))}
}

// elsewhere answers a call to a host by proxy that names a connection at another one.
func elsewhere(connection string, at policy.Origin, host string) *problem {
	return &problem{slug: "authority-mismatch", detail: fmt.Sprintf("the connection %s is at %s, and this call is for %s: ask for that host, or call by base URL; nothing was sent", connection, at, quote(host))}
}

// quote shows foreign text, bounded, in a detail.
func quote(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return strconv.QuoteToASCII(s)
}

// egressSlugs maps what went wrong outside to the slug of our answer.
var egressSlugs = map[egress.Kind]string{
	egress.DialFailed:       "upstream-unreachable",
	egress.ProxyFailed:      "proxy-failed",
	egress.AddressDenied:    "address-denied",
	egress.TLSFailed:        "upstream-tls",
	egress.Reset:            "upstream-reset",
	egress.Malformed:        "upstream-malformed",
	egress.HeaderTooLarge:   "upstream-malformed",
	egress.Truncated:        "upstream-reset",
	egress.SocketsExhausted: "sockets-exhausted",
}

// problemOf turns what ended a call into our answer. It is nil when the client
// has left: nobody is there to read one.
func problemOf(ctx context.Context, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if bad, ok := errors.AsType[*framing.Error](err); ok {
		return misframed(bad)
	}
	if refusal, ok := errors.AsType[policy.Refusal](err); ok {
		reason, after := refusal.Refusal()
		return &problem{slug: reason, detail: refusal.Error(), retryAfter: after}
	}
	if timeout, ok := errors.AsType[*policy.TimeoutError](err); ok {
		slug := "upstream-timeout"
		if timeout.Clock == "timeout" || timeout.Clock == policy.CallerClock {
			slug = "deadline-exceeded"
		}
		return &problem{slug: slug, detail: timeout.Error() + phaseOf(err)}
	}
	if policy.ClientGone(ctx) || policy.CallFrom(ctx).BodyFailed() {
		return nil
	}
	if out, ok := errors.AsType[*egress.Error](err); ok {
		if slug, known := egressSlugs[out.Kind]; known {
			return &problem{slug: slug, detail: err.Error()}
		}
	}
	return &problem{slug: "internal-error", detail: err.Error()}
}

// phaseOf says, behind the clock that ended a call, how far that had come.
func phaseOf(err error) string {
	out, ok := errors.AsType[*egress.Error](err)
	switch {
	case !ok:
		return ""
	case out.Sent:
		return " while the answer was waited for"
	case out.While != "":
		return " " + out.While
	}
	return ""
}

// body is the document of RFC 9457, with the members of our own.
type problemBody struct {
	Type       string   `json:"type"`
	Title      string   `json:"title"`
	Status     int      `json:"status"`
	Detail     string   `json:"detail"`
	Upstream   string   `json:"upstream,omitempty"`
	Attempts   int      `json:"attempts"`
	Waited     float64  `json:"waited"`
	NotRetried string   `json:"not_retried,omitempty"`
	RetryAfter *float64 `json:"retry_after,omitempty"`
	TraceID    string   `json:"trace_id,omitempty"`
}

// respondProblem answers in our own name.
func respondProblem(w http.ResponseWriter, r *http.Request, call *policy.Call, p *problem, traceID string) int {
	k, known := kinds[p.slug]
	if !known {
		k = kinds["internal-error"]
	}
	if p.status != 0 {
		k.status = p.status
	}
	doc := problemBody{
		Type: "urn:outrider:problem:" + p.slug, Title: k.title, Status: k.status, Detail: p.detail, TraceID: traceID,
	}
	header := w.Header()
	clear(header)
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	header.Set("Proxy-Status", "outrider; error="+k.proxyStatus+"; details="+structuredString(p.slug+": "+p.detail))
	if p.retryAfter > 0 {
		header.Set("Retry-After", wholeSeconds(p.retryAfter))
		after := p.retryAfter.Seconds()
		doc.RetryAfter = &after
	}
	if p.allow != "" {
		header.Set("Allow", p.allow)
	}
	if p.last {
		endWith(header, r)
	}
	if p.slug == "key-required" {
		if k.status == http.StatusProxyAuthRequired {
			header.Set("Proxy-Authenticate", `Basic realm="outrider"`)
		} else {
			header.Set("WWW-Authenticate", `Bearer realm="outrider"`)
		}
	}
	if call != nil {
		doc.Upstream, doc.Attempts, doc.Waited, doc.NotRetried = call.Upstream, call.Attempts(), call.Waited().Seconds(), call.NotRetried()
		ownResponseHeaders(header, call, traceID)
		if name, key := call.Minted(); key != "" {
			header[name] = []string{key} // the request may have been applied: only under its key is a retry safe
		}
	}
	data, _ := json.Marshal(doc)
	data = append(data, '\n')
	header.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(k.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
	return k.status
}

// wholeSeconds is a time as Retry-After has it. It is rounded up: earlier would be too
// early.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10)
}

// structuredString writes s as a string of RFC 9651: printable ASCII only.
func structuredString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c > '~':
			b.WriteByte('?')
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
