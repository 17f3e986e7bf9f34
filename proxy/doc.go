// Package proxy is how calls come in and go out. What may happen to them on the
// way is the business of package policy.
//
// # One call, as a walk through the files
//
//	server.go    listener → framing.Listener (strict reader) → net/http → serve:
//	             SERVER span, panic guard, the live Set loaded once
//	inbound.go   base URL, absolute-form, or plain HTTP inside a CONNECT →
//	             one route: upstream, plan, scheme, host, target in its own bytes;
//	             then one outbound request without what is the connection's
//	tunnel.go    CONNECT: tunnel, or recognise plain HTTP and serve it
//	replay.go    the body: in memory when it is small, else streamed and remembered
//	             up to a bound
//	             → plan.RoundTrip: the chain of package policy → proxy/egress
//	respond.go   copy, flush, trailers, 1xx, upgrade; a broken answer breaks the
//	             client's connection too
//	errors.go    the one table: error → status, problem type, Proxy-Status, Retry-After
//	drain.go     the end: calls under way, then what is left
//	reload.go    SIGHUP, POST /reload, file watch → Compile → Publish
//
// # What stays as it was
//
// The path and the query go out in the bytes that they came in. Header values
// keep their bytes and their order; nothing is added towards the upstream, no
// Via, no X-Forwarded-For, no Accept-Encoding. Bodies are not touched. What
// concerns one connection only stays with that connection (RFC 9110 section
// 7.6.1), in both directions.
package proxy
