package policy

import "net/http"

// LetterKey says in which header a letter made of req carries its idempotency key, and the
// key that req has already: without one the letter gets its own, which stays the same
// through all of its sends. The header is "" where the upstream honours no key that it is
// given, or the method needs none.
func (p *Plan) LetterKey(req *http.Request) (header, key string) { return "", "" }

// KeepableHeader is the header of a request as a letter has it: without what the credential
// of the plan takes the place of when the letter is sent. refused names a field that holds a
// credential of the caller's own, which no letter may have; "": there is none.
func (p *Plan) KeepableHeader(header http.Header) (kept http.Header, refused string) {
	return header, ""
}

// KeepableQuery is KeepableHeader for the query of a request, without its question mark.
// What is kept is kept in the bytes in which it came.
func (p *Plan) KeepableQuery(raw string) (kept, refused string) { return raw, "" }
