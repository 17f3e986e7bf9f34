package limit

import (
	"context"
	"net/http"
	"slices"
	"time"

	"outrider/policy/hint"
	"outrider/policy/pace"
	"outrider/policy/quota"
)

// maxHint cuts what can only be a mistake: a date in the wrong format, an
// epoch where seconds were meant.
const maxHint = 24 * time.Hour

// A Meaning is what an answer means for its quota where its status does not say it.
type Meaning int

// The meanings.
const (
	AsStatus  Meaning = iota // what its status says
	Throttled                // too fast
	Exhausted                // the quota is spent, and that is no matter of pace
	Unrelated                // it is about something else: an answer like any other
)

// An Answer is what an answer means, whatever its status.
type Answer struct {
	Meaning Meaning

	// After is for how long nothing is to be sent; 0: it does not say. Of Throttled what
	// the header says goes before.
	After time.Duration

	// Points is what it says of a quota in its body; nil: nothing.
	Points *quota.View
}

// A verdict is what an answer says of our pace.
type verdict struct {
	fine  bool          // the provider is content with it
	hints bool          // it says when to come back, by Retry-After
	after time.Duration // for how long nothing is to be sent; not positive: no time at all
	views []quota.View  // of its quotas
}

// nothing reports that it says nothing but that the provider is content.
func (said *verdict) nothing() bool { return said.fine && said.after <= 0 && len(said.views) == 0 }

// learn reads what the answer to a request says. It goes by what the answer means, or else
// by its status.
func (s *Settings) learn(said *verdict, req *http.Request, resp *http.Response, now time.Time) {
	var means Answer
	if s.Answer != nil {
		means = s.Answer(req, resp)
	}
	switch means.Meaning {
	case Throttled, Exhausted, Unrelated:
		said.byMeaning(means, resp.Header, now, s.Dialect)
	default: // mostly
		said.byStatus(resp.StatusCode, resp.Header, now, s.Dialect)
	}
	if means.Points != nil {
		said.views = append(said.views, *means.Points)
	}
}

// byMeaning reads what an answer means whose status does not say it, and its header.
func (said *verdict) byMeaning(means Answer, header http.Header, now time.Time, dialect *quota.Dialect) {
	switch means.Meaning {
	case Throttled:
		said.byStatus(http.StatusTooManyRequests, header, now, dialect)
		if said.after <= 0 && means.After > 0 {
			said.hints, said.after = true, min(means.After, maxHint)
		}
	case Exhausted:
		said.byStatus(http.StatusOK, header, now, dialect)
		said.after = min(means.After, maxHint)
	case Unrelated:
		said.byStatus(http.StatusOK, header, now, dialect)
	}
}

// byStatus reads a status and its header.
func (said *verdict) byStatus(status int, header http.Header, now time.Time, dialect *quota.Dialect) {
	said.fine, said.views = true, quota.Parse(header, now, dialect)
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusForbidden:
		said.byRefusal(status, header, now)
	}
}

// byRefusal reads a status that can be a refusal. RFC 6585 section 4: 429, with or without a
// time; RFC 9110 section 15.6.4: a 503 that names a time; a 403 that names one, or says that
// nothing is left (GitHub). A 429 that names no time, neither by Retry-After nor as that of
// its quota, does not say for how long, and the call that got it backs off.
func (said *verdict) byRefusal(status int, header http.Header, now time.Time) {
	if after, named := hint.RetryAfter(header, now); named {
		said.fine, said.hints, said.after = false, true, min(after, maxHint)
		return
	}
	if status == http.StatusServiceUnavailable {
		return
	}
	until, exhausted := quota.Exhausted(said.views, status, false, now)
	said.fine = !exhausted && status == http.StatusForbidden
	said.after = min(until.Sub(now), maxHint)
}

// A heard is what an answer says of a bucket.
type heard struct {
	*meter
	view quota.View
}

// learn takes over what the answer to a call said at now. moved reports whether somebody's turn may
// come at another time than before. What tell has is called without the lock.
func (d *dispatcher) learn(ctx context.Context, t *turn, now time.Time) (moved bool, tell []func()) {
	base, said := t.lane.base, &t.said
	if base == nil {
		return false, nil
	}
	buckets := d.told(t, now)
	slowed := slices.ContainsFunc(t.meters, func(m *meter) bool { return m.adaptive.Rate() > 0 })
	if said.after > 0 {
		closed := t.meters // What is exhausted may be none of the buckets that are told of.
		if !said.fine {
			closed = spent(buckets, t.meters)
		}
		tell = d.throttled(ctx, closed, now, said.after)
	}
	switch {
	case said.fine:
		for _, m := range t.meters { // A reload may have left one slow that is no base any more.
			m.adaptive.Fine(now)
		}
	case len(buckets) == 0 && (!said.hints || base.settings.Count == 0):
		base.adaptive.Refused(now, t.taken, base.settings.speed()) // Nothing else says how fast to go.
	}
	worse := len(buckets) > 0 || !said.fine
	d.disturbed = d.disturbed || worse
	learned := func(m *meter) bool { return m.learned != nil }
	return worse || slowed || len(t.lane.buckets) > 0 || slices.ContainsFunc(t.meters, learned), tell
}

// told has the buckets hear of an answer: those that it names, what it says, and the
// others that the call was taken to count to, that it says nothing.
func (d *dispatcher) told(t *turn, now time.Time) (buckets []heard) {
	base := t.lane.base
	d.makeRoom(base, len(t.said.views), now)
	var named []*meter
	for _, v := range t.said.views {
		m := d.bucket(base, v)
		if m == nil || slices.Contains(named, m) {
			continue
		}
		named, buckets = append(named, m), append(buckets, heard{m, v})
		m.hear(t, v, base.settings, now)
	}
	for _, m := range t.meters {
		if m.learned != nil && !slices.Contains(named, m) {
			m.silent(t, base.settings, now)
		}
	}
	if len(named) > 0 {
		d.assign(t, named, now)
		for _, m := range t.meters {
			pace.Loosen(m.shape, slices.ContainsFunc(named, func(b *meter) bool { return b.tells(m, now) }))
		}
	}
	return buckets
}

// hear takes over what an answer to a call says of a bucket.
func (m *meter) hear(t *turn, v quota.View, base *Settings, now time.Time) {
	if v.Unit == quota.Concurrency {
		m.slots, m.spoken = int(min(v.Limit.N, maxSlots)), now
		m.adopt(base)
		return
	}
	// A Retry-After goes before the reset of what is spent (section 7 of the draft). Of a
	// bucket that refills it is not the time at which all is back.
	if t.said.hints && v.Spent() && v.Refill != quota.Gradual && !v.Reset.IsZero() {
		v.Reset = now.Add(t.said.after)
	}
	m.learned.Charged(t.cost, v)
	m.learned.Told(now, v, !t.said.fine)
}

// silent notes an answer to a call that was taken to count to a bucket, and says nothing
// of it.
func (m *meter) silent(t *turn, base *Settings, now time.Time) {
	m.learned.Silent(now, t.taken, t.cost)
	if m.slots > 0 && now.Sub(m.spoken) > slotsHold {
		m.slots = 0
		m.adopt(base)
	}
}

// slotsHold is for how long slots that were learned hold against answers that do not speak
// of them: as long as other buckets do at least, see pace.Learned.
const slotsHold = time.Minute

// maxSlots is the most calls at once that a provider can be taken to speak of.
const maxSlots = 1 << 20

// tells reports whether a bucket is the very quota that a table describes, as far as its
// limit tells: then what is left of it need not be guessed.
func (m *meter) tells(of *meter, now time.Time) bool {
	facts, _, known := m.learned.About(now)
	return known && of.settings.Count > 0 && facts.Limit >= 0.8*of.settings.Count && facts.Limit <= 1.2*of.settings.Count
}

// spent are the meters whose gates a refusal closes: the buckets of which it says that
// nothing is left, or too little for the call, or else all that the call passed.
func spent(buckets []heard, passed []*meter) []*meter {
	var spent []*meter
	for _, b := range buckets {
		if b.view.Spent() || b.view.Short() {
			spent = append(spent, b.meter)
		}
	}
	if len(spent) > 0 {
		return spent
	}
	return passed
}

// throttled closes the gates of those meters that learn until hint after now, when the
// hint was read.
func (d *dispatcher) throttled(ctx context.Context, meters []*meter, now time.Time, hint time.Duration) (tell []func()) {
	for _, m := range meters {
		s := m.settings
		until := now.Add(hint + s.spread(hint))
		if !s.Learn || !m.gate.close(until, s.gently()) {
			continue
		}
		if s.OnGate != nil {
			tell = append(tell, func() { s.OnGate(ctx, m.key, until) })
		}
		for _, l := range d.backlog {
			if l.has(m) {
				l.line.reason(waitGate)
			}
		}
	}
	return tell
}
