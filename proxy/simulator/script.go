package simulator

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxSteps bounds a script.
const maxSteps = 100

// A step is what one call of a script meets.
type step struct {
	kind   string   // see breakOff
	header []string // name, value, name, value …
}

// script answers the calls of a path and key step by step, and those that follow by 200.
func script(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	plan := s.planOf(p, r.URL.Path, -1)
	steps := p.steps("do")
	if p.refused(w) {
		return
	}
	drain(r)
	call, _ := s.plans.next(plan)
	if call > len(steps) {
		respond(w, http.StatusOK, fine{true, call})
		return
	}
	next := steps[call-1]
	for i := 0; i < len(next.header); i += 2 {
		w.Header().Add(next.header[i], next.header[i+1])
	}
	s.breakOff(w, r, next.kind)
}

// steps reads a script: each value is a kind of failure or any status, and after it the
// headers of the answer, "429|Retry-After: 1".
func (p *params) steps(name string) (steps []step) {
	values := p.values[name]
	if len(values) == 0 || len(values) > maxSteps {
		p.fail("%s: must be there from 1 to %d times, as in %s=503&%s=200", name, maxSteps, name, name)
	}
	for _, v := range values {
		parts := strings.Split(v, "|")
		next := step{kind: parts[0]}
		if !isKind(next.kind) {
			p.fail("%s = %q: must be %s", name, v, kinds)
		}
		for _, field := range parts[1:] {
			key, value, _ := strings.Cut(field, ":")
			value = strings.TrimSpace(value)
			if !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidHeaderFieldValue(value) {
				p.fail("%s = %q: behind | must be a header, as in 429|Retry-After: 1", name, v)
			}
			next.header = append(next.header, key, value)
		}
		steps = append(steps, next)
	}
	return steps
}
