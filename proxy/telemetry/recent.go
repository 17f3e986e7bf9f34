package telemetry

import (
	"sync"
	"time"

	"outrider/policy"
)

// A Record is what is remembered of a finished call. Times are milliseconds;
// offsets count from Time.
type Record struct {
	Time          time.Time    `json:"time"` // when the call came in
	TraceID       string       `json:"trace_id"`
	Form          string       `json:"form"` // base-url, forward, intercepted, connect
	Method        string       `json:"method"`
	Upstream      string       `json:"upstream,omitempty"`
	Rule          string       `json:"rule,omitempty"`
	Connection    string       `json:"connection,omitempty"` // the credential that the caller chose
	Host          string       `json:"host"`
	Path          string       `json:"path"`             // without the query
	Status        int          `json:"status,omitempty"` // 0: the client got no answer
	Class         policy.Class `json:"class,omitempty"`
	Problem       string       `json:"problem,omitempty"` // slug of an answer of our own
	Stale         string       `json:"stale,omitempty"`   // the failure in place of which an earlier answer was given
	Error         string       `json:"error,omitempty"`
	Attempts      int          `json:"attempts"` // requests on the wire
	WaitedMS      float64      `json:"waited_ms"`
	DurationMS    float64      `json:"duration_ms"`
	RequestBytes  int64        `json:"request_bytes"`
	ResponseBytes int64        `json:"response_bytes"`
	Tries         []Try        `json:"tries,omitempty"` // the first 32
	Waits         []Wait       `json:"waits,omitempty"` // the first 32
}

// A Try is one pass through the transport; Sent says whether it became an
// attempt, that is a request on the wire.
type Try struct {
	StartMS    float64 `json:"start_ms"`
	HeadersMS  float64 `json:"headers_ms,omitempty"` // from Start until the response's headers; 0: none came
	DurationMS float64 `json:"duration_ms"`          // until the end of the response's body
	Status     int     `json:"status,omitempty"`
	Error      string  `json:"error,omitempty"` // kind of the error
	Sent       bool    `json:"sent"`
	Reused     bool    `json:"reused"` // over a connection that had served before
}

// A Wait is a time that a call spent without being sent.
type Wait struct {
	StartMS    float64 `json:"start_ms"`
	DurationMS float64 `json:"duration_ms"`
	Kind       string  `json:"kind"` // turn: waited in line; backoff: before another attempt; token: for a credential
	Reason     string  `json:"reason"`
}

// maxKept bounds what one call leaves behind.
const maxKept = 32

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ring remembers the latest calls.
type ring struct {
	mu    sync.Mutex
	calls []*Record // fixed size; a nil slot is still free
	next  int
}

func newRing(n int) *ring {
	if n <= 0 {
		n = 200
	}
	return &ring{calls: make([]*Record, n)}
}

// add keeps r, which nobody may change any more.
func (r *ring) add(rec *Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[r.next] = rec
	r.next = (r.next + 1) % len(r.calls)
}

// Recent lists the latest finished calls, newest first.
func (t *Telemetry) Recent() []Record {
	r := t.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Record, 0, len(r.calls))
	for i := range r.calls {
		rec := r.calls[(r.next-1-i+2*len(r.calls))%len(r.calls)]
		if rec == nil {
			break
		}
		list = append(list, *rec)
	}
	return list
}
