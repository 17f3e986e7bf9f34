// Package outbox keeps calls that must arrive, but not now: letters. It knows what a letter
// is, when one is sent and how it ends. What is allowed to be sent, and how, is known by
// whoever gives it Settings.Send; where letters are kept, by package store.
//
//	Keep, Import ─→ store ─ Lanes, Claim ─→ pump ─→ delivery ─ Depart, Send ─→ End, Later ─→ store
//	  202 after         ↑                                                          │
//	  it is durable     └───────────────── a callback is a letter ←────────────────┘
//
// # A letter
//
// A [Letter] is kept as an envelope, versioned JSON that the store seals (envelope.go), and a
// body in pieces, which is never in memory as a whole. In the clear are its upstream, its
// lane, its times and its size. It has no credentials: they are put in when it is sent, so
// that they may be other ones by then. The body is checked against the hash of the one that
// was accepted, each time that it is sent.
//
// # What is sent, and when
//
// A lane is the letters that stand or fall together: those of one credential of an upstream.
// One pump (pump.go) asks the store which lanes have letters that are due, once a second, and
// at once when one is kept in this process; claims some of each; and has at most
// Limits.Concurrency of an upstream sent at a time, its lanes by turns. As many more are
// claimed ahead, which is all that is in memory, however many wait.
//
//	delivered          End
//	failed             Later: 5 s · 2ⁿ, at most 10 min, half of it by chance, and never before a hint
//	refused by us      Later, which is no attempt; the lane pauses, and then tries one letter alone
//	permanent answer   End: dead
//	nobody knows       Later if it may be sent twice, else End: dead, "unknown"
//
// # Never twice, never lost
//
// Before a letter goes on the wire the store has it durable that it has left (Depart), on the
// condition that it is still ours. A letter that is found to have left, and is not ours, was
// sent by somebody who died. If it has an idempotency key, or its method is idempotent, or its
// caller vouched for it, it is sent again, with the same key. Else it is dead, and a human
// looks. A time at which it left is forgotten only when it is known that nothing was done.
//
// Providers forget keys: a keyed letter whose key was first used Settings.KeyAge ago is dead.
// That is asked at the last moment, in Depart, since a letter may wait long for its turn.
//
// A result that the store does not take, because it is away, is kept in memory, and is written
// when it is back (result.go): the letter is not sent again by this process meanwhile, even
// if its lease has run out and it is claimed anew, as long as it is as it left. If the process
// ends before, what is left is a letter that was sent by somebody who died.
//
// A process whose lease ran out, and whose letters others may have had since, begins anew as
// another sender (pump.begin). What it still has under way from before finds out in Depart that
// it may not leave any more.
//
// At its end the sender waits for what has left, until Break, and gives back the rest.
//
// # Order and duplicates
//
// Of the letters of one order key only the first that has not ended is claimed; a dead one
// holds the others, unless Limits.SkipDead. Order keys and dedup keys mean something within a
// lane only: two customers may use the same ones.
//
// # Callbacks
//
// The end of a letter that names a callback makes another letter, in the same transaction. Its
// upstream is "outbox", which no configuration can have, and its lane is the host. It is signed
// when it is sent (package webhook), with its own id, so that a receiver can tell a second one
// apart; no redirection is followed; and it is tried until it is too old.
//
// # Clocks
//
// When a letter is due, and when it is too old, is wall time of the database, since nothing else
// survives a restart. Wall clocks are set. The pump compares that clock with the monotonic one
// at each look (clock.go), and where they have come apart by a minute or more:
//
//   - Set back: letters that wait are made due now, for their times may be a day ahead. What
//     must not be sent yet is refused by the policies, whose gates know no wall time. When
//     they have left and when they expire is moved back with the clock.
//   - Set forward: letters look too old by so much, and what is kept looks kept for too long.
//     So both may be older by that, as long as anything from before may be there: letters for
//     Limits.MaxAge, and what has ended for as long as it is kept.
//
// What cannot be done:
//
//   - A clock that was set while no sender ran is not noticed. A key that was first used in
//     the future counts as forgotten; letters that are due in a day wait for a day (Retry).
//   - A machine that slept looks like one whose clock was set forward. So a key is believed to
//     be as old as the wall clock says: it is never used for too long, and after a clock was
//     set forward a keyed letter can be dead too early. It is not lost: Retry.
//   - Of several senders of one store each moves the times back: letters then look older than
//     they are, and may be dead of their age too early. They are not lost: Retry.
//   - Dedup keys are forgotten by the wall clock alone.
//   - Less than a minute is not noticed, and delays a letter by that.
package outbox
