// Package proxy is how calls come in and go out. What may happen to them on the
// way is the business of package policy.
//
// # One call, as a walk through the files
//
//	server.go    listener → package inbound (HTTP/1, read strictly) → serve:
//	             the live Set loaded once, access.go asks for the key
//	inbound.go   base URL or absolute-form → one route: upstream, plan, scheme,
//	             host, target in its own bytes
//	tunnel.go    CONNECT: to a host that no upstream names, bytes pass untouched;
//	             observed.go lists such hosts where that is asked for
//	capture.go   … to one that an upstream names, the connection is opened, or
//	             refused with the reason
//	handshake.go TLS in the name of the host, and what a failed handshake means
//	inner.go     what comes out of it, plain or TLS, HTTP/1 or (by net/http) HTTP/2,
//	             is served like any call, bound to the host of its CONNECT
//	exchange.go  one call: SERVER span, panic guard, from the route to the answer
//	peer.go      who sent it, for the line: asked for when it has to wait;
//	             processes.go knows the programs of this machine
//	outbound.go  the request that goes out, without what is the connection's
//	realms.go    whom a header is for: what is passed on, in both directions
//	upload.go    the client's side of its body: counted, and never waited for
//	             without end
//	replay.go    the body: in memory when it is small, else streamed and remembered
//	             up to a bound, in pieces.go
//	             → plan.RoundTrip: the chain of package policy → proxy/egress
//	keep.go      a call that its rule keeps is made a letter, in place of being sent
//	             or when it came to nothing: see below
//	inform.go    informational responses (1xx), until the answer comes
//	respond.go   copy, flush, trailers; a broken answer breaks the client's
//	             connection too
//	links.go     Location and Link that point to the upstream lead a caller of base
//	             URLs back through us, and nowhere else (references.go); its cookies
//	             stay with it (cookies.go)
//	relay.go     upgrades and tunnels: bytes both ways, half-close, silence;
//	             tunnels.go knows which are open, and how many may be
//	errors.go    the one table: error → status, problem type, Proxy-Status, Retry-After
//	letters.go   /outbox/letters/ID: how a letter stands, its answer, taking it back
//	reload.go    SIGHUP, POST /reload, file watch → Compile → Publish
//	drain.go     no new calls, those under way end, then the rest is broken off
//
// # What an opened connection is bound to
//
// The authority of its CONNECT, and nothing else: the name in the TLS hello, the
// Host, :authority and target of every request inside have to say the same. The
// credential is chosen by that authority, so that no name inside can carry it
// elsewhere. A hello that says another name is refused before a certificate is
// shown, a request with another one is answered 421, and nothing goes out.
//
// A connection that cannot be opened is broken off, never passed through: it would
// go out without credential, quota and trace, and look as if all were well.
//
// # Calls that are kept
//
//	keep.go      whether, by the rule and by Prefer (prefer.go); letter.go: what of a call
//	dedup.go     … and of those that are kept when they fail, one at a time for a dedup key
//	             → proxy/outbox → accepted.go: 202, or the answer that the caller waits for
//	deliver.go   proxy/outbox → the policies of now → proxy/egress, and back
//	address.go   a line of a file that is imported becomes a letter like a call
//
// A caller is told 202 when its call is durable, and not before: if it breaks its body off,
// or the store does not take it, nothing is kept. A body passes through in pieces.
//
// A letter has what a call has when it is ready to go out, but no credential: it is sent
// with that of the time when it is sent. So it names the upstream and the host that its
// caller asked for, and both are looked up again. An upstream that a reload took away has
// its letters wait, and no letter goes to a host that the upstream does not name any more.
//
// A call that failed is kept with the key under which it went out, and with the time of
// that. Its body has to be there still: one larger than replay_body, of which something was
// sent, is not, and then the failure is the answer. A call that brings the dedup key or the
// order key of an earlier one that was kept is not sent, but kept like it: it would be done a
// second time, or overtake that one.
//
// The letters are no upstream's: they are at the main port alone, beside the upstreams, for
// whoever may call these by base URL. The address that a caller is told is absolute, since
// it may believe that it speaks with the provider.
//
// # What stays as it was
//
// The path and the query go out in the bytes that they came in, save for a plus in a
// query that is signed, and for a credential in it. Header values
// keep their bytes and their order, save for Location and Link in answers to calls
// by base URL, and for a credential that an answer repeats; from an answer inside
// of opened TLS, Alt-Svc is taken, and from an Accept-Encoding what could not be read
// where answers are looked into. What a caller says of its trace does not leave, unless
// the upstream is to know of it: then traceparent is that of the attempt. Nothing else is
// added towards the upstream, no Via, no X-Forwarded-For, no Accept-Encoding. Bodies are
// not touched. What concerns
// one connection only stays with that connection (RFC 9110 section 7.6.1), in both
// directions.
package proxy
