// Package limit makes every call to a quota wait its turn.
//
// A quota is one limit of a provider as we understand it: so many calls per
// time, so many at once, and nothing at all until a time that the provider
// named. A Group is a set of quotas under the same Settings, one for each key
// (a host and a credential, usually), and Wrap puts one or several around a
// RoundTripper:
//
//	retry(auth(circuit(limit(send))))
//
// It stands inside retry, because the provider counts requests and not our
// callers' intentions, and inside the circuit, because a call that is going to
// be refused shall spend no turn.
//
// # One dispatcher for each quota
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
// It has no goroutine: one timer, set for the head, and the callers themselves
// move the line.
//
// A call that finds no line and a token takes it and goes, without allocating.
//
// # Who goes first
//
// A line has a class for each Priority, and the higher one goes first. A call that
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
// line, is not spent, since nobody overtakes. Slots are taken one a call.
//
// # Several quotas
//
// A call that several quotas limit goes when it has a turn at all of them. One Group
// around another would let those who wait at the inner one hold slots and tokens of
// the outer: reads would stand behind writes, and when a window opens, all who have
// waited for it would go at once, whatever the rate outside says. So a passage waits
// at one quota at a time and holds nothing of the others; when it has its turn there
// it tries the rest, and where one stops it, it gives back what it has and waits
// there. It keeps its place in each line that it was in. A line stands still while
// its head tries: nobody behind gets there first.
//
// Where thousands wait for two quotas this gets nowhere: who gives one back for the other
// wakes others who do the same. Until that is rebuilt, package policy puts a stage for
// each quota around the next, those of a rule outermost.
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
// # The gate
//
// A 429, or a 503, with a Retry-After (RFC 9110 section 10.2.3) closes the
// gate of the quota: nothing is sent before that time, by anybody. So does an
// answer, whatever its status, that says that nothing is left, in any of the
// dialects of package quota, until the time that it names; and what means the same
// whatever its status, by Settings.Answer. A gate is
// never early and never shortened by another answer. Behind it the calls go
// out through the bucket as always. A quota that has no rate has no bucket to
// slow it down; there one call goes first, and each good answer lets one more
// be on its way than before, which doubles the number each round trip, until
// the line is empty. A throttled answer starts again from one.
//
// # A reload
//
// New with a previous Group shares its quotas and changes nothing; Adopt puts
// the new Settings in force, for the calls in line too. Whoever publishes the
// new Group calls Adopt after it is published; the first call through the
// Group does it otherwise, since a call cannot come through a Group that is
// not published. Dispatchers are the same objects before and after, so the
// line, the gate, the slots taken and the tokens left remain: a changed rate
// starts with the tokens that were left, at most its own burst. A quota that
// had no rate so far starts with a full bucket.
//
// Calls whose response bodies were being read while Concurrency was 0 are not
// counted when a reload sets it.
package limit
