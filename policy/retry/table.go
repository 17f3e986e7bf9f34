package retry

import (
	"net/http"
	"slices"

	"outrider/policy/replay"
)

// A Class says what a second sending of a request can do.
type Class string

// The classes. A request is of the first that fits, from top to bottom.
const (
	Once       Class = "once"       // asks for an upgrade, came as early data, or has a body that cannot be sent again
	Idempotent Class = "idempotent" // GET, HEAD, OPTIONS, TRACE, PUT, DELETE, QUERY
	Keyed      Class = "keyed"      // carries one idempotency key, in the header that this upstream honours
	Vouched    Class = "vouched"    // the caller said that repeating it does no harm
	Unsafe     Class = "unsafe"     // everything else: POST, PATCH, methods unknown to us
)

// A Phase says how far an attempt came.
type Phase string

// The phases.
const (
	Unsent   Phase = "unsent"    // it failed before any byte of the request was on the wire
	NoAnswer Phase = "no answer" // it failed later: the upstream may have acted on it
	Answered Phase = "answered"  // there is a response
)

// A Verdict says what a response tells about trying again.
type Verdict string

// The verdicts. A response has the first that fits, from top to bottom.
const (
	Forbidden   Verdict = "forbidden"   // the server says so: x-should-retry or Stripe-Should-Retry, false
	Misdirected Verdict = "misdirected" // 421, the first of its call
	Unprocessed Verdict = "unprocessed" // the status is one of Settings.Unprocessed, or the Answer says so
	Reused      Verdict = "key reused"  // 422 to a keyed request
	Listed      Verdict = "listed"      // the status is one of Settings.Statuses
	Asked       Verdict = "asked"       // an error, and the server says: x-should-retry or Stripe-Should-Retry, true
	Running     Verdict = "running"     // 409 to a keyed request that may have come before
	Final       Verdict = "final"       // anything else
)

// A Row is one line of the safety table. An empty field matches anything.
type Row struct {
	Class   Class   `json:"class,omitempty"`
	Phase   Phase   `json:"phase,omitempty"`
	Verdict Verdict `json:"verdict,omitempty"`
	Retry   bool    `json:"retry"`
	Why     string  `json:"why"`
}

// table is what the stage obeys; it is never written to. The rule beneath it is
// RFC 9110 §9.2.2: a proxy must not repeat a request that is not idempotent,
// unless it knows that it is all the same, or that the first was never applied.
var table = [...]Row{
	{"", Answered, Final, false, "the answer stands: the same request would get it again"},
	{"", Answered, Forbidden, false, "the server says that a retry is pointless or does harm"},
	{Once, "", "", false, "it cannot be sent a second time as it was"},
	{"", Unsent, "", true, "no byte of it left, so it was never applied"},
	{"", Answered, Misdirected, true, "it came to the wrong server, which did nothing: once more, over another connection (RFC 9110 §15.5.20)"},
	{"", Answered, Unprocessed, true, "the provider says that it did nothing"},
	{Idempotent, NoAnswer, "", true, "applied twice is the same as applied once (RFC 9110 §9.2.2; QUERY: RFC 10008)"},
	{Idempotent, Answered, Listed, true, "applied twice is the same as applied once"},
	{Idempotent, Answered, Asked, true, "the server asks for it, and applied twice is the same as once"},
	{Keyed, NoAnswer, "", true, "the server knows the second by the key of the first"},
	{Keyed, Answered, Listed, true, "the server knows the second by the key of the first"},
	{Keyed, Answered, Asked, true, "the server asks for it, and knows the second by its key"},
	{Keyed, Answered, Running, true, "the first request with this key is still running, and the second gets its answer"},
	{Keyed, Answered, Reused, false, "the key was used for another request, or this one is not valid"},
	{Vouched, NoAnswer, "", true, "the caller vouches for it"},
	{Vouched, Answered, Listed, true, "the caller vouches for it"},
	{Vouched, Answered, Asked, true, "the server asks for it, and the caller vouches for it"},
	{Unsafe, NoAnswer, "", false, "it may have been applied, and would be applied twice"},
	{Unsafe, Answered, "", false, "it may have been applied in part, and would be applied twice"},
}

// Table returns the safety table; the first row that matches decides.
func Table() []Row { return slices.Clone(table[:]) }

// Lookup finds the row for an outcome. v is empty where there is no response.
func Lookup(c Class, p Phase, v Verdict) Row {
	for _, row := range table {
		if (row.Class == "" || row.Class == c) && (row.Phase == "" || row.Phase == p) && (row.Verdict == "" || row.Verdict == v) {
			return row
		}
	}
	return Row{Class: c, Phase: p, Verdict: v, Why: "nothing is known about it"}
}

// IdempotentMethod reports the methods of RFC 9110 §9.2.2 and RFC 10008. Methods are
// case-sensitive: "get" is unknown.
func IdempotentMethod(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace,
		http.MethodPut, http.MethodDelete, "QUERY":
		return true
	}
	return false
}

// Replayable reports whether a request may be sent again as far as its form
// goes: it wants no upgrade, did not come as TLS early data (RFC 8470 §5.2:
// whoever forwarded it may replay it as well), and its body, if any, can be
// had again. A body that outgrows its buffer while it is sent is found out
// later, when GetBody fails.
func Replayable(req *http.Request) bool { return once(req) == "" }

// once is the reason for which a request can be sent only once; "": there is none.
// An Early-Data that is invalid or there twice counts like a valid one (RFC 8470 §5.1).
func once(req *http.Request) string {
	switch {
	case len(req.Header["Upgrade"]) > 0:
		return Upgrade
	case len(req.Header["Early-Data"]) > 0:
		return EarlyData
	case !replay.Possible(req):
		return BodyNotKept
	}
	return ""
}

// Class tells the class of a request under these settings; its context carries
// the caller's Controls.
func (s *Stage) Class(req *http.Request) Class {
	if !Replayable(req) {
		return Once
	}
	return s.KeptClass(req)
}

// KeptClass is the Class of a request that is kept somewhere, so that it can be made again
// whatever its form: it is never Once.
func (s *Stage) KeptClass(req *http.Request) Class {
	switch {
	case IdempotentMethod(req.Method):
		return Idempotent
	case s.keyed(req):
		return Keyed
	case ControlsFrom(req.Context()).Idempotent:
		return Vouched
	}
	return Unsafe
}
