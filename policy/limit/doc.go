// Package limit makes every call to a quota wait its turn.
//
// A quota is one limit of a provider as we understand it: so many calls per
// time, so many at once, and nothing at all until a time that the provider
// named. A Table is quotas under the same Settings, one for each key (a host and a
// credential, usually); Quotas are all tables of an upstream; a Way is which of them a
// call passes, and Wrap puts a way around a RoundTripper:
//
//	retry(auth(circuit(limit(send))))
//
// It stands inside retry, because the provider counts requests and not our
// callers' intentions, and inside the circuit, because a call that is going to
// be refused shall spend no turn.
//
// # One dispatcher for all quotas that a call passes
//
// golang.org/x/time/rate is a good token bucket and a poor queue. A caller of
// its Wait reserves a token far ahead of time, and whatever happens later does
// not reach the reservation:
//
//   - the token of a caller that gives up is lost when somebody reserved after
//     it (golang/go#56924, golang/go#69419);
//   - SetLimit does not move those who sleep: after a change from 1/s to 100/s
//     the tenth in line still waits ten seconds, and newcomers overtake it;
//   - a 429 cannot stop anybody who has a reservation already;
//   - a Cancel after SetLimit returns more than was taken.
//
// So nobody calls Wait here. A dispatcher keeps the line itself, and asks the
// bucket for the tokens of one call, for the head of the line, at the moment
// when the head may go. Who gives up is taken out of the line
// and has cost nothing; a new rate and a new gate hold for everyone at once.
// It has no goroutine: one timer, set for the first head, and the callers themselves
// move the line.
//
// Quotas that calls may have in common are of one scope, and a scope has one
// dispatcher, with one lock. It has a meter for each quota (a rate, slots, a gate), and
// a lane for the calls that pass the same meters, whatever rule or reload they came by.
// A call looks up its lane, and if nobody waits that it would make later, and all meters
// let it go, it spends at all of them and goes, without allocating.
//
// # Who goes first
//
// The line of a lane has a class for each Priority, and the higher one goes first. A call that
// has waited for a third of MaxWait moves up a class, so that a low one has the last
// third in the highest: whatever the load of the others, it has its share there.
//
// Within a class callers take turns: each gets the same, in tokens, while it has
// calls in line (fair queueing; see class). So thousands of calls of one caller do
// not hold up the single call of another, which goes after at most one turn of each.
// The calls of a caller go in the order in which they came.
//
// The line is one tree, by class and by time in the class, which knows what goes
// before each place, and so when its turn is. One that is full keeps those who go
// first, and refuses the last.
//
// # What a call costs
//
// A call can cost more than one token. In a bucket that holds less, it goes when the
// bucket is full, and leaves a debt that those behind it pay: so it is possible, and
// no more is sent in any time than rate and burst allow, save for that call itself. A
// window has to hold it; what is left of one, and is too little for the head of the
// line, is not spent, since nobody overtakes. Slots are taken one a call. Of a bucket that
// answers tell of, see below, what a call of cost one takes is found out where it counts
// something else than calls (pace.Learned): a cost says how much more others take.
//
// # Several quotas
//
// A call goes when all meters of its lane let it, and else takes nothing. With one limit
// around another, those who wait at the inner one would hold slots and tokens of the
// outer: reads would stand behind writes, and when a window opens, all who have waited
// for it would go at once, whatever the rate outside says. And calls that took one turn
// after the other, and gave all back where one was missing, woke each other and got
// nowhere where thousands waited. (Both were tried here.)
//
// Lanes that share a meter take turns: by the priorities of their heads, and within one
// by fair queueing once more; see tag. The heads are looked at in that order. One that
// cannot go has a time at which it will, the latest of its meters' turns, and a head
// behind it may spend what leaves that time as it is (EASY backfilling; see
// reservation), but for what one call makes of it: a bucket that is full would lose more.
// So the first head goes at its time, or shortly after, whatever the others do, and each
// is the first at some time, since a turn moves a lane behind those that have waited:
// nobody starves. And what is kept from the others is only what the first needs of it at
// its time: no meter is idle for somebody whom another one stops. When a slot comes free
// nobody knows, so none is kept for a head that waits for a rate; only when its rates
// have let it go and it missed the slot, it keeps the slots that come free, one kind
// after the other, and then what it needs of the rates, for which these slots may be
// idle.
//
// The meter keeps this for the first head that needs it. Keeping for all of them would
// make the work grow with the square of the lanes, and wins nothing: who comes later in
// the order has no time that could be promised. As it is, a look at the heads takes a
// fraction of a microsecond for each lane in which somebody waits.
//
// # Refused at once
//
// The time of a turn is known in advance from the place in line, the bucket
// and the gate. A call whose turn lies beyond its deadline or Settings.MaxWait
// is therefore refused when it arrives, with the time to try again, instead of
// being held for nothing, by any of its quotas; and so is a call in line when
// a gate, a slower rate or calls that go before it move its turn too far. That
// calls move up is counted: a low one that is behind more high ones than there is
// time for waits for its share on top. Only the wait for a concurrency slot cannot
// be known; it ends at MaxWait. And where calls of different costs share a window, a
// turn may come a window later than was told.
//
// Of the calls in other lanes those are counted that wait for the same meter more than
// for their others, as if the lanes took turns there: a lane is counted at the meter that
// lets its last call go last. So thousands of writes that wait for a limit of their own
// do not have a read refused; what they spend meanwhile is little, and is left out.
//
// # What is learned
//
// Most answers say what is left of a quota (see package quota). Each quota that they name
// is a bucket: a meter beside those that are configured, whose shape goes by what was
// said (pace.Learned). Buckets belong to the last meter of a call that learns, its base.
//
// Which buckets a call counts to is known when it has been answered. So a lane has those
// that answers to its calls named. Most calls of a base count to the same ones; routes
// whose answers name others have a lane for each set of these, and a quota of a few calls
// (GitHub's search) holds up no others. Who waits moves to the lane that its route is found
// to have. The calls that were on their way when a bucket was first heard of count to it
// too, until they end.
//
// What is on its way may be counted already or not. Where only that decides whether there
// is something left, a call waits as for a slot: it goes when an answer leaves one for it,
// or when it would whatever the answers say.
//
// Where answers say nothing but that it was too much, each refusal slows the calls of the
// base down (pace.Adaptive), until nobody is held up by it.
//
// # The gate
//
// A 429, or a 503, with a Retry-After (RFC 9110 section 10.2.3) closes the
// gate of a quota: nothing is sent before that time, by anybody. So does what means the
// same whatever its status, by Settings.Answer. A gate is
// never early and never shortened by another answer. It is that of the buckets of which
// the answer says that nothing is left; where it does not say, those of all
// quotas of the call that learn. Behind it
// the calls go out through the bucket as always. A quota that has no rate has no bucket
// to slow it down, and a window lets all go at once; there one call goes first, and each
// good answer lets one more be on its way than before, which doubles the number each
// round trip, until the line is empty. A throttled answer starts again from one.
//
// # A reload
//
// New with previous Quotas shares their dispatchers and changes nothing; Adopt puts
// the new tables in force, for the calls in line too. Whoever publishes the
// new Quotas calls Adopt after they are published; the first call through them
// does it otherwise, since a call cannot come through what is not published. A table
// goes on under its name: the line, the gate, the slots taken and the tokens left
// remain, and a changed rate starts with the tokens that were left, at most its own
// burst. A quota that had no rate so far starts with a full bucket. A table that is
// missing is dropped, also from under those who wait for it; lanes that are the same
// without it become one, in the order of arrival. Who waits already does not pass a new
// table. Where scopes become wider, Widen has the dispatchers of the old ones become one;
// they are not taken apart again.
//
// Calls whose response bodies were being read while Concurrency was 0 are not
// counted when a reload sets it.
//
// # A restart
//
// Keep gives what of the quotas takes long to come back, for somebody to keep, and Restore
// takes it over in the next process. The scope of a quota is known when a call comes, so
// what was kept is held until the quota begins. Which buckets most calls count to is
// kept, too: otherwise all calls before the first answer would go as if there were none.
// Which other routes have buckets of their own is found out anew, with one answer each.
// And what no process can have kept is not taken over.
package limit
