package alert

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// maxAlerts bounds what a Book knows at a time: of thousands of customers whose
// provider is down, the first say it all.
const maxAlerts = 1000

// A Book knows what is wrong now. It may be used concurrently, and nothing that it
// does waits.
type Book struct {
	changed func(Alert)

	mu        sync.Mutex
	overrides map[string]Override // name of a rule → what the operator says of it
	entries   map[key]*entry
	closed    bool
}

type key struct{ rule, subject string }

type entry struct {
	Alert
	rule   Rule
	told   bool
	due    bool        // the rule's patience is over
	timer  *time.Timer // that ends it; nil: it had none
	over   time.Time   // since when it seems to be over; zero: it lasts
	settle *time.Timer // that ends the doubt; nil: there is none
}

// NewBook makes a Book. changed is told of each alert when it begins, once its rule's
// patience is over, and when it ends; in their order, and must not block. It may be
// nil.
func NewBook(changed func(Alert)) *Book {
	if changed == nil {
		changed = func(Alert) {}
	}
	return &Book{changed: changed, entries: make(map[key]*entry)}
}

// Override sets what the operator says of rules, by their names. What a rule that is off
// has raised is over. Another patience is that of what is raised from now on.
func (b *Book) Override(overrides map[string]Override) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.overrides = overrides
	for k, e := range b.entries {
		if overrides[k.rule].Off {
			b.end(k, e, time.Now())
		}
	}
}

// Raise says that there is trouble, or still is: then what is newest of it is kept, and
// its first trace. It is not noted if the rule is off, or there is too much of it.
func (b *Book) Raise(rule Rule, t Trouble) (noted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	override := b.overrides[rule.Name]
	if override.Off {
		return false
	}
	k := key{rule.Name, t.Subject}
	e := b.entries[k]
	if e == nil {
		if b.closed || len(b.entries) >= maxAlerts {
			return false
		}
		e = b.begin(k, rule.follow(override))
	}
	e.lasts()
	e.Title, e.Detail, e.Action = t.Title, t.Detail, t.Action
	if e.Trace == "" {
		e.Trace = t.Trace
	}
	e.Calls = max(e.Calls, t.Calls)
	e.Count++
	e.tell(b)
	return true
}

// begin makes the entry of new trouble.
func (b *Book) begin(k key, rule Rule) *entry {
	e := &entry{Alert: Alert{Rule: rule.Name, Severity: rule.Severity, Subject: k.subject, Since: time.Now()}, rule: rule}
	b.entries[k] = e
	if e.due = rule.Patience == 0; !e.due {
		e.timer = time.AfterFunc(rule.Patience, func() { b.expire(k, e) })
	}
	return e
}

// expire ends the patience with an alert.
func (b *Book) expire(k key, e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries[k] == e {
		e.due = true
		e.tell(b)
	}
}

// tell tells an alert if it is time. It is called with the lock held, so that what is
// told is in its order.
func (e *entry) tell(b *Book) {
	if e.told || !e.due || e.Count < e.rule.Least {
		return
	}
	e.told = true
	b.changed(e.Alert)
}

// lasts takes back that it seemed to be over.
func (e *entry) lasts() {
	if e.settle != nil {
		e.settle.Stop()
	}
	e.settle, e.over = nil, time.Time{}
}

// Meet says that a call has met the trouble for which met is true: it is counted, and
// its trace is kept if it is the first.
func (b *Book) Meet(trace string, met func(Alert) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if met(e.Alert) {
			e.Calls++
			e.Trace = cmp.Or(e.Trace, trace)
		}
	}
}

// Resolve says that the trouble of these rules with subject is over.
func (b *Book) Resolve(subject string, rules ...Rule) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rule := range rules {
		k := key{rule.Name, subject}
		switch e := b.entries[k]; {
		case e == nil:
		case !e.told || e.rule.Settle == 0:
			b.end(k, e, time.Now())
		case e.over.IsZero():
			e.over = time.Now()
			e.settle = time.AfterFunc(e.rule.Settle, func() { b.settled(k, e) })
		}
	}
}

// Amend says something else of trouble that lasts, or is not yet over for long enough: why it
// is, and what can be done about it. It does not say that it is still there.
func (b *Book) Amend(rule Rule, subject, detail, action string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[key{rule.Name, subject}]; e != nil {
		e.Detail, e.Action = detail, action
	}
}

// settled ends what has been over for long enough.
func (b *Book) settled(k key, e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entries[k] == e && !e.over.IsZero() && time.Since(e.over) >= e.rule.Settle {
		b.end(k, e, e.over)
	}
}

// Retain says that all trouble is over whose subject is not there any more.
func (b *Book) Retain(there func(subject string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, e := range b.entries {
		if !there(e.Subject) {
			b.end(k, e, time.Now())
		}
	}
}

// end takes an alert out. The lock is held.
func (b *Book) end(k key, e *entry, at time.Time) {
	delete(b.entries, k)
	e.stop()
	if e.told {
		e.Ended = &at
		b.changed(e.Alert)
	}
}

// stop stops its timers.
func (e *entry) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
	if e.settle != nil {
		e.settle.Stop()
	}
}

// Latest is what is known now of an alert that was told: the call that it began with has
// ended meanwhile. One that is over is as it was told.
func (b *Book) Latest(told Alert) Alert {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[key{told.Rule, told.Subject}]; e != nil && e.Since.Equal(told.Since) {
		return e.Alert
	}
	return told
}

// Active lists what lasts and was told, the newest first.
func (b *Book) Active() []Alert {
	b.mu.Lock()
	defer b.mu.Unlock()
	active := make([]Alert, 0, len(b.entries))
	for _, e := range b.entries {
		if e.told {
			active = append(active, e.Alert)
		}
	}
	slices.SortFunc(active, func(x, y Alert) int {
		return cmp.Or(y.Since.Compare(x.Since), cmp.Compare(x.Subject, y.Subject), cmp.Compare(x.Rule, y.Rule))
	})
	return active
}

// Lasts reports whether there is trouble of one of these rules with subject, told or not
// yet, or not yet over for long enough.
func (b *Book) Lasts(subject string, rules ...Rule) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rule := range rules {
		if b.entries[key{rule.Name, subject}] != nil {
			return true
		}
	}
	return false
}

// Has reports whether there is trouble, told or not yet, for which is is true.
func (b *Book) Has(is func(Alert) bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if is(e.Alert) {
			return true
		}
	}
	return false
}

// Close ends all patience. Nothing is raised after it.
func (b *Book) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, e := range b.entries {
		e.stop()
	}
}
