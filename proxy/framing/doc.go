// Package framing reads inbound HTTP/1 strictly, in front of net/http's server.
//
// Two programs that disagree about where one request ends and the next begins
// can be made to disagree about whose credential goes with it. net/http is
// lenient there: it takes Content-Length together with Transfer-Encoding,
// folded header lines, lines that end in a bare LF, and Transfer-Encoding in
// HTTP/1.0. A [Conn] stands between the socket and the server and lets only
// those bytes through that RFC 9112 allows; what it lets through, it does not
// change. Whatever it refuses is answered once, with a reason, and the
// connection ends there.
//
//	http.Server( bufio( Conn( scanner ) ← socket ) )
//
// # What the server sees
//
// A head reaches the server only when it is complete and good (its first four
// bytes, when they can only be a method, may go ahead, so that the server's own
// ReadHeaderTimeout begins with the first byte of a head). A bad head is
// replaced by a valid request that carries the reason:
//
//	GET / HTTP/1.1
//	Host: outrider.invalid
//	Connection: close
//	Outrider-Malformed: 400 Content-Length and Transfer-Encoding in one request
//
// so the refusal takes its place in line behind the answers to earlier,
// pipelined requests. (The method is HEAD where a HEAD was refused, and begins
// with those first bytes where they went ahead.) A handler asks [Violation]
// before anything else and answers with the Status and Reason that it gets; the
// connection closes behind that answer. Inside a body or its
// trailers there is no place for such a request: there Read returns an [*Error],
// which errors.As finds in what the handler's r.Body.Read returned. Chunk lines
// and the trailer section are held back until they are known to be good, so the
// server sees a body's end only if the whole body was well-formed.
//
// # CONNECT and Upgrade
//
// A handler that hijacks ignores the bufio.ReadWriter that net/http offers and
// calls [Conn.Detach]:
//
//	conn, _, err := http.NewResponseController(w).Hijack()
//	fc, ok := framing.From(conn)
//	early, raw := fc.Detach()
//
// early holds, in order, every byte that came after the request and was read
// already, also the one that net/http's background read may have taken; raw is
// the connection that the listener accepted, so that splice(2) works with it.
// A request with a body must be read to its end (io.EOF) before the hijack.
// Until Detach is called, everything is checked: a refused CONNECT or a declined
// Upgrade leaves no unchecked connection behind.
//
// # Choices where the RFC leaves one
//
//   - One empty line (CRLF) before a request line is dropped (RFC 9112 §2.2), a second refused.
//   - Bytes ≥ 0x80 pass in targets and field values; in a host they are refused.
//   - '#' and, in a path, a '%' without two hex digits are refused (RFC 3986 §2.1, §3.5).
//   - A host is letters, digits, "-._~" or an IPv6 literal without zone; no userinfo, no comma, no '%'.
//   - A port has no leading zeros, though RFC 3986 §3.2.3 would let it.
//   - Content-Length may repeat only with the same bytes; a list in one field is refused.
//   - CONNECT may say "Content-Length: 0", as WinINet does, and nothing else about a body.
//   - A head that breaks off or is too slow is answered as well (400, 408).
//   - No whitespace in chunk lines outside of quoted strings.
package framing
