package alert

import "time"

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
	// Settle is how long it has to be over before that is told: what is raised again by
	// then was not over. 0: not at all.
	Settle time.Duration
}

// An Override is what the operator says of a Rule.
type Override struct {
	Off   bool          // it is not looked at
	After time.Duration // in place of its Patience; 0: that
}

// follow is the rule as the operator wants it.
func (r Rule) follow(o Override) Rule {
	if o.After > 0 {
		r.Patience = o.After
	}
	return r
}

// A Trouble is what is wrong, for people. It holds no secret.
type Trouble struct {
	Subject string // what it is about, such as an upstream and its credential: "crm/default"
	Title   string // what has happened, or what to do about it, in a line
	Detail  string // why
	Action  string // what somebody can do about it; "": the title says it
	Trace   string // the id of the trace of a call that met it; "": none is known
	Calls   int    // how many calls have met it, where that is known otherwise than by Meet; else 0
}

// An Alert is a Trouble that somebody has to know of.
type Alert struct {
	Rule     string     `json:"rule"`
	Severity string     `json:"severity"`
	Subject  string     `json:"subject"`
	Title    string     `json:"title"`
	Detail   string     `json:"detail"`
	Action   string     `json:"action,omitempty"`
	Trace    string     `json:"trace,omitempty"`
	Since    time.Time  `json:"since"`           // when it began
	Ended    *time.Time `json:"ended,omitempty"` // when it was over; nil: it lasts
	Count    int        `json:"count"`           // how often it was raised
	Calls    int        `json:"calls,omitempty"` // how many calls have met it, as far as that is counted
}
