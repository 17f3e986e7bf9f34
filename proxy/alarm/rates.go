package alarm

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
)

// The rules of alerts about what many calls say together.
var (
	throttled  = alert.Rule{Name: "throttled", Severity: alert.Warning}
	errorsHigh = alert.Rule{Name: "errors-high", Severity: alert.Critical}
)

const (
	// enoughCalls is how many calls, or answers, there are at least before a share of them
	// says something.
	enoughCalls = 20
	// throttledShare of the answers of five minutes ask for patience, in throttledMinutes of
	// them, when it is no burst that pacing has taken care of.
	throttledShare   = 0.1
	throttledMinutes = 4
	// errorShare is the least share of calls that fails; errorFactor how many times that of
	// the day before; errorSigmas how improbable it is that the two are the same: see risen.
	errorShare  = 0.05
	errorFactor = 2
	errorSigmas = 5
	// errorsLast is for how long it has to be so: an outage opens the circuit before.
	errorsLast = time.Minute
	// innocent calls are what a day is taken to have had beside those that were counted.
	innocent = 100
)

// callsSubject names the calls of an upstream in alerts.
func callsSubject(upstream string) string { return marked(upstream, callsMark, "") }

// A callsLook judges the calls of upstreams.
type callsLook struct {
	book   *alert.Book
	counts *callCounts

	throttled map[string]bool      // names of upstreams of which that is told
	high      map[string]bool      // the same
	rising    map[string]time.Time // name of an upstream → since when its errors are high, while that is not told
}

func newCallsLook(book *alert.Book, counts *callCounts) *callsLook {
	return &callsLook{book: book, counts: counts, throttled: make(map[string]bool), high: make(map[string]bool), rising: make(map[string]time.Time)}
}

func (l *callsLook) look(upstreams []policy.UpstreamStatus, now time.Time) {
	there := make(map[string]bool, len(upstreams))
	for _, up := range upstreams {
		there[up.Name] = true
		count := l.counts.known(up.Name)
		if count == nil { // nobody calls it
			continue
		}
		j := count.now(now)
		l.throttling(up.Name, j)
		l.errors(up.Name, count, j, now)
	}
	// Of what is gone the reload has said that it is over.
	for _, known := range []map[string]bool{l.throttled, l.high} {
		maps.DeleteFunc(known, func(name string, _ bool) bool { return !there[name] })
	}
	maps.DeleteFunc(l.rising, func(name string, _ time.Time) bool { return !there[name] })
	l.counts.retain(there)
}

// throttling tells of an upstream that goes on asking for patience.
func (l *callsLook) throttling(name string, j judged) {
	share := shareOf(j.latest.throttled, j.latest.answers)
	begins := j.latest.answers >= enoughCalls && share >= throttledShare && j.throttledIn >= throttledMinutes
	if l.throttled[name] && share < throttledShare/2 {
		delete(l.throttled, name)
		l.book.Resolve(callsSubject(name), throttled)
		return
	}
	if !begins && !l.throttled[name] {
		return
	}
	l.throttled[name] = true
	l.book.Raise(throttled, alert.Trouble{
		Subject: callsSubject(name), Trace: j.throttle.trace,
		Title:  fmt.Sprintf("%s throttles %.0f %% of what it is sent", name, 100*share),
		Detail: fmt.Sprintf("%d of %s in %d minutes asked for patience: the calls are more than it gives", j.latest.throttled, count(j.latest.answers, "answer"), latestMinutes),
		Action: "Look at outrider status for the quota that it is; send less, or say what there is with [[upstream." + name + ".limit]], or buy more. Somebody else may spend of it, too.",
	})
}

// errors tells of an upstream that fails more often than it did. While its circuit is open,
// or its credential in trouble, that is told already, and the failures of that time are
// neither usual nor unusual.
func (l *callsLook) errors(name string, count *callCount, j judged, now time.Time) {
	if l.told(name) {
		delete(l.rising, name)
		if !l.high[name] {
			count.forget()
		}
		return
	}
	switch {
	case l.high[name] && !higher(j.latest, j.day):
		delete(l.high, name)
		count.fall(false)
		l.book.Resolve(callsSubject(name), errorsHigh)
		return
	case l.high[name]:
	case !risen(j.latest, j.day):
		delete(l.rising, name)
		return
	case l.rising[name].IsZero():
		l.rising[name] = now
		return
	case now.Sub(l.rising[name]) < errorsLast:
		return
	default:
		delete(l.rising, name)
		l.high[name] = true
		count.fall(true)
	}
	l.book.Raise(errorsHigh, errorsTrouble(name, j))
}

func errorsTrouble(name string, j judged) alert.Trouble {
	before := "there was no other before"
	if j.day.calls > 0 {
		before = fmt.Sprintf("in the day before it was %.1f %% of %d", 100*shareOf(j.day.failed, j.day.calls), j.day.calls)
	}
	return alert.Trouble{
		Subject: callsSubject(name), Trace: j.failure.trace,
		Title:  fmt.Sprintf("%.0f %% of the calls to %s fail", 100*shareOf(j.latest.failed, j.latest.calls), name),
		Detail: fmt.Sprintf("%d of %s in %d minutes, the latest by %s; %s", j.latest.failed, count(j.latest.calls, "call"), latestMinutes, j.failure.reason, before),
		Action: "Look at the trace, at what was deployed last on either side, and at the provider's status page.",
	}
}

// told reports whether the failures of an upstream have another alert.
func (l *callsLook) told(name string) bool {
	return l.book.Has(func(a alert.Alert) bool {
		if isOneOf(credentialRules, a.Rule) {
			return a.Subject == name || strings.HasPrefix(a.Subject, name+"/")
		}
		return isOneOf(circuitRules, a.Rule) && strings.HasPrefix(a.Subject, marked(name, circuitMark, ""))
	})
}

// risen reports whether more calls fail now than in the day before, and that is no chance. A
// share that is small, or not even twice that of before, is nobody's night's work, however
// certain it is.
func risen(now, before tally) bool {
	return now.calls >= enoughCalls && higher(now, before) && noChance(now, before)
}

// noChance reports whether a share that is higher than before is so by more than chance: by
// the z-test of two proportions (pooled; NIST/SEMATECH e-Handbook of Statistical Methods,
// section 7.3.3)
//
//	p = failed/calls now, q = before, s = √(r(1−r)(1/n+1/m)), r = all failed/all calls
//	(p − q)/s ≥ 5
//
// Five, and not the usual two: it is looked at again and again, and failures come in bursts,
// which the test does not know of. A hundred calls without a failure are added to what was
// before: so a first day needs a fifth of the calls to fail, and not one of twenty.
func noChance(now, before tally) bool {
	n, m := float64(now.calls), float64(before.calls+innocent)
	p, q := float64(now.failed)/n, float64(before.failed)/m
	r := (float64(now.failed) + float64(before.failed)) / (n + m)
	return p-q >= errorSigmas*math.Sqrt(r*(1-r)*(1/n+1/m))
}

// higher reports whether the share of calls that fail is one that somebody has to look at.
func higher(now, before tally) bool {
	share := shareOf(now.failed, now.calls)
	return share >= errorShare && share >= errorFactor*shareOf(before.failed, before.calls+innocent)
}

func shareOf(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
