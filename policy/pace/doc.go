// Package pace says when the next call may be sent, as far as one limit goes.
//
// Package limit decides who is next; a Shape decides when. There are those that are
// configured, and those that are found out:
//
//	Rate.New  → smooth    a token bucket: evenly, but for a burst
//	          → window    so many from the first call on, then a wait
//	          → even      both: a bucket's pace, and never more than so many in any
//	                      span of time, however the provider counts
//	Learned               what the provider's answers say of one of its quotas
//	Adaptive              what its refusals say, where its answers say nothing
//
// A Shape has no lock and no clock: its owner guards it, and gives it the time, which
// never goes back.
//
// # Why even
//
// A provider counts by windows that stand still, by windows that move, or by buckets,
// and rarely says which. A token bucket of 100 a second with a burst of 20 sends 120
// calls in its first second, and of a window that allows 100 the last 20 are refused.
// What is never more than 100 in any span of a second is right for all three of them,
// and over time it is no slower.
//
// # Calls that are late
//
// A provider counts calls when they arrive, and some arrive later than others. A guard on
// top of the time of a rate is enough for a quiet wire, and one that is enough for a busy
// machine, on which a burst opens its connections, would always cost a tenth of the rate.
// To be refused, and to slow down then, is no way either: it takes a second to go wrong
// and ten to recover. So what is configured listens to when calls are answered (Answered),
// by when they had arrived:
//
//	window  its first answer is when the provider's has begun at the latest
//	even    a call that was late counts as one that was sent later
//	smooth  a bucket that was full refills from the first answer on
//
// # Learned: spend, then wait
//
// Most quotas are windows, and what is in a window may be used at any time in it. To
// spread the calls evenly makes each of them wait, and gains nothing. So what is left
// is spent as it is asked for; only the last tenth is stretched a little, so that a
// line of callers meets the end of the quota as a slope and not as a wall.
//
// How a quota comes back is what the answers differ in, and it is found out:
//
//   - whole: all at the reset. The first call after it is a probe, until that has
//     been right once.
//   - gradually: a bucket that refills, at the speed that reset and remaining tell,
//     or that was seen.
//   - rolling: each call comes back when it is a window old. So it is with all that
//     move their reset while they are used. It needs a memory of our own calls, and is
//     safe for the others too.
//
// An answer counts the calls that the provider had seen when it wrote it. Those that
// are on their way may come on top, so they are subtracted; and of several answers
// about one window the one counts that leaves least.
//
// # Learned: what a call takes
//
// A quota may count something else than calls. What the next one takes of it is known
// when it has been answered, and so it is taken to be like those before: see scale. Of
// tokens that is the mean, which is right for a line of calls. GraphQL refuses a query
// unless all is there that it may take at most, and its answers tell how much that was:
// there it is the most that any of the latest asked for. That is held while the query is
// on its way, as the provider holds it, and what was not taken is back with its answer.
//
// # Learned: asked when in doubt
//
// What is held back longer than the provider would have it is worse than a refusal: who
// sends nothing hears nothing. A rolling day may in truth end at midnight, what others
// have spent comes back we know not when, and some name no reset. So when nothing is
// left as far as is known, one call goes alone to find out: at the reset that was named,
// or else after an eighth of the window, from a minute to a quarter of an hour. Where the
// provider said when a window is back as a whole, that is waited for; if it still refuses
// then, it is asked again after a second, and after twice as long each time.
//
// A refusal counts against a quota only if its answer leaves nothing of it: it may have
// been for another.
//
// Whatever was learned ends: a quota that is not spoken of for two windows is
// forgotten.
package pace
