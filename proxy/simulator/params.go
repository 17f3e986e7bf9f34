package simulator

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	maxLimit = 1_000_000           // calls that a quota may count
	maxWait  = 31 * 24 * time.Hour // any duration in a URL
)

// Params read the query of one request and collect what is wrong with it, so
// that the answer names everything at once.
type params struct {
	values url.Values
	wrong  []string
}

func paramsOf(r *http.Request) *params { return &params{values: r.URL.Query()} }

func (p *params) has(name string) bool { return p.values.Has(name) }

func (p *params) text(name, fallback string) string {
	if v := p.values.Get(name); v != "" {
		return v
	}
	return fallback
}

func (p *params) count(name string, fallback, least, most int) int {
	v := p.values.Get(name)
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		p.fail("%s = %q: must be a whole number from %d to %d", name, v, least, most)
	}
	return n
}

func (p *params) duration(name string, fallback time.Duration) time.Duration {
	return p.atLeast(0, name, fallback)
}

func (p *params) atLeast(least time.Duration, name string, fallback time.Duration) time.Duration {
	v := p.values.Get(name)
	if v == "" {
		return fallback
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > maxWait {
		p.fail("%s = %q: must be a duration with a unit, such as 250ms, from %s to %s", name, v, least, maxWait)
	}
	return d
}

// share reads a probability, 0 to 1.
func (p *params) share(name string, fallback float64) float64 {
	v := p.values.Get(name)
	if v == "" {
		return fallback
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		p.fail("%s = %q: must be a number from 0 to 1", name, v)
	}
	return f
}

func (p *params) seed(fallback uint64) uint64 {
	v := p.values.Get("seed")
	if v == "" {
		return fallback
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		p.fail("seed = %q: must be a whole number", v)
	}
	return n
}

func (p *params) fail(format string, args ...any) {
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}

// refused answers 400 if anything was wrong, and says so.
func (p *params) refused(w http.ResponseWriter) bool {
	if len(p.wrong) == 0 {
		return false
	}
	respond(w, http.StatusBadRequest, problem{Error: "bad parameters", Wrong: p.wrong, Hint: "GET / lists the parameters"})
	return true
}

// isStatus says whether text is a status code that a final answer can carry.
func isStatus(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && len(text) == 3 && n >= 200 && n <= 599
}
