package alert

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// The severities of a Rule.
const (
	Critical = "critical" // something does not work until somebody acts
	Warning  = "warning"  // it will not, if nobody does
)

// A Rule is one kind of trouble.
type Rule struct {
	Name     string        // "credential-dead": a word out of a small set
	Severity string        // Critical or Warning
	Patience time.Duration // how long it has to last before somebody is told; 0: not at all
	Least    int           // how often it has to be raised by then, or later, before; 0: once
}

// An Alert is one trouble that somebody has to know of. It holds no secret.
type Alert struct {
	Rule     string     `json:"rule"`
	Severity string     `json:"severity"`
	Subject  string     `json:"subject"`         // what it is about, such as an upstream and its credential: "crm/default"
	Title    string     `json:"title"`           // what to do, or what has happened, in a line
	Detail   string     `json:"detail"`          // why
	Since    time.Time  `json:"since"`           // when it began
	Ended    *time.Time `json:"ended,omitempty"` // when it was over; nil: it lasts
	Count    int        `json:"count"`           // how often it was raised
}

// maxAlerts bounds what a Book knows at a time: of thousands of customers whose
// provider is down, the first say it all.
const maxAlerts = 1000

// A Book knows what is wrong now. It may be used concurrently, and nothing that it
// does waits.
type Book struct {
	changed func(Alert)

	mu      sync.Mutex
	entries map[key]*entry
	closed  bool
}

type key struct{ rule, subject string }

type entry struct {
	Alert
	rule  Rule
	told  bool
	due   bool        // the rule's patience is over
	timer *time.Timer // that ends it; nil: it had none
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

// Raise says that there is trouble, or still is: then the newest detail is kept.
func (b *Book) Raise(rule Rule, subject, title, detail string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := key{rule.Name, subject}
	e := b.entries[k]
	if e == nil {
		if b.closed || len(b.entries) >= maxAlerts {
			return
		}
		e = &entry{Alert: Alert{Rule: rule.Name, Severity: rule.Severity, Subject: subject, Since: time.Now()}, rule: rule}
		b.entries[k] = e
		if e.due = rule.Patience == 0; !e.due {
			e.timer = time.AfterFunc(rule.Patience, func() { b.expire(k, e) })
		}
	}
	e.Title, e.Detail = title, detail
	e.Count++
	e.tell(b)
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

// Resolve says that the trouble of these rules with subject is over.
func (b *Book) Resolve(subject string, rules ...Rule) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rule := range rules {
		k := key{rule.Name, subject}
		if e := b.entries[k]; e != nil {
			b.end(k, e)
		}
	}
}

// Retain says that all trouble is over whose subject is not there any more.
func (b *Book) Retain(there func(subject string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, e := range b.entries {
		if !there(e.Subject) {
			b.end(k, e)
		}
	}
}

// end takes an alert out. The lock is held.
func (b *Book) end(k key, e *entry) {
	delete(b.entries, k)
	if e.timer != nil {
		e.timer.Stop()
	}
	if e.told {
		now := time.Now()
		e.Ended = &now
		b.changed(e.Alert)
	}
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

// Close ends all patience. Nothing is raised after it.
func (b *Book) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, e := range b.entries {
		if e.timer != nil {
			e.timer.Stop()
		}
	}
}
