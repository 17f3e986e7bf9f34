// Package framing is the strict grammar of inbound HTTP/1: which bytes are a
// request, and where it ends.
//
// Two programs that disagree about where one request ends and the next begins
// can be made to disagree about whose credential goes with it. Many are lenient
// there: they take Content-Length together with Transfer-Encoding, folded header
// lines, lines that end in a bare LF, and Transfer-Encoding in HTTP/1.0. A
// [Scanner] releases only those bytes that RFC 9112 allows, and says of all others
// what is wrong with them. It reads from nothing and keeps nothing: package inbound
// shows it what came, and makes requests of what it releases.
//
//	var s framing.Scanner
//	s.Begin(limits)
//	n, bad := s.Head(window)      // n > 0: a whole head; s.Parts, s.Fields say what it has
//	n := s.Left()                 // data that comes next: s.Pass passes over it
//	n, bad := s.Frame(window)     // what is between: chunk lines, trailers
//	s.Done()                      // the next byte belongs to the next request
//
// A head is released when it is complete and good; chunk lines and the trailer
// section are, too, so that the end of a body is seen only if the whole body was
// well-formed.
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
