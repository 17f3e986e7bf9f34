package policy

import (
	"net/http"
	"time"
)

// passageTimeout is how long a host that no upstream names may take to answer,
// and how long its bodies may be silent. Nothing is known of such a host, so
// this only keeps what is dead from being held for ever.
const passageTimeout = 5 * time.Minute

// Passage is the chain of calls to hosts that no upstream names: they are sent
// once, as they came, without credential, quota or circuit. Whoever has two of them sent at a
// time, by a hedge around it, is told of both.
func Passage(transport http.RoundTripper) http.RoundTripper {
	return Chain{deadline(passageTimeout), attempt(passageTimeout, passageTimeout, true, nil)}.Wrap(transport)
}
