// Package breaker stops calling a provider that is down.
//
// A circuit is the breaker of one host and credential. It is closed while the
// provider works; it opens when too many attempts fail, and refuses calls at
// once; after a while it lets one call through to see, and closes or stays open
// by what that call found. A Group is a set of circuits under the same
// Settings, one for each key, and Wrap puts it around a RoundTripper:
//
//	retry(auth(circuit(limit(send))))
//
// It stands inside retry, because it judges attempts and its opening shall stop
// the rest of that loop, and outside limit, because a call that is refused
// shall neither spend a turn nor wait in line to be told no.
//
// # The state machine and the clock
//
// The states are those of a gobreaker TwoStepCircuitBreaker, and only it moves
// them. What it has no notion of stands beside it:
//
//   - It stays open for one constant time. Ours escalates, is jittered, and obeys
//     the Retry-After of a 503: a gate in front of it, asked first. Its own
//     timeout is next to nothing, so that it never holds longer than the gate.
//   - It counts requests that are under way or excluded among the requests, and
//     knows of no slow calls. Our rolling window decides, and it is told of one
//     failure, the one that opens it.
//   - A half-open probe that never reports blocks it for ever, and reporting twice
//     counts twice. So every permit is given back by one deferred call within
//     RoundTrip, when the headers, an error, a panic or runtime.Goexit end it:
//     nothing depends on whether somebody closes a body. While it is closed it
//     lets everything through and only the failure that opens it can move it; so
//     it is first asked for a permit then, and given it back at once.
//   - A result from before its last change, which it would drop, still moves it from
//     open to half-open. Such results stay with us.
//   - Its State method moves it, and its callbacks run under its lock. Here nobody
//     calls State, and the callback only takes a note.
//
// # What opens a circuit
//
// Any of four rules over attempts that ended: the share of failures in the window, the
// share of slow answers in the window, both from Settings.MinCalls on; a run of attempts
// that could not connect; and a run of failures of any kind. Only the last one looks at
// attempts under way, too: see Silence.
//
// The shares find a provider that fails often, and the last rule one that has just
// gone down: while the window remembers a good time, a total outage is half of it
// only after half a window. Linkerd (failure-accrual-consecutive-max-failures, 7) and
// Envoy (outlier detection, consecutive_5xx, 5) count in a row too; they have other
// hosts to turn to, and may be wrong more often. Of a provider at which each third
// call fails, one call in 360 ends a run of five, and one in five billion a run of
// twenty. One good answer ends it, be it slow, or with a body that breaks off later.
// And it has to last a second, since at many calls a second twenty failures can be
// one event, such as the end of a connection that they share.
//
// What an attempt's end means is decided by Settings.Outcome at the response
// headers. A body that breaks off later turns that attempt's success into a
// failure, unless Outcome ignores the error because the client left.
//
// # Silence
//
// A provider that takes requests and answers none fails an attempt when its time is over:
// after twenty seconds by default, and minutes where answers may take minutes. Until then
// everything would be sent. So an attempt that is overdue is taken for a failure of the run,
// for as long as it has not ended; then its end counts in its place, and that of a client who
// left does not.
//
// An attempt is overdue when it has been on the network for Settings.Overdue without an
// answer, and for twice as long as any good answer of the window has taken to a request of
// its kind, one that reads or one that writes. Where fewer than MinCalls of those are known,
// none is overdue: at the beginning, and where calls are rare, nothing is presumed. Neither
// is one whose body streams, since its client may be what is slow, or one that asks for an
// upgrade. And a run is in a row: what counts was sent after the last good answer. All in
// all: nobody has had an answer for that long, and FailureRun attempts are without one.
//
// A model that thinks for forty seconds is no silent provider. While nothing is known of it
// nothing is overdue, and then it would have to be silent for eighty.
//
// A probe that is overdue is no longer waited for: the circuit is open again, from that time
// on. The probe itself is a caller's call, and goes on.
//
// All of this may be wrong, and is taken back: the first good answer to a call from before such
// an opening, or to a probe that was overdue, closes the circuit as a probe does. It is put in
// force when a call comes, since until then it keeps nobody back, and needs no clock.
//
// TCP treats a segment without an acknowledgement like that: by a multiple of what was
// measured, a least time, and a way back if the timeout was spurious (RFC 6298, RFC 5682).
// Circuit breakers do not: resilience4j counts a slow call when it has ended (its issue 1597
// asks for the other), and the outlier detection of Envoy a timeout when it is over.
//
// # How long
//
// Open the first time, and twice as long with each opening that follows, at most
// OpenMax; spread evenly over half to one and a half of that, still at most
// OpenMax, so that the clients of a provider do not come back together. If a 503
// asked for more (RFC 9110 section 10.2.3), until then, even when another failure
// opened the circuit or the 503 came after that. A circuit that has stayed closed
// for a whole Window begins again at Open.
//
// # The probe
//
// One request at a time, and one that may be sent again if it fails. If none
// such comes for as long as Open, any request may be it: an upstream that is only
// called with streamed bodies has to recover too. A probe that ends without a
// verdict, because its client left or a later stage refused it, makes room for
// the next, and so does one that is overdue.
//
// # The way back
//
// One probe shows that one call works, and not that the provider bears all of
// them: many have waited for this moment. So for Settings.Ramp only a share of
// the calls passes, which grows from a tenth to all. Ten in each second always
// pass, and who calls less than that sees nothing of it. The others are refused,
// as by an open circuit, and told to come at a time that is spread beyond the
// end of the ramp. They do not wait in here: a call that can wait does so in the
// line of its quota, which has the order and the bounds for it, and the retries
// and letters of those that were refused come by themselves.
//
// While it lasts no share needs MinCalls: the first attempts are in the place of
// further probes, and as many failures as successes among them open the circuit
// again, for longer.
//
// # An operator's word
//
// Open and Close say what a circuit is from now on, whatever was counted. It
// begins anew for that, with another machine: the old one may be waiting for a
// probe, whose result is of an earlier life. An opening ends with its time, if it
// has one, and then a probe and the ramp decide as after any other. An order about
// all circuits of a Group is in force for those of new keys too. Orders are kept
// over a reload, and in this process only.
//
// # A reload
//
// New with a previous Group shares its circuits and changes nothing; Adopt puts
// the new Settings in force, and so does the first call through the new Group.
// Circuits are the same objects before and after: what is open stays open until
// its time, a probe under way decides, openings go on escalating, and what was
// counted in the window still counts, against the new thresholds. Only a changed
// Window starts counting afresh.
package breaker
