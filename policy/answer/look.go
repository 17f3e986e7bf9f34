package answer

import (
	"net/http"
	"slices"
	"time"

	"outrider/policy/hint"
	"outrider/policy/quota"
)

// A look is one answer while it is looked at. Its body is read once, when the first
// pattern wants it.
type look struct {
	stage    *Stage
	req      *http.Request
	resp     *http.Response // to go on with
	begun    time.Time      // the attempt
	read     bool
	body     []byte // nil: it says nothing
	parsed   bool
	document any         // see json
	points   *quota.View // that a pattern has come across; nil: none
}

// throttled is what GraphQL says of a query that costs more points than there are.
const throttled = "THROTTLED"

// finding is what there is to tell of the answer; nil: nothing.
func (l *look) finding() *Finding {
	f := l.find()
	if f == nil && l.points != nil {
		f = new(Finding)
	}
	if f != nil {
		f.Points = l.points
	}
	return f
}

// find tries the patterns in their order.
func (l *look) find() *Finding {
	for i := range l.stage.patterns {
		p := &l.stage.patterns[i]
		if !slices.Contains(p.Statuses, l.resp.StatusCode) || !p.concerns(l.req) {
			continue
		}
		if f := l.at(p); f != nil {
			return f
		}
	}
	return nil
}

// at is what the answer means if it fits p.
func (l *look) at(p *pattern) *Finding {
	var word string
	var fits bool
	var points time.Duration
	undone := false
	switch {
	case p.GraphQL:
		word = throttled
		if l.load(); p.glance.passes(l.body) {
			points, fits = l.throttle()
			undone = fits && !l.points.Taken.Known
		}
	case p.Header != "":
		word, fits = p.inHeader(l.resp.Header)
	default:
		if l.load(); p.glance.passes(l.body) {
			word, fits = p.find(l.json())
		}
	}
	if !fits {
		return nil
	}
	return &Finding{Meaning: p.Means, Word: word, Quiet: l.resp.StatusCode < http.StatusBadRequest, After: l.after(p, points, time.Now()), Unprocessed: undone}
}

// throttle reports whether a query of GraphQL was refused, and how long it takes until
// there are as many points as it asked for: (asked - available) / restored in a second.
// What is said of points is kept, also of a query that was not.
func (l *look) throttle() (wait time.Duration, refused bool) {
	now := time.Now()
	t, ok := quota.ParseThrottle(l.body, now)
	if !ok {
		return 0, false
	}
	if l.points = &t.View; !t.Refused {
		return 0, false
	}
	if back := t.View.Back(t.View.Asked.N, now); back.After(now) {
		wait = back.Sub(now)
	}
	return wait, true
}

// load reads the body, if it was not read yet: for no longer than the attempt may take,
// nor for more than half of what is left of the call.
func (l *look) load() {
	if l.read {
		return
	}
	l.read = true
	now, d := time.Now(), patience
	if set := &l.stage.set; set.Attempt > 0 {
		took := now.Sub(l.begun)
		if set.Uploaded != nil {
			if ago, streamed := set.Uploaded(l.req.Context()); streamed {
				took = min(took, ago)
			}
		}
		d = min(d, set.Attempt-took)
	}
	if end, ok := l.req.Context().Deadline(); ok {
		d = min(d, end.Sub(now)/2)
	}
	l.resp, l.body = text(l.resp, l.longest(), d) //nolint:bodyclose // it is that of the answer, which goes on
}

// longest is how many bytes of the body are read. Those that GraphQL is asked for carry
// data; what refuses is short.
func (l *look) longest() int {
	asked := func(p pattern) bool { return p.GraphQL && slices.Contains(p.Statuses, l.resp.StatusCode) }
	if slices.ContainsFunc(l.stage.patterns, asked) {
		return quota.MaxThrottleBody
	}
	return longest
}

// json is the body that was loaded, as JSON; nil: it is none, or longer than one that
// refuses.
func (l *look) json() any {
	if !l.parsed && len(l.body) <= longest {
		l.parsed, l.document = true, parse(l.body)
	}
	return l.document
}

// after is for how long the answer asks to be left alone, by the first of these that
// says it: Retry-After; the points of GraphQL and the quotas of the header, whichever
// takes longer; the rule. A quota whose exhaustion no waiting helps is often not one that
// the header tells of: there only counts what is spent by its own number.
func (l *look) after(p *pattern, points time.Duration, now time.Time) time.Duration {
	switch p.Means {
	case Refused, Failed, Partial:
		return 0
	}
	if after, named := hint.RetryAfter(l.resp.Header, now); named {
		return after
	}
	if p.Means == Throttled || p.Means == Exhausted {
		status := http.StatusTooManyRequests
		if p.Means == Exhausted {
			status = http.StatusOK
		}
		until, _ := quota.Exhausted(quota.Parse(l.resp.Header, now, l.stage.set.Dialect), status, false, now)
		points = max(points, min(until.Sub(now), hint.Max))
	}
	if points > 0 {
		return min(points, hint.Max)
	}
	return p.Wait
}
