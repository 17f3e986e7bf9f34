// Package policy decides what may happen to a call: which upstream it belongs
// to, with which credential, when it may be sent, how often, and when to stop.
// It owns no listener and no file, no goroutine but that of a token's refresh, and
// it knows no logger.
//
// # The chain
//
// Every policy is a decorator of [net/http.RoundTripper]; that is the one
// interface between our parts. Outermost first:
//
//	deadline(stale(results(retry(hedge(auth(circuit(limit(answer(credential(attempt(transport)))))))))))
//
// # Why this order
//
//   - deadline is outermost and attempt innermost: one deadline covers queue,
//     backoff and every attempt, while waiting for a turn is not held against
//     the provider, whose attempt has a clock of its own.
//   - stale is outside of all that may come to nothing, retries and an open circuit too:
//     it has an earlier answer for what they could not mend. It is inside deadline, since a
//     call whose time is over is answered as well. An upstream that keeps no answers has no
//     such stage.
//   - results counts what calls end with: it is inside stale, whose answers are old, and
//     outside of all attempts. Only where it is configured there is such a stage.
//   - retry is outside circuit: the circuit judges attempts, and its opening
//     stops the rest of this very loop.
//   - hedge is inside retry and outside of all that an attempt goes through: its second
//     request is an attempt like any other, beside the first. Only where it is configured
//     there is such a stage. Two attempts at a time have notes of their own on the Call.
//   - circuit is outside limit: a refused call spends no turn, and never waits
//     in line to be told no.
//   - answer is inside everything that acts on an answer: what one means where its
//     status does not say it is found out once, and is the same for limit, circuit,
//     retry and the log. They have it by the [Call]. An upstream that says nothing of
//     its answers, and has no idempotency keys, has no such stage.
//   - limit is inside retry: the provider counts requests, not intentions.
//   - auth is inside retry, outside circuit and limit: every attempt carries a
//     live credential, and quotas and circuits can be kept per credential. It has
//     one before the call waits for anything: nobody waits for a turn to be told
//     that there is none.
//   - credential is inside limit: what was good when the wait began may be dead, and
//     the date of a signature old, when the turn comes. It looks once more, and signs
//     what has to be signed. A credential that does not end has no such stage.
//   - the traced transport is under everything: a span is a request on the wire.
//
// A local refusal (circuit open, queue full, no credential) is an answer: it is
// never retried inside the loop. See [Refusal].
//
// # What a call costs
//
// Most calls wait for nothing and succeed with their first attempt, and the chain is made for
// these. The call within its time and that attempt are one allocation: contexts, the request
// that goes out, the bodies of the answer, which end them, and what the stages between have
// to remember of most (see Within and the rooms of the leaves). An attempt that follows, or
// that is one of two at a time, has memory of its own. What time it is, the stages of an
// attempt find out once on its way and once on the way back (see package moment). Such a
// context (see scope) makes no channel and tells nobody of its end before somebody waits for
// that; its clock, which is one for the call and all of its attempts, has no timer before.
// Whoever puts a context of package context between two of them may do so: they find out.
// What a transport reports, it tells the context of its request (see try). A stage that is
// not configured is not there, and one that is may cost what it has to remember:
// BenchmarkChain and the test beside it count.
//
// # Connections
//
// An upstream may have many credentials, which callers choose by name. Those of the
// configuration are compiled like any other. Those of the store are made at their first
// use, from what the upstream's auth says (a template), and are looked at again while
// they are used: the store, and not our memory, says whether there is one. So a process
// follows what others do within seconds, and a refresh, which begins in the store too,
// at once. A chain is made for each call that names a connection, around the stages'
// shared state:
//
//	Plan.Connect(name) → [configuration | store] → chain(source, keys)
//
// A connection may have a url of its own: Connect says where the call has to go, and the
// token is bound to that place, so that it cannot go elsewhere, whoever makes the request.
//
// # Letters
//
// A call that is kept, and sent later, goes through the same chain with a Call of its own. The
// plan says what of it may be kept (KeepableHeader, KeepableQuery: no credential), under which
// key it is sent (LetterKey), and what becomes of it once it was sent (Settle, by a table
// beside that of retries: Settlements). Whoever keeps it has to know, before a request leaves,
// that it may have been applied from then on: the attempt stage asks [Call].Depart when all
// waiting is over, and sends nothing if that fails.
//
// # What survives a reload
//
// [Compile] builds a new [Set] from a file and the previous Set. State is kept
// by equality of settings: the quotas, circuits, budgets and connections of an
// upstream, and what it knows of how long answers take, are carried over, so that a
// reload neither refills a quota nor closes an open circuit. Answers that are kept stay
// while all credentials of their upstream do: behind the name of one there may be
// somebody else now. Where that happens without a reload, the answer knows whose it is
// (see [stale.Settings]). Tokens that were fetched are found again by what they are, not
// by where they are written; connections in use follow the new settings at their next
// use. Compile changes nothing of the previous Set: a failed reload
// is no reload. [Live] publishes a Set; a call loads it exactly once.
//
// A restart keeps less: tokens (see [Env].Keep), and how far quotas are spent that take
// long to come back (see [Set.KeptQuotas]).
package policy
