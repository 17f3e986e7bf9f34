package letters

import (
	"context"
	"net/http"
	"time"

	"outrider/proxy/admin"
	"outrider/proxy/outbox"
)

// A Done says to how many letters something was done.
type Done struct {
	Letters int `json:"letters"`
}

func (d desk) drop(w http.ResponseWriter, r *http.Request)  { act(w, r, readChoice, d.outbox.Drop) }
func (d desk) retry(w http.ResponseWriter, r *http.Request) { act(w, r, readRetry, d.outbox.Retry) }

// act does something to the letters that a request chooses.
func act(w http.ResponseWriter, r *http.Request, read func(string, time.Time) (outbox.Filter, error), do func(context.Context, outbox.Filter) (int, error)) {
	if !bodiless(w, r) {
		return
	}
	filter, err := read(r.URL.RawQuery, time.Now())
	if err != nil {
		malformed(w, err)
		return
	}
	n, err := do(r.Context(), filter)
	if err != nil {
		fail(w, err)
		return
	}
	admin.Answer(w, http.StatusOK, Done{n})
}

// drain answers when nothing waits any more, or never, if the caller does not wait for it.
func (d desk) drain(w http.ResponseWriter, r *http.Request) {
	if !bodiless(w, r) {
		return
	}
	query, err := parameters(r.URL.RawQuery, []string{"upstream"})
	if err != nil {
		malformed(w, err)
		return
	}
	if err := d.outbox.Drain(r.Context(), outbox.Filter{Upstream: query.Get("upstream")}); err != nil {
		fail(w, err)
		return
	}
	d.standing(w, r)
}

// bodiless reports whether a request has no body, and answers if it has: a body is what -d of
// curl makes of parameters, and they would not be seen.
func bodiless(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength == 0 {
		return true
	}
	admin.Fail(w, http.StatusBadRequest, "malformed-request", "The parameters are in the address: there is no body.")
	return false
}
