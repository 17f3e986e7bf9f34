// Package egress is the outbound HTTP client: it dials, secures, writes the
// request, parses the response, and knows exactly whether a byte of a request
// has left. It sends every request once at most.
//
// # One call, as a walk through the files
//
//   - transport.go: RoundTrip. begin (exchange.go) finds out where the request
//     goes (authority.go); write.go validates it and renders its head, before
//     anything is dialled.
//   - pool.go, share.go: acquire finds a connection of the authority, the one
//     last used, or dials one. First calls to an https authority share a dial
//     until ALPN has told what it speaks.
//   - dial.go, guard.go: the connect itself. The guard judges the address that
//     is really dialled. wire.go is the socket below TLS: it counts bytes.
//     gather.go is TLS: the records of one write leave in one.
//   - via.go: where the way leads through a proxy, which proxies.go has chosen
//     and proxy.go describes. target.go judges the target that the proxy will
//     dial; connect.go asks for a tunnel to it.
//   - HTTP/1.1: exchange.go. A small body goes into the buffer behind the head.
//     alive_unix.go reads from a pooled connection, and where it finds
//     nothing, the connection is good and the answer not there yet: one write,
//     and then the wait. A larger body is written by sender.go on a goroutine of
//     its own, while this one reads on: read.go, head.go and section.go parse the
//     head, precedent.go knows what of it was the same before, text.go looks at the
//     bytes of the rest, names.go knows its names, frame.go finds out how the body
//     ends, body.go and chunked.go read it, upgrade.go what follows a 101. At the
//     body's end the connection is back in the pool.
//   - HTTP/2: http2.go and stream.go hand the call to a connection of
//     golang.org/x/net/http2, chosen by us; source.go guards the request body,
//     http2errors.go tells what an error means.
//   - cancel.go turns the end of the context into a deadline in the past. It
//     follows the context of a call that is not over after a tenth of a second.
//   - errors.go: everything that can go wrong, as one type.
//
// # Proxies
//
// https targets, and tunnels, go by CONNECT, with the target's TLS inside; http
// targets in absolute-form, except upgrades and requests whose Host is not the
// authority that is called, which tunnel. Bytes of CONNECT are not bytes of the
// request: what fails on the way is unsent. A 407 is about the operator's
// credentials, never the caller's, and so an error and no response.
//
// The guard cannot pin what a proxy resolves. It refuses addresses, names of
// which any address that is found here is denied, localhost, and numbers that
// only some take for addresses, before the proxy is connected. A name that does
// not resolve here within two seconds is left to the proxy, as is one that
// resolves differently there: who needs more puts the rules into the proxy.
// Under an open guard no name is looked up.
//
// # Goroutines
//
// A call over HTTP/1.1 has none, unless its request body is neither absent nor
// small and in memory: then one, for which RoundTrip's error and the response
// body's end or Close wait. An idle connection has none and holds no buffer.
// HTTP/2 connections have the library's.
//
// # Hooks
//
// A context that is a [Listener] is told by its own methods: hooks.go. Otherwise
// these of net/http/httptrace are called: GotConn (over HTTP/1.1 when the
// first part of the request was written, or could not be), WroteHeaders (once, when the
// first byte of the request has been accepted by the socket, and exactly if
// Error.Sent is or would be true; over HTTP/2 when the library has written the
// header frame, which the peer may still declare unprocessed), Got100Continue,
// Got1xxResponse (100, 102, 103 …; its error ends the call),
// GotFirstResponseByte. The dialler adds its own (DNS…, Connect…) unless the dial
// is shared between calls.
package egress
