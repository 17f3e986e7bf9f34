package policy

import (
	"slices"

	"outrider/policy/retry"
)

// A Verdict is what becomes of a letter, a call that is kept, once it was sent.
type Verdict string

// The verdicts.
const (
	VerdictDelivered Verdict = "delivered" // it has its answer
	VerdictNotSent   Verdict = "not sent"  // to be sent later; this was no attempt, for it never left
	VerdictLater     Verdict = "later"     // to be sent again later
	VerdictDead      Verdict = "dead"      // to be sent no more
	VerdictUnknown   Verdict = "unknown"   // to be sent no more, since it may have been applied
)

// An Ending is how a send of a letter ended.
type Ending string

// The endings. A send has the first that fits, from top to bottom: those without an answer
// by the latest attempt, and the others by the answer.
const (
	endUnsendable  Ending = "unsendable"    // we refused it, and would refuse it later
	endWithheld    Ending = "withheld"      // it never left: a refusal of ours, or there was no time
	endUnsent      Ending = "unsent"        // it failed before any byte of it was on the wire
	endNoAnswer    Ending = "no answer"     // it failed later
	endSpent       Ending = "exhausted"     // an answer table says exhausted; or 403 where a table says throttled, or a header that nothing is left
	endDenied      Ending = "denied"        // 401 or 403 to a credential of ours, or a table says refused
	endFailed      Ending = "failed"        // a table says failed or partial
	endForbidden   Ending = "forbidden"     // 5xx with x-should-retry: false
	endUnprocessed Ending = "unprocessed"   // as for retries, and so is 421
	endKeyReused   Ending = "key reused"    // as for retries
	endAgain       Ending = "to be retried" // retry.statuses, 408, 425, 429, 5xx but 501 and 505, x-should-retry: true, or a table says throttled, busy or fault
	endRunning     Ending = "running"       // as for retries
	endTaken       Ending = "taken"         // 2xx, and 304
	endRedirected  Ending = "redirected"    // any other 3xx
	endPermanent   Ending = "permanent"     // anything else
)

// A SettlementRow is one line of the table of settlements. An empty Class matches any.
type SettlementRow struct {
	Ending      Ending
	Class       retry.Class
	Verdict     Verdict
	Reason      string // as Settlement has it
	NothingDone bool   // the latest attempt did nothing
	Slow        bool   // somebody has to do something before it is of use to send it again
	Rescue      bool   // as Settlement has it
	Why         string
}

// settlements is what Settle obeys; it is never written to. Where it goes by the class of
// the request it says the same as the table of package retry: the time that has passed
// makes nothing safer.
var settlements = [...]SettlementRow{
	{Ending: endUnsendable, Verdict: VerdictDead, Reason: "unsendable", NothingDone: true,
		Why: "it cannot be sent as it is, and could not be later"},
	{Ending: endWithheld, Verdict: VerdictNotSent, NothingDone: true, Rescue: true,
		Why: "it never left: a circuit, a queue, a quota, a credential or a want of sockets was in the way, which is no fault of the letter's"},
	{Ending: endUnsent, Verdict: VerdictLater, NothingDone: true, Rescue: true,
		Why: "no byte of it left, so it was never applied"},
	{Ending: endNoAnswer, Class: retry.Unsafe, Verdict: VerdictUnknown, Reason: "unknown",
		Why: "it may have been applied, and would be applied twice"},
	{Ending: endNoAnswer, Verdict: VerdictLater, Rescue: true,
		Why: "sent twice it does what it does once"},
	{Ending: endSpent, Verdict: VerdictLater, NothingDone: true, Slow: true, Rescue: true,
		Why: "a quota is spent, and nothing was done"},
	{Ending: endDenied, Verdict: VerdictLater, NothingDone: true, Slow: true,
		Why: "the credential was refused (RFC 9110 §15.5.2, §15.5.4), which is no fault of the letter's: with another, or more rights, it arrives"},
	{Ending: endFailed, Verdict: VerdictDead, Reason: "refused",
		Why: "the answer says that it was not done, or not all of it, whatever its status says"},
	{Ending: endForbidden, Class: retry.Unsafe, Verdict: VerdictUnknown, Reason: "unknown",
		Why: "the provider failed, and it may have been applied in part"},
	{Ending: endForbidden, Verdict: VerdictDead, Reason: "refused",
		Why: "the provider failed, and says that another try is pointless or does harm"},
	{Ending: endUnprocessed, Verdict: VerdictLater, NothingDone: true, Rescue: true,
		Why: "the provider says that it did nothing"},
	{Ending: endKeyReused, Verdict: VerdictDead, Reason: "refused",
		Why: "the key was used for another request, or this one is not valid"},
	{Ending: endAgain, Class: retry.Unsafe, Verdict: VerdictUnknown, Reason: "unknown",
		Why: "it may have been applied in part, and would be applied twice"},
	{Ending: endAgain, Verdict: VerdictLater, Rescue: true,
		Why: "sent twice it does what it does once"},
	{Ending: endRunning, Verdict: VerdictLater,
		Why: "the first request with this key is still running, and the second gets its answer"},
	{Ending: endTaken, Verdict: VerdictDelivered,
		Why: "the provider has taken it"},
	{Ending: endRedirected, Verdict: VerdictDead, Reason: "redirected",
		Why: "it was not taken there, and nobody but its sender can say that it belongs elsewhere"},
	{Ending: endPermanent, Verdict: VerdictDead, Reason: "refused",
		Why: "the same request would get the same answer again"},
}

// Settlements returns the table of what becomes of letters; the first row that matches decides.
func Settlements() []SettlementRow { return slices.Clone(settlements[:]) }

// settlementOf finds the row of an ending. Each has one that is for any class.
func settlementOf(end Ending, class retry.Class) SettlementRow {
	for _, row := range settlements {
		if row.Ending == end && (row.Class == "" || row.Class == class) {
			return row
		}
	}
	return SettlementRow{Ending: end, Verdict: VerdictUnknown, Reason: "unknown", Why: "nothing is known about it"}
}
