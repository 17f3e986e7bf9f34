package policy

import (
	"net/http"
	"time"
)

// A Verdict is what becomes of a letter, a call that is kept, after it was sent.
type Verdict string

// The verdicts.
const (
	VerdictDelivered Verdict = "delivered" // it has its answer
	VerdictNotSent   Verdict = "not sent"  // it never left: to be sent later, and this was no attempt
	VerdictLater     Verdict = "later"     // to be sent again later
	VerdictDead      Verdict = "dead"      // to be sent no more, for Settlement.Reason
	VerdictUnknown   Verdict = "unknown"   // to be sent no more, since it may have been applied
)

// A Settlement says what a send of a letter has come to.
type Settlement struct {
	Verdict Verdict
	// Reason is why it is dead: "refused", "redirected" or "unsendable"; of VerdictUnknown
	// "unknown". Else it is empty.
	Reason string
	// After is how long the letter has to stay at least, of VerdictNotSent and VerdictLater;
	// 0: nobody said how long.
	After time.Duration
	// NothingDone says that all attempts of this send provably came to nothing.
	NothingDone bool
	Why         string // for people, in words of ours
}

// Settle says what becomes of a letter that was sent by the plan: req is what went into
// its RoundTrip, with its Call in the context, and resp or err came out. The body of resp
// is not read.
func (p *Plan) Settle(req *http.Request, resp *http.Response, err error) Settlement {
	return Settlement{}
}
