package egress

import (
	"maps"
	"net/textproto"
	"strings"
	"sync/atomic"
)

// Bounds of what a names remembers: peers choose the names.
const (
	maxNames      = 256
	maxNameLength = 64
)

// A names knows field names in canonical form. Whoever does not write them so,
// as X-RateLimit-Limit, writes the same ones in each response: they are made
// once. The zero value knows none; it may be used concurrently.
type names struct {
	known atomic.Pointer[map[string]string] // as received → canonical; never written to
}

// canonical is the name, a token, in the form of textproto.CanonicalMIMEHeaderKey.
func (n *names) canonical(name string) string {
	known := n.known.Load()
	if known != nil {
		if found, ok := (*known)[name]; ok {
			return found
		}
	}
	made := textproto.CanonicalMIMEHeaderKey(name)
	if len(name) <= maxNameLength && (known == nil || len(*known) < maxNames) {
		n.learn(known, strings.Clone(name), strings.Clone(made))
	}
	return made
}

// learn adds a name, unless somebody else has just added another: it comes again.
func (n *names) learn(known *map[string]string, name, canonical string) {
	more := make(map[string]string)
	if known != nil {
		maps.Copy(more, *known)
	}
	more[name] = canonical
	n.known.CompareAndSwap(known, &more)
}
