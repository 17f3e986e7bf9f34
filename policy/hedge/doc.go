// Package hedge sends a second request where the first is slow, and takes the
// answer that comes first.
//
// A provider that is well has slow answers, too: a request meets a server that is
// busy with something else, and another one sent at that moment would not. A second
// request after the time in which 95 % of the answers come costs few requests and
// takes most of the slow ones away (J. Dean and L. A. Barroso, "The Tail at Scale",
// Communications of the ACM 56(2), 2013, the hedged request).
//
// It is one decorator, inside the retries, so that an attempt that fails is none of
// its business, and outside of everything else that an attempt goes through:
//
//	retry(hedge(auth(circuit(limit(answer(credential(attempt(transport))))))))
//
// so the second request has a live credential, is judged by the circuit, pays for a
// turn, and is seen on the wire as any other.
//
// A second request is sent when all of these hold:
//
//  1. It is a GET or a HEAD without a body: it changes nothing, and costs only what
//     answering it costs. And it is of those that may be sent twice: see [Hedgeable].
//  2. It is the first attempt of its call. Attempts after a failure are not hedged, so
//     a call has one second request at most.
//  3. At least 20 answers are known. The first request has no response headers after
//     the 95th percentile of the last 256, and after 10 ms.
//  4. No more than one call in twenty has had one. Those who need none save up to ten
//     for later.
//  5. [Settings].Permit has nothing against it.
//
// Time is counted from when the first request goes to the network: see [Begun]. Waiting
// for a turn or for a token is not the provider's slowness, and a second request would
// only wait as well.
//
// The first answer wins that is not a failure; the other request is canceled. Where one
// fails, the other is waited for. The call returns when both have ended, so nothing goes
// on behind its back, and what is counted is all that there was.
package hedge
