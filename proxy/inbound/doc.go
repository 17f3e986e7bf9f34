// Package inbound is a server for HTTP/1 that takes well-formed requests only.
//
// It calls an http.Handler as net/http's server does, and a handler finds in its
// ResponseWriter what http.ResponseController asks for. It is there for two things
// that net/http's cannot have: every request is read once, by the strict grammar of
// package framing, and a connection that waits holds next to nothing.
//
//	server.go    listener → conn; Shutdown, Close
//	conn.go      one connection: wait, receive, call the handler, again
//	idle.go      the wait for a request, without a buffer
//	receive.go   head → http.Request
//	call.go      one request until its answer has ended; what handlers may ask of it
//	body.go      what follows the head
//	answer.go    the http.ResponseWriter; head.go, output.go: how it is written
//	pass.go      the head of another's answer, passed on
//	young.go     calls that are not watched yet: most end before they are
//	watch.go     a client that leaves
//	deadline.go  deadlines, moved as seldom as can be
//
// # What is refused
//
// A malformed head is a call all the same: the handler gets a request that stands in
// for it, of which [Violation] tells the reason, so that the refusal is told, logged
// and counted like any other answer. It takes its place in line behind the answers to
// earlier, pipelined requests, and the connection ends with it. Inside of a body there
// is no place for such a request: there Read returns a *framing.Error, and [Refused]
// knows it.
//
// # What a request costs
//
// Its head is copied once, into one string of which all else are parts, save for the
// host: whoever keeps a header value for long keeps the head with it. The head of an answer
// goes into the buffer from which it is written when WriteHeader is called, so that the
// header is neither cloned nor kept; and the header of another's answer goes there by itself,
// in one pass, see [Pass]. Head and small body go out in one write, and so do head and large
// body, without being copied. A handler that has more to do than to answer need not keep its
// client waiting for that: see [End]. There is no goroutine beside the connection's own: only a
// call that takes longer than 100 to 110 ms gets one, which notices that its client leaves, and
// where somebody waits for the end of its context, one that takes longer than 10 to 20 ms.
//
// # Who may touch what
//
// The reading side of a connection belongs to its goroutine, but for the time of a body,
// which may be read on another, and of a watch. They follow each other: the body has
// ended, or is closed, before the watch begins, and the watch has ended before the next
// request is read or the connection is detached. The writing side belongs to the handler;
// an informational answer and 100 Continue may come from other goroutines until the final
// answer begins.
//
// # Other than net/http's server
//
//   - Bodies may be read while the answer is written, always.
//   - No header is added but Date, where the handler says nothing of it, and what frames
//     the message: Content-Length: 0 or Transfer-Encoding, and Connection. No type is guessed.
//   - A 304 keeps its length and type (RFC 9110 §15.4.5).
//   - Cache-Control is not made of Pragma.
//   - Left out of the header is Content-Length, which the request says itself, and a Connection
//     of HTTP/1.1 that says keep-alive and nothing else, which is nothing. Nearly every request
//     has one of them, and whoever passes it on would have to take it away.
//   - Request.RemoteAddr is empty: who wants to know asks the connection, see Settings.ConnContext.
//   - A body that is left unread is read behind the answer, not before.
//   - A deadline that passes in a body does not end the context of its request. One that a
//     handler sets bounds reads of the body, and nothing else of the connection.
package inbound
