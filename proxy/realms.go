package proxy

import (
	"net/http"
	"net/textproto"
	"strings"
)

// A realm is whom a header is for.
type realm uint8

const (
	forHop   realm = 1 << iota // one connection only (RFC 9110 section 7.6.1)
	forUs                      // us: it is never sent on
	forTrace                   // whoever follows the caller's trace
	forPeer  realm = 0         // whoever the message is for: it is passed on
)

// hopByHop reports whether a header is for one connection only, by its canonical name.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

// realmOf tells whom a header of a request is for, by its canonical name.
func realmOf(name string) realm {
	if hopByHop(name) {
		return forHop
	}
	switch name {
	case "Content-Length": // the transport writes it from ContentLength
		return forHop
	case "Outrider-Timeout", "Outrider-Priority", "Outrider-Retry", "Outrider-Idempotent",
		"Outrider-Connection", "Outrider-Caller", "Outrider-Key",
		"Outrider-Order-Key", "Outrider-Dedup-Key", "Outrider-Callback":
		return forUs
	// Those of W3C, Zipkin and Jaeger. A provider has no use for them, and baggage may hold
	// anything, such as who the user is. Those that a provider has made up for itself,
	// X-Amzn-Trace-Id and X-Cloud-Trace-Context, pass: what they say is for it to know.
	case "Traceparent", "Tracestate", "Baggage", "B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid",
		"X-B3-Sampled", "X-B3-Flags", "Uber-Trace-Id":
		return forTrace
	}
	return forPeer
}

// realmsOf is the set of those for whom there is something in the header of a request.
func realmsOf(header http.Header) (all realm) {
	for name := range header {
		all |= realmOf(name)
	}
	return all
}

// notPassedOn reports whether a header of an answer stays with us: it concerns the
// connection to the upstream, or is one in which we say what it took to get an answer.
// What an upstream says under these names is not about this call.
func notPassedOn(name string) bool {
	switch name {
	case "Outrider-Attempts", "Outrider-Wait", "Outrider-Retry", "Outrider-Trace", "Outrider-Letter":
		return true
	}
	return hopByHop(name)
}

// pick is what of a field of an upstream's answer is for the client, and how it says it.
func (x *exchange) pick(name string, values []string) []string {
	switch {
	case notPassedOn(name):
		return nil
	case name == "Alt-Svc" && x.inside:
		return nil // another way to the provider (RFC 7838), which would lead around us
	case x.linked != nil && linking(name):
		return x.relinked(name, values)
	}
	return values
}

// passOn puts what of the header of an upstream's answer is for the client into header.
func (x *exchange) passOn(header, answer http.Header) {
	for name, values := range answer {
		if values = x.pick(name, values); len(values) > 0 {
			header[name] = values
		}
	}
	stripNamed(header, answer["Connection"])
}

// stripNamed removes the headers that a Connection names.
func stripNamed(header http.Header, connection []string) {
	for _, value := range connection {
		if strings.EqualFold(value, "Keep-Alive") { // nearly always
			continue
		}
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" && !strings.EqualFold(name, "Keep-Alive") {
				header.Del(name)
			}
		}
	}
}
