package auth

import (
	"io"
	"net/http"
	"slices"
	"strings"
)

// shortest is the length from which a secret is looked for in responses: shorter
// texts are found by chance, in dates, identifiers and versions.
const shortest = 8

// A Guard knows what a response must not show of the credential that its request
// carried, and whose that was. It is not changed once the request was sent. The zero
// Guard finds nothing.
type Guard struct {
	placeholder string
	owner       Secret
	hidden      [maxHidden + 1]Secret // the token's, and what the request made of it
}

// watch has the guard know what is in t.
func (g *Guard) watch(t *Token) {
	g.placeholder, g.owner = t.Placeholder, t.Owner
	if g.placeholder == "" {
		g.placeholder = redacted
	}
	copy(g.hidden[:], t.Hidden[:])
}

// empty reports that there is nothing to look for.
func (g *Guard) empty() bool { return g.hidden == [maxHidden + 1]Secret{} }

// hide adds the one text that a request made of the token.
func (g *Guard) hide(text string) { g.hidden[maxHidden] = NewSecret(text) }

// Owner marks whose credential the request carried, without showing it: see Token.Owner.
// "": it carried none, as where g is nil.
func (g *Guard) Owner() string {
	if g == nil {
		return ""
	}
	return mark(g.owner.Reveal())
}

// Scrub puts the placeholder where the fields of a response show the secret, as
// it is or percent-encoded. Lists of values are replaced, never written to:
// they may have other readers.
func (g *Guard) Scrub(header http.Header) {
	if len(header) == 0 {
		return
	}
	for name, values := range header {
		for i, value := range values {
			if g.mayShow(value) {
				g.scrubValue(header, name, i)
			}
		}
	}
}

// scrubValue does it with one value of a field.
func (g *Guard) scrubValue(header http.Header, name string, i int) {
	values := header[name]
	if clean := g.clean(values[i]); clean != values[i] {
		values = slices.Clone(values)
		values[i] = clean
		header[name] = values
	}
}

// mayShow reports whether one of the texts may be found in a value: mostly that is plain
// to see.
func (g *Guard) mayShow(value string) bool {
	for i := range g.hidden {
		text := g.hidden[i].Reveal()
		if len(text) >= shortest && len(value) >= len(text) && (mayBeEncoded(value) || strings.Contains(value, text)) {
			return true
		}
	}
	return false
}

// clean is a value without the texts.
func (g *Guard) clean(value string) string {
	for _, secret := range g.hidden {
		if text := secret.Reveal(); len(text) >= shortest {
			value = replaceEncoded(value, text, g.placeholder)
		}
	}
	return value
}

// guardedBody scrubs the trailers of a response, which are there when its body
// has been read to the end, and not before.
type guardedBody struct {
	io.ReadCloser
	resp  *http.Response
	guard *Guard
}

func (b *guardedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.guard.Scrub(b.resp.Trailer)
	}
	return n, err
}
