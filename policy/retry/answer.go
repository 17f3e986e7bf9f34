package retry

import (
	"net/http"
	"slices"
	"time"
)

// A Meaning is what a response means for another attempt where its status does not
// say it.
type Meaning int

// The meanings.
const (
	AsStatus   Meaning = iota // what its status says
	AsThrottle                // what a 429 would say
	AsFault                   // what a 500 would say
	AsFinal                   // that it stands
)

// An Answer is what a response means, whatever its status.
type Answer struct {
	Meaning Meaning
	After   time.Duration // AsThrottle: the server wants to be left alone for so long; 0: it does not say
	Reason  string        // in a few words, out of a small set, for the events; "": there is nothing to tell

	// Unprocessed says of a throttle that nothing was done: then it is safe to try again
	// whatever the request.
	Unprocessed bool
}

// answer is what a response means; nil: there is none.
func (s *Stage) answer(req *http.Request, resp *http.Response) Answer {
	if resp == nil || s.set.Answer == nil {
		return Answer{}
	}
	return s.set.Answer(req, resp)
}

// listed reports whether a response is worth another attempt by Settings.Statuses.
func (s *Stage) listed(resp *http.Response, a Answer) bool {
	status := resp.StatusCode
	switch a.Meaning {
	case AsThrottle:
		status = http.StatusTooManyRequests
	case AsFault:
		status = http.StatusInternalServerError
	}
	return slices.Contains(s.set.Statuses, status)
}
