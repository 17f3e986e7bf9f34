package telemetry

import (
	"sync"
	"time"

	"outrider/policy"
)

// A Record is what there is to be said of a finished call. Times are milliseconds; offsets
// count from Time.
type Record struct {
	Number        uint64       `json:"number"` // calls are numbered as they end
	Time          time.Time    `json:"time"`   // when the call came in
	TraceID       string       `json:"trace_id"`
	Form          string       `json:"form"` // base-url, forward, intercepted, connect; outbox: a letter was sent
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
	Quiet         string       `json:"quiet,omitempty"`   // the failure of which the status says nothing: "failed: ok: false"
	Letter        string       `json:"letter,omitempty"`  // id of the letter that it was kept as, or that was sent
	Error         string       `json:"error,omitempty"`
	Attempts      int          `json:"attempts"` // requests on the wire
	WaitedMS      float64      `json:"waited_ms"`
	DurationMS    float64      `json:"duration_ms"`
	RequestBytes  int64        `json:"request_bytes"`
	ResponseBytes int64        `json:"response_bytes"`
	Tries         []Try        `json:"tries,omitempty"` // the first 32, as they began
	Waits         []Wait       `json:"waits,omitempty"` // the first 32

	own bool // the answer was ours, though the upstream may have been asked
}

// A Try is one pass through the transport; Sent says whether it became an
// attempt, that is a request on the wire.
type Try struct {
	StartMS    float64 `json:"start_ms"`
	HeadersMS  float64 `json:"headers_ms,omitempty"` // from Start until the response's headers; 0: none came
	DurationMS float64 `json:"duration_ms"`          // until the end of the response's body came
	Status     int     `json:"status,omitempty"`
	Error      string  `json:"error,omitempty"` // kind of the error
	Lost       bool    `json:"lost,omitempty"`  // canceled, since another attempt had the answer: no error
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

// recent remembers the latest calls, and beyond them the latest that failed: one failure
// in a busy hour is what people look for.
type recent struct {
	mu     sync.Mutex
	number uint64 // of the newest call
	all    ring
	failed ring
}

// A ring has the latest of its calls.
type ring struct {
	calls []*kept // fixed size; a nil slot is still free
	next  int
}

// How many calls are remembered.
const (
	keptCalls  = 500
	keptFailed = 200
)

func newRecent(calls int) *recent {
	if calls <= 0 {
		calls = keptCalls
	}
	return &recent{all: ring{calls: make([]*kept, calls)}, failed: ring{calls: make([]*kept, keptFailed)}}
}

// add numbers a call, keeps it, and tells those who follow, whom the calls so reach in the
// order of their numbers. Nobody may have it any more.
func (r *recent) add(k *kept, followers *feed) {
	k.holdNothing()
	r.mu.Lock()
	r.number++
	k.Number = r.number
	forgotten := r.all.add(k)
	if k.failed() {
		r.failed.add(k.copy())
	}
	if followers.some.Load() {
		followers.tell(k.record())
	}
	r.mu.Unlock()
	if forgotten != nil {
		forgotten.free()
	}
}

// add gives the call that it has no place for any more; nil: there is none.
func (r *ring) add(k *kept) (forgotten *kept) {
	forgotten, r.calls[r.next] = r.calls[r.next], k
	r.next = (r.next + 1) % len(r.calls)
	return forgotten
}

// newest lists what is in the ring, newest first.
func (r *ring) newest(yield func(*Record) bool) {
	for i := range r.calls {
		k := r.calls[(r.next-1-i+2*len(r.calls))%len(r.calls)]
		if k == nil || !yield(k.record()) {
			return
		}
	}
}

// list has the calls that f takes, newest first.
func (r *recent) list(f Filter) []*Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Record, 0, len(r.all.calls))
	oldest := r.number + 1
	for rec := range r.all.newest {
		oldest = rec.Number
		if f.Match(rec) {
			list = append(list, rec)
		}
	}
	for rec := range r.failed.newest {
		if rec.Number < oldest && f.Match(rec) {
			list = append(list, rec)
		}
	}
	return list
}

// Recent lists the latest finished calls that f takes, newest first: the last 500, or as
// many as the settings say, and before them the last that failed.
func (t *Telemetry) Recent(f Filter) []*Record {
	t.Flush()
	return t.recent.list(f)
}
