// Package alarm knows what is wrong that somebody has to act upon: its rules say what is
// looked at, when an alert is raised, and when it is over. Who is told, and how, is the
// business of package alert.
//
//	Observe   events of the policies ──┐
//	Ended     calls, as they end ──────┤
//	Look      the states of upstreams ─┼→ rules ─ Raise, Meet, Resolve → alert.Book → log, notification URLs
//	Reloaded  a configuration ─────────┘
//
// [Alarms] learn in four ways. An event tells what is new at once: a grant is dead, a
// circuit is open. A call that has ended tells which trouble it met, and many together what
// one cannot: a share of failures. A look, every ten seconds, finds what nobody tells of: a
// quota that runs low, a certificate that ends, calls that do not come; and it ends what
// nothing else would. A reload tells how it went.
//
// [Alarms.Follow] has a configuration say which rules are off, who is notified, and which
// alerts are about what is not there any more.
//
// # The files
//
//	alarms.go       what they are told, and who is told of it
//	rules.go        all rules, and the subjects that alerts are kept by
//	credential.go   credential-dead, -refused, -failing, -not-kept
//	circuit.go      circuit-open, circuit-flapping
//	quota.go        quota-low, with the pace of spending.go; quota-exhausted is in alarms.go
//	rates.go        throttled and errors-high, by the counts of calls.go; brought.go knows
//	                the calls whose credential is their caller's
//	quiet.go        quiet-failures
//	empty.go        results-empty
//	volume.go       volume-dropped, by the courses of course.go
//	end.go          credential-expiring, certificate-expiring
//	certificate.go  certificate-refused
//	notice.go       provider-notice
//	clock.go        clock-skew
//	reload.go       reload-refused
//	outbox.go       letters-dead, -damaged, -late; outbox-filling, -away
//	watch.go        the looks, and who looks again and again
//
// # How a rule is added
//
// It gets a file with its alert.Rule, and a place in [Rules], without which nobody can turn
// it off; docs/telemetry.md has a line of it, which a test asks for. It raises on each look
// while the trouble lasts, for raising again is no news, and has to have something that
// ends it even if no call comes any more. The subject is a mark of rules.go after the name
// of the upstream; a mark that a look ends belongs into lookedAt, so that a reload does not
// end it. What is in a title, a detail or an action may be on a screen far away: no secret,
// no query, of a path only the words of the API.
package alarm
